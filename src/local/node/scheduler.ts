/**
 * Which node a pod goes to. Pure: selectors and required node affinity decide what is allowed; among those the node
 * whose zone holds the fewest pods of the same owner wins, then the one with the fewest pods, then the first by name,
 * so that replicas spread over zones without a word in the manifest.
 */
import type { Node, Pod } from '../../kube/kinds.ts'

export interface Placement {
  readonly pod: Pod
  readonly node: string
}

export type Choice = { readonly node: string } | { readonly reason: string }

interface Requirement {
  readonly key: string
  readonly operator: string
  readonly values?: readonly string[]
}

export function chooseNode(pod: Pod, nodes: readonly Node[], placements: readonly Placement[]): Choice {
  const allowed = nodes.filter((node) => admits(pod, node))
  if (allowed.length === 0) {
    return { reason: `0/${nodes.length} nodes are available: none matches the pod's node selector or affinity.` }
  }
  const owner = ownerOf(pod)
  const counts = new Map(allowed.map((node) => [nameOf(node), { owned: 0, all: 0 }]))
  for (const placement of placements) {
    const count = counts.get(placement.node)
    if (count === undefined) continue
    count.all++
    if (owner !== undefined && ownerOf(placement.pod) === owner) count.owned++
  }
  const sorted = [...counts].sort(
    ([nameA, a], [nameB, b]) => a.owned - b.owned || a.all - b.all || (nameA < nameB ? -1 : 1),
  )
  return { node: sorted[0]?.[0] ?? '' }
}

function admits(pod: Pod, node: Node): boolean {
  if (node.spec?.unschedulable === true) return false
  const labels = node.metadata.labels ?? {}
  const selector = Object.entries(pod.spec.nodeSelector ?? {})
  if (!selector.every(([key, value]) => labels[key] === value)) return false
  const terms = requiredTerms(pod)
  return terms === undefined || terms.some((term) => term.every((requirement) => satisfies(labels, requirement)))
}

/** Affinity passes through the typed object untyped; anything that is not the known shape counts as absent. */
function requiredTerms(pod: Pod): Requirement[][] | undefined {
  const affinity = pod.spec.affinity?.['nodeAffinity'] as
    | {
        requiredDuringSchedulingIgnoredDuringExecution?: { nodeSelectorTerms?: { matchExpressions?: Requirement[] }[] }
      }
    | undefined
  const terms = affinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms
  return terms?.map((term) => term.matchExpressions ?? [])
}

function satisfies(labels: Readonly<Record<string, string>>, requirement: Requirement): boolean {
  const value = labels[requirement.key]
  const values = requirement.values ?? []
  switch (requirement.operator) {
    case 'In':
      return value !== undefined && values.includes(value)
    case 'NotIn':
      return value === undefined || !values.includes(value)
    case 'Exists':
      return value !== undefined
    case 'DoesNotExist':
      return value === undefined
    case 'Gt':
      return Number(value) > Number(values[0])
    case 'Lt':
      return Number(value) < Number(values[0])
    default:
      return false
  }
}

/**
 * What should spread: pods of one controller. Two ReplicaSets of one Deployment count as one, or a rolling update
 * would place all its new pods beside each other.
 */
function ownerOf(pod: Pod): string | undefined {
  const owner = pod.metadata.ownerReferences?.find((reference) => reference.controller === true)
  if (owner === undefined) return undefined
  const hash = pod.metadata.labels?.['pod-template-hash']
  const name =
    hash !== undefined && owner.name.endsWith(`-${hash}`) ? owner.name.slice(0, -hash.length - 1) : owner.name
  return `${pod.metadata.namespace}/${owner.kind}/${name}`
}

const nameOf = (node: Node): string => node.metadata.name ?? ''
