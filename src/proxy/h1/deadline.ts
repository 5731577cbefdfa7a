/**
 * A connection's timeout that moves with every chunk: moving it is one addition. A timer looks at intervals whether
 * it has passed, so that it ends a connection at most one interval late. Not for timeouts that must be exact.
 */
import { WheelTimer, type TimerWheel } from '../timer-wheel.ts'

export class Deadline {
  readonly #timers: TimerWheel
  readonly #timer: WheelTimer
  readonly #sweepMs: number
  #at = Number.POSITIVE_INFINITY

  /** `timeouts` are those that will be set; 0 stands for none. */
  constructor(timers: TimerWheel, timeouts: readonly number[], expire: () => void) {
    this.#timers = timers
    this.#sweepMs = timeouts.reduce((least, timeout) => (timeout > 0 && timeout < least ? timeout : least), 60_000)
    this.#timer = new WheelTimer(() => this.#sweep(expire))
    timers.schedule(this.#timer, this.#sweepMs)
  }

  /** Expires after `delayMs` from now unless set again; 0: never. */
  set(delayMs: number): void {
    this.#at = delayMs === 0 ? Number.POSITIVE_INFINITY : this.#timers.coarseNow + delayMs
  }

  /** As `set`, and without the lateness: for timeouts that are set rarely. */
  setExact(delayMs: number): void {
    this.set(delayMs)
    if (delayMs > 0) this.#timers.schedule(this.#timer, Math.min(delayMs, this.#sweepMs))
  }

  stop(): void {
    this.#at = Number.POSITIVE_INFINITY
    this.#timers.cancel(this.#timer)
  }

  #sweep(expire: () => void): void {
    const left = this.#at - this.#timers.coarseNow
    if (left > 0) {
      this.#timers.schedule(this.#timer, Math.min(left, this.#sweepMs))
      return
    }
    this.#at = Number.POSITIVE_INFINITY
    this.#timers.schedule(this.#timer, this.#sweepMs)
    expire()
  }
}
