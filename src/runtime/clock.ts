/**
 * Time as an injected thing: the simulator and tests bring their own. Lint bans `Date.now` and bare timers outside
 * this folder (the proxy's hot folders take their coarse clock from the timer wheel).
 */
export interface Clock {
  /** Wall clock, milliseconds since the epoch; only for what people or certificates read. */
  now(): number
  /** Monotonic milliseconds; for every duration and deadline. */
  monotonic(): number
  /** Runs `run` once after `delayMs`; the returned function cancels it. */
  after(delayMs: number, run: () => void): Cancel
  /** Runs `run` every `intervalMs` until cancelled. */
  every(intervalMs: number, run: () => void): Cancel
}

export type Cancel = () => void

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after: (delayMs, run) => {
    const timer = setTimeout(run, delayMs)
    return () => clearTimeout(timer)
  },
  every: (intervalMs, run) => {
    const timer = setInterval(run, intervalMs)
    return () => clearInterval(timer)
  },
}

/** Resolves after `delayMs`, or at once when `signal` aborts (never rejects: the caller looks at the signal). */
export function delay(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted === true) return resolve()
    const done = (): void => {
      cancel()
      signal?.removeEventListener('abort', done)
      resolve()
    }
    const cancel = clock.after(delayMs, done)
    signal?.addEventListener('abort', done, { once: true })
  })
}

/** A clock that stands still until told to move; for tests and the simulator. */
export class ManualClock implements Clock {
  #now: number
  #order = 0
  readonly #timers = new Set<{ at: number; order: number; run: () => void }>()

  constructor(startMs = 0) {
    this.#now = startMs
  }

  now(): number {
    return this.#now
  }

  monotonic(): number {
    return this.#now
  }

  after(delayMs: number, run: () => void): Cancel {
    const timer = { at: this.#now + delayMs, order: this.#order++, run }
    this.#timers.add(timer)
    return () => this.#timers.delete(timer)
  }

  every(intervalMs: number, run: () => void): Cancel {
    let cancel: Cancel = () => {}
    const again = (): void => {
      cancel = this.after(intervalMs, again)
      run()
    }
    cancel = this.after(intervalMs, again)
    return () => cancel()
  }

  /** Runs every timer due within `durationMs`, in order of time, then of creation. */
  advance(durationMs: number): void {
    const end = this.#now + durationMs
    for (let next = this.#next(end); next !== undefined; next = this.#next(end)) {
      this.#timers.delete(next)
      this.#now = next.at
      next.run()
    }
    this.#now = end
  }

  #next(end: number): { at: number; order: number; run: () => void } | undefined {
    let first: { at: number; order: number; run: () => void } | undefined
    for (const timer of this.#timers) {
      if (timer.at > end) continue
      if (first === undefined || timer.at < first.at || (timer.at === first.at && timer.order < first.order))
        first = timer
    }
    return first
  }
}
