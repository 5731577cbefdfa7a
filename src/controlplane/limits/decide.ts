/**
 * One question of a proxy to one answer: envoy.service.ratelimit.v3 over the policies that the control plane knows. Pure
 * but for the counts. What a descriptor means is what translate/own/rate-limits.ts made it of: the limit's name first,
 * then a value for each of its keys.
 */
import { create } from '@bufbuild/protobuf'
import { durationFromMs } from '@bufbuild/protobuf/wkt'
import {
  type RateLimitRequest,
  type RateLimitResponse,
  RateLimitResponse_Code as Code,
  RateLimitResponse_RateLimit_Unit as Unit,
  RateLimitResponseSchema,
} from '#gen/envoy/service/ratelimit/v3/rls_pb.js'
import type { LimitSpec, RateLimitPolicyFacts } from '../observe/facts-own.ts'
import { rateOf, WINDOWS_MS } from '../translate/own/rate-limits.ts'
import type { Counted, Counts, Rate } from './counts.ts'

const UNITS: Readonly<Record<keyof typeof WINDOWS_MS, Unit>> = {
  second: Unit.SECOND,
  minute: Unit.MINUTE,
  hour: Unit.HOUR,
  day: Unit.DAY,
}

interface Asked {
  readonly limit: LimitSpec
  readonly key: string
  readonly rate: Rate
}

export interface Decision {
  readonly response: RateLimitResponse
  readonly refused: boolean
}

/** All limits that the request meets have to admit it, and only then each is taken from. */
export function decide(
  policy: RateLimitPolicyFacts,
  { domain, descriptors }: Pick<RateLimitRequest, 'domain' | 'descriptors'>,
  counts: Counts,
  nowMs: number,
): Decision {
  const asked = descriptors.map(({ entries }) => askedOf(policy, entries))
  const looked = asked.map((one) => one && counts.look(domain, one.key, one.rate, nowMs))
  const refused = looked.some((one) => one?.admitted === false)
  const statuses = asked.map((one, index) => {
    if (one === undefined) return { code: Code.OK }
    const found = looked[index]
    const counted = refused ? found : counts.take(domain, one.key, one.rate, nowMs)
    return statusOf(one, counted)
  })
  const overallCode = refused ? Code.OVER_LIMIT : Code.OK
  return { refused, response: create(RateLimitResponseSchema, { overallCode, statuses }) }
}

function statusOf({ limit, rate }: Asked, counted: Counted | undefined) {
  const { admitted = true, remaining = 0, waitMs = 0 } = counted ?? {}
  return {
    code: admitted ? Code.OK : Code.OVER_LIMIT,
    currentLimit: { requestsPerUnit: rate.requests, unit: UNITS[limit.window], name: limit.name },
    limitRemaining: remaining,
    durationUntilReset: durationFromMs(Math.ceil(waitMs)),
  }
}

/** Undefined: no limit of this policy. It may be of a newer or an older one than ours. */
function askedOf(
  { limits }: RateLimitPolicyFacts,
  entries: readonly { readonly key: string; readonly value: string }[],
): Asked | undefined {
  const [first, ...rest] = entries
  const limit = first?.key === 'limit' ? limits.find(({ name }) => name === first.value) : undefined
  if (limit === undefined || rest.length !== (limit.by ?? []).length) return undefined
  const values = rest.map(({ value }) => value)
  const quota = limit.quotas?.find((one) => one.values.every((value, index) => value === values[index]))
  return { limit, key: [limit.name, ...values].join('\n'), rate: rateOf(quota ?? limit, limit) }
}
