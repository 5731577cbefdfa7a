/**
 * The product's own policies as they speak to one pod: found by its namespace, labels and services, the same object while
 * none of them changed. What they become is said in the files beside; where it stands, in security/pod-policies.ts.
 */
import type { ListedFilter } from '../../../model/config.ts'
import { keyOf, type PodFacts, type ServiceFacts, type Snapshot } from '../../observe/facts.ts'
import { NO_OWN, type RateLimitPolicyFacts } from '../../observe/facts-own.ts'
import type { PolicyScope } from '../../observe/facts-security.ts'
import { Memo } from '../memo.ts'
import { PolicyIndex, selects } from '../security/scope.ts'
import { limitFilters } from './rate-limits.ts'

/** Where requests arrive. */
export interface OwnPlace {
  readonly services: readonly ServiceFacts[]
  readonly isClusterset?: boolean
}

export class OwnPolicies {
  readonly #rateLimits: readonly RateLimitPolicyFacts[]

  constructor(rateLimits: readonly RateLimitPolicyFacts[]) {
    this.#rateLimits = rateLimits
  }

  limitsAt(place: OwnPlace): readonly ListedFilter[] {
    return limitFilters(this.#rateLimits.filter((policy) => speaksAt(policy, place)))
  }
}

const NONE = new OwnPolicies([])

export class OwnTables {
  readonly #limits = new Memo<PolicyIndex<RateLimitPolicyFacts>>()
  readonly #pods = new Memo<OwnPolicies>()

  /** `services`: those that select the pod. */
  of({ own = NO_OWN }: Snapshot, pod: PodFacts, services: readonly ServiceFacts[]): OwnPolicies {
    const { rateLimits } = own
    if (rateLimits.size === 0) return NONE
    const index = this.#limits.get('all', [rateLimits], () => new PolicyIndex(rateLimits, NO_ROOTS))
    const limits = index.in(pod.namespace).filter((policy) => speaksTo(policy, pod, services))
    return limits.length === 0 ? NONE : this.#pods.get(keyOf(pod), limits, () => new OwnPolicies(limits))
  }
}

/** Own policies hold in their own namespace, wherever that is. */
const NO_ROOTS: ReadonlySet<string> = new Set()

function speaksTo(
  policy: PolicyScope & { problem?: string },
  pod: PodFacts,
  services: readonly ServiceFacts[],
): boolean {
  if (policy.problem !== undefined) return false
  const { targets, selector } = policy
  if (targets === undefined) return selects(selector, pod)
  return targets.some(({ name }) => services.some((service) => service.name === name))
}

/** A Service is meant whatever it is called; an import only by the name that it has in the cluster set. */
function speaksAt({ targets }: PolicyScope, { services, isClusterset = false }: OwnPlace): boolean {
  if (targets === undefined) return true
  return targets.some(
    ({ kind, name }) => (kind === 'Service' || isClusterset) && services.some((service) => service.name === name),
  )
}
