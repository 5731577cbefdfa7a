/** Where a service's circuit breaker meets requests: what callers get while it is open, and what counts as a failure. */
import type { Breaker, BreakerOutcome } from './balance/breaker.ts'
import type { Outcome } from './exchange-record.ts'
import { type LocalAnswer, localReply, REFUSALS } from './local-reply.ts'
import { headerOf } from './message.ts'

const RETRY_AFTER = 'retry-after'

/** The configured answer, or ours in clear text. A caller's fallback is its own: nothing is added that it did not name. */
export function openReply(breaker: Breaker | undefined, authority: string): LocalAnswer {
  const usual = localReply(REFUSALS.circuitOpen, authority, '')
  const fallback = breaker?.config.fallback
  const headers = [...(fallback?.headers ?? usual.head.headers)]
  const status = fallback?.status ?? usual.head.status
  const body = fallback === undefined ? usual.body : Buffer.from(fallback.body)
  // Only a failure is worth trying again.
  if (status >= 500 && headerOf(headers, RETRY_AFTER) === undefined) {
    headers.push(RETRY_AFTER, String(breaker?.retryAfterSeconds ?? 1))
  }
  return { ...usual, head: { status, headers, bodyLength: body.length }, body }
}

/** Ended by the client, or by a limit of our own: nobody else's fault. */
const OURS: ReadonlySet<Outcome['flag']> = new Set(['DC', 'UO', 'CB'])
const BROKEN: ReadonlySet<Outcome['flag']> = new Set(['UC', 'UT', 'UPE', 'UF'])

export function outcomeOf({ status, flag }: Outcome): BreakerOutcome {
  if (OURS.has(flag)) return 'unjudged'
  if (BROKEN.has(flag) || status >= 500) return 'failed'
  // An answer that was cut off for silence or length says nothing.
  return flag === 'SI' || flag === 'DT' ? 'unjudged' : 'good'
}
