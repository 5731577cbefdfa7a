/**
 * Work that comes in crowds, done in slices: between two slices the event loop serves everything else. First come, first
 * served; who adds without end has to stop by itself (the server stops reading from such a client).
 */
import type { Cancel, Clock } from '../runtime/clock.ts'

const SLICE_MS = 8

export class Turns {
  readonly #clock: Clock
  #queue: (() => void)[] = []
  #next = 0
  #scheduled: Cancel | undefined

  constructor(clock: Clock) {
    this.#clock = clock
  }

  add(run: () => void): void {
    this.#queue.push(run)
    this.#scheduled ??= this.#clock.after(0, () => this.#slice())
  }

  close(): void {
    this.#scheduled?.()
    this.#queue = []
    this.#next = 0
  }

  #slice(): void {
    const until = this.#clock.monotonic() + SLICE_MS
    this.#scheduled = undefined
    do {
      const run = this.#queue[this.#next]
      this.#next += 1
      run?.()
    } while (this.#next < this.#queue.length && this.#clock.monotonic() < until)
    if (this.#next < this.#queue.length) this.#scheduled ??= this.#clock.after(0, () => this.#slice())
    else {
      this.#queue = []
      this.#next = 0
    }
  }
}
