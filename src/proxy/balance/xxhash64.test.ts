import { describe, expect, it } from 'vitest'
import { xxhash64, xxhash64Into } from './xxhash64.ts'

const ALPHABET = 'abcdefghijklmnopqrstuvwxyz'

describe('xxhash64', () => {
  // Vectors of the reference implementation and of widely used ports.
  it.each([
    ['', 0, 0xef46db3751d8e999n],
    ['', 1, 0xd5afba1336a3be4bn],
    ['a', 0, 0xd24ec4f1a98c6e5bn],
    ['as', 0, 0x1c330fb2d66be179n],
    ['asd', 0, 0x631c37ce72a97393n],
    ['asdf', 0, 0x415872f599cea71en],
    ['abc', 0, 0x44bc2cf5ad770999n],
    ['Nobody inspects the spammish repetition', 0, 0xfbcea83c8a378bf1n],
    ['Call me Ishmael. Some years ago--never mind how long precisely-', 0, 0x02a2e85470d6fd96n],
  ])('of %j with seed %d', (text, seed, expected) => {
    expect(xxhash64(text, seed)).toBe(expected)
  })

  it('is the same for text and bytes, and for every length across the stripes', () => {
    const seen = new Set<bigint>()
    for (let length = 0; length <= 100; length++) {
      const text = ALPHABET.repeat(4).slice(0, length)
      expect(xxhash64(Buffer.from(text))).toBe(xxhash64(text))
      seen.add(xxhash64(text))
    }
    expect(seen.size).toBe(101)
  })

  it('writes the same hash in halves', () => {
    const halves = { high: new Uint32Array(2), low: new Uint32Array(2) }
    xxhash64Into('abc', halves, 1)
    expect((BigInt(halves.high[1] ?? 0) << 32n) | BigInt(halves.low[1] ?? 0)).toBe(xxhash64('abc'))
  })
})
