/**
 * xxHash64 (XXH64), the hash that Envoy places endpoints and requests with: the same key must lead to the same
 * endpoint whichever proxy asks. In halves of 32 bits, since a BigInt per step would cost fifty times as much and a
 * ring is rebuilt on the data path. Not for secrets: anyone can make collisions.
 */
const PRIME_1 = [0x9e3779b1, 0x85ebca87] as const
const PRIME_2 = [0xc2b2ae3d, 0x27d4eb4f] as const
const PRIME_3 = [0x165667b1, 0x9e3779f9] as const
const PRIME_4 = [0x85ebca77, 0xc2b2ae63] as const
const PRIME_5 = [0x27d4eb2f, 0x165667c5] as const

/** The result of the last step below: high and low half. Saves an object per step. */
let high = 0
let low = 0

/** `seed` up to 32 bits. */
export function xxhash64(input: string | Uint8Array, seed = 0): bigint {
  const bytes = typeof input === 'string' ? Buffer.from(input) : input
  digest(bytes, seed)
  return (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0)
}

/** The hash as two unsigned halves, written to `halves` at `at`: for tables that hold thousands of them. */
export function xxhash64Into(input: string, halves: { high: Uint32Array; low: Uint32Array }, at: number): void {
  digest(Buffer.from(input), 0)
  halves.high[at] = high >>> 0
  halves.low[at] = low >>> 0
}

function digest(bytes: Uint8Array, seed: number): void {
  const { length } = bytes
  let at = 0
  if (length >= 32) at = stripes(bytes, seed)
  else {
    set(0, seed)
    add(PRIME_5[0], PRIME_5[1])
  }
  add(0, length)
  for (; at + 8 <= length; at += 8) {
    const [accHigh, accLow] = [high, low]
    round(0, 0, word(bytes, at + 4), word(bytes, at))
    set(high ^ accHigh, low ^ accLow)
    rotate(27)
    multiply(PRIME_1)
    add(PRIME_4[0], PRIME_4[1])
  }
  if (at + 4 <= length) {
    const [accHigh, accLow] = [high, low]
    set(0, word(bytes, at))
    multiply(PRIME_1)
    set(high ^ accHigh, low ^ accLow)
    rotate(23)
    multiply(PRIME_2)
    add(PRIME_3[0], PRIME_3[1])
    at += 4
  }
  for (; at < length; at++) {
    const [accHigh, accLow] = [high, low]
    set(0, bytes[at] ?? 0)
    multiply(PRIME_5)
    set(high ^ accHigh, low ^ accLow)
    rotate(11)
    multiply(PRIME_1)
  }
  avalanche()
}

/** Four lanes of eight bytes each; returns where they end. */
function stripes(bytes: Uint8Array, seed: number): number {
  const lanes = startLanes(seed)
  let at = 0
  for (; at + 32 <= bytes.length; at += 32) {
    for (let lane = 0; lane < 4; lane++) {
      const offset = at + lane * 8
      round(lanes[lane * 2] ?? 0, lanes[lane * 2 + 1] ?? 0, word(bytes, offset + 4), word(bytes, offset))
      lanes[lane * 2] = high
      lanes[lane * 2 + 1] = low
    }
  }
  const rotations = [1, 7, 12, 18] as const
  let [sumHigh, sumLow] = [0, 0]
  for (const [lane, bits] of rotations.entries()) {
    set(lanes[lane * 2] ?? 0, lanes[lane * 2 + 1] ?? 0)
    rotate(bits)
    add(sumHigh, sumLow)
    ;[sumHigh, sumLow] = [high, low]
  }
  for (let lane = 0; lane < 4; lane++) {
    round(0, 0, lanes[lane * 2] ?? 0, lanes[lane * 2 + 1] ?? 0)
    set(high ^ sumHigh, low ^ sumLow)
    multiply(PRIME_1)
    add(PRIME_4[0], PRIME_4[1])
    ;[sumHigh, sumLow] = [high, low]
  }
  set(sumHigh, sumLow)
  return at
}

function startLanes(seed: number): Int32Array {
  const lanes = new Int32Array(8)
  const keep = (lane: number): void => {
    lanes[lane * 2] = high
    lanes[lane * 2 + 1] = low
  }
  set(0, seed)
  add(PRIME_1[0], PRIME_1[1])
  add(PRIME_2[0], PRIME_2[1])
  keep(0)
  set(0, seed)
  add(PRIME_2[0], PRIME_2[1])
  keep(1)
  set(0, seed)
  keep(2)
  set(0, seed)
  // Minus the prime: plus its two's complement.
  add(~PRIME_1[0], ~PRIME_1[1])
  add(0, 1)
  keep(3)
  return lanes
}

/** acc + input × prime 2, rotated by 31, × prime 1. */
function round(accHigh: number, accLow: number, inputHigh: number, inputLow: number): void {
  set(inputHigh, inputLow)
  multiply(PRIME_2)
  add(accHigh, accLow)
  rotate(31)
  multiply(PRIME_1)
}

function avalanche(): void {
  shiftXor(33)
  multiply(PRIME_2)
  shiftXor(29)
  multiply(PRIME_3)
  shiftXor(32)
}

function set(toHigh: number, toLow: number): void {
  high = toHigh | 0
  low = toLow | 0
}

function add(otherHigh: number, otherLow: number): void {
  const sum = (low >>> 0) + (otherLow >>> 0)
  high = (high + otherHigh + (sum > 0xffffffff ? 1 : 0)) | 0
  low = sum | 0
}

function rotate(bits: number): void {
  const [oldHigh, oldLow] = [high, low]
  high = (oldHigh << bits) | (oldLow >>> (32 - bits))
  low = (oldLow << bits) | (oldHigh >>> (32 - bits))
}

function shiftXor(bits: number): void {
  if (bits >= 32) {
    low ^= high >>> (bits - 32)
    return
  }
  const [oldHigh, oldLow] = [high, low]
  high ^= oldHigh >>> bits
  low ^= (oldLow >>> bits) | (oldHigh << (32 - bits))
}

/** The low 64 bits of the product, through partial products of 16 bits, which doubles hold exactly. */
function multiply([byHigh, byLow]: readonly [number, number]): void {
  const a0 = low & 0xffff
  const a1 = low >>> 16
  const b0 = byLow & 0xffff
  const b1 = byLow >>> 16
  const p00 = a0 * b0
  const p01 = a0 * b1
  const p10 = a1 * b0
  const middle = (p00 >>> 16) + (p01 & 0xffff) + (p10 & 0xffff)
  const carried = a1 * b1 + (p01 >>> 16) + (p10 >>> 16) + (middle >>> 16)
  const cross = Math.imul(high, byLow) + Math.imul(low, byHigh)
  high = (carried + cross) | 0
  low = ((middle & 0xffff) << 16) | (p00 & 0xffff)
}

const word = (bytes: Uint8Array, at: number): number =>
  (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8) | ((bytes[at + 2] ?? 0) << 16) | ((bytes[at + 3] ?? 0) << 24)
