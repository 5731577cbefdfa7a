/**
 * Lets an endpoint that has just come, or come back, begin with a part of its weight: Envoy's slow start. The factor
 * is a function of time only; which policies heed it (round robin and least request) is picker.ts's.
 */
import type { SlowStart } from '../../model/config.ts'
import type { TimerWheel } from '../timer-wheel.ts'
import type { EndpointState } from './endpoint.ts'

const WEIGHT_PERCENT_MIN = 10 // Envoy's default

export class SlowStartCurve {
  readonly #config: SlowStart
  readonly #timers: TimerWheel

  constructor(config: SlowStart, timers: TimerWheel) {
    this.#config = config
    this.#timers = timers
  }

  covers(state: EndpointState): boolean {
    return this.#timers.now() - state.usableSince < this.#config.windowMs
  }

  /** 0–1: the share of its weight that the endpoint has by now. */
  factorOf(state: EndpointState): number {
    return slowStartFactor(this.#config, this.#timers.now() - state.usableSince)
  }
}

export function slowStartFactor(config: SlowStart, ageMs: number): number {
  const { windowMs, aggression = 1, weightPercentMin = WEIGHT_PERCENT_MIN } = config
  if (ageMs >= windowMs) return 1
  const time = Math.max(ageMs, 1) / windowMs
  return Math.max(aggression === 1 ? time : time ** (1 / aggression), weightPercentMin / 100)
}
