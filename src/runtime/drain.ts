/** Drain: holders of tokens get to finish; at the deadline the rest is cut. */
import type { Clock } from './clock.ts'

export class Drain {
  readonly #controller = new AbortController()
  readonly #held = new Set<string>()
  #emptied: (() => void) | undefined

  /** Aborts when draining begins. */
  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** Holds the drain open until the returned function is called. */
  hold(what: string): () => void {
    this.#held.add(what)
    return () => {
      this.#held.delete(what)
      if (this.#held.size === 0) this.#emptied?.()
    }
  }

  /** Resolves to the holders that did not finish by the deadline (none: a clean drain). */
  async run(clock: Clock, deadlineMs: number): Promise<readonly string[]> {
    this.#controller.abort()
    if (this.#held.size === 0) return []
    await new Promise<void>((resolve) => {
      const cancel = clock.after(deadlineMs, resolve)
      this.#emptied = () => {
        cancel()
        resolve()
      }
    })
    return [...this.#held]
  }
}
