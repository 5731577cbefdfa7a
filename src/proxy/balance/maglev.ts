/**
 * Maglev hashing (Eisenbud et al., NSDI 2016, with Envoy's weights): a table of fixed prime size that endpoints fill
 * in turn, each along its own permutation. A look-up is one remainder; balance is better than a ring's, and a change
 * moves a little more.
 */
import type { Maglev } from '../../model/config.ts'
import type { Random } from '../../runtime/random.ts'
import type { EndpointState } from './endpoint.ts'
import type { Picker, Weighted } from './picker.ts'
import { hashKeyOf } from './ring.ts'
import { xxhash64 } from './xxhash64.ts'

const TABLE_SIZE = 65_537 // Envoy's default
const FREE = -1
const MASK_64 = 0xffff_ffff_ffff_ffffn

export class MaglevPicker implements Picker {
  readonly #members: readonly Weighted[]
  readonly #random: Random
  readonly #table: Int32Array
  readonly #size: bigint

  constructor(members: readonly Weighted[], random: Random, config: Maglev | undefined) {
    this.#members = members
    this.#random = random
    this.#table = buildMaglev(members, config?.tableSize ?? TABLE_SIZE)
    this.#size = BigInt(this.#table.length)
  }

  pick(hash: bigint | undefined, attempt: number): EndpointState | undefined {
    const index = hash === undefined ? Math.floor(this.#random.next() * this.#table.length) : this.#at(hash, attempt)
    return this.#members[this.#table[index] ?? FREE]?.state
  }

  /** Another attempt hashes elsewhere, since neighbours in the table mean nothing. */
  #at(hash: bigint, attempt: number): number {
    const moved = attempt === 0 ? hash : hash ^ (MASK_64 - BigInt(attempt) + 1n)
    return Number(moved % this.#size)
  }
}

/** Index of a member per place. */
export function buildMaglev(members: readonly Weighted[], size: number): Int32Array {
  const table = new Int32Array(size).fill(FREE)
  const heaviest = members.reduce((most, { weight }) => Math.max(most, weight), 0)
  const entries = members.map(({ state, weight }) => {
    const key = hashKeyOf(state)
    return {
      weight: weight / heaviest,
      target: 0,
      at: Number(xxhash64(key) % BigInt(size)),
      skip: Number(xxhash64(key, 1) % BigInt(size - 1)) + 1,
    }
  })
  if (entries.length === 0) return table
  let filled = 0
  for (let turn = 1; filled < size; turn++) {
    for (const [index, entry] of entries.entries()) {
      if (filled === size) break
      // A lighter endpoint sits out turns in proportion.
      if (turn * entry.weight < entry.target) continue
      entry.target++
      while (table[entry.at] !== FREE) entry.at = (entry.at + entry.skip) % size
      table[entry.at] = index
      entry.at = (entry.at + entry.skip) % size
      filled++
    }
  }
  return table
}
