/**
 * Protocol buffers' wire format, for the few messages the proxy exchanges with services per request: written and read
 * by field number, without the reflection that configuration is decoded with. The reader takes bytes from outside: it
 * is strict about the format, skips fields it is not asked for and never reads beyond the message.
 * https://protobuf.dev/programming-guides/encoding/
 */

const VARINT_BYTES_MAX = 10

export class ProtoWriter {
  readonly #parts: Buffer[] = []
  #length = 0

  /** Left out when empty, as proto3 does. */
  string(field: number, value: string): this {
    return value === '' ? this : this.bytes(field, Buffer.from(value))
  }

  bytes(field: number, value: Buffer): this {
    this.#varint(field * 8 + 2)
    this.#varint(value.length)
    return this.#push(value)
  }

  /** A message, also an empty one: whether it is there means something. */
  message(field: number, value: ProtoWriter): this {
    this.#varint(field * 8 + 2)
    this.#varint(value.#length)
    this.#parts.push(...value.#parts)
    this.#length += value.#length
    return this
  }

  /** int32, uint32, int64, uint64, enum, bool; not negative. */
  uint(field: number, value: number): this {
    if (value === 0) return this
    this.#varint(field * 8)
    return this.#varint(value)
  }

  /** A number that is a choice among others, and so there also where it is 0. */
  oneof(field: number, value: number): this {
    this.#varint(field * 8)
    return this.#varint(value)
  }

  bool(field: number, value: boolean): this {
    return this.uint(field, value ? 1 : 0)
  }

  /** 64 bits little-endian, given whole. */
  fixed64(field: number, value: bigint): this {
    const bytes = Buffer.allocUnsafe(8)
    bytes.writeBigUInt64LE(value)
    this.#varint(field * 8 + 1)
    return this.#push(bytes)
  }

  double(field: number, value: number): this {
    const bytes = Buffer.allocUnsafe(8)
    bytes.writeDoubleLE(value)
    this.#varint(field * 8 + 1)
    return this.#push(bytes)
  }

  /** One entry of a `map<string, string>`. */
  entry(field: number, key: string, value: string): this {
    return this.message(field, new ProtoWriter().string(1, key).string(2, value))
  }

  /** A google.protobuf.Duration or Timestamp. */
  time(field: number, ms: number): this {
    const seconds = Math.floor(ms / 1000)
    return this.message(field, new ProtoWriter().uint(1, seconds).uint(2, Math.round((ms - seconds * 1000) * 1e6)))
  }

  finish(): Buffer {
    return Buffer.concat(this.#parts, this.#length)
  }

  #varint(value: number): this {
    const bytes: number[] = []
    let rest = value
    while (rest > 127) {
      bytes.push((rest % 128) | 128)
      rest = Math.floor(rest / 128)
    }
    bytes.push(rest)
    return this.#push(Buffer.from(bytes))
  }

  #push(bytes: Buffer): this {
    this.#parts.push(bytes)
    this.#length += bytes.length
    return this
  }
}

/** Bytes that are no message. */
export class ProtoFault extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'ProtoFault'
  }
}

/**
 * Walks the fields of one message: `while (reader.next()) switch (reader.field) …`. The value of the present field is
 * read by its type's method; a field whose wire type is another is a ProtoFault, as are bytes cut short.
 */
export class ProtoReader {
  readonly #bytes: Buffer
  #at = 0
  #wire = 0
  /** Where the present field's value begins, and where the next field does. */
  #value = 0
  field = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  next(): boolean {
    if (this.#at >= this.#bytes.length) return false
    const tag = this.#varint()
    this.field = Math.floor(tag / 8)
    this.#wire = tag % 8
    if (this.field < 1 || this.field > 0x1fff_ffff) throw new ProtoFault('a field without number')
    this.#value = this.#at
    this.#skip()
    return true
  }

  bytes(): Buffer {
    this.#expect(2)
    const from = this.#valueAfterLength()
    return this.#bytes.subarray(from, this.#at)
  }

  string(): string {
    return this.bytes().toString('utf8')
  }

  message(): ProtoReader {
    return new ProtoReader(this.bytes())
  }

  /** Exact up to 2⁵³; an enum or int of more is no value that we know. */
  uint(): number {
    this.#expect(0)
    const after = this.#at
    this.#at = this.#value
    const value = this.#varint()
    this.#at = after
    return value
  }

  bool(): boolean {
    return this.uint() !== 0
  }

  double(): number {
    this.#expect(1)
    return this.#bytes.readDoubleLE(this.#value)
  }

  /** A google.protobuf.Duration, in milliseconds; negative ones count as 0. */
  durationMs(): number {
    const reader = this.message()
    let ms = 0
    while (reader.next()) {
      if (reader.field === 1) ms += reader.uint() * 1000
      else if (reader.field === 2) ms += reader.uint() / 1e6
    }
    return Number.isSafeInteger(Math.round(ms)) && ms < Number.MAX_SAFE_INTEGER ? ms : 0
  }

  #expect(wire: number): void {
    if (this.#wire !== wire) throw new ProtoFault(`field ${this.field} has wire type ${this.#wire}, not ${wire}`)
  }

  #valueAfterLength(): number {
    const after = this.#at
    this.#at = this.#value
    this.#varint()
    const from = this.#at
    this.#at = after
    return from
  }

  #skip(): void {
    switch (this.#wire) {
      case 0:
        this.#varint()
        break
      case 1:
        this.#at += 8
        break
      case 2: {
        const length = this.#varint()
        this.#at += length
        break
      }
      case 5:
        this.#at += 4
        break
      default:
        // Groups are gone since proto3, and nothing we talk to has them.
        throw new ProtoFault(`field ${this.field} has wire type ${this.#wire}`)
    }
    if (this.#at > this.#bytes.length) throw new ProtoFault(`field ${this.field} is cut short`)
  }

  /** Of more than 53 bits only the size survives: nothing here carries such a number. */
  #varint(): number {
    let value = 0
    let factor = 1
    for (let count = 0; count < VARINT_BYTES_MAX; count++) {
      const byte = this.#bytes[this.#at]
      if (byte === undefined) throw new ProtoFault('a number is cut short')
      this.#at++
      value += (byte & 127) * factor
      if (byte < 128) return value
      factor *= 128
    }
    throw new ProtoFault('a number is too long')
  }
}
