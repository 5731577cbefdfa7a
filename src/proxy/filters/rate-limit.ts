/**
 * Local rate limits: token buckets of this proxy alone, filled continuously as Envoy's are. The buckets live as long as
 * the table they were compiled into.
 */
import type { DescriptorAction, ListedConfigs, RateLimitPolicy, TokenBucket } from '../../model/config.ts'
import type { Random } from '../../runtime/random.ts'
import { REFUSALS } from '../local-reply.ts'
import { joinedField } from '../match/headers.ts'
import type { RequestHead } from '../message.ts'
import { hits } from './fractions.ts'
import { type FilterCounters, type FilterEnvironment, filterKind } from './kind.ts'
import type { Call, Refused, Step } from './step.ts'

/** What of a request can be counted. */
interface Counted {
  readonly head: RequestHead
  readonly remoteAddress: string
  readonly nowMs: number
}

type Descriptors = readonly (readonly DescriptorAction[])[]

export class Bucket {
  readonly #max: number
  readonly #perMs: number
  #tokens: number
  #filledAt = Number.NEGATIVE_INFINITY

  constructor({ tokensMax, tokensPerFill, fillMs }: TokenBucket) {
    this.#max = tokensMax
    this.#perMs = tokensPerFill / fillMs
    this.#tokens = tokensMax
  }

  has(nowMs: number): boolean {
    if (nowMs > this.#filledAt) {
      this.#tokens = Math.min(this.#max, this.#tokens + (nowMs - this.#filledAt) * this.#perMs)
      this.#filledAt = nowMs
    }
    return this.#tokens >= 1
  }

  /** False: empty, and nothing was taken. */
  take(nowMs: number): boolean {
    if (!this.has(nowMs)) return false
    this.#tokens--
    return true
  }
}

const COUNTERS = ['enabled', 'enforced', 'ok', 'rate_limited'] as const
type Counters = FilterCounters<(typeof COUNTERS)[number]>

class RateLimiter {
  readonly #policy: RateLimitPolicy
  readonly #common: Bucket
  readonly #own = new Map<string, Bucket>()

  readonly #counters: Counters

  constructor(policy: RateLimitPolicy, { counters }: FilterEnvironment) {
    this.#policy = policy
    this.#counters = counters(`${policy.statPrefix ?? 'local_rate_limit'}.http_local_rate_limit.`, COUNTERS)
    this.#common = new Bucket(policy.bucket)
    for (const { entries, bucket } of policy.descriptors ?? []) {
      const key = entries.reduce((text, { key, value }) => text + entryKey(key, value), '')
      this.#own.set(key, new Bucket(bucket))
    }
  }

  /** Undefined: go on. */
  refuse(counted: Counted, descriptors: Descriptors, random: Random): Refused | undefined {
    const { enabled, enforced, status } = this.#policy
    if (!hits(enabled, random)) return undefined
    this.#counters.enabled++
    const admits = this.#admits(counted, descriptors)
    this.#counters[admits ? 'ok' : 'rate_limited']++
    if (admits || !hits(enforced, random)) return undefined
    this.#counters.enforced++
    return { kind: 'refuse', refusal: REFUSALS.rateLimited, ...(status !== undefined && { status }) }
  }

  #admits(counted: Counted, descriptors: Descriptors): boolean {
    const { nowMs } = counted
    let matched = false
    if (this.#own.size > 0) {
      for (const actions of descriptors) {
        const key = descriptorKey(actions, counted)
        const bucket = key === undefined ? undefined : this.#own.get(key)
        if (bucket === undefined) continue
        matched = true
        if (!bucket.take(nowMs)) return false
      }
    }
    return (matched && this.#policy.descriptorsOnly === true) || this.#common.take(nowMs)
  }
}

/** No character of a header's value is the separator. */
const entryKey = (key: string, value: string): string => `${key}\n${value}\n`

function descriptorKey(actions: readonly DescriptorAction[], { head, remoteAddress }: Counted): string | undefined {
  let key = ''
  for (const action of actions) {
    if (action.kind === 'generic') key += entryKey(action.key, action.value)
    else if (action.kind === 'remote-address') key += entryKey('remote_address', remoteAddress)
    else {
      const value = joinedField(head.headers, action.header)
      if (value !== undefined && value !== '') key += entryKey(action.key, value)
      else if (action.optional !== true) return undefined
    }
  }
  return key
}

class RateLimitStep implements Step {
  readonly #limiter: RateLimiter

  constructor(policy: RateLimitPolicy, environment: FilterEnvironment) {
    this.#limiter = new RateLimiter(policy, environment)
  }

  request({ head, connection, services, route }: Call): Refused | undefined {
    const counted = { head, remoteAddress: connection.remoteAddress, nowMs: services.timers.now() }
    return this.#limiter.refuse(counted, route?.descriptors ?? [], services.random)
  }
}

export const rateLimitKind = filterKind<
  ListedConfigs['rateLimit'],
  RateLimitPolicy,
  RateLimitStep | undefined,
  RateLimitStep
>({
  listed: ({ policy }, environment) => (policy === undefined ? undefined : new RateLimitStep(policy, environment)),
  routed: (policy, environment) => new RateLimitStep(policy, environment),
  step: (own, [first]) => first ?? own,
})
