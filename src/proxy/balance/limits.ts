/**
 * What one proxy may have under way to one cluster: Envoy's circuit breakers, per routing priority, and the counters
 * of what they refused. Pools ask before they dial, queue or send; nothing here knows a socket. Whether a service is
 * well is another matter (outlier detection, the service breaker).
 */
import type { Cluster, Thresholds } from '../../model/config.ts'
import { ClusterStats } from '../stats/scopes.ts'
import type { TimerWheel } from '../timer-wheel.ts'
import { RetryBudget } from './retry-budget.ts'

export type Priority = 'default' | 'high'

/** Envoy's defaults, for what a set of thresholds leaves open. */
export const LIMIT = 1_024
const RETRIES = 3
const BUDGET_PERCENT = 20
const BUDGET_CONCURRENCY_MIN = 3
/** Without any thresholds; Envoy 1,024, but we multiplex. */
export const REQUESTS_MAX = 10_000

export class ClusterLimits {
  /** Open or being opened, over all endpoints. Priorities share connections, so those of `default` hold. */
  connections = 0
  connectionsRefused = 0
  /** Per endpoint; undefined: as the transport sets it. */
  hostConnectionsMax: number | undefined
  /** Everything that holds the limits counts here too. */
  readonly stats: ClusterStats
  readonly #default: PriorityLimits
  readonly #high: PriorityLimits

  constructor(config: Cluster, timers: TimerWheel, stats = new ClusterStats()) {
    this.stats = stats
    this.#default = new PriorityLimits(timers, stats)
    this.#high = new PriorityLimits(timers, stats)
    this.apply(config)
  }

  /** What is under way stays, even above new limits. */
  apply({ circuitBreakers }: Cluster): void {
    this.#default.apply(circuitBreakers?.default)
    this.#high.apply(circuitBreakers?.high)
    this.hostConnectionsMax = circuitBreakers?.hostConnectionsMax
  }

  of(priority: Priority | undefined): PriorityLimits {
    return priority === 'high' ? this.#high : this.#default
  }

  /** Which limits would refuse now. */
  openOf(priority: Priority): Readonly<Record<'cx' | 'pending' | 'requests' | 'retries', boolean>> {
    return { cx: this.connections >= this.of(priority).connectionsMax, ...this.of(priority).open }
  }

  get pending(): number {
    return this.#default.pending + this.#high.pending
  }

  /** How often each limit refused, for metrics and people. */
  get refused(): Readonly<Record<'connections' | 'pending' | 'requests' | 'retries', number>> {
    const [usual, high] = [this.#default, this.#high]
    return {
      connections: this.connectionsRefused,
      pending: usual.pendingRefused + high.pendingRefused,
      requests: usual.requestsRefused + high.requestsRefused,
      retries: usual.retriesRefused + high.retriesRefused,
    }
  }

  /** For a connection beyond an endpoint's first, which is always granted: else one endpoint could starve another. */
  mayConnect(): boolean {
    if (this.connections < this.#default.connectionsMax) return true
    this.connectionsRefused++
    this.stats.counters.upstream_cx_overflow++
    return false
  }
}

export class PriorityLimits {
  /** Requests that entered, waiting ones included. */
  active = 0
  pending = 0
  retries = 0
  pendingRefused = 0
  requestsRefused = 0
  retriesRefused = 0
  connectionsMax = Number.POSITIVE_INFINITY
  #pendingMax = LIMIT
  #requestsMax = REQUESTS_MAX
  #retriesMax: number | undefined
  #retryBudget: Thresholds['retryBudget']
  readonly #budget = new RetryBudget()
  readonly #timers: TimerWheel
  readonly #stats: ClusterStats

  constructor(timers: TimerWheel, stats: ClusterStats) {
    this.#timers = timers
    this.#stats = stats
  }

  apply(thresholds: Thresholds | undefined): void {
    const isSet = thresholds !== undefined
    this.connectionsMax = thresholds?.connectionsMax ?? (isSet ? LIMIT : Number.POSITIVE_INFINITY)
    this.#pendingMax = thresholds?.pendingMax ?? LIMIT
    this.#requestsMax = thresholds?.requestsMax ?? (isSet ? LIMIT : REQUESTS_MAX)
    this.#retriesMax = thresholds?.retriesMax ?? (isSet ? RETRIES : undefined)
    this.#retryBudget = thresholds?.retryBudget
  }

  get open(): { readonly pending: boolean; readonly requests: boolean; readonly retries: boolean } {
    return {
      pending: this.pending >= this.#pendingMax,
      requests: this.active - this.pending >= this.#requestsMax,
      retries: this.#retriesMax !== undefined && this.retries >= this.#retriesMax,
    }
  }

  enter(): void {
    this.active++
    this.#budget.request(this.#timers.coarseNow)
  }

  leave(retried: boolean): void {
    this.active--
    if (retried) this.retries--
  }

  /** For a request that has entered and does not wait: itself is counted. */
  maySend(): boolean {
    if (this.active - this.pending <= this.#requestsMax) return true
    this.requestsRefused++
    this.#stats.counters.upstream_rq_pending_overflow++
    return false
  }

  mayWait(): boolean {
    if (this.pending < this.#pendingMax) return true
    this.pendingRefused++
    this.#stats.counters.upstream_rq_pending_overflow++
    return false
  }

  /** `again`: the request has retried before, and counts already. */
  mayRetry(again: boolean): boolean {
    const granted = this.#grantsRetry(again)
    if (!granted) {
      this.retriesRefused++
      this.#stats.counters.upstream_rq_retry_overflow++
    } else if (!again) this.retries++
    return granted
  }

  #grantsRetry(again: boolean): boolean {
    const others = this.retries - (again ? 1 : 0)
    if (this.#retryBudget !== undefined) {
      const { percent = BUDGET_PERCENT, concurrencyMin = BUDGET_CONCURRENCY_MIN } = this.#retryBudget
      return others < Math.max(concurrencyMin, Math.trunc((this.active * percent) / 100))
    }
    if (this.#retriesMax !== undefined) return others < this.#retriesMax
    return this.#budget.retry(this.#timers.now())
  }
}
