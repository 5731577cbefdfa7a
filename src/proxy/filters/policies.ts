/**
 * The filters a configuration can ask for, compiled, and run in the one order that model/filters.ts gives. Routes
 * without any cost a comparison. Faults are the exchange's to run: it owns the clock they wait on.
 */
import { FILTER_ORDER, type HttpFilters } from '../../model/config.ts'
import type { Random } from '../../runtime/random.ts'
import { type LocalAnswer, localReply, REFUSALS } from '../local-reply.ts'
import { Cors } from './cors.ts'
import { Fault } from './fault.ts'
import { Rbac, type Subject, type Verdict } from './rbac.ts'
import { type Counted, type Descriptors, RateLimiter } from './rate-limit.ts'

export interface CompiledFilters {
  readonly cors: Cors | undefined
  readonly rbac: Rbac | undefined
  readonly rateLimit: RateLimiter | undefined
  readonly fault: Fault | undefined
}

export const NO_FILTERS: CompiledFilters = { cors: undefined, rbac: undefined, rateLimit: undefined, fault: undefined }

/** `own` replaces what the level around it has, filter by filter. */
export function compileFilters(own: HttpFilters | undefined, around: CompiledFilters): CompiledFilters {
  if (own === undefined) return around
  return {
    cors: own.cors === undefined ? around.cors : new Cors(own.cors),
    rbac: own.rbac === undefined ? around.rbac : new Rbac(own.rbac),
    rateLimit: own.rateLimit === undefined ? around.rateLimit : new RateLimiter(own.rateLimit),
    fault: own.fault === undefined ? around.fault : new Fault(own.fault),
  }
}

/** A route's filters before those of its chain. */
export function mergeFilters(route: CompiledFilters, chain: CompiledFilters): CompiledFilters {
  if (chain === NO_FILTERS) return route
  if (route === NO_FILTERS) return chain
  return {
    cors: route.cors ?? chain.cors,
    rbac: route.rbac ?? chain.rbac,
    rateLimit: route.rateLimit ?? chain.rateLimit,
    fault: route.fault ?? chain.fault,
  }
}

export interface PolicyInput extends Counted, Subject {
  readonly descriptors: Descriptors
  readonly random: Random
}

/** Undefined: go on, to the fault if there is one. */
export function runFilters(filters: CompiledFilters, input: PolicyInput): LocalAnswer | undefined {
  for (const kind of FILTER_ORDER) {
    const answer = runFilter(kind, filters, input)
    if (answer !== undefined) return answer
  }
  return undefined
}

function runFilter(
  kind: (typeof FILTER_ORDER)[number],
  { cors, rbac, rateLimit }: CompiledFilters,
  input: PolicyInput,
): LocalAnswer | undefined {
  switch (kind) {
    case 'cors':
      return cors?.originOf(input.head) === undefined ? undefined : cors.preflight(input.head)
    case 'rbac':
      return rbac?.judge(input).admitted === false ? localReply(REFUSALS.policy, input.head.authority, '') : undefined
    case 'rateLimit':
      return rateLimit?.refuse(input, input.descriptors, input.random)
    case 'fault':
      return undefined
    default:
      return kind satisfies never
  }
}

/** For the access log; empty: the policy says nothing about this request. */
export function logHint({ policy }: Verdict): string {
  return policy === '' ? '' : `policy ${policy} asks to log this request`
}
