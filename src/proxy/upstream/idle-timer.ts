/**
 * Ends what has been idle for long. Idle and busy follow each other with every request, so neither touches the wheel:
 * a timer that is under way looks at its end how long it has been, and goes on for the rest.
 */
import { type TimerWheel, WheelTimer } from '../timer-wheel.ts'

export class IdleTimer {
  readonly #timers: TimerWheel
  readonly #timer: WheelTimer
  /** When it ends, by the coarse clock, if nothing happens; Infinity: it is in use. */
  #endsAt = Number.POSITIVE_INFINITY
  #looksAt = 0

  constructor(timers: TimerWheel, expire: () => void) {
    this.#timers = timers
    this.#timer = new WheelTimer(() => this.#look(expire))
  }

  /** Idle from now on, for `idleMs` at most. */
  start(idleMs: number): void {
    const endsAt = this.#timers.coarseNow + idleMs
    if (this.#timer.scheduled && endsAt >= this.#looksAt) {
      this.#endsAt = endsAt
      return
    }
    // Scheduling brings the coarse clock up to date, should it have stood still.
    this.#timers.schedule(this.#timer, idleMs)
    this.#endsAt = this.#looksAt = this.#timers.coarseNow + idleMs
  }

  /** In use. */
  stop(): void {
    this.#endsAt = Number.POSITIVE_INFINITY
  }

  /** For good. */
  cancel(): void {
    this.stop()
    this.#timers.cancel(this.#timer)
  }

  #look(expire: () => void): void {
    if (this.#endsAt === Number.POSITIVE_INFINITY) return
    const left = this.#endsAt - this.#timers.coarseNow
    if (left <= 0) return expire()
    this.#timers.schedule(this.#timer, left)
    this.#looksAt = this.#endsAt
  }
}
