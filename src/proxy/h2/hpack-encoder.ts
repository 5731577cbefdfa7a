/**
 * Encodes header blocks (RFC 7541). A field enters the dynamic table when its value was among the last two seen under
 * its name: what repeats costs one byte, and what never does (ids, dates) evicts nothing. Literals are not Huffman
 * coded unless asked: inside a mesh the bytes are cheaper than the time on both ends.
 */
import { STATIC_COUNT, STATIC_TABLE } from './fields.ts'
import { encodeHuffman, huffmanLength } from './huffman.ts'

const ENTRY_OVERHEAD = 32
/** Names remembered; beyond it a new name is sent literally, so that no peer can grow the map. */
const NAMES_MAX = 512
/** Never kept in a table, here or at any hop behind us (RFC 7541 7.1.3): one connection carries many callers. */
const SECRET = new Set(['authorization', 'proxy-authorization', 'cookie', 'set-cookie'])

class NameEntry {
  readonly name: string
  /** Position of the name in the static table, 0 when it is not there. */
  readonly staticIndex: number
  readonly secret: boolean
  /** Value → serial number of the entry (dynamic), or minus its static position. */
  readonly values = new Map<string, number>()
  /** Serial number of the newest dynamic entry with this name, 0 for none. */
  newest = 0
  seen = ''
  seenBefore = ''

  constructor(name: string, staticIndex: number) {
    this.name = name
    this.staticIndex = staticIndex
    this.secret = SECRET.has(name)
  }
}

export class HpackEncoder {
  /** The block so far. */
  buffer: Buffer = Buffer.allocUnsafeSlow(4_096)
  length = 0
  readonly #huffman: boolean
  readonly #tableMax: number
  readonly #names = new Map<string, NameEntry>()
  /** Alive entries, oldest first, from `#oldest` to `#serial`; both are serial numbers. */
  readonly #entries: ({ readonly of: NameEntry; readonly value: string } | undefined)[]
  readonly #mask: number
  #oldest = 1
  #serial = 0
  #tableBytes = 0
  #tableLimit: number
  /** The smallest limit since the last block, -1 when it did not change: the decoder must evict as far as we did. */
  #lowest = -1

  /** `tableMax` is what we are willing to keep; the peer's setting may lower it. */
  constructor(tableMax: number, options: { readonly huffman: boolean }) {
    this.#huffman = options.huffman
    this.#tableMax = tableMax
    this.#tableLimit = Math.min(tableMax, 4_096)
    const slots = 2 ** Math.ceil(Math.log2(tableMax / ENTRY_OVERHEAD + 1))
    this.#mask = slots - 1
    this.#entries = Array.from({ length: slots }, () => undefined)
    for (let index = 1; index <= STATIC_COUNT; index++) {
      const [name, value] = STATIC_TABLE[index - 1] ?? ['', '']
      let entry = this.#names.get(name)
      if (entry === undefined) this.#names.set(name, (entry = new NameEntry(name, index)))
      if (value !== '') entry.values.set(value, -index)
    }
  }

  /** The peer's SETTINGS_HEADER_TABLE_SIZE; takes effect with the next block, which says so (RFC 7541 4.2). */
  limitTable(bytes: number): void {
    const limit = Math.min(bytes, this.#tableMax)
    if (limit === this.#tableLimit) return
    this.#tableLimit = limit
    this.#evict(limit)
    this.#lowest = this.#lowest === -1 ? limit : Math.min(this.#lowest, limit)
  }

  begin(): void {
    this.length = 0
    if (this.#lowest === -1) return
    this.#room(16)
    if (this.#lowest < this.#tableLimit) this.#integer(0x20, 5, this.#lowest)
    this.#lowest = -1
    this.#integer(0x20, 5, this.#tableLimit)
  }

  field(name: string, value: string): void {
    this.#room(name.length + value.length + 24)
    const entry = this.#entryOf(name)
    if (entry === undefined) {
      this.buffer[this.length++] = 0
      this.#string(name)
      this.#string(value)
      return
    }
    const found = entry.values.get(value) ?? 0
    if (found !== 0 && !entry.secret) return this.#integer(0x80, 7, this.#positionOf(found))
    if (entry.secret) return this.#literal(entry, value, 0x10)
    if (value === entry.seen || value === entry.seenBefore) {
      this.#literal(entry, value, 0x40)
      this.#insert(entry, value)
      return
    }
    entry.seenBefore = entry.seen
    entry.seen = value
    this.#literal(entry, value, 0)
  }

  #entryOf(name: string): NameEntry | undefined {
    const known = this.#names.get(name)
    if (known !== undefined || this.#names.size >= NAMES_MAX) return known
    const entry = new NameEntry(name, 0)
    this.#names.set(name, entry)
    return entry
  }

  #positionOf(found: number): number {
    return found < 0 ? -found : STATIC_COUNT + 1 + this.#serial - found
  }

  #literal(entry: NameEntry, value: string, pattern: number): void {
    const prefixBits = pattern === 0x40 ? 6 : 4
    if (entry.staticIndex !== 0) this.#integer(pattern, prefixBits, entry.staticIndex)
    else if (entry.newest >= this.#oldest) this.#integer(pattern, prefixBits, this.#positionOf(entry.newest))
    else {
      this.buffer[this.length++] = pattern
      this.#string(entry.name)
    }
    this.#string(value)
  }

  #insert(entry: NameEntry, value: string): void {
    const bytes = entry.name.length + value.length + ENTRY_OVERHEAD
    this.#evict(this.#tableLimit - bytes)
    if (bytes > this.#tableLimit) return
    const serial = ++this.#serial
    this.#entries[serial & this.#mask] = { of: entry, value }
    entry.values.set(value, serial)
    entry.newest = serial
    this.#tableBytes += bytes
  }

  #evict(bytes: number): void {
    while (this.#oldest <= this.#serial && this.#tableBytes > bytes) {
      const slot = this.#oldest & this.#mask
      const entry = this.#entries[slot]
      this.#entries[slot] = undefined
      if (entry !== undefined) {
        this.#tableBytes -= entry.of.name.length + entry.value.length + ENTRY_OVERHEAD
        if (entry.of.values.get(entry.value) === this.#oldest) entry.of.values.delete(entry.value)
      }
      this.#oldest++
    }
  }

  #integer(pattern: number, prefixBits: number, value: number): void {
    const most = (1 << prefixBits) - 1
    if (value < most) {
      this.buffer[this.length++] = pattern | value
      return
    }
    this.buffer[this.length++] = pattern | most
    let rest = value - most
    for (; rest >= 0x80; rest >>>= 7) this.buffer[this.length++] = 0x80 | (rest & 0x7f)
    this.buffer[this.length++] = rest
  }

  #string(text: string): void {
    const coded = this.#huffman ? huffmanLength(text) : text.length
    if (coded < text.length) {
      this.#integer(0x80, 7, coded)
      this.length = encodeHuffman(text, this.buffer, this.length)
      return
    }
    this.#integer(0, 7, text.length)
    this.length += this.buffer.write(text, this.length, 'latin1')
  }

  #room(bytes: number): void {
    if (this.buffer.length - this.length >= bytes) return
    const grown = Buffer.allocUnsafeSlow((this.length + bytes) * 2)
    grown.set(this.buffer.subarray(0, this.length), 0)
    this.buffer = grown
  }
}
