/**
 * Virtual time: one queue of events for everything simulated, and processes that can be paused, killed and lied to about
 * the hour. Between two events all promises settle, so a schedule is the same whenever it is run again.
 */
import type { Cancel, Clock } from '../../src/runtime/clock.ts'

interface Event {
  readonly at: number
  readonly order: number
  readonly process: Process | undefined
  run: (() => void) | undefined
}

export class SimTime {
  readonly #heap: Event[] = []
  #now = 0
  #order = 0
  /** Events run so far. */
  events = 0
  /** What a callback threw: a bug of the product or of the simulator, never swallowed. */
  failure: unknown

  /** Milliseconds since the schedule began. */
  get now(): number {
    return this.#now
  }

  /** `process`: whose event it is; it waits while that one is paused and never comes once it is dead. */
  after(delayMs: number, run: () => void, process?: Process): Cancel {
    const event: Event = { at: this.#now + Math.max(0, delayMs), order: this.#order++, process, run }
    this.#push(event)
    return () => {
      event.run = undefined
    }
  }

  /** Runs events until `end`; `look` sees the world after each. */
  async until(end: number, look: () => void): Promise<void> {
    for (;;) {
      const first = this.#heap[0]
      if (first === undefined || first.at > end) break
      this.#pop()
      const { process, run } = first
      if (run === undefined || process?.dead === true) continue
      if (process?.paused === true) {
        process.waiting.push(run)
        continue
      }
      this.#now = first.at
      this.#run(run)
      await settled()
      if (this.failure !== undefined) throw this.failure
      look()
    }
    this.#now = end
  }

  #run(run: () => void): void {
    this.events++
    try {
      run()
    } catch (error) {
      this.failure ??= error
    }
  }

  #push(event: Event): void {
    const heap = this.#heap
    let at = heap.push(event) - 1
    while (at > 0) {
      const parent = (at - 1) >> 1
      const above = heap[parent] as Event
      if (!isEarlier(event, above)) break
      heap[at] = above
      at = parent
    }
    heap[at] = event
  }

  #pop(): void {
    const heap = this.#heap
    const last = heap.pop()
    if (heap.length === 0 || last === undefined) return
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && isEarlier(heap[child + 1] as Event, heap[child] as Event)) child++
      if (!isEarlier(heap[child] as Event, last)) break
      heap[at] = heap[child] as Event
      at = child
    }
    heap[at] = last
  }
}

const isEarlier = (one: Event, other: Event): boolean =>
  one.at === other.at ? one.order < other.order : one.at < other.at

/** One turn of the real event loop: by its end every promise that could settle has. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

/** Midnight of the world; certificates of the simulation are made for it. */
export const EPOCH_MS = Date.UTC(2026, 0, 1)

/** One operating-system process: a clock of its own, and an end. */
export class Process implements Clock {
  readonly name: string
  readonly #time: SimTime
  readonly #startedAt: number
  /** What its wall clock is wrong by; the monotonic one is never. */
  skewMs = 0
  paused = false
  dead = false
  /** What came due while it was paused, in order. */
  readonly waiting: (() => void)[] = []

  constructor(time: SimTime, name: string) {
    this.#time = time
    this.name = name
    this.#startedAt = time.now
  }

  now(): number {
    return EPOCH_MS + this.#time.now + this.skewMs
  }

  monotonic(): number {
    return this.#time.now - this.#startedAt
  }

  after(delayMs: number, run: () => void): Cancel {
    return this.#time.after(delayMs, run, this)
  }

  every(intervalMs: number, run: () => void): Cancel {
    let cancel: Cancel = () => {}
    let cancelled = false
    const again = (): void => {
      run()
      // As setInterval of a process that was stopped: one firing, however many were missed.
      if (!cancelled) cancel = this.after(intervalMs, again)
    }
    cancel = this.after(intervalMs, again)
    return () => {
      cancelled = true
      cancel()
    }
  }

  resume(): void {
    this.paused = false
    for (const run of this.waiting.splice(0)) this.after(0, run)
  }

  kill(): void {
    this.dead = true
    this.waiting.length = 0
  }
}
