/**
 * Requests of the last while, counted in ten slots that are reused in turn: what a circuit breaker judges. Plain
 * numbers and no timer; the time of each request moves the window.
 */
const SLOTS = 10

export class BreakerWindow {
  readonly #slotMs: number
  readonly #requests = new Float64Array(SLOTS)
  readonly #failures = new Float64Array(SLOTS)
  readonly #slow = new Float64Array(SLOTS)
  /** Number of the slot that takes requests now, counted since time began. */
  #slot = 0
  requests = 0
  failures = 0
  slow = 0

  constructor(windowMs: number) {
    this.#slotMs = windowMs / SLOTS
  }

  count(nowMs: number, failed: boolean, slow: boolean): void {
    this.advance(nowMs)
    const at = this.#slot % SLOTS
    this.requests += this.#add(this.#requests, at, true)
    this.failures += this.#add(this.#failures, at, failed)
    this.slow += this.#add(this.#slow, at, slow)
  }

  /** Forgets what is older than the window. */
  advance(nowMs: number): void {
    const slot = Math.floor(nowMs / this.#slotMs)
    if (slot <= this.#slot) return
    if (slot - this.#slot >= SLOTS) this.clear()
    else for (let number = this.#slot + 1; number <= slot; number++) this.#forget(number % SLOTS)
    this.#slot = slot
  }

  clear(): void {
    this.#requests.fill(0)
    this.#failures.fill(0)
    this.#slow.fill(0)
    this.requests = this.failures = this.slow = 0
  }

  #add(counts: Float64Array, at: number, happened: boolean): number {
    if (!happened) return 0
    counts[at] = (counts[at] ?? 0) + 1
    return 1
  }

  #forget(at: number): void {
    this.requests -= this.#requests[at] ?? 0
    this.failures -= this.#failures[at] ?? 0
    this.slow -= this.#slow[at] ?? 0
    this.#requests[at] = this.#failures[at] = this.#slow[at] = 0
  }
}
