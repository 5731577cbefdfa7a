/**
 * Local rate limits: token buckets of this proxy alone. Buckets outlive the tables they are compiled into as long as
 * their configuration stays the same.
 */
import { type HostDescriptors, type ListedConfigs, type RateLimitPolicy, SHARED_LIMIT } from '../../model/config.ts'
import { REFUSALS } from '../local-reply.ts'
import { type ResponseHead, setHeader } from '../message.ts'
import { GRPC_STATUS } from '../side/grpc.ts'
import { Buckets, type Taking } from './buckets.ts'
import {
  type CompiledDescriptor,
  compileDescriptors,
  type Descriptor,
  descriptorsBy,
  descriptorsOf,
} from './descriptors.ts'
import { hits } from './fractions.ts'
import { changeHeaders, compileHeaderSteps, type HeaderSteps } from './header-steps.ts'
import { filterKind, type FilterCounters, type FilterEnvironment } from './kind.ts'
import { type Call, type Refused, Slot, type Step } from './step.ts'

const COUNTERS = ['enabled', 'enforced', 'ok', 'rate_limited'] as const
const STAT_PREFIX = 'local_rate_limit'

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
  readonly #rules: readonly CompiledDescriptor[] | undefined
  /** Then the common bucket is nobody's limit. */
  readonly #isShared: boolean

  /** `name`: of a filter whose buckets other chains may have too. */
  constructor(policy: RateLimitPolicy, environment: FilterEnvironment, name = '') {
    const { status, statPrefix = STAT_PREFIX, addUnenforced, addResponse } = policy
    this.#policy = policy
    const key = `buckets ${JSON.stringify(policy)}`
    const make = (): Buckets => new Buckets(policy)
    this.#isShared = name.startsWith(SHARED_LIMIT)
    this.#buckets = this.#isShared ? environment.keep(`${name} ${key}`, make) : environment.atPlace(key, make)
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
    this.#rules = policy.rules && compileDescriptors(policy.rules)
  }

  request(call: Call): Refused | undefined {
    const { enabled, enforced } = this.#policy
    const { random, timers } = call.services
    if (!hits(enabled, random)) return undefined
    this.#counters.enabled++
    const buckets = this.#bucketsFor(call)
    const taking = buckets.take(buckets.hasOwn ? this.#descriptors(call) : [], timers.now())
    if (this.#policy.tellsClient === true && !(this.#isShared && buckets.isCommon(taking))) takings.set(call, taking)
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
    return this.#refused(call, taking)
  }

  #descriptors(call: Call): Descriptor[] {
    if (this.#rules !== undefined) return descriptorsBy(call, this.#rules)
    return descriptorsOf(call, this.#stage, this.#host)
  }

  #refused(call: Call, { bucket }: Taking): Refused {
    const { retryAfter } = this.#policy
    if (this.#added === undefined && retryAfter !== true) return this.#refusal
    const headers: string[] = []
    if (this.#added !== undefined) changeHeaders(headers, this.#added, call)
    if (retryAfter === true) {
      const waitMs = bucket.waitMs(call.services.timers.now())
      setHeader(headers, 'retry-after', String(Math.max(1, Math.ceil(waitMs / 1_000))))
    }
    return { ...this.#refusal, headers }
  }

  response(call: Call, { headers }: ResponseHead): void {
    const taking = this.#policy.tellsClient === true ? takings.of(call) : undefined
    if (taking === undefined) return
    const { bucket } = taking
    const nowMs = call.services.timers.now()
    const tokens = bucket.at(nowMs)
    const resetMs = bucket.waitMs(nowMs)
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
  listed: ({ policy }, environment, name) =>
    policy === undefined ? undefined : new RateLimitStep(policy, environment, name),
  routed: (policy, environment) => new RateLimitStep(policy, environment),
  step: (own, [first]) => first ?? own,
})
