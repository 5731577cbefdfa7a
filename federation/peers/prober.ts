/**
 * Probes one peer's data path each second and keeps its `DataHealth`. A prober whose own event loop lagged discards its
 * verdict: a paused or overloaded controller must not declare the others dead. The probe itself is handed in.
 */
import type { Cancel, Clock } from '../../src/runtime/clock.ts'
import { judgeProbe, unknownHealth, type DataHealth, type Now, type ProbeEvent } from './data-health.ts'

export interface Probe {
  /** Resolves when a pod behind the gateway answered ready; rejects otherwise. */
  probe(address: string, signal: AbortSignal): Promise<void>
  close(): void
}

export interface ProberOptions {
  readonly clock: Clock
  readonly probe: Probe
  readonly gateways: () => readonly string[]
  readonly changed: (health: DataHealth) => void
}

const INTERVAL_MS = 1_000
const TIMEOUT_MS = 900 // below the interval, so that two failures fit into 2 s and probes never overlap
const TICK_MS = 100
const LAG_MAX_MS = 250

export class Prober {
  readonly #options: ProberOptions
  #health: DataHealth
  #cancelTick: Cancel = () => {}
  #tickedAt: number
  #startedAt = -Infinity
  #laggedAt = -Infinity
  #gateway = 0
  #abort: AbortController | undefined

  constructor(options: ProberOptions) {
    this.#options = options
    this.#tickedAt = options.clock.monotonic()
    this.#health = unknownHealth(this.#now())
  }

  get health(): DataHealth {
    return this.#health
  }

  start(): void {
    this.#tickedAt = this.#options.clock.monotonic()
    this.#cancelTick = this.#options.clock.every(TICK_MS, () => this.#tick())
  }

  stop(): void {
    this.#cancelTick()
    this.#abort?.abort()
    this.#options.probe.close()
  }

  #tick(): void {
    const { monotonicMs } = this.#now()
    if (this.#lagged()) this.#judge({ kind: 'discard' })
    this.#tickedAt = monotonicMs
    this.#judge({ kind: 'tick' })
    if (this.#abort === undefined && monotonicMs - this.#startedAt >= INTERVAL_MS) void this.#probe(monotonicMs)
  }

  async #probe(startedAt: number): Promise<void> {
    const { clock, probe, gateways } = this.#options
    const known = gateways()
    const address = known[this.#gateway % Math.max(1, known.length)]
    if (address === undefined) return
    this.#startedAt = startedAt
    const abort = new AbortController()
    this.#abort = abort
    const cancelTimeout = clock.after(TIMEOUT_MS, () => abort.abort())
    const event: ProbeEvent = await probe.probe(address, abort.signal).then(
      () => ({ kind: 'success', rttMs: Math.round((clock.monotonic() - startedAt) * 10) / 10 }),
      () => ({ kind: 'failure' }),
    )
    cancelTimeout()
    this.#abort = undefined
    if (event.kind === 'failure') this.#gateway += 1 // another gateway of the peer may still do
    const lagged = this.#lagged() || this.#laggedAt >= startedAt
    this.#judge(event.kind === 'failure' && lagged ? { kind: 'discard' } : event)
  }

  #lagged(): boolean {
    const now = this.#options.clock.monotonic()
    if (now - this.#tickedAt <= TICK_MS + LAG_MAX_MS) return false
    this.#laggedAt = now
    return true
  }

  #judge(event: ProbeEvent): void {
    const before = this.#health
    this.#health = judgeProbe(before, event, this.#now())
    if (this.#health !== before) this.#options.changed(this.#health)
  }

  #now(): Now {
    const { clock } = this.#options
    return { wallMs: clock.now(), monotonicMs: clock.monotonic() }
  }
}
