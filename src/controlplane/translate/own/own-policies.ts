/**
 * The product's own policies as they speak to one pod: found by its namespace, labels and services, the same object while
 * none of them changed. What they become is said in the files beside; where it stands, in security/pod-policies.ts.
 */
import type { ListedFilter } from '../../../model/config.ts'
import { keyOf, type PodFacts, type ServiceFacts, type Snapshot } from '../../observe/facts.ts'
import {
  type AuthenticationPolicyFacts,
  NO_OWN,
  type OwnFacts,
  type RateLimitPolicyFacts,
} from '../../observe/facts-own.ts'
import type { PolicyScope } from '../../observe/facts-security.ts'
import { Memo } from '../memo.ts'
import { PolicyIndex, selects } from '../security/scope.ts'
import { type Authentication, authenticationOf } from './authentication.ts'
import { consumersOf, secretsOf } from './consumers.ts'
import { limitFilters } from './rate-limits.ts'

/** Where requests arrive. */
export interface OwnPlace {
  readonly services: readonly ServiceFacts[]
  readonly isClusterset?: boolean
}

interface OwnInput {
  readonly rateLimits: readonly RateLimitPolicyFacts[]
  readonly authentications: readonly AuthenticationPolicyFacts[]
  readonly credentials: OwnFacts['credentials']
}

export class OwnPolicies {
  readonly #input: OwnInput
  readonly #built = new Map<AuthenticationPolicyFacts, Authentication>()

  constructor(input: OwnInput) {
    this.#input = input
  }

  limitsAt(place: OwnPlace): readonly ListedFilter[] {
    const policies = this.#input.rateLimits.filter((policy) => speaksAt(policy, place))
    return limitFilters(policies, this.consumerHeaderAt(place))
  }

  /** Policies that the control plane counts, by name. */
  get counted(): readonly string[] {
    return this.#input.rateLimits.filter(({ scope }) => scope === 'cluster').map(keyOf)
  }

  /** Undefined: nobody is asked. */
  authenticationAt(place: OwnPlace): Authentication | undefined {
    const policy = this.#policyAt(place)
    if (policy === undefined) return undefined
    const known = this.#built.get(policy)
    if (known !== undefined) return known
    const made = authenticationOf(policy, consumersOf(policy, this.#input.credentials))
    this.#built.set(policy, made)
    return made
  }

  /** Undefined: nothing that comes in tells a consumer. */
  consumerHeaderAt(place: OwnPlace): string | undefined {
    const policy = this.#policyAt(place)
    return policy?.problem === undefined ? policy?.identityHeader : undefined
  }

  /** One way to know consumers at a time: that of a service, else of a label, else of all; of several the oldest. */
  #policyAt(place: OwnPlace): AuthenticationPolicyFacts | undefined {
    const speaking = this.#input.authentications.filter((policy) => speaksAt(policy, place))
    return (
      speaking.find(({ targets }) => targets !== undefined) ??
      speaking.find(({ selector }) => selector !== undefined) ??
      speaking[0]
    )
  }
}

const NONE = new OwnPolicies({ rateLimits: [], authentications: [], credentials: new Map() })

export class OwnTables {
  readonly #limits = new Memo<PolicyIndex<RateLimitPolicyFacts>>()
  readonly #authentications = new Memo<PolicyIndex<AuthenticationPolicyFacts>>()
  readonly #pods = new Memo<OwnPolicies>()

  /** `services`: those that select the pod. */
  of({ own = NO_OWN }: Snapshot, pod: PodFacts, services: readonly ServiceFacts[]): OwnPolicies {
    const { credentials } = own
    if (own.rateLimits.size === 0 && own.authentications.size === 0) return NONE
    const limits = this.#limits.get('all', [own.rateLimits], () => new PolicyIndex(own.rateLimits, NO_ROOTS))
    const authentications = this.#authentications.get(
      'all',
      [own.authentications],
      () => new PolicyIndex(own.authentications, NO_ROOTS),
    )
    const input: OwnInput = {
      // A limit that is flawed limits nobody.
      rateLimits: limits.in(pod.namespace).filter((one) => one.problem === undefined && speaksTo(one, pod, services)),
      authentications: authentications.in(pod.namespace).filter((one) => speaksTo(one, pod, services)),
      credentials,
    }
    if (input.rateLimits.length === 0 && input.authentications.length === 0) return NONE
    const secrets = input.authentications.flatMap((policy) => secretsOf(policy, credentials))
    const inputs = [...input.rateLimits, 'authentication', ...input.authentications, 'secrets', ...secrets]
    return this.#pods.get(keyOf(pod), inputs, () => new OwnPolicies(input))
  }
}

/** Own policies hold in their own namespace, wherever that is: a Secret is not for other namespaces to use. */
const NO_ROOTS: ReadonlySet<string> = new Set()

function speaksTo({ targets, selector }: PolicyScope, pod: PodFacts, services: readonly ServiceFacts[]): boolean {
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
