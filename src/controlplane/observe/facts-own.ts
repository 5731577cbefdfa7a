/** What the control plane knows of the product's own policies for requests (isthmus.dev). */
import type { AuthenticationPolicySpec, RateLimitPolicySpec } from '../../kube/kinds.ts'
import type { HiddenText } from '../../model/config.ts'
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

export interface AuthenticationPolicyFacts extends PolicyScope {
  readonly isOptional: boolean
  readonly apiKeys?: AuthenticationPolicySpec['apiKeys']
  readonly basic?: AuthenticationPolicySpec['basic']
  /** Lower case. */
  readonly identityHeader: string
  readonly forwardsCredentials: boolean
  readonly exclude: readonly string[]
  /** What is wrong with it: then it knows nobody, and nobody comes in without being known. */
  readonly problem?: string
}

/** A Secret with consumers. What is left out stands in `problems`, never by its value. */
export interface CredentialFacts {
  readonly namespace: string
  readonly name: string
  readonly keys: Credentials<{ readonly client: string; readonly key: HiddenText }>
  /** With the SHA-1 of their passwords, in Base64. */
  readonly users: Credentials<{ readonly name: string; readonly hash: HiddenText }>
}

interface Credentials<T> {
  readonly known: readonly T[]
  readonly problems: readonly string[]
}

export interface OwnFacts {
  readonly rateLimits: ReadonlyMap<string, RateLimitPolicyFacts>
  readonly authentications: ReadonlyMap<string, AuthenticationPolicyFacts>
  /** Secrets with the label that admits them here. */
  readonly credentials: ReadonlyMap<string, CredentialFacts>
}

export const NO_OWN: OwnFacts = { rateLimits: new Map(), authentications: new Map(), credentials: new Map() }
