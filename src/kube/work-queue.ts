/**
 * Keys to be worked off, one worker per key at a time: adding a waiting key is silent, adding one that is being worked
 * on runs it once more afterwards, a failed one comes back after a back-off of its own. Bounded: the caller learns when
 * it is full. Not a stream of events: a worker looks at the present state of its key.
 */
import { Backoff } from '../runtime/backoff.ts'
import { systemClock, type Cancel, type Clock } from '../runtime/clock.ts'
import { systemRandom, type Random } from '../runtime/random.ts'

export interface WorkQueueOptions {
  /** Level-triggered and idempotent; a rejection retries the key. */
  readonly work: (key: string, signal: AbortSignal) => Promise<void>
  readonly clock?: Clock
  readonly random?: Random
  /** Keys worked on at the same time. */
  readonly concurrency?: number
  /** Keys waiting, running or backing off. */
  readonly keysMax?: number
  readonly onError?: (key: string, error: unknown, retryMs: number) => void
}

const KEYS_MAX = 10_000
const RETRY_INITIAL_MS = 200
const RETRY_MAX_MS = 60_000

export type AddResult = 'queued' | 'merged' | 'full' | 'stopped'

export class WorkQueue {
  readonly #options: WorkQueueOptions
  readonly #clock: Clock
  readonly #random: Random
  /** In order of arrival. */
  readonly #waiting = new Set<string>()
  readonly #running = new Set<string>()
  /** Running keys to run once more. */
  readonly #dirty = new Set<string>()
  readonly #delayed = new Map<string, { cancel: Cancel; atMs: number }>()
  readonly #backoffs = new Map<string, Backoff>()
  readonly #stop = new AbortController()
  readonly #idleWaiters = new Set<() => void>()

  constructor(options: WorkQueueOptions) {
    this.#options = options
    this.#clock = options.clock ?? systemClock
    this.#random = options.random ?? systemRandom
  }

  /** Waiting, running and delayed keys. */
  get size(): number {
    return this.#waiting.size + this.#running.size + this.#delayed.size
  }

  add(key: string): AddResult {
    if (this.#stop.signal.aborted) return 'stopped'
    if (this.#waiting.has(key)) return 'merged'
    if (this.#running.has(key)) {
      this.#dirty.add(key)
      return 'merged'
    }
    const delayed = this.#delayed.get(key)
    if (delayed === undefined && this.size >= (this.#options.keysMax ?? KEYS_MAX)) return 'full'
    // News about a failing key is a reason to look at it now.
    delayed?.cancel()
    this.#delayed.delete(key)
    this.#waiting.add(key)
    queueMicrotask(() => this.#pump())
    return 'queued'
  }

  /** Runs the key after `delayMs`; an earlier time already planned wins. */
  addAfter(key: string, delayMs: number): AddResult {
    if (this.#stop.signal.aborted) return 'stopped'
    if (this.#waiting.has(key)) return 'merged'
    const atMs = this.#clock.monotonic() + delayMs
    const planned = this.#delayed.get(key)
    if (planned !== undefined && planned.atMs <= atMs) return 'merged'
    if (planned === undefined && this.size >= (this.#options.keysMax ?? KEYS_MAX)) return 'full'
    planned?.cancel()
    const cancel = this.#clock.after(delayMs, () => {
      this.#delayed.delete(key)
      this.add(key)
    })
    this.#delayed.set(key, { cancel, atMs })
    return 'queued'
  }

  /** Resolves when nothing waits and nothing runs; keys planned for later do not count. */
  idle(): Promise<void> {
    if (this.#waiting.size + this.#running.size === 0) return Promise.resolve()
    return new Promise((resolve) => this.#idleWaiters.add(resolve))
  }

  /** Starts nothing more, tells the running workers through their signal, and waits for them. */
  async stop(): Promise<void> {
    this.#stop.abort()
    this.#waiting.clear()
    this.#dirty.clear()
    for (const { cancel } of this.#delayed.values()) cancel()
    this.#delayed.clear()
    await this.idle()
  }

  #pump(): void {
    const concurrency = this.#options.concurrency ?? 1
    for (const key of this.#waiting) {
      if (this.#running.size >= concurrency || this.#stop.signal.aborted) break
      this.#waiting.delete(key)
      this.#running.add(key)
      void this.#work(key)
    }
    if (this.#waiting.size + this.#running.size > 0) return
    for (const resolve of this.#idleWaiters) resolve()
    this.#idleWaiters.clear()
  }

  async #work(key: string): Promise<void> {
    let failure: { error: unknown } | undefined
    try {
      await this.#options.work(key, this.#stop.signal)
      this.#backoffs.delete(key)
    } catch (error) {
      failure = { error }
    }
    this.#running.delete(key)
    const again = this.#dirty.delete(key)
    if (failure !== undefined && !this.#stop.signal.aborted) this.#retry(key, failure.error)
    else if (again) this.add(key)
    this.#pump()
  }

  #retry(key: string, error: unknown): void {
    const backoff =
      this.#backoffs.get(key) ?? new Backoff({ initialMs: RETRY_INITIAL_MS, maxMs: RETRY_MAX_MS, random: this.#random })
    this.#backoffs.set(key, backoff)
    const retryMs = backoff.next()
    this.#options.onError?.(key, error, retryMs)
    this.addAfter(key, retryMs)
  }
}
