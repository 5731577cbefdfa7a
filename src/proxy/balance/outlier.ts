/**
 * Leaves endpoints alone for a while that fail more than others: Envoy's outlier detection, by errors in a row as they
 * happen, by rates at the end of each interval. What counts is what requests met; asking endpoints by themselves is
 * active health checking, and whether a connection can be had at all is the transport's to know.
 */
import type { FailurePercentage, OutlierDetection, SuccessRate } from '../../model/config.ts'
import type { Random } from '../../runtime/random.ts'
import type { ClusterStats } from '../stats/scopes.ts'
import { type TimerWheel, WheelTimer } from '../timer-wheel.ts'
import type { EndpointState } from './endpoint.ts'

/** A status, or `true`: connected, `false`: no answer could be had. */
export type Outcome = number | boolean

const INTERVAL_MS = 10_000 // Envoy's defaults, here and below
const EJECTION_MS_MAX = 300_000
const HOSTS_MIN = 5
const SUCCESS_VOLUME_MIN = 100
const STDEV_FACTOR = 1_900
const FAILURE_VOLUME_MIN = 50
const FAILURE_THRESHOLD = 85

/** What one endpoint did in a row and within the present interval. */
export class OutlierRecord {
  fivesInRow = 0
  gatewayInRow = 0
  localInRow = 0
  readonly answers = { good: 0, all: 0 }
  /** Of attempts to get an answer at all; only where local origin is split off. */
  readonly attempts = { good: 0, all: 0 }
  ejectedAt = 0
  ejectionMs = 0
  /** Grows with each ejection and shrinks with each interval without. */
  multiplier = 0

  /** After an ejection the endpoint begins anew. */
  forgetRows(): void {
    this.fivesInRow = 0
    this.gatewayInRow = 0
    this.localInRow = 0
  }

  startInterval(): void {
    this.answers.good = this.answers.all = 0
    this.attempts.good = this.attempts.all = 0
  }
}

export interface OutlierParts {
  readonly timers: TimerWheel
  readonly random: Random
  readonly endpoints: () => Iterable<EndpointState>
  /** Whom one may use has changed. */
  readonly onChange: () => void
  readonly counters: ClusterStats['counters']
}

/** Envoy's names of what is found. */
type Reason =
  | 'consecutive_5xx'
  | 'consecutive_gateway_failure'
  | 'consecutive_local_origin_failure'
  | 'success_rate'
  | 'local_origin_success_rate'
  | 'failure_percentage'
  | 'local_origin_failure_percentage'

interface Finding {
  readonly reason: Reason
  /** Percent of the cases in which it leads to an ejection. */
  readonly enforcing: number
}

export class OutlierDetector {
  readonly #parts: OutlierParts
  readonly #sweep: WheelTimer
  #config: OutlierDetection | undefined
  #seen = false
  /** Ejections that the cap on their share prevented. */
  overflows = 0

  constructor(parts: OutlierParts, config: OutlierDetection | undefined) {
    this.#parts = parts
    this.#config = config
    this.#sweep = new WheelTimer(() => this.#endInterval())
  }

  apply(config: OutlierDetection | undefined): void {
    this.#config = config
    if (config !== undefined) return
    for (const state of this.#parts.endpoints()) state.restore()
    this.#parts.timers.cancel(this.#sweep)
    this.#parts.onChange()
  }

  close(): void {
    this.#parts.timers.cancel(this.#sweep)
  }

  record(state: EndpointState, outcome: Outcome): void {
    const config = this.#config
    if (config === undefined) return
    this.#seen = true
    if (!this.#sweep.scheduled) this.#parts.timers.schedule(this.#sweep, config.intervalMs ?? INTERVAL_MS)
    const findings = judge(config, state.outlier, outcome)
    if (findings !== undefined) for (const finding of findings) this.#found(state, config, finding)
  }

  #found(state: EndpointState, config: OutlierDetection, finding: Finding): void {
    if (state.ejected) return
    this.#parts.counters[`outlier_detection.ejections_detected_${finding.reason}`]++
    this.#eject(state, config, finding)
  }

  #eject(state: EndpointState, config: OutlierDetection, { reason, enforcing }: Finding): void {
    let [ejected, all] = [0, 0]
    for (const other of this.#parts.endpoints()) {
      all++
      if (other.ejected) ejected++
    }
    const first = ejected === 0 && config.alwaysEjectOne === true
    if (!first && 100 * (ejected + 1) > config.ejectionPercentMax * all) {
      this.overflows++
      this.#parts.counters['outlier_detection.ejections_overflow']++
      return
    }
    if (this.#parts.random.next() * 100 >= enforcing) return
    const record = state.outlier
    const { baseEjectionMs, ejectionMsMax, ejectionJitterMs = 0 } = config
    const most = Math.max(baseEjectionMs, ejectionMsMax ?? EJECTION_MS_MAX)
    if (record.multiplier * baseEjectionMs < most + baseEjectionMs) record.multiplier++
    record.ejectedAt = this.#parts.timers.now()
    const jitterMs = this.#parts.random.next() * ejectionJitterMs
    record.ejectionMs = Math.min(baseEjectionMs * record.multiplier, most) + jitterMs
    record.forgetRows()
    state.ejected = true
    const { counters } = this.#parts
    counters['outlier_detection.ejections_enforced_total']++
    counters[`outlier_detection.ejections_enforced_${reason}`]++
    this.#parts.onChange()
  }

  #endInterval(): void {
    const config = this.#config
    if (config === undefined) return
    const now = this.#parts.timers.now()
    let busy = this.#seen
    this.#seen = false
    for (const state of this.#parts.endpoints()) {
      const record = state.outlier
      if (state.ejected && now - record.ejectedAt >= record.ejectionMs) {
        state.ejected = false
        record.forgetRows()
        this.#parts.onChange()
      } else if (!state.ejected && record.multiplier > 0) record.multiplier--
      if (state.ejected || record.multiplier > 0) busy = true
    }
    this.#ejectByRates(config)
    // An idle cluster needs no timer; the next outcome starts it again.
    if (busy) this.#parts.timers.schedule(this.#sweep, config.intervalMs ?? INTERVAL_MS)
  }

  #ejectByRates(config: OutlierDetection): void {
    const { successRate, failurePercentage, consecutiveLocalOrigin } = config
    const states = [...this.#parts.endpoints()].filter((state) => !state.ejected)
    const answers = (state: EndpointState): Count => state.outlier.answers
    const attempts = (state: EndpointState): Count => state.outlier.attempts
    const isSplit = consecutiveLocalOrigin !== undefined
    const found: { state: EndpointState; finding: Finding }[] = []
    const add = (states: readonly EndpointState[], reason: Reason, enforcing: number): void => {
      for (const state of states) found.push({ state, finding: { reason, enforcing } })
    }
    if (successRate !== undefined) {
      add(slowest(states, answers, successRate), 'success_rate', successRate.enforcing ?? 100)
      const enforcing = successRate.enforcingLocalOrigin ?? 100
      if (isSplit) add(slowest(states, attempts, successRate), 'local_origin_success_rate', enforcing)
    }
    if (failurePercentage !== undefined) {
      add(failing(states, answers, failurePercentage), 'failure_percentage', failurePercentage.enforcing ?? 0)
      const enforcing = failurePercentage.enforcingLocalOrigin ?? 0
      if (isSplit) add(failing(states, attempts, failurePercentage), 'local_origin_failure_percentage', enforcing)
    }
    for (const state of states) state.outlier.startInterval()
    for (const { state, finding } of found) this.#found(state, config, finding)
  }
}

/** Notes the outcome; findings: it completes a row. */
function judge(config: OutlierDetection, record: OutlierRecord, outcome: Outcome): readonly Finding[] | undefined {
  const isLocal = typeof outcome === 'boolean'
  const splits = config.consecutiveLocalOrigin !== undefined
  if (splits) {
    record.attempts.all++
    if (outcome !== false) record.attempts.good++
    if (outcome === false) return judgeLocal(config, record)
    record.localInRow = 0
    // Having connected says nothing of answers.
    if (isLocal) return undefined
  }
  const status = isLocal ? (outcome ? 200 : 503) : outcome
  record.answers.all++
  if (status < 500) {
    record.answers.good++
    record.fivesInRow = record.gatewayInRow = 0
    return undefined
  }
  return judgeFailure(config, record, status)
}

function judgeLocal(config: OutlierDetection, record: OutlierRecord): readonly Finding[] | undefined {
  if (++record.localInRow < (config.consecutiveLocalOrigin ?? 0)) return undefined
  record.localInRow = 0
  return [{ reason: 'consecutive_local_origin_failure', enforcing: config.enforcing?.localOrigin ?? 100 }]
}

function judgeFailure(config: OutlierDetection, record: OutlierRecord, status: number): readonly Finding[] {
  record.fivesInRow++
  record.gatewayInRow = status >= 502 && status <= 504 ? record.gatewayInRow + 1 : 0
  const findings: Finding[] = []
  if (config.consecutiveErrors > 0 && record.gatewayInRow >= config.consecutiveErrors) {
    record.gatewayInRow = 0
    findings.push({ reason: 'consecutive_gateway_failure', enforcing: config.enforcing?.errors ?? 100 })
  }
  if (config.consecutive5xx !== undefined && record.fivesInRow >= config.consecutive5xx) {
    record.fivesInRow = 0
    findings.push({ reason: 'consecutive_5xx', enforcing: config.enforcing?.fives ?? 100 })
  }
  return findings
}

interface Count {
  readonly good: number
  readonly all: number
}

type CountOf = (state: EndpointState) => Count

const rateOf = ({ good, all }: Count): number => (100 * good) / all

/** Those with enough requests to be compared, if they are enough. */
function comparable(
  states: readonly EndpointState[],
  countOf: CountOf,
  { hostsMin, volumeMin }: { hostsMin: number; volumeMin: number },
): readonly EndpointState[] {
  const enough = states.filter((state) => countOf(state).all > 0 && countOf(state).all >= volumeMin)
  return enough.length >= hostsMin ? enough : []
}

/** Whose success rate is below the mean by more than the factor of standard deviations. */
function slowest(states: readonly EndpointState[], countOf: CountOf, config: SuccessRate): readonly EndpointState[] {
  const { hostsMin = HOSTS_MIN, volumeMin = SUCCESS_VOLUME_MIN, stdevFactor = STDEV_FACTOR } = config
  const compared = comparable(states, countOf, { hostsMin, volumeMin })
  const threshold = successThreshold(
    compared.map((state) => rateOf(countOf(state))),
    stdevFactor,
  )
  return compared.filter((state) => rateOf(countOf(state)) < threshold)
}

export function successThreshold(rates: readonly number[], stdevFactor: number): number {
  const mean = rates.reduce((sum, rate) => sum + rate, 0) / rates.length
  const variance = rates.reduce((sum, rate) => sum + (rate - mean) ** 2, 0) / rates.length
  return mean - (stdevFactor / 1_000) * Math.sqrt(variance)
}

function failing(
  states: readonly EndpointState[],
  countOf: CountOf,
  config: FailurePercentage,
): readonly EndpointState[] {
  const { hostsMin = HOSTS_MIN, volumeMin = FAILURE_VOLUME_MIN, threshold = FAILURE_THRESHOLD } = config
  const compared = comparable(states, countOf, { hostsMin, volumeMin })
  return compared.filter((state) => 100 - rateOf(countOf(state)) >= threshold)
}
