/**
 * Which endpoints may take a request right now, ready for picking: per priority its share of traffic, per locality its
 * weight and a policy over its healthy endpoints. Immutable but for the policies' turns; cluster.ts makes a new one
 * whenever health or configuration changed. The arithmetic is load.ts.
 */
import type { Cluster } from '../../model/config.ts'
import type { Random } from '../../runtime/random.ts'
import type { TimerWheel } from '../timer-wheel.ts'
import { Edf } from './edf.ts'
import type { EndpointState } from './endpoint.ts'
import { type LoadRule, localityWeight, priorityLoads } from './load.ts'
import { createPicker, isHashing, type Picker, type PickerOptions, type Weighted } from './picker.ts'
import { SlowStartCurve } from './slow-start.ts'

export interface LocalityGroup {
  readonly weight: number
  readonly states: readonly EndpointState[]
}

/** The localities of one priority. */
export type PriorityGroup = readonly LocalityGroup[]

export interface TableOptions {
  readonly config: Cluster
  readonly random: Random
  readonly timers: TimerWheel
  readonly rule: LoadRule
  readonly localityWeighted: boolean
}

interface Level {
  readonly percent: number
  readonly picker: Picker
}

export class BalanceTable {
  readonly #levels: readonly Level[]
  readonly #random: Random
  readonly #hashing: boolean
  readonly empty: boolean
  /** When the last endpoint is past its slow start, and a cheaper table will do; 0: it is this one. */
  readonly slowUntil: number

  constructor(priorities: readonly PriorityGroup[], options: TableOptions) {
    const { config, random } = options
    const health = priorities.map((localities) => healthOf(localities.flatMap(({ states }) => states)))
    const loads = priorityLoads(health, options.rule)
    const slow = slowStartOf(priorities, options)
    const pickers: PickerOptions = { config, random, slowStart: slow?.curve }
    this.slowUntil = slow?.until ?? 0
    this.#random = random
    this.#hashing = isHashing(config.lb)
    this.#levels = priorities.map((localities, index) => ({
      percent: loads.percent[index] ?? 0,
      picker: levelPicker(localities, { ...options, pickers, panic: loads.panic[index] === true }),
    }))
    this.empty = health.every(({ total }) => total === 0)
  }

  /** One pick; the caller asks again with the next `attempt` if it does not want the answer. */
  pick(hash: bigint | undefined, attempt: number): EndpointState | undefined {
    const belongs = this.#hashing ? hash : undefined
    const level = this.#levels.length === 1 ? this.#levels[0] : this.#level(belongs)
    return level?.picker.pick(belongs, attempt)
  }

  #level(hash: bigint | undefined): Level | undefined {
    let percent = hash === undefined ? Math.floor(this.#random.next() * 100) : Number(hash % 100n)
    return this.#levels.find((candidate) => (percent -= candidate.percent) < 0)
  }
}

interface LevelOptions extends TableOptions {
  readonly pickers: PickerOptions
  readonly panic: boolean
}

function levelPicker(localities: PriorityGroup, options: LevelOptions): Picker {
  const { panic, pickers, config } = options
  const usable = (states: readonly EndpointState[]): readonly EndpointState[] =>
    panic ? states : states.filter((state) => state.usable)
  const weighted = options.localityWeighted && localities.some(({ weight }) => weight > 0)
  if (weighted && isHashing(config.lb)) return createPicker(byLocality(localities, usable), pickers)
  if (weighted && !panic) {
    const parts = localities.flatMap(({ weight, states }) => {
      const effective = localityWeight(weight, healthOf(states), options.rule)
      return effective > 0 ? [{ weight: effective, picker: createPicker(byOwnWeight(usable(states)), pickers) }] : []
    })
    const [only] = parts
    if (only !== undefined) return parts.length === 1 ? only.picker : new LocalityPicker(parts, options.random)
  }
  // In panic, and where no locality has a weight, all endpoints of the priority are one set.
  return createPicker(byOwnWeight(localities.flatMap(({ states }) => usable(states))), pickers)
}

interface WeightedPicker {
  readonly weight: number
  readonly picker: Picker
}

/** Localities take turns by weight, then their own policy chooses. */
class LocalityPicker implements Picker {
  readonly #edf = new Edf<WeightedPicker>()

  constructor(parts: readonly WeightedPicker[], random: Random) {
    for (const part of parts) this.#edf.add(part.weight, part)
    const skipped = Math.floor(random.next() * parts.length)
    for (let count = 0; count < skipped; count++) this.#edf.pick(weightOf)
  }

  pick(hash: bigint | undefined, attempt: number): EndpointState | undefined {
    return this.#edf.pick(weightOf)?.picker.pick(hash, attempt)
  }
}

const weightOf = (part: WeightedPicker): number => part.weight

function byOwnWeight(states: readonly EndpointState[]): Weighted[] {
  return states.map((state) => ({ state, weight: Math.max(1, state.endpoint.weight) }))
}

/** One ring or table for all localities: each endpoint's part of its locality's part. */
function byLocality(
  localities: PriorityGroup,
  usable: (states: readonly EndpointState[]) => readonly EndpointState[],
): Weighted[] {
  return localities.flatMap(({ weight, states }) => {
    const members = byOwnWeight(usable(states))
    const total = members.reduce((sum, member) => sum + member.weight, 0)
    return weight === 0 ? [] : members.map(({ state, weight: own }) => ({ state, weight: (weight * own) / total }))
  })
}

function healthOf(states: readonly EndpointState[]): { healthy: number; total: number } {
  let healthy = 0
  for (const state of states) if (state.usable) healthy++
  return { healthy, total: states.length }
}

function slowStartOf(
  priorities: readonly PriorityGroup[],
  { config, timers }: TableOptions,
): { curve: SlowStartCurve; until: number } | undefined {
  const { slowStart, lb } = config
  if (slowStart === undefined || (lb !== 'round-robin' && lb !== 'least-request')) return undefined
  const states = priorities.flat().flatMap(({ states }) => states)
  const until = states.reduce((latest, state) => Math.max(latest, state.usableSince + slowStart.windowMs), 0)
  return until > timers.now() ? { curve: new SlowStartCurve(slowStart, timers), until } : undefined
}
