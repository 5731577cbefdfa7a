/**
 * Looks at this process' own memory now and then, and says what is to be refused meanwhile. Requests read plain numbers
 * that are 0 unless it is tight; how much memory there is, others say (bootstrap, runtime/memory).
 */
import { actionDegree, OVERLOAD_ACTIONS, type OverloadAction, type OverloadConfig } from '../model/overload.ts'
import type { Cancel, Clock } from '../runtime/clock.ts'
import type { Random } from '../runtime/random.ts'
import type { Take } from './stats/store.ts'
import type { HttpTelemetry } from './telemetry.ts'

export interface OverloadParts {
  readonly clock: Clock
  readonly random: Random
  readonly residentBytes: () => number
  /** Collects thoroughly. */
  readonly shrink: () => void
}

/** Collecting a large heap takes a while in which nothing else is done; Envoy too waits ten seconds. */
const SHRINK_EVERY_MS = 10_000

export class Overload {
  /** Degrees from 0 to 1. */
  requests = 0
  keepAlive = 0
  connections = 0
  readonly connectionsMax: number
  readonly #config: OverloadConfig | undefined
  readonly #parts: OverloadParts
  #degrees = new Map<OverloadAction, number>()
  #pressure = 0
  #shrunkAt = Number.NEGATIVE_INFINITY
  #cancel: Cancel = () => {}

  constructor(config: OverloadConfig | undefined, parts: OverloadParts) {
    this.#config = config
    this.#parts = parts
    this.connectionsMax = config?.connectionsMax ?? Number.POSITIVE_INFINITY
    if (config?.memoryBytesMax === undefined || config.actions.length === 0) return
    this.#cancel = parts.clock.every(config.refreshMs, () => this.#look())
  }

  close(): void {
    this.#cancel()
  }

  /** Whether this one is among those that `degree` means. */
  hits(degree: number): boolean {
    return degree > 0 && (degree >= 1 || this.#parts.random.next() < degree)
  }

  /** Asked once per request. */
  sheds({ stats }: HttpTelemetry): boolean {
    if (this.requests === 0 || !this.hits(this.requests)) return false
    stats.counters.downstream_rq_overload_close++
    return true
  }

  /** Under Envoy's names. */
  takeFigures(take: Take): void {
    const config = this.#config
    if (config === undefined) return
    for (const { action } of config.actions) {
      const degree = this.#degrees.get(action) ?? 0
      take(`overload.envoy.overload_actions.${action}.active`, degree >= 1 ? 1 : 0)
      take(`overload.envoy.overload_actions.${action}.scale_percent`, Math.round(degree * 100))
    }
    if (config.memoryBytesMax === undefined) return
    take('overload.envoy.resource_monitors.fixed_heap.pressure', Math.round(this.#pressure * 100))
  }

  #look(): void {
    const { memoryBytesMax = Number.POSITIVE_INFINITY, actions = [] } = this.#config ?? {}
    this.#pressure = this.#parts.residentBytes() / memoryBytesMax
    this.#degrees = new Map(actions.map(({ action, triggers }) => [action, actionDegree(triggers, this.#pressure)]))
    const [requests, keepAlive, connections, shrink] = OVERLOAD_ACTIONS.map((name) => this.#degrees.get(name) ?? 0)
    this.requests = requests ?? 0
    this.keepAlive = keepAlive ?? 0
    this.connections = connections ?? 0
    const now = this.#parts.clock.monotonic()
    if (shrink !== 1 || now - this.#shrunkAt < SHRINK_EVERY_MS) return
    this.#shrunkAt = now
    this.#parts.shrink()
  }
}
