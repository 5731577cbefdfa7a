/**
 * Request ids: random UUIDs (RFC 9562 5.4). As node:crypto's randomUUID, but each is one flat string: that one is put
 * together from twenty parts, which are collected one by one and flattened by the first who writes them.
 */
import { randomFillSync } from 'node:crypto'

const ID_BYTES = 16
const POOL_BYTES = 256 * ID_BYTES
/** Where the two digits of each byte stand. */
const PLACES = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34]
const DIGITS = Buffer.from('0123456789abcdef', 'latin1')

const pool = Buffer.allocUnsafeSlow(POOL_BYTES)
const text = Buffer.from('00000000-0000-4000-8000-000000000000', 'latin1')
let next = POOL_BYTES

export function randomId(): string {
  if (next === POOL_BYTES) {
    randomFillSync(pool)
    next = 0
  }
  for (let index = 0; index < ID_BYTES; index++) {
    const byte = pool[next + index] as number
    const place = PLACES[index] as number
    text[place] = DIGITS[byte >> 4] as number
    text[place + 1] = DIGITS[byte & 15] as number
  }
  text[14] = 0x34
  text[19] = DIGITS[8 | ((pool[next + 8] as number) >> 6)] as number
  next += ID_BYTES
  return text.toString('latin1')
}
