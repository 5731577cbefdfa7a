/**
 * Consistent hashing on a ring (Ketama): an endpoint that comes or goes moves only the requests next to its places.
 * Envoy's construction: places by `address_i` under xxHash64, as many as weight and the ring's bounds ask for.
 */
import type { RingHash } from '../../model/config.ts'
import type { Random } from '../../runtime/random.ts'
import type { EndpointState } from './endpoint.ts'
import type { Picker, Weighted } from './picker.ts'
import { xxhash64Into } from './xxhash64.ts'

const RING_SIZE_MIN = 1_024 // Envoy's default
const RING_SIZE_MAX = 8_388_608 // Envoy's default and limit

export class RingPicker implements Picker {
  readonly #ring: Ring
  readonly #random: Random

  constructor(members: readonly Weighted[], random: Random, config: RingHash | undefined) {
    this.#ring = buildRing(members, config)
    this.#random = random
  }

  pick(hash: bigint | undefined, attempt: number): EndpointState | undefined {
    const { size, high, low, states } = this.#ring
    if (size === 0) return undefined
    if (hash === undefined) return states[Math.floor(this.#random.next() * size)]
    const [hashHigh, hashLow] = [Number(hash >> 32n), Number(hash & 0xffff_ffffn)]
    let [from, to] = [0, size]
    while (from < to) {
      const middle = (from + to) >> 1
      const isBefore = (high[middle] ?? 0) < hashHigh || (high[middle] === hashHigh && (low[middle] ?? 0) < hashLow)
      if (isBefore) from = middle + 1
      else to = middle
    }
    // Past the last place the ring begins again; another attempt takes the next place.
    return states[(from + attempt) % size]
  }
}

interface Ring {
  readonly size: number
  readonly high: Uint32Array
  readonly low: Uint32Array
  readonly states: readonly EndpointState[]
}

export function buildRing(members: readonly Weighted[], config: RingHash | undefined): Ring {
  const counts = placesOf(members, config)
  const size = counts.reduce((sum, count) => sum + count, 0)
  const high = new Uint32Array(size)
  const low = new Uint32Array(size)
  const owners = new Uint32Array(size)
  let at = 0
  for (const [owner, { state }] of members.entries()) {
    const address = hashKeyOf(state)
    for (let place = 0; place < (counts[owner] ?? 0); place++) {
      xxhash64Into(`${address}_${place}`, { high, low }, at)
      owners[at++] = owner
    }
  }
  const order = Uint32Array.from({ length: size }, (_unused, index) => index).sort(
    (one, other) => (high[one] ?? 0) - (high[other] ?? 0) || (low[one] ?? 0) - (low[other] ?? 0),
  )
  const states: EndpointState[] = []
  for (const index of order) {
    const member = members[owners[index] ?? 0]
    if (member !== undefined) states.push(member.state)
  }
  return { size, high: order.map((index) => high[index] ?? 0), low: order.map((index) => low[index] ?? 0), states }
}

/** The smallest ring within the bounds on which the lightest endpoint has a whole number of places. */
function placesOf(members: readonly Weighted[], config: RingHash | undefined): number[] {
  const total = members.reduce((sum, { weight }) => sum + weight, 0)
  const least = members.reduce((least, { weight }) => Math.min(least, weight), Number.POSITIVE_INFINITY) / total
  if (members.length === 0) return []
  const { sizeMin = RING_SIZE_MIN, sizeMax = RING_SIZE_MAX } = config ?? {}
  const scale = Math.min(Math.ceil(least * sizeMin) / least, sizeMax)
  let placed = 0
  let target = 0
  return members.map(({ weight }) => {
    target += (scale * weight) / total
    const before = placed
    while (placed < target) placed++
    return placed - before
  })
}

/** As Envoy writes an address, so that a mixed mesh agrees on places. */
export function hashKeyOf(state: EndpointState): string {
  const { address, port, metadata } = state.endpoint
  const key = metadata?.['hash_key']
  if (typeof key === 'string' && key !== '') return key
  return `${address.includes(':') ? `[${address}]` : address}:${port}`
}
