/**
 * Lines of JSON written by hand into bytes: a line of access log per request is a large part of what a request costs,
 * and text that is put together from parts, and kept until it is written, costs most of that in collection. Knows
 * nothing of what the lines say. All bytes are ASCII: what is not is escaped, which JSON allows everywhere.
 */

const ROOM_BYTES = 80 * 1024
const COPIED_BYTES_MAX = 16 * 1024
/** Below this a loop beats a call that copies. */
const LOOP_CHARS_MAX = 40
const COUNT_MAX = 1e15
const DIGITS_MAX = 16
const QUOTE = 0x22
const BACKSLASH = 0x5c
const ZERO = 0x30

export class LineBuffer {
  length = 0
  #bytes: Buffer = Buffer.allocUnsafeSlow(ROOM_BYTES)
  #second = Number.NaN
  #secondText = ''

  /** Text that is ASCII already: names, punctuation, what `asciiJson` made. */
  raw(text: string): void {
    const { length } = text
    this.#reserve(length)
    const bytes = this.#bytes
    let at = this.length
    this.length += length
    if (length > LOOP_CHARS_MAX) bytes.write(text, at, 'latin1')
    else for (let index = 0; index < length; index++) bytes[at++] = text.charCodeAt(index)
  }

  /** As `raw`, for what many lines have in common. */
  bytes(part: Buffer): void {
    this.#reserve(part.length)
    this.#bytes.set(part, this.length)
    this.length += part.length
  }

  /** A JSON string, quotes included. */
  quoted(text: string): void {
    const { length } = text
    this.#reserve(length + 2)
    const bytes = this.#bytes
    let at = this.length
    bytes[at++] = QUOTE
    for (let index = 0; index < length; index++) {
      const code = text.charCodeAt(index)
      if (code < 0x20 || code > 0x7e || code === QUOTE || code === BACKSLASH) return this.raw(asciiJson(text))
      bytes[at++] = code
    }
    bytes[at++] = QUOTE
    this.length = at
  }

  /** What is no count is written as 0. */
  integer(value: number): void {
    let rest = value >= 0 && value <= COUNT_MAX ? Math.floor(value) : 0
    this.#reserve(DIGITS_MAX)
    let digits = 1
    for (let limit = 10; rest >= limit; limit *= 10) digits++
    const bytes = this.#bytes
    const start = this.length
    this.length = start + digits
    for (let at = start + digits - 1; at >= start; at--) {
      const next = Math.floor(rest / 10)
      bytes[at] = ZERO + rest - next * 10
      rest = next
    }
  }

  /** Two decimals. */
  hundredths(value: number): void {
    const count = value >= 0 && value < 1e12 ? Math.round(value * 100) : 0
    const rest = count % 100
    this.integer((count - rest) / 100)
    this.#reserve(3)
    this.#bytes[this.length++] = 0x2e
    this.#bytes[this.length++] = ZERO + Math.floor(rest / 10)
    this.#bytes[this.length++] = ZERO + (rest % 10)
  }

  /** ISO 8601 in UTC; the part down to the second is made once per second. */
  time(epochMs: number): void {
    const whole = Math.floor(epochMs)
    const second = Math.floor(whole / 1_000)
    if (second !== this.#second) {
      this.#second = second
      this.#secondText = new Date(second * 1_000).toISOString().slice(0, 20)
    }
    const ms = whole - second * 1_000
    this.raw(this.#secondText)
    if (ms < 100) this.raw(ms < 10 ? '00' : '0')
    this.integer(ms)
    this.raw('Z')
  }

  /** What was written since the last time; it belongs to the caller. */
  take(): Buffer {
    const { length } = this
    const bytes = this.#bytes
    this.length = 0
    // Little is copied, so that a quiet process keeps its room.
    if (length <= COPIED_BYTES_MAX && bytes.length === ROOM_BYTES) return Buffer.from(bytes.subarray(0, length))
    this.#bytes = Buffer.allocUnsafeSlow(ROOM_BYTES)
    return bytes.subarray(0, length)
  }

  #reserve(bytes: number): void {
    if (this.#bytes.length - this.length >= bytes) return
    const grown = Buffer.allocUnsafeSlow((this.length + bytes) * 2)
    grown.set(this.#bytes.subarray(0, this.length), 0)
    this.#bytes = grown
  }
}

/** JSON of anything, in ASCII. */
export function asciiJson(value: unknown): string {
  return JSON.stringify(value).replaceAll(
    /[\u007f-\uffff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}
