/**
 * One endpoint of a cluster for as long as the configuration keeps it: its load, its record of errors, whether it is
 * ejected. Choosing among endpoints is cluster.ts; getting there is the transport's.
 */
import type { Endpoint } from '../../model/config.ts'
import type { TimerWheel } from '../timer-wheel.ts'
import type { StreamWay, Transport } from '../upstream/transport.ts'
import { OutlierRecord } from './outlier.ts'

export interface EndpointStateOptions {
  readonly key: string
  readonly endpoint: Endpoint
  readonly transport: Transport
  readonly timers: TimerWheel
  readonly createStreams?: (() => StreamWay) | undefined
}

export class EndpointState {
  readonly key: string
  endpoint: Endpoint
  readonly transport: Transport
  /** Requests under way. */
  active = 0
  readonly outlier = new OutlierRecord()
  ejected = false
  /** By active health checks; false where there are none. */
  failsCheck = false
  requests = 0
  /** Requests handed to a connection. */
  sent = 0
  errors = 0
  /** Monotonic: since when it counts as usable, for slow start. */
  usableSince: number
  #wasUsable = true
  readonly #createStreams: (() => StreamWay) | undefined
  #streams: StreamWay | undefined = undefined

  constructor(options: EndpointStateOptions) {
    this.key = options.key
    this.endpoint = options.endpoint
    this.transport = options.transport
    this.usableSince = options.timers.now()
    this.#createStreams = options.createStreams
  }

  /** The way for connections whose bytes are not ours to read; made by the first of them. */
  get streams(): StreamWay | undefined {
    return (this.#streams ??= this.#createStreams?.())
  }

  /** May take new requests, unless everything is in panic. */
  get usable(): boolean {
    return this.endpoint.health === 'healthy' && !this.ejected && !this.failsCheck && this.#reachable
  }

  get #reachable(): boolean {
    return this.transport.usable && (this.#streams === undefined || this.#streams.usable)
  }

  count(ok: boolean): void {
    this.requests++
    if (!ok) this.errors++
  }

  /** Well again by a check: as new, for slow start, and no longer ejected. */
  passedCheck(now: number): void {
    this.failsCheck = false
    this.usableSince = now
    if (this.ejected) this.restore()
  }

  /** Ends an ejection, and forgives what led to it. */
  restore(): void {
    this.ejected = false
    this.outlier.forgetRows()
    this.outlier.multiplier = 0
  }

  /**
   * The way to the endpoint was lost or found again. What failed while it was lost says nothing of the endpoint, and
   * finding it took a whole handshake with the right identity: an ejection from that time ends, or a healed cluster
   * would stay unused for the rest of its thirty seconds.
   */
  transportChanged(): void {
    const reachable = this.#reachable
    const found = reachable && !this.#wasUsable
    this.#wasUsable = reachable
    if (!found) return
    this.restore()
  }

  close(): void {
    this.transport.close()
    this.#streams?.close()
  }
}
