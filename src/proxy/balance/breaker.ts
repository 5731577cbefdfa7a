/**
 * The circuit breaker of one service, as this proxy sees it: asked before a request goes there, told how it went. What
 * is refused costs no byte upstream. How much may be under way at once is limits.ts; which endpoint is ill, outlier.ts.
 */
import type { ServiceBreaker } from '../../model/config.ts'
import type { Random } from '../../runtime/random.ts'
import {
  admittedShare,
  type BreakerEvent,
  type BreakerState,
  CLOSED,
  retryAfterMs,
  transition,
} from './breaker-state.ts'
import { BreakerWindow } from './breaker-window.ts'

export interface BreakerParts {
  /** Monotonic milliseconds. */
  readonly now: () => number
  readonly random: Random
}

/** How a request ended, for the breaker; `unjudged`: it says nothing about the service. */
export type BreakerOutcome = 'good' | 'failed' | 'unjudged'

export class Breaker {
  readonly #parts: BreakerParts
  #config: ServiceBreaker
  #state: BreakerState = CLOSED
  #window: BreakerWindow
  /** Counts openings, probes and ramps: what was let through before one of them says nothing after it. */
  #epoch = 0
  rejected = 0
  readonly transitions: Record<BreakerState['kind'], number> = { closed: 0, open: 0, 'half-open': 0, ramping: 0 }

  constructor(config: ServiceBreaker, parts: BreakerParts) {
    this.#config = config
    this.#parts = parts
    this.#window = new BreakerWindow(config.windowMs)
  }

  get config(): ServiceBreaker {
    return this.#config
  }

  get state(): BreakerState['kind'] {
    return this.#state.kind
  }

  /** Requests of the window, for people. */
  get counts(): { readonly requests: number; readonly failures: number; readonly slow: number } {
    this.#window.advance(this.#parts.now())
    const { requests, failures, slow } = this.#window
    return { requests, failures, slow }
  }

  /** The state stays; a window of another length begins empty. */
  apply(config: ServiceBreaker): void {
    if (config.windowMs !== this.#config.windowMs) this.#window = new BreakerWindow(config.windowMs)
    this.#config = config
  }

  /** Undefined: refused. `complete`: all of the request is there. */
  admit(complete: boolean): BreakerPass | undefined {
    if (this.#state.kind === 'closed') return new BreakerPass(this, this.#epoch, complete)
    const now = this.#parts.now()
    const before = this.#state
    const after = this.#step('request', now)
    const isProbe = after !== before && after.kind === 'half-open'
    const share = admittedShare(after, now, this.#config)
    if (isProbe || share === 1 || (share > 0 && this.#parts.random.next() < share)) {
      return new BreakerPass(this, this.#epoch, complete)
    }
    this.rejected++
    return undefined
  }

  /** Whole seconds, at least 1. */
  get retryAfterSeconds(): number {
    return Math.max(1, Math.ceil(retryAfterMs(this.#state, this.#parts.now()) / 1_000))
  }

  now(): number {
    return this.#parts.now()
  }

  /** Whether what was let through then may still go there: a retry after the opening would be a byte upstream. */
  admits(epoch: number): boolean {
    return epoch === this.#epoch
  }

  /** `tookMs`: from the complete request to the answer, or to the end without one. */
  report(epoch: number, outcome: BreakerOutcome, tookMs: number): void {
    if (epoch !== this.#epoch) return
    const slow = this.#config.slow !== undefined && tookMs > this.#config.slow.afterMs
    const now = this.#parts.now()
    if (this.#state.kind === 'half-open') {
      const bad = slow || outcome === 'failed'
      this.#step(bad ? 'probe-bad' : outcome === 'good' ? 'probe-good' : 'probe-lost', now)
      return
    }
    if (outcome === 'unjudged' && !slow) return
    this.#window.count(now, outcome === 'failed', slow)
    if (this.#isFailing(now)) this.#step('failing', now)
  }

  #isFailing(now: number): boolean {
    const { requestsMin, failurePercent, slow } = this.#config
    const window = this.#window
    // A tenth of the requests is a tenth of the evidence: the ramp is left as quickly as the closed state is.
    const enough = Math.max(1, Math.ceil(requestsMin * admittedShare(this.#state, now, this.#config)))
    if (window.requests < enough) return false
    const reaches = (count: number, percent: number): boolean => count > 0 && count * 100 >= percent * window.requests
    if (failurePercent !== undefined && reaches(window.failures, failurePercent)) return true
    return slow !== undefined && reaches(window.slow, slow.percent)
  }

  #step(event: BreakerEvent, now: number): BreakerState {
    const before = this.#state
    const after = transition(before, event, now, this.#config)
    if (after === before) return after
    this.#state = after
    if (after.kind !== before.kind) this.transitions[after.kind]++
    if (after.kind === 'closed' && before.kind === 'ramping') return after
    this.#epoch++
    this.#window.clear()
    return after
  }
}

/** One request that was let through; tells once how it went. */
export class BreakerPass {
  readonly #breaker: Breaker
  readonly #epoch: number
  /** Undefined while the client still sends: how long that takes is nobody's slowness. */
  #since: number | undefined
  #tookMs: number | undefined = undefined
  #grpcFailed = false
  #told = false

  constructor(breaker: Breaker, epoch: number, complete: boolean) {
    this.#breaker = breaker
    this.#epoch = epoch
    this.#since = complete ? breaker.now() : undefined
  }

  get valid(): boolean {
    return this.#breaker.admits(this.#epoch)
  }

  requestEnded(): void {
    this.#since = this.#breaker.now()
  }

  /** The answer's head, or its trailers: `grpcStatus` stands in either. */
  answered(status: number, grpcStatus: string | undefined): void {
    this.#tookMs ??= this.#elapsedMs()
    if (grpcStatus !== undefined && GRPC_FAILURES.has(grpcStatus)) this.#grpcFailed = true
    // A probe is judged by the head of its answer, or a long stream would hold up everyone.
    if (this.#breaker.state === 'half-open') this.ended(status < 500 ? 'good' : 'failed')
  }

  ended(outcome: BreakerOutcome): void {
    if (this.#told) return
    this.#told = true
    const judged = this.#grpcFailed && outcome === 'good' ? 'failed' : outcome
    this.#breaker.report(this.#epoch, judged, this.#tookMs ?? this.#elapsedMs())
  }

  #elapsedMs(): number {
    return this.#since === undefined ? 0 : this.#breaker.now() - this.#since
  }
}

/** Those that Envoy counts as 5xx: UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS. */
const GRPC_FAILURES: ReadonlySet<string> = new Set(['2', '4', '12', '13', '14', '15'])
