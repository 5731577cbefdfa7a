/**
 * One endpoint of a cluster for as long as the configuration keeps it: its load, its record of errors, whether it is
 * ejected. Choosing among endpoints is cluster.ts; getting there is the transport's.
 */
import type { Endpoint } from '../../model/config.ts'
import type { TimerWheel } from '../timer-wheel.ts'
import { WheelTimer } from '../timer-wheel.ts'
import type { Transport } from '../upstream/transport.ts'

/** Envoy's outlier detection, consecutive errors only: gateway errors and what never got an answer count alike. */
export interface OutlierRule {
  readonly consecutiveErrors: number
  readonly baseEjectionMs: number
}

const EJECTION_MULTIPLIER_MAX = 10 // Envoy: 300 s over a base of 30 s

export class EndpointState {
  readonly key: string
  endpoint: Endpoint
  readonly transport: Transport
  /** Requests under way. */
  active = 0
  errorsInRow = 0
  ejected = false
  requests = 0
  errors = 0
  /** Monotonic: since when it counts as usable, for slow start. */
  usableSince: number
  readonly #timers: TimerWheel
  readonly #restore: WheelTimer
  /** Each ejection in a row is longer than the one before. */
  #ejections = 0
  #wasUsable = true

  constructor(options: {
    key: string
    endpoint: Endpoint
    transport: Transport
    timers: TimerWheel
    onRestored: () => void
  }) {
    this.key = options.key
    this.endpoint = options.endpoint
    this.transport = options.transport
    this.#timers = options.timers
    this.usableSince = options.timers.now()
    this.#restore = new WheelTimer(() => {
      this.ejected = false
      options.onRestored()
    })
  }

  /** May take new requests, unless everything is in panic. */
  get usable(): boolean {
    return this.endpoint.health === 'healthy' && !this.ejected && this.transport.usable
  }

  /** True: the endpoint has had enough errors in a row to be ejected. */
  record(ok: boolean, rule: OutlierRule | undefined): boolean {
    this.requests++
    if (ok) {
      this.errorsInRow = 0
      if (!this.ejected) this.#ejections = 0
      return false
    }
    this.errors++
    this.errorsInRow++
    return rule !== undefined && !this.ejected && this.errorsInRow >= rule.consecutiveErrors
  }

  eject(rule: OutlierRule): void {
    this.ejected = true
    this.errorsInRow = 0
    this.#ejections = Math.min(this.#ejections + 1, EJECTION_MULTIPLIER_MAX)
    this.#timers.schedule(this.#restore, rule.baseEjectionMs * this.#ejections)
  }

  /**
   * The way to the endpoint was lost or found again. What failed while it was lost says nothing of the endpoint, and
   * finding it took a whole handshake with the right identity: an ejection from that time ends, or a healed cluster
   * would stay unused for the rest of its thirty seconds.
   */
  transportChanged(): void {
    const found = this.transport.usable && !this.#wasUsable
    this.#wasUsable = this.transport.usable
    if (!found) return
    this.#timers.cancel(this.#restore)
    this.ejected = false
    this.errorsInRow = 0
    this.#ejections = 0
  }

  close(): void {
    this.#timers.cancel(this.#restore)
    this.transport.close()
  }
}
