/** Exponential back-off with full jitter between half and the whole delay; `reset` after success. */
import type { Random } from './random.ts'

export interface BackoffOptions {
  readonly initialMs: number
  readonly maxMs: number
  readonly random: Random
}

export class Backoff {
  readonly #options: BackoffOptions
  #attempt = 0

  constructor(options: BackoffOptions) {
    this.#options = options
  }

  /** Milliseconds to wait before the next attempt. */
  next(): number {
    const { initialMs, maxMs, random } = this.#options
    const ceiling = Math.min(maxMs, initialMs * 2 ** this.#attempt)
    this.#attempt = Math.min(this.#attempt + 1, 30)
    return ceiling * (0.5 + random.next() / 2)
  }

  reset(): void {
    this.#attempt = 0
  }
}
