/** What the control plane knows of the product's own policies for requests (isthmus.dev). */
import type { RateLimitPolicySpec } from '../../kube/kinds.ts'
import type { PolicyScope } from './facts-security.ts'

export type LimitSpec = RateLimitPolicySpec['limits'][number]

export interface RateLimitPolicyFacts extends PolicyScope {
  readonly scope: 'proxy' | 'cluster'
  readonly isShadow: boolean
  readonly refusesWhenUnavailable: boolean
  readonly limits: readonly LimitSpec[]
  /** What is wrong with it, where its fields fit the schema and not each other: then nothing of it acts. */
  readonly problem?: string
}

export interface OwnFacts {
  readonly rateLimits: ReadonlyMap<string, RateLimitPolicyFacts>
}

export const NO_OWN: OwnFacts = { rateLimits: new Map() }
