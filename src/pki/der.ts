/**
 * A small DER writer and a strict DER reader (ITU-T X.690): exactly the types that certificates and CSRs use. The
 * reader takes untrusted bytes, so it refuses every BER freedom: indefinite and padded lengths, tags above 30,
 * trailing bytes. It never recurses: callers descend by schema, so depth is theirs.
 */

/** Universal tags, as they stand in the first byte (constructed bit included). */
export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  nil: 0x05,
  oid: 0x06,
  utf8: 0x0c,
  printable: 0x13,
  ia5: 0x16,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const

/** `[n]` with primitive content. */
export const contextPrimitive = (number: number): number => 0x80 | number
/** `[n]` with constructed content. */
export const contextConstructed = (number: number): number => 0xa0 | number

export function encode(tag: number, ...content: readonly Uint8Array[]): Buffer {
  const length = content.reduce((sum, part) => sum + part.length, 0)
  return Buffer.concat([Buffer.from([tag]), encodeLength(length), ...content])
}

function encodeLength(length: number): Buffer {
  if (length < 0x80) return Buffer.from([length])
  const bytes: number[] = []
  for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) bytes.unshift(rest % 256)
  return Buffer.from([0x80 | bytes.length, ...bytes])
}

export const sequence = (...parts: readonly Uint8Array[]): Buffer => encode(TAG.sequence, ...parts)
export const octetString = (bytes: Uint8Array): Buffer => encode(TAG.octetString, bytes)
export const bitString = (bytes: Uint8Array, unusedBits = 0): Buffer =>
  encode(TAG.bitString, Buffer.from([unusedBits]), bytes)
export const utf8String = (text: string): Buffer => encode(TAG.utf8, Buffer.from(text, 'utf8'))
export const TRUE = encode(TAG.boolean, Buffer.from([0xff]))

/** SET OF: DER wants the elements in ascending order of their encodings (X.690 section 11.6). */
export function setOf(...parts: readonly Buffer[]): Buffer {
  return encode(TAG.set, ...[...parts].sort((a, b) => Buffer.compare(a, b)))
}

/** Non-negative integer from its big-endian bytes. */
export function unsignedInteger(bytes: Uint8Array): Buffer {
  let start = 0
  while (start < bytes.length - 1 && bytes[start] === 0) start++
  const trimmed = bytes.subarray(start)
  const negative = trimmed.length === 0 || (trimmed[0] ?? 0) >= 0x80
  return encode(TAG.integer, ...(negative ? [Buffer.from([0])] : []), trimmed)
}

export const smallInteger = (value: number): Buffer => unsignedInteger(Buffer.from([value]))

export function oid(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number)
  return encode(TAG.oid, Buffer.from([first * 40 + second, ...rest.flatMap((arc) => base128(arc))]))
}

function base128(arc: number): number[] {
  const bytes = [arc & 0x7f]
  for (let rest = Math.floor(arc / 128); rest > 0; rest = Math.floor(rest / 128)) bytes.unshift(0x80 | (rest & 0x7f))
  return bytes
}

/** RFC 5280 section 4.1.2.5: UTCTime until 2049, GeneralizedTime from 2050; seconds, Zulu. */
export function time(epochMs: number): Buffer {
  const digits = new Date(epochMs).toISOString().replaceAll(/[-:T]|\.\d+Z/g, '')
  return digits < '2050'
    ? encode(TAG.utcTime, Buffer.from(`${digits.slice(2)}Z`, 'latin1'))
    : encode(TAG.generalizedTime, Buffer.from(`${digits}Z`, 'latin1'))
}

/** What the reader throws; parsers of untrusted bytes turn it into their refusal. */
export class DerError extends Error {}

export interface DerElement {
  readonly tag: number
  /** Content octets; a view into the input. */
  readonly content: Buffer
  /** Tag, length and content; a view into the input. */
  readonly raw: Buffer
}

export class DerReader {
  readonly #bytes: Buffer
  #offset = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  get done(): boolean {
    return this.#offset >= this.#bytes.length
  }

  /** The next element's tag, or undefined at the end. */
  peek(): number | undefined {
    return this.#bytes[this.#offset]
  }

  next(tag?: number): DerElement {
    const start = this.#offset
    const found = this.#bytes[start]
    if (found === undefined) throw new DerError('the data ends where an element is expected')
    if ((found & 0x1f) === 0x1f) throw new DerError('a tag number above 30')
    if (tag !== undefined && found !== tag) throw new DerError(`tag ${hex(found)} where ${hex(tag)} is expected`)
    const { length, offset } = this.#length(start + 1)
    const end = offset + length
    if (end > this.#bytes.length) throw new DerError('an element is longer than the data')
    this.#offset = end
    return { tag: found, content: this.#bytes.subarray(offset, end), raw: this.#bytes.subarray(start, end) }
  }

  /** Reads a constructed element and hands over a reader of its content. */
  enter(tag: number = TAG.sequence): DerReader {
    return new DerReader(this.next(tag).content)
  }

  /** The element if it has this tag, else nothing is consumed. */
  optional(tag: number): DerElement | undefined {
    return this.peek() === tag ? this.next(tag) : undefined
  }

  end(): void {
    if (!this.done) throw new DerError('bytes after the last element')
  }

  #length(at: number): { length: number; offset: number } {
    const first = this.#bytes[at]
    if (first === undefined) throw new DerError('the data ends where a length is expected')
    if (first < 0x80) return { length: first, offset: at + 1 }
    const count = first & 0x7f
    // 0x80 is BER's indefinite form; four bytes address more than any input here may have.
    if (count === 0 || count > 4) throw new DerError('an indefinite or oversized length')
    let length = 0
    for (let index = 1; index <= count; index++) {
      const byte = this.#bytes[at + index]
      if (byte === undefined) throw new DerError('the data ends inside a length')
      length = length * 256 + byte
    }
    if (length < 0x80 || length < 256 ** (count - 1)) throw new DerError('a length that is not minimal')
    return { length, offset: at + 1 + count }
  }
}

/** Reads one element that spans all of `bytes`. */
export function readOnly(bytes: Buffer, tag: number): DerElement {
  const reader = new DerReader(bytes)
  const element = reader.next(tag)
  reader.end()
  return element
}

export function readBoolean(element: DerElement): boolean {
  const byte = element.content[0]
  if (element.content.length !== 1 || (byte !== 0xff && byte !== 0)) throw new DerError('a malformed BOOLEAN')
  return byte === 0xff
}

/** Whole bytes only: no type here has a bit string with unused bits but KeyUsage, which reads its own. */
export function readBitString(element: DerElement): Buffer {
  if (element.content[0] !== 0) throw new DerError('a BIT STRING that is not whole bytes')
  return element.content.subarray(1)
}

export function readOid(element: DerElement): string {
  const arcs: number[] = []
  let value = 0
  let fresh = true
  for (const byte of element.content) {
    if (fresh && byte === 0x80) throw new DerError('an OID arc that is not minimal')
    value = value * 128 + (byte & 0x7f)
    if (value > 0xffff_ffff) throw new DerError('an OID arc that is too large')
    fresh = byte < 0x80
    if (!fresh) continue
    if (arcs.length === 0)
      arcs.push(Math.min(2, Math.floor(value / 40)), value - 40 * Math.min(2, Math.floor(value / 40)))
    else arcs.push(value)
    value = 0
  }
  if (!fresh || arcs.length === 0) throw new DerError('a malformed OID')
  return arcs.join('.')
}

/** Printable ASCII without space: NUL and control bytes in names have fooled verifiers before (CVE-2009-2408). */
export function readAscii(element: DerElement): string {
  for (const byte of element.content) {
    if (byte < 0x21 || byte > 0x7e) throw new DerError('a name with bytes outside printable ASCII')
  }
  return element.content.toString('latin1')
}

/** Milliseconds since the epoch of a UTCTime or GeneralizedTime in the form that RFC 5280 fixes. */
export function readTime(element: DerElement): number {
  const text = element.content.toString('latin1')
  const match = /^(\d{2}|\d{4})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})Z$/.exec(text)
  const isUtc = element.tag === TAG.utcTime
  const [, year = '', month = '', day = '', hour = '', minute = '', second = ''] = match ?? []
  if ((!isUtc && element.tag !== TAG.generalizedTime) || year.length !== (isUtc ? 2 : 4)) {
    throw new DerError('a malformed time')
  }
  const fullYear = isUtc ? `${Number(year) < 50 ? '20' : '19'}${year}` : year
  const epochMs = Date.parse(`${fullYear}-${month}-${day}T${hour}:${minute}:${second}Z`)
  if (Number.isNaN(epochMs)) throw new DerError('a time that does not exist')
  return epochMs
}

const hex = (tag: number): string => `0x${tag.toString(16).padStart(2, '0')}`
