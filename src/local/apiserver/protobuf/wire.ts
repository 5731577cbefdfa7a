/**
 * Reads protobuf's wire format, strictly: what is cut off, overlong or of a type that Kubernetes never writes is an
 * error. Knows nothing of messages; fields.ts does.
 */
export class ProtobufError extends Error {
  /** 400: the bytes are broken. 415: they are fine, and this server does not know what they say. */
  readonly status: 400 | 415

  constructor(status: 400 | 415, message: string) {
    super(message)
    this.name = 'ProtobufError'
    this.status = status
  }
}

export const WIRE = { varint: 0, fixed64: 1, bytes: 2, fixed32: 5 } as const

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

export class WireReader {
  readonly #bytes: Uint8Array
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  get done(): boolean {
    return this.#at >= this.#bytes.length
  }

  /** The next field's number and wire type. */
  tag(): { number: number; wire: number } {
    const tag = this.varint()
    const number = Number(tag >> 3n)
    if (number < 1 || number > 536_870_911) throw new ProtobufError(400, `field number ${number} is out of range`)
    return { number, wire: Number(tag & 7n) }
  }

  varint(): bigint {
    let value = 0n
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.#bytes[this.#at]
      if (byte === undefined) throw new ProtobufError(400, 'the message is cut off within a number')
      this.#at += 1
      value |= BigInt(byte & 0x7f) << shift
      if (byte < 0x80) {
        if (value >= 1n << 64n) break
        return value
      }
    }
    throw new ProtobufError(400, 'a number is longer than 64 bits')
  }

  bytes(): Uint8Array {
    const length = this.varint()
    const left = this.#bytes.length - this.#at
    if (length > BigInt(left)) throw new ProtobufError(400, `a field claims ${length} bytes where ${left} are left`)
    const start = this.#at
    this.#at += Number(length)
    return this.#bytes.subarray(start, this.#at)
  }

  text(): string {
    try {
      return utf8.decode(this.bytes())
    } catch (error) {
      if (error instanceof ProtobufError) throw error
      throw new ProtobufError(400, 'a text is not UTF-8')
    }
  }
}
