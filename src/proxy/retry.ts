/**
 * Whether a request goes again: Envoy's conditions compiled into flags, and the questions an exchange asks of them.
 * Pure; budgets and the choice of another endpoint are the cluster's (balance/).
 */
import type { Metadata, RetryPolicy } from '../model/config.ts'
import type { Random } from '../runtime/random.ts'
import { compileFields, compileHeader, type FieldsTest, type HeadTest } from './match/headers.ts'
import { type HeaderList, headerOf } from './message.ts'
import type { ResetReason } from './stream.ts'

export interface RetryRule {
  readonly retriesMax: number
  readonly perTryTimeoutMs: number
  /** 0: at once. */
  readonly backOffBaseMs: number
  readonly backOffMaxMs: number
  readonly connectFailure: boolean
  readonly refusedStream: boolean
  /** Any end without an answer. */
  readonly reset: boolean
  /** The same, for requests that may be sent twice. */
  readonly safeReset: boolean
  readonly serverError: boolean
  readonly gatewayError: boolean
  readonly conflict: boolean
  /** Answers that a rate limit gave; without it they are never retried. */
  readonly rateLimited: boolean
  readonly statusCodes: ReadonlySet<number>
  /** gRPC's, of answers that say them in their head. */
  readonly grpcCodes: ReadonlySet<string>
  readonly answers: readonly FieldsTest[]
  readonly requests: readonly HeadTest[] | undefined
  /** The answer says when to come again. */
  readonly resetHeaders: RetryPolicy['resetHeaders']
  readonly omitHosts: readonly Metadata[] | undefined
}

export const IDEMPOTENT: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE']) // RFC 9110 9.2.2

/** Answers of a peer's proxy that say: the application has not seen the request. */
const SAFE_REMOTE_ERRORS: ReadonlySet<string> = new Set([
  'CLUSTER_UNKNOWN',
  'ROUTE_UNKNOWN',
  'UPSTREAM_CONNECT',
  'UPSTREAM_NONE',
  'UPSTREAM_OVERFLOW',
])

/** Conditions by gRPC's name, to its number. */
const GRPC_CONDITIONS = new Map<string, string>([
  ['cancelled', '1'],
  ['deadline-exceeded', '4'],
  ['resource-exhausted', '8'],
  ['internal', '13'],
  ['unavailable', '14'],
])

export function compileRetry(policy: RetryPolicy): RetryRule {
  const on = new Set<string>(policy.on)
  const anyError = on.has('5xx') || on.has('gateway-error')
  return {
    ...compileTimes(policy),
    // As in Envoy, whoever retries errors also retries where there was no answer at all.
    connectFailure: on.has('connect-failure') || on.has('reset') || anyError,
    refusedStream: on.has('refused-stream') || on.has('reset') || on.has('reset-before-request') || anyError,
    reset: on.has('reset') || anyError,
    safeReset: on.has('reset-before-request'),
    serverError: on.has('5xx'),
    gatewayError: on.has('gateway-error'),
    conflict: on.has('retriable-4xx'),
    rateLimited: on.has('envoy-ratelimited'),
    grpcCodes: new Set(policy.on.flatMap((condition) => GRPC_CONDITIONS.get(condition) ?? [])),
    resetHeaders: policy.resetHeaders,
    omitHosts: policy.omitHosts,
    statusCodes: new Set(on.has('retriable-status-codes') ? policy.statusCodes : []),
    answers: on.has('retriable-headers') ? (policy.responseHeaders ?? []).map(compileFields) : [],
    requests: policy.requestHeaders?.map(compileHeader),
  }
}

function compileTimes({
  retriesMax,
  perTryTimeoutMs = 0,
  backOff = { baseMs: 0, maxMs: 0 },
}: RetryPolicy): Pick<RetryRule, 'retriesMax' | 'perTryTimeoutMs' | 'backOffBaseMs' | 'backOffMaxMs'> {
  return { retriesMax, perTryTimeoutMs, backOffBaseMs: backOff.baseMs, backOffMaxMs: backOff.maxMs }
}

export interface RetriedAnswer {
  readonly status: number
  readonly headers: HeaderList
  /** What a peer's proxy says became of the request; undefined when its application answered. */
  readonly remoteError: string | undefined
  /** Of the request. */
  readonly method: string
}

/** Nearly every answer is good, and needs no second look. */
export const looksGood = (rule: RetryRule, status: number): boolean =>
  status < 300 && rule.answers.length === 0 && rule.grpcCodes.size === 0 && rule.statusCodes.size === 0

export function mayRetryAnswer(rule: RetryRule, answer: RetriedAnswer): boolean {
  const { status, headers } = answer
  if (headerOf(headers, 'x-envoy-ratelimited') !== undefined) return rule.rateLimited
  if (rule.grpcCodes.size > 0 && rule.grpcCodes.has(headerOf(headers, 'grpc-status') ?? '')) return true
  if (isRetriedError(rule, answer) || isRetriedStatus(rule, status)) return true
  return rule.answers.some((test) => test(headers))
}

/** What a peer's proxy says became of the request. */
function isRetriedError(rule: RetryRule, { remoteError, method }: RetriedAnswer): boolean {
  if (remoteError === undefined) return false
  if (SAFE_REMOTE_ERRORS.has(remoteError) && rule.connectFailure) return true
  return remoteError === 'UPSTREAM_LOST' && rule.safeReset && IDEMPOTENT.has(method)
}

function isRetriedStatus(rule: RetryRule, status: number): boolean {
  if (status >= 500 && rule.serverError) return true
  if (rule.gatewayError && status >= 502 && status <= 504) return true
  return (rule.conflict && status === 409) || rule.statusCodes.has(status)
}

/** Without an answer nobody knows whether the endpoint acted, except where it said that it did not. */
export function mayRetryReset(rule: RetryRule, reason: ResetReason, method: string): boolean {
  if (reason === 'refused') return rule.refusedStream
  if (reason === 'limit' || reason === 'http1-required') return false
  if (rule.reset) return true
  const dead = reason === 'lost' || reason === 'timeout' || reason === 'reset' || reason === 'local'
  return rule.safeReset && dead && IDEMPOTENT.has(method)
}

/** Full jitter: a random share of what doubles with each retry. */
export function backOffMs(rule: RetryRule, retry: number, random: Random): number {
  if (rule.backOffBaseMs === 0) return 0
  return random.next() * Math.min(rule.backOffMaxMs, rule.backOffBaseMs * 2 ** (retry - 1))
}

const RESET_JITTER = 0.5

/** When the answer asks to be asked again, if that is soon enough; undefined: it does not say, and `backOffMs` counts. */
export function resetWaitMs(
  rule: RetryRule,
  headers: HeaderList,
  { now, random }: { readonly now: () => number; readonly random: Random },
): number | undefined {
  for (const { name, format } of rule.resetHeaders?.headers ?? []) {
    const text = headerOf(headers, name)
    if (text === undefined || !/^[0-9]{1,10}$/.test(text)) continue
    const waitMs = format === 'seconds' ? Number(text) * 1000 : Number(text) * 1000 - now()
    if (waitMs < 0 || waitMs > (rule.resetHeaders?.maxMs ?? 0)) continue
    // Not earlier, and not all who were told so at once.
    return waitMs * (1 + random.next() * RESET_JITTER)
  }
  return undefined
}

/** A refused or reset stream is an endpoint's own word; the rest is the end of the connection under it. */
export const lossOf = (reason: ResetReason): 'lost' | 'answered' =>
  reason === 'lost' || reason === 'timeout' || reason === 'local' ? 'lost' : 'answered'
