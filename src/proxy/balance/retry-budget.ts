/**
 * How many retries one cluster may see: a fifth of the requests of the last ten seconds, and ten a second for quiet
 * services. A window and not a share of what is under way, so that a short burst of errors is retried whole, while a
 * service that fails for long still sees at most a fifth more load. What never reached anyone is not counted here
 * (exchange.ts).
 */
const WINDOW_S = 10 // Linkerd's budget has the same share and time to live
const RETRIES_SHARE = 0.2 // Envoy's default budget, of requests under way
const RETRIES_PER_SECOND_MIN = 10 // Linkerd's; Envoy keeps three under way

export class RetryBudget {
  readonly #requests = Array.from({ length: WINDOW_S }, () => 0)
  readonly #retries = Array.from({ length: WINDOW_S }, () => 0)
  #second = 0
  #requestsTotal = 0
  #retriesTotal = 0

  request(nowMs: number): void {
    this.#turn(nowMs)
    const slot = this.#second % WINDOW_S
    this.#requests[slot] = (this.#requests[slot] ?? 0) + 1
    this.#requestsTotal++
  }

  /** False: more retries would feed a failure. */
  retry(nowMs: number): boolean {
    this.#turn(nowMs)
    const allowed = RETRIES_PER_SECOND_MIN * WINDOW_S + this.#requestsTotal * RETRIES_SHARE
    if (this.#retriesTotal >= allowed) return false
    const slot = this.#second % WINDOW_S
    this.#retries[slot] = (this.#retries[slot] ?? 0) + 1
    this.#retriesTotal++
    return true
  }

  #turn(nowMs: number): void {
    const second = Math.floor(nowMs / 1_000)
    const passed = Math.min(second - this.#second, WINDOW_S)
    for (let step = 1; step <= passed; step++) {
      const slot = (second - passed + step) % WINDOW_S
      this.#requestsTotal -= this.#requests[slot] ?? 0
      this.#retriesTotal -= this.#retries[slot] ?? 0
      this.#requests[slot] = 0
      this.#retries[slot] = 0
    }
    if (passed > 0) this.#second = second
  }
}
