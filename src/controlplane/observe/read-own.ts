/**
 * Own policies to facts. Schemas hold each field to its form; what the fields mean together is judged by the rules that
 * admission runs too, and their words go into the policy's condition.
 */
import type { Flaw } from '../../kube/advice/finding.ts'
import { authenticationFlaws } from '../../kube/advice/isthmus/authentication.ts'
import { rateLimitFlaws } from '../../kube/advice/isthmus/rate-limit.ts'
import type { AuthenticationPolicy, RateLimitPolicy } from '../../kube/kinds.ts'
import type { AuthenticationPolicyFacts, RateLimitPolicyFacts } from './facts-own.ts'
import { scopeOf } from './read-security.ts'

export function readRateLimitPolicy(policy: RateLimitPolicy): RateLimitPolicyFacts | undefined {
  if (policy.metadata.deletionTimestamp !== undefined) return undefined
  const { scope = 'proxy', mode, whenUnavailable, limits, ...placed } = policy.spec
  return {
    ...scopeOf(policy, placed),
    scope,
    isShadow: mode === 'shadow',
    refusesWhenUnavailable: whenUnavailable === 'refuse',
    limits,
    ...problemIn(rateLimitFlaws(policy)),
  }
}

export function readAuthenticationPolicy(policy: AuthenticationPolicy): AuthenticationPolicyFacts | undefined {
  if (policy.metadata.deletionTimestamp !== undefined) return undefined
  const { mode, apiKeys, basic, identityHeader = 'x-isthmus-consumer', ...more } = policy.spec
  const { forwardCredentials, exclude = [], ...placed } = more
  return {
    ...scopeOf(policy, placed),
    isOptional: mode === 'optional',
    ...(apiKeys !== undefined && { apiKeys }),
    ...(basic !== undefined && { basic }),
    identityHeader: identityHeader.toLowerCase(),
    forwardsCredentials: forwardCredentials === true,
    exclude,
    ...problemIn(authenticationFlaws(policy)),
  }
}

function problemIn(flaws: Iterable<Flaw>): { readonly problem?: string } {
  // What is not supported must not seem to hold either.
  const found = [...flaws].filter(({ severity }) => severity === 'error')
  return found.length === 0 ? {} : { problem: found.map(({ field, message }) => `${field} ${message}`).join('; ') }
}
