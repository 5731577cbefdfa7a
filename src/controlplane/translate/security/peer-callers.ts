/**
 * Which peers' callers a service that is exported to them would refuse, whoever they are: a policy that names callers of
 * this cluster only is right until a peer fails over here. Told from the very rules that proxies run. Pure.
 */
import type { PeerLeaf, RuleTree } from '../../../model/config.ts'
import { keyOf, type PodFacts, type Snapshot } from '../../observe/facts.ts'
import type { AuthorizationPolicyFacts } from '../../observe/facts-security.ts'
import { type ExportedService, listExports } from '../hosts.ts'
import { isSelecting } from '../inbound.ts'
import { rulesFor } from './authorization.ts'
import type { LocalNames } from './callers.ts'
import { quoted } from './patterns.ts'
import { localNamesOf } from './policy-tables.ts'
import { PolicyIndex, rootNamespacesOf } from './scope.ts'

export interface PeerVerdict {
  /** Trust domains of peers, sorted, with the policies that leave none of their callers in. */
  readonly refused: readonly { readonly trustDomain: string; readonly policies: readonly string[] }[]
}

/** By export; those that no policy speaks to are not among them. */
export function peerVerdicts(snapshot: Snapshot): ReadonlyMap<string, PeerVerdict> {
  const { authorizationPolicies } = snapshot.security
  const verdicts = new Map<string, PeerVerdict>()
  if (authorizationPolicies.size === 0) return verdicts
  const index = new PolicyIndex(authorizationPolicies, rootNamespacesOf(snapshot.services))
  const local = localNamesOf(snapshot)
  const pods = byNamespace(snapshot.pods.values())
  for (const exported of listExports(snapshot)) {
    const service = snapshot.services.get(exported.key)
    const own = service === undefined ? [] : (pods.get(service.namespace) ?? [])
    const groups = new Map<string, readonly AuthorizationPolicyFacts[]>()
    for (const pod of own) {
      if (service === undefined || !pod.hasSidecar || !isSelecting(service, pod)) continue
      const policies = [...index.forPod(pod), ...index.forServices([service])].filter(({ dryRun }) => !dryRun)
      groups.set(policies.map((policy) => keyOf(policy)).join(), policies)
    }
    const found = [...groups.values()].filter((policies) => policies.length > 0)
    if (found.length > 0) verdicts.set(exported.key, verdictOf(exported, found, local))
  }
  return verdicts
}

function verdictOf(
  { trustDomains }: ExportedService,
  groups: readonly (readonly AuthorizationPolicyFacts[])[],
  local: LocalNames,
): PeerVerdict {
  const refused = trustDomains.flatMap((trustDomain) => {
    const names = new Set(groups.flatMap((policies) => refusing(policies, trustDomain, local)))
    return names.size === 0 ? [] : [{ trustDomain, policies: [...names].sort() }]
  })
  return { refused }
}

/** Names of the policies because of which nobody of that trust domain may come in. */
function refusing(
  policies: readonly AuthorizationPolicyFacts[],
  trustDomain: string,
  local: LocalNames,
): readonly string[] {
  const context = { place: { port: undefined, address: '', serverName: '' }, local, reads: 'requests' as const }
  const base = `spiffe://${trustDomain}/`
  const denies = policies.filter((policy) => {
    const rules = Object.values(rulesFor('DENY', [policy], context)?.policies ?? {})
    return rules.some(
      ({ permissions, principals }) =>
        permissions.some(({ kind }) => kind === 'any') && principals.some((who) => told(who, base).certain),
    )
  })
  if (denies.length > 0) return denies.map((policy) => keyOf(policy))
  const allow = rulesFor('ALLOW', policies, context)
  if (allow === undefined) return []
  const isOpen = Object.values(allow.policies).some(({ principals }) =>
    principals.some((who) => told(who, base).possible),
  )
  return isOpen ? [] : policies.filter(({ action }) => action === 'ALLOW').map((policy) => keyOf(policy))
}

/** Of all callers whose identity begins so: whether one of them may be meant, and whether every one is. */
interface Told {
  readonly possible: boolean
  readonly certain: boolean
}

const MAYBE: Told = { possible: true, certain: false }

function told(tree: RuleTree<PeerLeaf>, base: string): Told {
  switch (tree.kind) {
    case 'any':
      return { possible: true, certain: true }
    case 'not': {
      const { possible, certain } = told(tree.of, base)
      return { possible: !certain, certain: !possible }
    }
    case 'and': {
      const parts = tree.of.map((one) => told(one, base))
      return { possible: parts.every(({ possible }) => possible), certain: parts.every(({ certain }) => certain) }
    }
    case 'or': {
      const parts = tree.of.map((one) => told(one, base))
      return { possible: parts.some(({ possible }) => possible), certain: parts.some(({ certain }) => certain) }
    }
    case 'peer':
      return tree.name === undefined ? { possible: true, certain: true } : toldByName(tree.name, base)
    default:
      return MAYBE
  }
}

function toldByName(name: NonNullable<Extract<PeerLeaf, { readonly kind: 'peer' }>['name']>, base: string): Told {
  switch (name.kind) {
    case 'exact':
      return { possible: name.value.startsWith(base), certain: false }
    case 'prefix':
      return {
        possible: name.value.startsWith(base) || base.startsWith(name.value),
        certain: base.startsWith(name.value),
      }
    case 'regex': {
      // Ours begin with one trust domain, or with any.
      const isBound = name.value.startsWith('spiffe://') && !name.value.startsWith('spiffe://[^/]*')
      return { possible: !isBound || name.value.startsWith(quoted(base)), certain: false }
    }
    default:
      return MAYBE
  }
}

function byNamespace(pods: Iterable<PodFacts>): ReadonlyMap<string, readonly PodFacts[]> {
  const found = new Map<string, PodFacts[]>()
  for (const pod of pods) {
    const known = found.get(pod.namespace)
    if (known === undefined) found.set(pod.namespace, [pod])
    else known.push(pod)
  }
  return found
}
