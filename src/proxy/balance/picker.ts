/**
 * Chooses one endpoint of a set whose members may all be used: what Envoy calls a load-balancing policy. Which set
 * (priority, locality, subset, panic) is table.ts's decision; each policy is a small class here or, for the two that
 * hash, a file of its own.
 */
import type { Cluster } from '../../model/config.ts'
import type { Random } from '../../runtime/random.ts'
import { turnNumber } from '../h1/turn.ts'
import { Edf } from './edf.ts'
import type { EndpointState } from './endpoint.ts'
import { MaglevPicker } from './maglev.ts'
import { RingPicker } from './ring.ts'
import type { SlowStartCurve } from './slow-start.ts'

/** An endpoint and its share of the set, locality weights included where they count. */
export interface Weighted {
  readonly state: EndpointState
  readonly weight: number
}

export interface Picker {
  /**
   * `hash`: where a request belongs; absent, a hashing policy takes any place. `attempt`: 0, then one more for each
   * time that the answer was not wanted.
   */
  pick(hash: bigint | undefined, attempt: number): EndpointState | undefined
}

export interface PickerOptions {
  readonly config: Cluster
  readonly random: Random
  /** Undefined while slow start is off or every member is past it. */
  readonly slowStart: SlowStartCurve | undefined
}

const CHOICES = 2 // Envoy's default choice_count

export function isHashing(lb: Cluster['lb']): boolean {
  return lb === 'ring-hash' || lb === 'maglev'
}

export function createPicker(members: readonly Weighted[], options: PickerOptions): Picker {
  const { config, random } = options
  const [only] = members
  if (only !== undefined && members.length === 1) return { pick: () => only.state }
  switch (config.lb) {
    case 'random':
      return new RandomPicker(members, random)
    case 'ring-hash':
      return new RingPicker(members, random, config.ringHash)
    case 'maglev':
      return new MaglevPicker(members, random, config.maglev)
    case 'round-robin':
      return isEven(members, options) ? new TurnPicker(members, random) : turnsByWeight(members, options)
    case 'least-request':
      return isEven(members, options)
        ? new LeastPicker(members, random, config.leastRequest?.choiceCount ?? CHOICES)
        : leastByWeight(members, options)
    default:
      return config.lb satisfies never
  }
}

/** Weights are only walked where they differ, or will differ while some members start slowly. */
function isEven(members: readonly Weighted[], { slowStart }: PickerOptions): boolean {
  return slowStart === undefined && members.every(({ weight }) => weight === members[0]?.weight)
}

/** Any of them, whatever its weight: so Envoy defines it. */
class RandomPicker implements Picker {
  readonly #members: readonly Weighted[]
  readonly #random: Random

  constructor(members: readonly Weighted[], random: Random) {
    this.#members = members
    this.#random = random
  }

  pick(): EndpointState | undefined {
    return this.#members[Math.floor(this.#random.next() * this.#members.length)]?.state
  }
}

/** One after the other, from a random start so that many proxies do not begin with the same endpoint. */
class TurnPicker implements Picker {
  readonly #members: readonly Weighted[]
  #next: number

  constructor(members: readonly Weighted[], random: Random) {
    this.#members = members
    this.#next = Math.floor(random.next() * members.length)
  }

  pick(): EndpointState | undefined {
    const member = this.#members[this.#next]
    this.#next = (this.#next + 1) % this.#members.length
    return member?.state
  }
}

/**
 * The least busy of a few drawn at random; ties go to the first drawn. Requests of the same turn of the event loop stay
 * with it while it is the least busy of the draw: they then share a write, and wake one peer instead of several. That
 * never makes anyone busier than somebody already is, and spreads like a new draw where little is under way.
 */
class LeastPicker implements Picker {
  readonly #members: readonly Weighted[]
  readonly #random: Random
  readonly #choices: number
  #turn = -1
  #chosen: EndpointState | undefined = undefined
  /** What it had under way when it was chosen, and how much it may have. */
  #activeThen = 0
  #activeMax = 0

  constructor(members: readonly Weighted[], random: Random, choices: number) {
    this.#members = members
    this.#random = random
    this.#choices = choices
  }

  pick(): EndpointState | undefined {
    const chosen = this.#chosen
    // Whoever was given a request and did not take it is not asked again.
    if (chosen !== undefined && this.#turn === turnNumber() && chosen.active > this.#activeThen) {
      this.#activeThen = chosen.active
      if (chosen.active < this.#activeMax) return chosen
    }
    return this.#draw()
  }

  #draw(): EndpointState | undefined {
    let best: EndpointState | undefined
    let next = 0
    for (let choice = 0; choice < this.#choices; choice++) {
      const state = this.#members[Math.floor(this.#random.next() * this.#members.length)]?.state
      if (state === undefined) continue
      if (best === undefined || state.active < best.active) {
        next = best?.active ?? Number.POSITIVE_INFINITY
        best = state
      } else next = Math.min(next, state.active)
    }
    this.#turn = turnNumber()
    this.#chosen = best
    this.#activeThen = best?.active ?? 0
    this.#activeMax = next === Number.POSITIVE_INFINITY ? 0 : next
    return best
  }
}

type WeightOf = (member: Weighted) => number

/** Turns in proportion to weights. */
class EdfPicker implements Picker {
  readonly #edf = new Edf<Weighted>()
  readonly #weightOf: WeightOf

  constructor(members: readonly Weighted[], random: Random, weightOf: WeightOf) {
    this.#weightOf = weightOf
    for (const member of members) this.#edf.add(weightOf(member), member)
    // As with turns: not every proxy begins with the heaviest.
    const skipped = Math.floor(random.next() * members.length)
    for (let count = 0; count < skipped; count++) this.#edf.pick(weightOf)
  }

  pick(): EndpointState | undefined {
    return this.#edf.pick(this.#weightOf)?.state
  }
}

function turnsByWeight(members: readonly Weighted[], { random, slowStart }: PickerOptions): Picker {
  return new EdfPicker(members, random, ({ state, weight }) => weight * (slowStart?.factorOf(state) ?? 1))
}

/** Envoy's way with unequal weights: an endpoint's turns grow rarer with what it has under way. */
function leastByWeight(members: readonly Weighted[], { config, random, slowStart }: PickerOptions): Picker {
  const bias = config.leastRequest?.activeRequestBias ?? 1
  return new EdfPicker(members, random, ({ state, weight }) => {
    const eager = weight * (slowStart?.factorOf(state) ?? 1)
    if (bias === 0) return eager
    return eager / (bias === 1 ? state.active + 1 : (state.active + 1) ** bias)
  })
}
