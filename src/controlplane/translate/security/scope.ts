/**
 * Which policies speak to a pod: those of its namespace and of the mesh's root namespaces, by label or by the service
 * they name. Pure; policies of every kind are asked in the same way.
 */
import { ISTIO_NAMESPACE, SYSTEM_NAMESPACE } from '../../../model/names.ts'
import type { PolicyScope } from '../../observe/facts-security.ts'
import type { PodFacts, ServiceFacts, Snapshot } from '../../observe/facts.ts'

/**
 * `istio-system` counts as a root namespace as long as no Istio lives there: what was written for a control plane
 * beside us is not ours to enforce. istiod's Service tells; a revision adds its name to it.
 */
export function rootNamespacesOf(services: Snapshot['services']): ReadonlySet<string> {
  for (const { namespace, name } of services.values()) {
    if (namespace === ISTIO_NAMESPACE && (name === 'istiod' || name.startsWith('istiod-'))) {
      return new Set([SYSTEM_NAMESPACE])
    }
  }
  return new Set([SYSTEM_NAMESPACE, ISTIO_NAMESPACE])
}

export function selects(selector: Readonly<Record<string, string>> | undefined, pod: PodFacts): boolean {
  return Object.entries(selector ?? {}).every(([label, value]) => pod.labels[label] === value)
}

/** Oldest first; of two of one second the name that sorts first. */
export function byAge(a: PolicyScope, b: PolicyScope): number {
  if (a.createdAt !== b.createdAt) return a.createdAt < b.createdAt ? -1 : 1
  const [one, other] = [`${a.namespace}/${a.name}`, `${b.namespace}/${b.name}`]
  return one < other ? -1 : one > other ? 1 : 0
}

/** Policies of one kind by namespace, oldest first, so that a pod asks only those that may speak to it. */
export class PolicyIndex<P extends PolicyScope> {
  readonly #byNamespace = new Map<string, P[]>()
  readonly #roots: readonly string[]
  readonly size: number

  constructor(policies: ReadonlyMap<string, P>, roots: ReadonlySet<string>) {
    for (const policy of [...policies.values()].sort(byAge)) {
      const known = this.#byNamespace.get(policy.namespace)
      if (known === undefined) this.#byNamespace.set(policy.namespace, [policy])
      else known.push(policy)
    }
    this.#roots = [...roots]
    this.size = policies.size
  }

  in(namespace: string): readonly P[] {
    return this.#byNamespace.get(namespace) ?? []
  }

  /** Those of the mesh, oldest first. */
  get ofMesh(): readonly P[] {
    return this.#roots.flatMap((root) => this.in(root)).sort(byAge)
  }

  isRoot(namespace: string): boolean {
    return this.#roots.includes(namespace)
  }

  /** By label or for all; those that name targets are not among them. Each once, those of the mesh first. */
  forPod(pod: PodFacts): readonly P[] {
    const own = this.isRoot(pod.namespace) ? [] : this.in(pod.namespace)
    return [...this.ofMesh, ...own].filter(({ targets, selector }) => targets === undefined && selects(selector, pod))
  }

  /** Those that name one of the services, which a policy can do in its own namespace only. */
  forServices(services: readonly ServiceFacts[]): readonly P[] {
    const found = new Set<P>()
    for (const { namespace, name } of services) {
      for (const policy of this.in(namespace)) if (namesService(policy, { namespace, name })) found.add(policy)
    }
    return [...found].sort(byAge)
  }
}

/** Whether a policy is about the service, which it can be in its own namespace only. */
export function namesService(
  { namespace, targets = [] }: PolicyScope,
  service: Pick<ServiceFacts, 'namespace' | 'name'>,
): boolean {
  if (service.namespace !== namespace) return false
  return targets.some(({ group, kind, name }) => group === '' && kind === 'Service' && name === service.name)
}
