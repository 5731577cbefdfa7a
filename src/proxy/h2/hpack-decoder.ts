/**
 * Decodes header blocks (RFC 7541). The whole block is always decoded, because later ones depend on the table; but
 * beyond the limits nothing is collected any more, so that a block of references to one big entry costs no memory.
 * Names and values are checked here, once per literal: an entry of the table remembers the verdict.
 */
import type { HeaderList } from '../message.ts'
import { VALUE } from '../h1/chars.ts'
import { kindOf, KIND, STATIC_COUNT, STATIC_KINDS, STATIC_TABLE } from './fields.ts'
import { decodeHuffman } from './huffman.ts'

/** Most connections repeat a handful of fields. */
const ENTRIES_MIN = 16
/** What an entry costs beside its bytes (RFC 7541 4.1). */
const ENTRY_OVERHEAD = 32

export class HpackDecoder {
  /** The block's fields as pairs, pseudo-headers included, with `kinds` beside; both are reused by the next block. */
  readonly fields: HeaderList = []
  readonly kinds: number[] = []
  /** The limits were passed and `fields` is cut short. */
  oversized = false
  /** Size of the list as RFC 9113 6.5.2 counts it. */
  listBytes = 0
  readonly #listBytesMax: number
  readonly #fieldsMax: number
  /** What we announced: the most the peer may choose. */
  readonly #tableMax: number
  #tableLimit: number
  #tableBytes = 0
  /** A ring of entries: the newest is at `#newest`, `#count` are alive; grows with their number. */
  #names: string[] = []
  #values: string[] = []
  #entryKinds: number[] = []
  #mask = -1
  #newest = 0
  #count = 0
  #at = 0
  #failed = false

  constructor(limits: {
    readonly headersMax: number
    readonly headerListBytesMax: number
    readonly headerTableBytes: number
  }) {
    this.#fieldsMax = limits.headersMax
    this.#listBytesMax = limits.headerListBytesMax
    this.#tableMax = limits.headerTableBytes
    this.#tableLimit = limits.headerTableBytes
  }

  /** False: the coding itself is broken, and with it the connection (COMPRESSION_ERROR). */
  decode(buffer: Buffer, start: number, end: number): boolean {
    // Setting `length` leaves compiled code; a handful of these does not.
    while (this.fields.length > 0) this.fields.pop()
    while (this.kinds.length > 0) this.kinds.pop()
    this.oversized = false
    this.listBytes = 0
    this.#at = start
    this.#failed = false
    let fieldSeen = false
    while (this.#at < end && !this.#failed) {
      const byte = buffer[this.#at] as number
      if (byte >= 0x80) this.#indexed(buffer, end)
      else if (byte >= 0x40) this.#literal(buffer, end, 6)
      else if (byte >= 0x20) this.#resize(buffer, end, fieldSeen)
      else this.#literal(buffer, end, 4)
      if ((byte & 0xe0) !== 0x20) fieldSeen = true
    }
    return !this.#failed
  }

  #fail(): void {
    this.#failed = true
  }

  #collect(name: string, value: string, kind: number): void {
    this.listBytes += name.length + value.length + ENTRY_OVERHEAD
    if (this.listBytes > this.#listBytesMax || this.kinds.length >= this.#fieldsMax + PSEUDO_MAX) {
      this.oversized = true
      return
    }
    this.fields.push(name, value)
    this.kinds.push(kind)
  }

  #indexed(buffer: Buffer, end: number): void {
    const index = this.#integer(buffer, end, 7)
    if (index > STATIC_COUNT) {
      const slot = this.#slotOf(index)
      if (slot < 0) return
      this.#collect(this.#names[slot] as string, this.#values[slot] as string, this.#entryKinds[slot] as number)
      return
    }
    const entry = STATIC_TABLE[index - 1]
    if (entry === undefined) return this.#fail()
    this.#collect(entry[0], entry[1], STATIC_KINDS[index - 1] as number)
  }

  #slotOf(index: number): number {
    const age = index - STATIC_COUNT - 1
    if (age < this.#count) return (this.#newest - age) & this.#mask
    this.#fail()
    return -1
  }

  #literal(buffer: Buffer, end: number, prefixBits: number): void {
    const index = this.#integer(buffer, end, prefixBits)
    if (this.#failed) return
    let name = ''
    let kind = 0
    if (index === 0) {
      name = this.#string(buffer, end)
      kind = kindOf(name)
    } else if (index <= STATIC_COUNT) {
      name = (STATIC_TABLE[index - 1] as readonly [string, string])[0]
      kind = STATIC_KINDS[index - 1] as number
    } else {
      const slot = this.#slotOf(index)
      if (slot < 0) return
      name = this.#names[slot] as string
      // A bad value spoils only the entry it came with.
      kind = this.#entryKinds[slot] === KIND.invalid ? kindOf(name) : (this.#entryKinds[slot] as number)
    }
    const value = this.#string(buffer, end)
    if (this.#failed) return
    if (!isValue(value)) kind = KIND.invalid
    if (prefixBits === 6) this.#insert(name, value, kind)
    this.#collect(name, value, kind)
  }

  #insert(name: string, value: string, kind: number): void {
    const bytes = name.length + value.length + ENTRY_OVERHEAD
    this.#evict(this.#tableLimit - bytes)
    if (bytes > this.#tableLimit) return
    if (this.#count > this.#mask) this.#grow()
    this.#newest = (this.#newest + 1) & this.#mask
    this.#names[this.#newest] = name
    this.#values[this.#newest] = value
    this.#entryKinds[this.#newest] = kind
    this.#count++
    this.#tableBytes += bytes
  }

  /** Doubles the ring; entries move to its start, oldest first. */
  #grow(): void {
    const slots = Math.max(ENTRIES_MIN, (this.#mask + 1) * 2)
    const order = Array.from({ length: this.#count }, (_, age) => (this.#newest - this.#count + 1 + age) & this.#mask)
    this.#names = order.map((slot) => this.#names[slot] as string)
    this.#values = order.map((slot) => this.#values[slot] as string)
    this.#entryKinds = order.map((slot) => this.#entryKinds[slot] as number)
    this.#newest = this.#count - 1
    this.#mask = slots - 1
  }

  /** Removes the oldest entries until at most `bytes` are left. */
  #evict(bytes: number): void {
    while (this.#count > 0 && this.#tableBytes > bytes) {
      const oldest = (this.#newest - this.#count + 1) & this.#mask
      this.#tableBytes -=
        (this.#names[oldest] as string).length + (this.#values[oldest] as string).length + ENTRY_OVERHEAD
      this.#names[oldest] = ''
      this.#values[oldest] = ''
      this.#count--
    }
  }

  /** Only at the start of a block, and never beyond what we announced (RFC 7541 4.2, 6.3). */
  #resize(buffer: Buffer, end: number, fieldSeen: boolean): void {
    const bytes = this.#integer(buffer, end, 5)
    if (fieldSeen || bytes > this.#tableMax) return this.#fail()
    this.#tableLimit = bytes
    this.#evict(bytes)
  }

  /** An integer of at most 28 bits: nothing we accept is larger (RFC 7541 5.1). */
  #integer(buffer: Buffer, end: number, prefixBits: number): number {
    const most = (1 << prefixBits) - 1
    let value = (buffer[this.#at++] as number) & most
    if (value < most) return value
    for (let shift = 0; shift <= 21; shift += 7) {
      if (this.#at >= end) break
      const byte = buffer[this.#at++] as number
      value += (byte & 0x7f) << shift
      if (byte < 0x80) return value
    }
    this.#fail()
    return 0
  }

  #string(buffer: Buffer, end: number): string {
    if (this.#at >= end || this.#failed) {
      this.#fail()
      return ''
    }
    const coded = (buffer[this.#at] as number) >= 0x80
    const length = this.#integer(buffer, end, 7)
    const start = this.#at
    if (this.#failed || length > end - start) {
      this.#fail()
      return ''
    }
    this.#at = start + length
    if (!coded) return buffer.toString('latin1', start, this.#at)
    const text = decodeHuffman(buffer, start, this.#at)
    if (text === undefined) this.#fail()
    return text ?? ''
  }
}

/** Pseudo-headers do not count as fields. */
const PSEUDO_MAX = 5

/** RFC 9113 8.2.1: what HTTP/1.1 allows, without blanks at the ends. */
function isValue(value: string): boolean {
  const last = value.length - 1
  if (last < 0) return true
  for (let index = 0; index <= last; index++) if (VALUE[value.charCodeAt(index)] !== 1) return false
  return !isBlank(value.charCodeAt(0)) && !isBlank(value.charCodeAt(last))
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09
}
