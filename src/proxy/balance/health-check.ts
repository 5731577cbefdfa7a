/**
 * Asks every endpoint of a cluster in turn whether it is well, and tells when that changed: Envoy's active health
 * checking, its thresholds and intervals included. An endpoint is taken for ill until its first answer.
 */
import type { HealthCheck } from '../../model/config.ts'
import type { Random } from '../../runtime/random.ts'
import type { ClusterStats } from '../stats/scopes.ts'
import { type TimerWheel, WheelTimer } from '../timer-wheel.ts'
import type { EndpointState } from './endpoint.ts'
import { HealthProbe, type Verdict } from './health-probe.ts'

const NO_TRAFFIC_INTERVAL_MS = 60_000 // Envoy's default

export interface HealthParts {
  readonly timers: TimerWheel
  readonly random: Random
  readonly cluster: string
  /** Whether the cluster was ever asked for anything: if not, checks are rare. */
  readonly hasTraffic: () => boolean
  readonly onChange: () => void
  readonly counters: ClusterStats['counters']
}

/** All sessions of one cluster, one per endpoint. */
export class HealthChecker {
  readonly #parts: HealthParts
  readonly #config: HealthCheck
  readonly #sessions = new Map<EndpointState, Session>()

  constructor(config: HealthCheck, parts: HealthParts) {
    this.#config = config
    this.#parts = parts
  }

  /** Starts with those that are new and ends with those that went. */
  follow(states: ReadonlySet<EndpointState>): void {
    for (const [state, session] of this.#sessions) {
      if (states.has(state)) continue
      session.close()
      this.#sessions.delete(state)
    }
    for (const state of states) {
      if (this.#sessions.has(state)) continue
      state.failsCheck = true
      this.#sessions.set(state, new Session(state, this.#config, this.#parts))
    }
  }

  /** Endpoints that are checked no more count as they would without. */
  close(): void {
    for (const [state, session] of this.#sessions) {
      session.close()
      state.failsCheck = false
    }
    this.#sessions.clear()
  }
}

class Session {
  readonly #state: EndpointState
  readonly #config: HealthCheck
  readonly #parts: HealthParts
  readonly #next: WheelTimer
  readonly #deadline: WheelTimer
  #probe: HealthProbe | undefined
  #isFirst = true
  #inRow = 0

  constructor(state: EndpointState, config: HealthCheck, parts: HealthParts) {
    this.#state = state
    this.#config = config
    this.#parts = parts
    this.#next = new WheelTimer(() => this.#ask())
    this.#deadline = new WheelTimer(() => {
      this.#probe?.cancel()
      this.#judged('network')
    })
    parts.timers.schedule(this.#next, parts.random.next() * (config.initialJitterMs ?? 0))
  }

  close(): void {
    this.#parts.timers.cancel(this.#next)
    this.#parts.timers.cancel(this.#deadline)
    this.#probe?.cancel()
  }

  #ask(): void {
    this.#parts.counters['health_check.attempt']++
    this.#parts.timers.schedulePatiently(this.#deadline, this.#config.timeoutMs)
    this.#probe = new HealthProbe({
      check: this.#config.check,
      transport: this.#state.transport,
      authority: this.#parts.cluster,
      done: (verdict) => this.#judged(verdict),
    })
    this.#probe.start()
  }

  #judged(verdict: Verdict): void {
    this.#parts.timers.cancel(this.#deadline)
    this.#count(verdict)
    const passed = verdict === 'pass'
    const isPending = passed ? this.#passed() : this.#failed(verdict)
    this.#isFirst = false
    this.#parts.timers.schedule(this.#next, this.#intervalMs(passed, isPending))
  }

  #count(verdict: Verdict): void {
    const { counters } = this.#parts
    if (verdict === 'pass') {
      counters['health_check.success']++
      return
    }
    counters['health_check.failure']++
    if (verdict === 'network') counters['health_check.network_failure']++
  }

  /** True: more of this kind would change its state. */
  #passed(): boolean {
    if (!this.#state.failsCheck) {
      this.#inRow = 0
      return false
    }
    this.#inRow++
    if (!this.#isFirst && this.#inRow < this.#config.healthyThreshold) return true
    this.#inRow = 0
    this.#state.passedCheck(this.#parts.timers.now())
    this.#parts.onChange()
    return false
  }

  #failed(verdict: Exclude<Verdict, 'pass'>): boolean {
    if (this.#state.failsCheck) {
      this.#inRow = 0
      return false
    }
    this.#inRow++
    // A clear no needs no second question.
    if (verdict !== 'refused' && this.#inRow < this.#config.unhealthyThreshold) return true
    this.#inRow = 0
    this.#state.failsCheck = true
    this.#parts.onChange()
    return false
  }

  #intervalMs(passed: boolean, isPending: boolean): number {
    const base = this.#baseMs(passed, isPending)
    const { intervalJitterMs = 0, intervalJitterPercent = 0 } = this.#config
    const { random } = this.#parts
    return base + random.next() * intervalJitterMs + (random.next() * base * intervalJitterPercent) / 100
  }

  /** By the last answer, as in Envoy; edge intervals hold while a change is under way. */
  #baseMs(passed: boolean, isPending: boolean): number {
    const config = this.#config
    if (!this.#parts.hasTraffic()) {
      const rare = config.noTrafficIntervalMs ?? NO_TRAFFIC_INTERVAL_MS
      return passed ? (config.noTrafficHealthyIntervalMs ?? rare) : rare
    }
    if (passed) return isPending ? (config.healthyEdgeIntervalMs ?? config.intervalMs) : config.intervalMs
    const illMs = config.unhealthyIntervalMs ?? config.intervalMs
    return isPending ? (config.unhealthyEdgeIntervalMs ?? illMs) : illMs
  }
}
