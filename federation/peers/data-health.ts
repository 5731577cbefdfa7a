/**
 * The data signal of one peer, pure: verdicts of the prober → Healthy or Lost. Apart from the control stream by design
 * (goals, table A 1): losing one says nothing about the other.
 *
 *   Unknown --2 successes--> Healthy --2 failures, or 2.5 s without success--> Lost --2 successes--> Healthy
 *   Unknown --2 failures--> Lost
 */
import type { DataState } from './message.ts'

export interface DataHealth {
  readonly state: DataState
  /** Wall clock, for people. */
  readonly sinceMs: number
  readonly lastProbeMs: number | undefined
  readonly rttMs: number | undefined
  /** Monotonic time of the last success, or of the last moment that did not count. */
  readonly aliveAt: number
  readonly successes: number
  readonly failures: number
}

export type ProbeEvent =
  | { readonly kind: 'success'; readonly rttMs: number }
  | { readonly kind: 'failure' }
  /** The prober itself was held up: whatever it saw says nothing about the peer. */
  | { readonly kind: 'discard' }
  | { readonly kind: 'tick' }

export interface Now {
  readonly wallMs: number
  readonly monotonicMs: number
}

const AGREEING = 2
export const LOST_AFTER_MS = 2_500

export function unknownHealth(now: Now): DataHealth {
  return {
    state: 'Unknown',
    sinceMs: now.wallMs,
    lastProbeMs: undefined,
    rttMs: undefined,
    aliveAt: now.monotonicMs,
    successes: 0,
    failures: 0,
  }
}

export function judgeProbe(health: DataHealth, event: ProbeEvent, now: Now): DataHealth {
  switch (event.kind) {
    case 'success': {
      const successes = health.successes + 1
      const seen = { successes, failures: 0, rttMs: event.rttMs, lastProbeMs: now.wallMs, aliveAt: now.monotonicMs }
      const next = { ...health, ...seen }
      return successes >= AGREEING ? enter(next, 'Healthy', now) : next
    }
    case 'failure': {
      const failures = health.failures + 1
      const next = { ...health, failures, successes: 0, lastProbeMs: now.wallMs }
      return failures >= AGREEING ? enter(next, 'Lost', now) : next
    }
    case 'discard':
      return { ...health, failures: 0, aliveAt: now.monotonicMs }
    default: {
      // tick
      const overdue = health.state === 'Healthy' && now.monotonicMs - health.aliveAt > LOST_AFTER_MS
      return overdue ? enter({ ...health, successes: 0 }, 'Lost', now) : health
    }
  }
}

function enter(health: DataHealth, state: DataState, now: Now): DataHealth {
  if (health.state === state) return health
  return { ...health, state, sinceMs: now.wallMs }
}
