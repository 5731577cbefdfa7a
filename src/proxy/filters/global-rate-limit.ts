/**
 * The rate limit service: what a request is counted as is sent to it, and its word holds for all proxies. As in Envoy a
 * service that cannot be asked admits, unless the filter is told to refuse then; requests without descriptors ask nothing.
 */
import type { GlobalRateLimit, GlobalRateLimitRoute, HostDescriptors } from '../../model/config.ts'
import type { ClusterState } from '../balance/cluster.ts'
import { isMadeOf, TOKEN, VALUE } from '../h1/chars.ts'
import { type LocalAnswer, type Refusal, REFUSALS } from '../local-reply.ts'
import { type HeaderList, headerOf, type ResponseHead, setHeader } from '../message.ts'
import { GRPC_STATUS, unaryCall, type UnaryOutcome } from '../side/grpc.ts'
import { type CompiledDescriptor, compileDescriptors, descriptorsBy, descriptorsOf } from './descriptors.ts'
import { hits } from './fractions.ts'
import { changeHeaders, compileHeaderSteps, type HeaderSteps } from './header-steps.ts'
import { filterKind, type FilterCounters, type FilterEnvironment } from './kind.ts'
import {
  SHOULD_RATE_LIMIT_PATH,
  type LimitVerdict,
  readLimitResponse,
  writeLimitRequest,
} from './rate-limit-messages.ts'
import { type Call, type Refused, Slot, type Step, type Verdict } from './step.ts'

const COUNTERS = ['ok', 'error', 'over_limit', 'failure_mode_allowed'] as const
type Counted = FilterCounters<(typeof COUNTERS)[number]>
const NAMESPACE = 'envoy.filters.http.ratelimit'
const ANSWER_BYTES_MAX = 256 * 1024

class Limiter {
  readonly policy: GlobalRateLimit
  readonly cluster: ClusterState | undefined
  readonly added: HeaderSteps | undefined
  readonly unanswered: Refused
  readonly rules: readonly CompiledDescriptor[] | undefined
  readonly #environment: FilterEnvironment
  readonly #counters = new Map<string, Counted>()

  constructor(policy: GlobalRateLimit, environment: FilterEnvironment) {
    const { addResponse, statusOnError } = policy
    this.policy = policy
    this.cluster = environment.clusterOf(policy.service.cluster)
    this.added = compileHeaderSteps([addResponse && { addResponse }], 'response')
    const refusal: Refusal = { ...REFUSALS.limiterFailed, status: statusOnError ?? REFUSALS.limiterFailed.status }
    this.unanswered = { kind: 'refuse', refusal }
    this.rules = policy.rules && compileDescriptors(policy.rules)
    this.#environment = environment
  }

  /** Counted at the cluster that the request was for. */
  countersOf(cluster: string): Counted {
    const known = this.#counters.get(cluster)
    if (known !== undefined) return known
    const prefix = this.policy.statPrefix === undefined ? '' : `${this.policy.statPrefix}.`
    const counters = this.#environment.counters(`cluster.${cluster}.ratelimit.${prefix}`, COUNTERS)
    this.#counters.set(cluster, counters)
    return counters
  }
}

/** Told to the client with the answer. */
const told = new Slot<HeaderList>()

class GlobalRateLimitStep implements Step {
  readonly #limiter: Limiter
  readonly #host: HostDescriptors
  readonly #domain: string

  constructor(limiter: Limiter, { hostDescriptors = 'override', domain }: GlobalRateLimitRoute) {
    this.#limiter = limiter
    this.#host = hostDescriptors
    this.#domain = domain ?? limiter.policy.domain
  }

  request(call: Call): Verdict {
    const { policy, cluster, rules } = this.#limiter
    const { requestType, service, stage = 0 } = policy
    // Nobody but an operator's own proxies can say that a request comes from inside.
    const internal = headerOf(call.head.headers, 'x-envoy-internal') === 'true'
    if (requestType !== undefined && internal !== (requestType === 'internal')) return undefined
    const descriptors = rules === undefined ? descriptorsOf(call, stage, this.#host) : descriptorsBy(call, rules)
    if (descriptors.length === 0) return undefined
    const { authority = service.cluster, timeoutMs, metadata = [] } = service
    const request = {
      authority,
      path: SHOULD_RATE_LIMIT_PATH,
      message: writeLimitRequest(this.#domain, descriptors),
      timeoutMs,
      metadata: metadata.flatMap(({ name, value }) => [name, value]),
      answerBytesMax: ANSWER_BYTES_MAX,
    }
    const side = unaryCall(cluster, request, call.services.timers, (outcome) =>
      call.settle(this.#heed(call, read(outcome))),
    )
    const waiting: Verdict = { kind: 'wait', deadlineMs: 0, cancel: () => side.cancel() }
    side.start()
    return waiting
  }

  response(call: Call, { headers }: ResponseHead): void {
    const fields = told.of(call)
    if (fields !== undefined) headers.push(...fields)
  }

  #heed(call: Call, verdict: LimitVerdict): Verdict {
    const { policy, added } = this.#limiter
    const counters = this.#limiter.countersOf(call.clusterName)
    if (verdict.kind === 'error') return this.#unanswered(call, counters, verdict.detail)
    for (const [key, value] of Object.entries(verdict.metadata ?? {})) call.metadata.set(NAMESPACE, key, value)
    const fields = safe(verdict.responseHeaders)
    if (!verdict.overLimit) {
      counters.ok++
      call.head.headers.push(...safe(verdict.requestHeaders))
      if (policy.tellsClient === true) fields.push(...verdict.limits)
      if (fields.length > 0) told.set(call, fields)
      return undefined
    }
    counters.over_limit++
    if (policy.hidesLimited !== true) fields.push('x-envoy-ratelimited', 'true')
    if (policy.tellsClient === true) fields.push(...verdict.limits)
    if (policy.enforced !== undefined && !hits(policy.enforced, call.services.random)) {
      told.set(call, fields)
      return undefined
    }
    if (policy.retryAfter === true && verdict.retryAfterS !== undefined) {
      setHeader(fields, 'retry-after', String(verdict.retryAfterS))
    }
    if (added !== undefined) changeHeaders(fields, added, call)
    return this.#refusal(fields, verdict.body)
  }

  #refusal(headers: HeaderList, body: Buffer): LocalAnswer {
    const { status = REFUSALS.rateLimited.status, resourceExhausted } = this.#limiter.policy
    if (body.length > 0) headers.push('content-type', 'text/plain')
    return {
      kind: 'answer',
      head: { status, headers, bodyLength: body.length },
      body,
      flag: 'RL',
      detail: 'the rate limit service refused',
      ...(resourceExhausted === true && { grpcStatus: GRPC_STATUS.resourceExhausted }),
    }
  }

  #unanswered(call: Call, counters: Counted, detail: string): Verdict {
    counters.error++
    call.note(`rate limit: ${detail}`)
    if (this.#limiter.policy.failureModeDeny === true) return this.#limiter.unanswered
    counters.failure_mode_allowed++
    return undefined
  }
}

function read(outcome: UnaryOutcome): LimitVerdict {
  if (outcome.kind === 'error') return { kind: 'error', detail: `gRPC status ${outcome.status}: ${outcome.detail}` }
  return readLimitResponse(outcome.message)
}

/** The service's fields, without what would frame a message or cannot be a field. */
function safe(fields: readonly (readonly [name: string, value: string])[]): HeaderList {
  const kept: HeaderList = []
  for (const [name, value] of fields) {
    const lower = name.toLowerCase()
    if (!isMadeOf(lower, TOKEN) || FRAMING.test(lower) || !(value === '' || isMadeOf(value, VALUE))) continue
    kept.push(lower, value)
  }
  return kept
}

const FRAMING =
  /^(connection|content-length|expect|host|keep-alive|proxy-connection|te|trailer|transfer-encoding|upgrade|isthmus-.*|x-forwarded-client-cert)$/

export const globalRateLimitKind = filterKind<GlobalRateLimit, GlobalRateLimitRoute, Limiter, GlobalRateLimitRoute>({
  listed: (policy, environment) => new Limiter(policy, environment),
  routed: (config) => config,
  step: (own, levels) => new GlobalRateLimitStep(own, levels[0] ?? {}),
})
