/**
 * The states of a service's circuit breaker and the one function that leads from each to the next. Pure: what time it
 * is and what happened come in, the next state comes out. Counting requests is breaker-window.ts, asking is breaker.ts.
 */
import type { ServiceBreaker } from '../../model/config.ts'

export type BreakerState =
  /** All is well. */
  | { readonly kind: 'closed' }
  /** Nothing gets through. */
  | { readonly kind: 'open'; readonly untilMs: number }
  /** One probe is under way; without an answer until then another may go. */
  | { readonly kind: 'half-open'; readonly probeUntilMs: number }
  /** A growing share gets through. */
  | { readonly kind: 'ramping'; readonly sinceMs: number }

export type BreakerEvent =
  /** Someone wants to go to the service. */
  | 'request'
  /** The window holds too many failures. */
  | 'failing'
  | 'probe-good'
  | 'probe-bad'
  /** The probe ended without saying anything about the service. */
  | 'probe-lost'

export type BreakerTimes = Pick<ServiceBreaker, 'openMs' | 'rampMs'>

export const CLOSED: BreakerState = { kind: 'closed' }

/** What the ramp begins with. */
const RAMP_START = 0.1

/** The very same object when nothing changes. */
export function transition(state: BreakerState, event: BreakerEvent, nowMs: number, times: BreakerTimes): BreakerState {
  switch (state.kind) {
    case 'closed':
      return event === 'failing' ? open(nowMs, times) : state
    case 'open':
      return event === 'request' && nowMs >= state.untilMs ? probe(nowMs, times) : state
    case 'half-open':
      return afterProbe(state, event, nowMs, times)
    case 'ramping':
      if (event === 'failing') return open(nowMs, times)
      return event === 'request' && nowMs - state.sinceMs >= times.rampMs ? CLOSED : state
    default:
      return state satisfies never
  }
}

function afterProbe(
  state: BreakerState & { readonly kind: 'half-open' },
  event: BreakerEvent,
  nowMs: number,
  times: BreakerTimes,
): BreakerState {
  switch (event) {
    case 'probe-good':
      return times.rampMs > 0 ? { kind: 'ramping', sinceMs: nowMs } : CLOSED
    case 'probe-bad':
      return open(nowMs, times)
    case 'probe-lost':
      return { kind: 'half-open', probeUntilMs: nowMs }
    case 'request':
      return nowMs >= state.probeUntilMs ? probe(nowMs, times) : state
    case 'failing':
      return state
    default:
      return event satisfies never
  }
}

const open = (nowMs: number, { openMs }: BreakerTimes): BreakerState => ({ kind: 'open', untilMs: nowMs + openMs })

const probe = (nowMs: number, { openMs }: BreakerTimes): BreakerState => ({
  kind: 'half-open',
  probeUntilMs: nowMs + openMs,
})

/** The part of the requests that gets through, from 0 to 1; a probe is none of them. */
export function admittedShare(state: BreakerState, nowMs: number, { rampMs }: BreakerTimes): number {
  if (state.kind === 'closed' || (state.kind === 'ramping' && rampMs <= 0)) return 1
  if (state.kind !== 'ramping') return 0
  return Math.min(1, RAMP_START + ((1 - RAMP_START) * Math.max(0, nowMs - state.sinceMs)) / rampMs)
}

/** When a caller who was refused may find the service again. */
export function retryAfterMs(state: BreakerState, nowMs: number): number {
  if (state.kind === 'open') return Math.max(0, state.untilMs - nowMs)
  return state.kind === 'half-open' ? Math.max(0, state.probeUntilMs - nowMs) : 0
}
