/**
 * What a client may say about how its own request is carried: Envoy's `x-envoy-*` request headers for retries and
 * timeouts. They are for this hop, so they are taken out. A request without any, which is the rule, costs one pass
 * over its names; what a client asks for stays under the cluster's limits and budgets.
 */
import { headerOf, type HeaderList, removeHeaders, type RequestHead } from './message.ts'
import { RETRY_CONDITIONS, type RetryPolicy } from '../model/config.ts'
import { compileRetry, type RetryRule } from './retry.ts'

export interface RequestControls {
  readonly rule: RetryRule | undefined
  /** Undefined: the route's. */
  readonly timeoutMs: number | undefined
}

const CONTROLS: ReadonlySet<string> = new Set([
  'x-envoy-retry-on',
  'x-envoy-retry-grpc-on',
  'x-envoy-max-retries',
  'x-envoy-retriable-status-codes',
  'x-envoy-retriable-header-names',
  'x-envoy-upstream-rq-timeout-ms',
  'x-envoy-upstream-rq-per-try-timeout-ms',
  'x-envoy-hedge-on-per-try-timeout',
  'x-envoy-upstream-rq-timeout-alt-response',
])
/** `x-envoy-…` is longer than this. */
const PREFIX_LENGTH = 8
const LETTER_X = 0x78
const NAME = /^[a-z0-9!#$%&'*+\-.^_`|~]+$/
/** As many as anybody can mean. */
const RETRIES_MAX = 100

/** Undefined: the client asks for nothing. */
export function takeControls(head: RequestHead, rule: RetryRule | undefined): RequestControls | undefined {
  if (!hasControls(head.headers)) return undefined
  const asked = policyOf(head.headers)
  const merged = mergeRules(rule, asked)
  const timeoutMs = numberOf(head.headers, 'x-envoy-upstream-rq-timeout-ms')
  removeHeaders(head.headers, (name) => CONTROLS.has(name))
  return { rule: merged, timeoutMs }
}

function hasControls(headers: HeaderList): boolean {
  for (let index = 0; index < headers.length; index += 2) {
    const name = headers[index] ?? ''
    if (name.length <= PREFIX_LENGTH || name.charCodeAt(0) !== LETTER_X) continue
    if (name.startsWith('x-envoy-') && CONTROLS.has(name)) return true
  }
  return false
}

interface Asked {
  readonly policy: RetryPolicy
  readonly retriesMax: number | undefined
  readonly perTryTimeoutMs: number | undefined
}

function policyOf(headers: HeaderList): Asked {
  const known = new Set<string>(RETRY_CONDITIONS)
  const on = listOf(headers, 'x-envoy-retry-on')
    .concat(listOf(headers, 'x-envoy-retry-grpc-on'))
    .filter((condition) => known.has(condition)) as RetryPolicy['on'][number][]
  const codes = listOf(headers, 'x-envoy-retriable-status-codes').flatMap((code) =>
    /^[1-5][0-9]{2}$/.test(code) ? [Number(code)] : [],
  )
  const names = listOf(headers, 'x-envoy-retriable-header-names').filter((name) => NAME.test(name))
  return {
    policy: {
      on,
      retriesMax: 1,
      statusCodes: codes,
      responseHeaders: names.map((name) => ({ name, is: { kind: 'present', present: true } })),
    },
    retriesMax: numberOf(headers, 'x-envoy-max-retries'),
    perTryTimeoutMs: numberOf(headers, 'x-envoy-upstream-rq-per-try-timeout-ms'),
  }
}

/** Conditions add up; what the client counts replaces what the route counts. */
function mergeRules(
  rule: RetryRule | undefined,
  { policy, retriesMax, perTryTimeoutMs }: Asked,
): RetryRule | undefined {
  const asked = compileRetry(policy)
  const merged = rule === undefined ? asked : joined(rule, asked, policy)
  if (rule === undefined && policy.on.length === 0) {
    return perTryTimeoutMs === undefined ? undefined : { ...asked, retriesMax: 0, perTryTimeoutMs }
  }
  return {
    ...merged,
    retriesMax: Math.min(RETRIES_MAX, retriesMax ?? merged.retriesMax),
    perTryTimeoutMs: perTryTimeoutMs ?? merged.perTryTimeoutMs,
  }
}

function joined(rule: RetryRule, asked: RetryRule, { statusCodes = [], on }: RetryPolicy): RetryRule {
  const codes = rule.statusCodes.size > 0 || on.includes('retriable-status-codes') ? statusCodes : []
  return {
    ...rule,
    connectFailure: rule.connectFailure || asked.connectFailure,
    refusedStream: rule.refusedStream || asked.refusedStream,
    reset: rule.reset || asked.reset,
    safeReset: rule.safeReset || asked.safeReset,
    serverError: rule.serverError || asked.serverError,
    gatewayError: rule.gatewayError || asked.gatewayError,
    conflict: rule.conflict || asked.conflict,
    rateLimited: rule.rateLimited || asked.rateLimited,
    statusCodes: new Set([...rule.statusCodes, ...codes]),
    grpcCodes: new Set([...rule.grpcCodes, ...asked.grpcCodes]),
    answers: [...rule.answers, ...asked.answers],
  }
}

function listOf(headers: HeaderList, name: string): string[] {
  return (headerOf(headers, name) ?? '')
    .split(',')
    .map((item) => item.trim().toLowerCase())
    .filter((item) => item !== '')
}

function numberOf(headers: HeaderList, name: string): number | undefined {
  const text = headerOf(headers, name)
  return text !== undefined && /^[0-9]{1,9}$/.test(text) ? Number(text) : undefined
}
