/**
 * Encodes header blocks (RFC 7541). A field enters the dynamic table when its value was among the last two seen under
 * its name: what repeats costs one byte, and what never does (ids, dates) evicts nothing; only the first of a name that
 * no table knows enters for the name's sake. Literals are not Huffman coded unless asked: inside a mesh the bytes are
 * cheaper than the time on both ends.
 */
import { STATIC_COUNT, STATIC_TABLE } from './fields.ts'
import { encodeHuffman, huffmanLength } from './huffman.ts'

const ENTRY_OVERHEAD = 32
/** Most connections send a handful of fields that repeat. */
const ENTRIES_MIN = 16
/** Below this a loop beats a call that copies. */
const LOOP_CHARS_MAX = 24
/** An entry that only its name is wanted of takes at most this part of the table. */
const NAME_SHARE = 16
/** Names remembered; beyond it a new name is sent literally, so that no peer can grow the map. */
const NAMES_MAX = 512
/** Never kept in a table, here or at any hop behind us (RFC 7541 7.1.3): one connection carries many callers. */
const SECRET = new Set(['authorization', 'proxy-authorization', 'cookie', 'set-cookie'])

interface StaticName {
  /** First position of the name. */
  readonly index: number
  /** Positions of its values. */
  readonly values: Map<string, number>
}

const STATIC_NAMES = new Map<string, StaticName>()
for (const [at, [name, value]] of STATIC_TABLE.entries()) {
  const known = STATIC_NAMES.get(name) ?? { index: at + 1, values: new Map<string, number>() }
  STATIC_NAMES.set(name, known)
  if (value !== '') known.values.set(value, at + 1)
}

/** What one connection knows of a name; made when it first sends it. */
class NameEntry {
  readonly name: string
  readonly fixed: StaticName | undefined
  readonly secret: boolean
  /** Value → serial number of its entry; made with the first entry. */
  values: Map<string, number> | undefined = undefined
  /** Serial number of the newest dynamic entry with this name, 0 for none. */
  newest = 0
  seen = ''
  seenBefore = ''
  /** What was last sent by reference, and where it stands: comparing it costs less than hashing a new string. */
  last = ''
  lastFixed = 0
  lastSerial = 0

  constructor(name: string) {
    this.name = name
    this.fixed = STATIC_NAMES.get(name)
    this.secret = SECRET.has(name)
  }
}

/** Blocks are copied out as soon as they are complete, so all connections write into one buffer. */
let scratch = Buffer.allocUnsafeSlow(16 * 1024)

export class HpackEncoder {
  /** The block so far; valid until the next `begin` of any encoder. */
  buffer: Buffer = scratch
  length = 0
  readonly #huffman: boolean
  readonly #tableMax: number
  readonly #names = new Map<string, NameEntry>()
  /** Alive entries, from `#oldest` to `#serial`, at their serial number's slot; grows with their number. */
  #entries: ({ readonly of: NameEntry; readonly value: string } | undefined)[] = []
  #mask = -1
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
    this.buffer = scratch
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
    if (entry.secret) return this.#literal(entry, value, 0x10)
    if (value === entry.last) {
      if (entry.lastFixed > 0) return this.#integer(0x80, 7, entry.lastFixed)
      if (entry.lastSerial >= this.#oldest) return this.#integer(0x80, 7, this.#positionOf(entry.lastSerial))
    }
    if (this.#known(entry, value)) return
    if (value === entry.seen || value === entry.seenBefore || this.#wantsName(entry, value)) {
      this.#literal(entry, value, 0x40)
      this.#insert(entry, value)
      return
    }
    entry.seenBefore = entry.seen
    entry.seen = value
    this.#literal(entry, value, 0)
  }

  /** Seen again, and in no table: with its value it enters, once, so that those after it need not spell its name. */
  #wantsName(entry: NameEntry, value: string): boolean {
    if (entry.fixed !== undefined || entry.seen === '' || entry.newest >= this.#oldest) return false
    return (entry.name.length + value.length + ENTRY_OVERHEAD) * NAME_SHARE <= this.#tableLimit
  }

  /** Writes a field that one of the tables holds. */
  #known(entry: NameEntry, value: string): boolean {
    const fixed = entry.fixed?.values.get(value) ?? 0
    const serial = fixed > 0 ? undefined : entry.values?.get(value)
    if (fixed === 0 && serial === undefined) return false
    entry.last = value
    entry.lastFixed = fixed
    entry.lastSerial = serial ?? 0
    this.#integer(0x80, 7, serial === undefined ? fixed : this.#positionOf(serial))
    return true
  }

  #entryOf(name: string): NameEntry | undefined {
    const known = this.#names.get(name)
    if (known !== undefined || this.#names.size >= NAMES_MAX) return known
    const entry = new NameEntry(name)
    this.#names.set(name, entry)
    return entry
  }

  #positionOf(serial: number): number {
    return STATIC_COUNT + 1 + this.#serial - serial
  }

  #literal(entry: NameEntry, value: string, pattern: number): void {
    const prefixBits = pattern === 0x40 ? 6 : 4
    if (entry.fixed !== undefined) this.#integer(pattern, prefixBits, entry.fixed.index)
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
    if (this.#serial - this.#oldest === this.#mask) this.#grow()
    const serial = ++this.#serial
    this.#entries[serial & this.#mask] = { of: entry, value }
    entry.values ??= new Map()
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
        if (entry.of.values?.get(entry.value) === this.#oldest) entry.of.values.delete(entry.value)
      }
      this.#oldest++
    }
  }

  #grow(): void {
    const mask = this.#mask < 0 ? ENTRIES_MIN - 1 : this.#mask * 2 + 1
    const entries = Array.from({ length: mask + 1 }, () => this.#entries[0])
    for (let serial = this.#oldest; serial <= this.#serial; serial++)
      entries[serial & mask] = this.#entries[serial & this.#mask]
    this.#entries = entries
    this.#mask = mask
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
    const { length } = text
    this.#integer(0, 7, length)
    const { buffer } = this
    let at = this.length
    if (length > LOOP_CHARS_MAX) buffer.write(text, at, 'latin1')
    else for (let index = 0; index < length; index++) buffer[at++] = text.charCodeAt(index)
    this.length += length
  }

  #room(bytes: number): void {
    if (this.buffer.length - this.length >= bytes) return
    const grown = Buffer.allocUnsafeSlow((this.length + bytes) * 2)
    grown.set(this.buffer.subarray(0, this.length), 0)
    this.buffer = grown
    scratch = grown
  }
}
