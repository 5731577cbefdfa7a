/**
 * Local rate limits: token buckets of this proxy alone, filled continuously as Envoy's are. Buckets outlive the tables
 * they are compiled into as long as their configuration stays the same.
 */
import type { HostDescriptors, ListedConfigs, RateLimitPolicy, TokenBucket } from '../../model/config.ts'
import { REFUSALS } from '../local-reply.ts'
import type { ResponseHead } from '../message.ts'
import { GRPC_STATUS } from '../side/grpc.ts'
import { type Descriptor, descriptorsOf } from './descriptors.ts'
import { hits } from './fractions.ts'
import { changeHeaders, compileHeaderSteps, type HeaderSteps } from './header-steps.ts'
import { filterKind, type FilterCounters, type FilterEnvironment } from './kind.ts'
import { type Call, type Refused, Slot, type Step } from './step.ts'

const COUNTERS = ['enabled', 'enforced', 'ok', 'rate_limited'] as const
const STAT_PREFIX = 'local_rate_limit'

export class Bucket {
  readonly max: number
  readonly perMs: number
  #tokens: number
  #filledAt = Number.NEGATIVE_INFINITY

  constructor({ tokensMax, tokensPerFill, fillMs }: TokenBucket) {
    this.max = tokensMax
    this.perMs = tokensPerFill / fillMs
    this.#tokens = tokensMax
  }

  /** Tokens there are now, with fractions. */
  at(nowMs: number): number {
    if (nowMs > this.#filledAt) {
      this.#tokens = Math.min(this.max, this.#tokens + (nowMs - this.#filledAt) * this.perMs)
      this.#filledAt = nowMs
    }
    return this.#tokens
  }

  /** False: empty, and nothing was taken. */
  take(nowMs: number): boolean {
    if (this.at(nowMs) < 1) return false
    this.#tokens--
    return true
  }
}

/** What was taken from; `admitted` false: that one was empty. */
interface Taking {
  readonly admitted: boolean
  readonly bucket: Bucket
}

export class Buckets {
  readonly #common: Bucket
  readonly #own = new Map<string, Bucket>()
  readonly #descriptorsOnly: boolean

  constructor(policy: RateLimitPolicy) {
    this.#common = new Bucket(policy.bucket)
    this.#descriptorsOnly = policy.descriptorsOnly === true
    for (const { entries, bucket } of policy.descriptors ?? []) {
      this.#own.set(keyOf(entries.map(({ key, value }) => [key, value] as const)), new Bucket(bucket))
    }
  }

  get hasOwn(): boolean {
    return this.#own.size > 0
  }

  /** As in Envoy the slowest bucket is asked first, and it is the one that clients are told about. */
  take(descriptors: readonly Descriptor[], nowMs: number): Taking {
    const matched = descriptors.flatMap(({ entries }) => this.#own.get(keyOf(entries)) ?? [])
    if (matched.length > 1) matched.sort((one, other) => one.perMs - other.perMs)
    for (const bucket of matched) if (!bucket.take(nowMs)) return { admitted: false, bucket }
    const [first] = matched
    if (first !== undefined && this.#descriptorsOnly) return { admitted: true, bucket: first }
    const admitted = this.#common.take(nowMs)
    return { admitted, bucket: admitted ? (first ?? this.#common) : this.#common }
  }
}

/** No character of a header's value is the separator. */
function keyOf(entries: Descriptor['entries']): string {
  let key = ''
  for (const [name, value] of entries) key += `${name}\n${value}\n`
  return key
}

const takings = new Slot<Taking>()

class RateLimitStep implements Step {
  readonly #policy: RateLimitPolicy
  readonly #buckets: Buckets
  /** Where every connection has its own. */
  readonly #ofConnection: WeakMap<object, Buckets> | undefined
  readonly #counters: FilterCounters<(typeof COUNTERS)[number]>
  readonly #unenforced: HeaderSteps | undefined
  readonly #refusal: Refused
  readonly #added: HeaderSteps | undefined
  readonly #host: HostDescriptors
  readonly #stage: number

  constructor(policy: RateLimitPolicy, environment: FilterEnvironment) {
    const { status, statPrefix = STAT_PREFIX, addUnenforced, addResponse } = policy
    this.#policy = policy
    this.#buckets = environment.atPlace(`buckets ${JSON.stringify(policy)}`, () => new Buckets(policy))
    this.#ofConnection = policy.perConnection === true ? new WeakMap() : undefined
    this.#counters = environment.counters(`${statPrefix}.http_local_rate_limit.`, COUNTERS)
    this.#unenforced = compileHeaderSteps([addUnenforced && { addRequest: addUnenforced }], 'request')
    this.#added = compileHeaderSteps([addResponse && { addResponse }], 'response')
    this.#refusal = {
      kind: 'refuse',
      refusal: REFUSALS.rateLimited,
      ...(status !== undefined && { status }),
      ...(policy.resourceExhausted === true && { grpcStatus: GRPC_STATUS.resourceExhausted }),
    }
    this.#host = policy.hostDescriptors ?? 'override'
    this.#stage = policy.stage ?? 0
  }

  request(call: Call): Refused | undefined {
    const { enabled, enforced } = this.#policy
    const { random, timers } = call.services
    if (!hits(enabled, random)) return undefined
    this.#counters.enabled++
    const buckets = this.#bucketsFor(call)
    const descriptors = buckets.hasOwn ? descriptorsOf(call, this.#stage, this.#host) : []
    const taking = buckets.take(descriptors, timers.now())
    if (this.#policy.tellsClient === true) takings.set(call, taking)
    if (taking.admitted) {
      this.#counters.ok++
      return undefined
    }
    this.#counters.rate_limited++
    if (!hits(enforced, random)) {
      if (this.#unenforced !== undefined) changeHeaders(call.head.headers, this.#unenforced, call)
      return undefined
    }
    this.#counters.enforced++
    if (this.#added === undefined) return this.#refusal
    const headers: string[] = []
    changeHeaders(headers, this.#added, call)
    return { ...this.#refusal, headers }
  }

  response(call: Call, { headers }: ResponseHead): void {
    const taking = this.#policy.tellsClient === true ? takings.of(call) : undefined
    if (taking === undefined) return
    const { bucket } = taking
    const tokens = bucket.at(call.services.timers.now())
    const resetMs = tokens >= 1 ? 0 : (1 - tokens) / bucket.perMs
    headers.push('x-ratelimit-limit', String(bucket.max), 'x-ratelimit-remaining', String(Math.floor(tokens)))
    headers.push('x-ratelimit-reset', String(Math.ceil(resetMs / 1_000)))
  }

  #bucketsFor({ connection }: Call): Buckets {
    if (this.#ofConnection === undefined) return this.#buckets
    const known = this.#ofConnection.get(connection)
    if (known !== undefined) return known
    const made = new Buckets(this.#policy)
    this.#ofConnection.set(connection, made)
    return made
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
