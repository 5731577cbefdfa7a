/**
 * Reads the server name and the ALPN offers out of a TLS ClientHello before any TLS library sees it, so that a port
 * with several roles can choose one. It parses strictly and knows nothing of sockets; it authenticates nothing: what
 * is decided by the name is checked again against the finished handshake.
 */
export type ClientHello =
  | { readonly kind: 'hello'; readonly serverName: string; readonly alpn: readonly string[] }
  /** A prefix of a well-formed ClientHello: read on. */
  | { readonly kind: 'incomplete' }
  | { readonly kind: 'invalid'; readonly reason: string }

export const CLIENT_HELLO_BYTES_MAX = 16_384 // Envoy's tls_inspector reads as much
const RECORD_HEADER_BYTES = 5
const RECORD_BYTES_MAX = 16_384 // RFC 8446 section 5.1
const CONTENT_HANDSHAKE = 22
const HANDSHAKE_CLIENT_HELLO = 1
const EXTENSION_SERVER_NAME = 0
const EXTENSION_ALPN = 16
const SERVER_NAME = /^(?=.{1,253}$)[a-z0-9_]([-a-z0-9_]*[a-z0-9_])?(\.[a-z0-9_]([-a-z0-9_]*[a-z0-9_])?)*$/

/** `unrecognized_name` (112), fatal: the answer to a server name no chain knows (RFC 6066 section 3). */
export const ALERT_UNRECOGNIZED_NAME: Buffer = Buffer.from([21, 3, 3, 0, 2, 2, 112])

const INCOMPLETE: ClientHello = { kind: 'incomplete' }
const invalid = (reason: string): ClientHello => ({ kind: 'invalid', reason })

export interface HelloOptions {
  /** Upper case in a server name is made lower case, as TLS libraries do; otherwise it is refused. */
  readonly foldCase?: true
}

/** `bytes` are all bytes the client has sent so far. */
export function parseClientHello(bytes: Buffer, options: HelloOptions = {}): ClientHello {
  const gathered = gatherHandshake(bytes)
  if (!Buffer.isBuffer(gathered)) return gathered
  if (gathered.length > CLIENT_HELLO_BYTES_MAX) return invalid('ClientHello over 16 KiB')
  const reader = new Reader(gathered, 4, gathered.length)
  // legacy_version, random; session id, cipher suites and compression methods are OpenSSL's to judge.
  reader.skip(2 + 32)
  reader.vector(1, 0)
  const suites = reader.vector(2, 2)
  reader.vector(1, 1)
  if (reader.failed || suites.length % 2 !== 0) return invalid('malformed ClientHello')
  if (reader.done) return invalid('no extensions')
  const extensions = reader.vector(2, 0)
  if (reader.failed || !reader.done) return invalid('malformed extensions')
  return readExtensions(extensions, options)
}

/** The handshake message out of its records: it may be spread over several. */
function gatherHandshake(bytes: Buffer): Buffer | ClientHello {
  const parts: Buffer[] = []
  let announced = 0
  for (let offset = 0; ;) {
    const recordBytes = readRecordHeader(bytes, offset)
    if (typeof recordBytes !== 'number') return recordBytes
    const start = offset + RECORD_HEADER_BYTES
    const part = bytes.subarray(start, start + recordBytes)
    parts.push(part)
    const message = parts.length === 1 ? part : Buffer.concat(parts)
    announced += recordBytes
    const state = judgeMessage(message, announced)
    if (state !== 'partial') return state === 'whole' ? message : state
    if (part.length < recordBytes) return INCOMPLETE
    offset = start + recordBytes
  }
}

/** Length of the record at `offset`, or why there is none. */
function readRecordHeader(bytes: Buffer, offset: number): number | ClientHello {
  if (bytes.length > offset && bytes[offset] !== CONTENT_HANDSHAKE) return invalid('not a TLS handshake record')
  if (bytes.length < offset + RECORD_HEADER_BYTES) return INCOMPLETE
  if (bytes[offset + 1] !== 3) return invalid('not a TLS record version')
  const recordBytes = bytes.readUInt16BE(offset + 3)
  return recordBytes === 0 || recordBytes > RECORD_BYTES_MAX ? invalid('record length out of range') : recordBytes
}

/** `announced`: what the records begun so far hold, arrived or not: how the bytes arrive must not change the verdict. */
function judgeMessage(message: Buffer, announced: number): 'partial' | 'whole' | ClientHello {
  if (message.length >= 1 && message[0] !== HANDSHAKE_CLIENT_HELLO) return invalid('not a ClientHello')
  if (message.length < 4) return 'partial'
  const total = 4 + message.readUIntBE(1, 3)
  if (total > CLIENT_HELLO_BYTES_MAX) return invalid('ClientHello over 16 KiB')
  // A record that goes on past the ClientHello would carry a second message before the first is answered.
  if (announced > total) return invalid('bytes after the ClientHello in its record')
  return message.length < total ? 'partial' : 'whole'
}

function readExtensions(extensions: Buffer, options: HelloOptions): ClientHello {
  const reader = new Reader(extensions, 0, extensions.length)
  const seen = new Set<number>()
  let serverName = ''
  let alpn: readonly string[] = []
  while (!reader.done) {
    const type = reader.number(2)
    const body = reader.vector(2, 0)
    if (reader.failed) return invalid('malformed extension')
    // RFC 8446 section 4.2: no two of a kind. Two server names would let two readers see two different ones.
    if (seen.has(type)) return invalid(`extension ${type} twice`)
    seen.add(type)
    if (type === EXTENSION_SERVER_NAME) {
      const name = readServerName(body, options)
      if (name === undefined) return invalid('malformed server name')
      serverName = name
    } else if (type === EXTENSION_ALPN) {
      const offers = readAlpn(body)
      if (offers === undefined) return invalid('malformed ALPN')
      alpn = offers
    }
  }
  return { kind: 'hello', serverName, alpn }
}

/** Exactly one entry of type host_name; upper case is refused, since tables are looked up byte by byte. */
function readServerName(body: Buffer, { foldCase }: HelloOptions): string | undefined {
  const reader = new Reader(body, 0, body.length)
  const list = reader.vector(2, 4)
  if (reader.failed || !reader.done) return undefined
  const entry = new Reader(list, 0, list.length)
  const type = entry.number(1)
  const name = entry.vector(2, 1)
  if (entry.failed || !entry.done || type !== 0) return undefined
  const text = foldCase === true ? name.toString('latin1').toLowerCase() : name.toString('latin1')
  return SERVER_NAME.test(text) ? text : undefined
}

function readAlpn(body: Buffer): readonly string[] | undefined {
  const reader = new Reader(body, 0, body.length)
  const list = reader.vector(2, 2)
  if (reader.failed || !reader.done) return undefined
  const offers: string[] = []
  const entries = new Reader(list, 0, list.length)
  while (!entries.done) {
    const offer = entries.vector(1, 1)
    if (entries.failed) return undefined
    offers.push(offer.toString('latin1'))
  }
  return offers
}

const NO_BYTES = Buffer.alloc(0)

/** Bounds-checked cursor: after the first overrun everything reads as empty and `failed` stays true. */
class Reader {
  readonly #bytes: Buffer
  #offset: number
  readonly #end: number
  failed = false

  constructor(bytes: Buffer, offset: number, end: number) {
    this.#bytes = bytes
    this.#offset = offset
    this.#end = end
    if (offset > end) this.failed = true
  }

  get done(): boolean {
    return this.failed || this.#offset === this.#end
  }

  skip(length: number): void {
    if (this.#offset + length > this.#end) this.failed = true
    else this.#offset += length
  }

  number(width: 1 | 2): number {
    if (this.failed || this.#offset + width > this.#end) {
      this.failed = true
      return 0
    }
    const value = this.#bytes.readUIntBE(this.#offset, width)
    this.#offset += width
    return value
  }

  /** A vector with a length prefix of `width` bytes and at least `lengthMin` bytes. */
  vector(width: 1 | 2, lengthMin: number): Buffer {
    const length = this.number(width)
    if (this.failed || length < lengthMin || this.#offset + length > this.#end) {
      this.failed = true
      return NO_BYTES
    }
    const body = this.#bytes.subarray(this.#offset, this.#offset + length)
    this.#offset += length
    return body
  }
}
