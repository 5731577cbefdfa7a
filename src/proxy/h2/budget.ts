/**
 * Counts what a peer makes us do for nothing, per connection (CVE-2019-9511 to 9518, CVE-2023-44487, CVE-2024-27316,
 * CVE-2025-8671): each method answers whether the connection is still within its budget.
 */
import type { TimerWheel } from '../timer-wheel.ts'
import type { H2Budgets } from './types.ts'

/** WINDOW_UPDATEs that need no DATA to justify them. */
const WINDOW_UPDATES_FREE = 100
const RAPID_MS = 1_000

export class Budget {
  readonly #budgets: H2Budgets
  readonly #timers: TimerWheel
  #control: number
  #controlAt: number
  #resets: number
  #resetsAt: number
  #emptyFrames = 0
  #priorities = 0
  #windowUpdates = 0
  #dataSent = 0
  #opened = 0
  #closed = 0
  #rapid = 0
  #controlQueued = 0
  #framesQueued = 0

  constructor(budgets: H2Budgets, timers: TimerWheel) {
    this.#budgets = budgets
    this.#timers = timers
    this.#control = budgets.controlBurst
    this.#resets = budgets.controlBurst
    this.#controlAt = timers.coarseNow
    this.#resetsAt = timers.coarseNow
  }

  streamOpened(): void {
    this.#opened++
  }

  /** A stream ended as it should: that earns the peer a reset elsewhere, since callers do time out. */
  streamFinished(): void {
    this.#closed++
    if (this.#resets < this.#budgets.controlBurst) this.#resets++
    this.#age()
  }

  /** The peer reset a stream, or made us reset it. `unanswered`: before we sent anything. */
  streamReset(openedAt: number, unanswered: boolean): boolean {
    const now = this.#timers.coarseNow
    this.#closed++
    if (unanswered && now - openedAt < RAPID_MS) this.#rapid++
    const rapid = this.#closed >= this.#budgets.rapidResetStreams && this.#rapid * 2 >= this.#closed
    this.#age()
    return this.strayReset() && !rapid
  }

  /** The same for a stream that is over already: both sides may end one at once, so as many are fair as streams end. */
  strayReset(): boolean {
    const now = this.#timers.coarseNow
    this.#resets = this.#refill(this.#resets, now - this.#resetsAt)
    this.#resetsAt = now
    return --this.#resets >= 0
  }

  /** Old behaviour counts less and less, so that a long life neither excuses nor condemns. */
  #age(): void {
    if (this.#closed < this.#budgets.rapidResetStreams * 2) return
    this.#closed /= 2
    this.#rapid /= 2
  }

  /** SETTINGS or PING came; `cost` is more than 1 for one that is worked through piece by piece. */
  control(cost = 1): boolean {
    const now = this.#timers.coarseNow
    this.#control = this.#refill(this.#control, now - this.#controlAt)
    this.#controlAt = now
    this.#control -= cost
    return this.#control >= 0
  }

  #refill(tokens: number, elapsedMs: number): number {
    return Math.min(this.#budgets.controlBurst, tokens + (elapsedMs / 1_000) * this.#budgets.controlPerSecond)
  }

  /** DATA, HEADERS or CONTINUATION came; `empty`: without payload and without END_STREAM. */
  payload(empty: boolean): boolean {
    this.#emptyFrames = empty ? this.#emptyFrames + 1 : 0
    return this.#emptyFrames <= this.#budgets.emptyFramesMax
  }

  priority(): boolean {
    return ++this.#priorities <= this.#budgets.priorityPerStream * (1 + this.#opened)
  }

  dataSent(): void {
    this.#dataSent++
  }

  windowUpdate(): boolean {
    const allowed = WINDOW_UPDATES_FREE + 2 * this.#opened + this.#budgets.windowUpdatesPerData * this.#dataSent
    return ++this.#windowUpdates <= allowed
  }

  /** We owe an answer; `behind`: the peer leaves what we sent before lying. */
  controlQueued(behind: boolean): boolean {
    this.#controlQueued = behind ? this.#controlQueued + 1 : 0
    return this.#controlQueued <= this.#budgets.controlFramesQueuedMax && this.frameQueued(behind)
  }

  frameQueued(behind: boolean): boolean {
    this.#framesQueued = behind ? this.#framesQueued + 1 : 0
    return this.#framesQueued <= this.#budgets.framesQueuedMax
  }
}
