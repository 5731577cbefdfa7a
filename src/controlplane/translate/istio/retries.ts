/** HTTPRetry to a retry policy, and the policy of those who say nothing. */
import { istioDurationMs } from '../../../kube/durations.ts'
import type { HttpRouteSpec } from '../../../kube/kinds/networking.ts'
import { RETRY_CONDITIONS, type RetryPolicy } from '../../../model/config.ts'

/**
 * Istio's: only what the endpoint says it did not do, or cannot have done. Its list also names
 * `retriable-status-codes`, without naming any code; `reset-before-request` adds requests that may be sent twice.
 */
const DEFAULT_ON: RetryPolicy['on'] = [
  'connect-failure',
  'refused-stream',
  'unavailable',
  'cancelled',
  'reset-before-request',
]
export const DEFAULT_RETRY: RetryPolicy = { on: DEFAULT_ON, retriesMax: 2 }
/** Envoy's, where only the base is said. */
const BACK_OFF_FACTOR = 10

/** Undefined: never again. */
export function retryOf(spec: HttpRouteSpec['retries']): RetryPolicy | undefined {
  if (spec === undefined) return DEFAULT_RETRY
  const { attempts = 0, perTryTimeout, backoff, retryOn = '' } = spec
  if (attempts <= 0) return undefined
  const { on, statusCodes } = conditionsOf(retryOn)
  const perTryTimeoutMs = milliseconds(perTryTimeout)
  const baseMs = milliseconds(backoff)
  return {
    on,
    retriesMax: attempts,
    ...(perTryTimeoutMs !== undefined && perTryTimeoutMs > 0 && { perTryTimeoutMs }),
    ...(statusCodes.length > 0 && { statusCodes }),
    ...(baseMs !== undefined && baseMs > 0 && { backOff: { baseMs, maxMs: BACK_OFF_FACTOR * baseMs } }),
  }
}

export function milliseconds(text: string | undefined): number | undefined {
  const ms = text === undefined ? undefined : istioDurationMs(text)
  return ms === undefined ? undefined : Math.round(ms)
}

/** Words of Envoy's and numbers; one number makes its own word true. What no proxy here can meet (HTTP/3) is left out. */
function conditionsOf(text: string): { on: RetryPolicy['on']; statusCodes: number[] } {
  const words = text.split(',').map((word) => word.trim())
  const statusCodes = words.filter((word) => /^[1-5][0-9]{2}$/.test(word)).map(Number)
  const on = RETRY_CONDITIONS.filter(
    (condition) => words.includes(condition) || (condition === 'retriable-status-codes' && statusCodes.length > 0),
  )
  return { on: on.length === 0 ? DEFAULT_ON : on, statusCodes }
}
