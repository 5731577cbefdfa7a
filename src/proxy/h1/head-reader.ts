/**
 * Reads the head of one message, or a trailer section, line by line from the socket's buffers. Lines end in CRLF and
 * nothing else, there is no folding, and every byte is checked against its table (RFC 9112, at its strictest). It
 * collects what frames the message but judges none of it: framing.ts does.
 *
 * A line that is not complete yet is read again from its start when more arrives; the caller asks only after a new
 * LF, so that a peer sending byte by byte costs no more than one sending whole lines.
 */
import { addCookieCrumb, type HeaderList } from '../message.ts'
import { parseAuthority, TARGET, TOKEN, VALUE } from './chars.ts'
import { FIELD, hashStep, idInSlot, knownNameSlot, nameInSlot } from './field-names.ts'

const CR = 13
const LF = 10
const SP = 32
const COLON = 58
/** Start of a buffer that is made one string, of which values are slices; values beyond it are made one by one. */
const TEXT_BYTES = 2_048
const METHOD_BYTES_MAX = 32

export type ReadState = 'more' | 'done' | 'failed'
type Kind = 'request' | 'response' | 'trailers'

export class HeadReader {
  method = ''
  target = ''
  /** HTTP/1.x. */
  minor = 1
  status = 0
  headers: HeaderList = []
  hosts = 0
  host = ''
  contentLengths = 0
  contentLength = ''
  transferEncodings = 0
  transferEncoding = ''
  connection = ''
  upgrade = ''
  expect = ''
  te = ''
  /** In trailers: a field that frames or routes and so has no place there. */
  misplaced = false
  state: ReadState = 'more'
  /** Status to answer when `failed`. */
  failure = 0
  failureDetail = ''
  readonly #headersMax: number
  readonly #bytesMax: number
  #kind: Kind = 'request'
  #startRead = false
  #fields = 0
  #bytes = 0
  #cookieAt = -1
  #text = ''
  #textStart = 0
  #knownHost = ''
  #knownAuthority: string | undefined = undefined

  constructor(limits: { readonly headersMax: number; readonly headBytesMax: number }) {
    this.#headersMax = limits.headersMax
    this.#bytesMax = limits.headBytesMax
  }

  reset(kind: Kind): void {
    this.headers = []
    this.hosts = 0
    this.contentLengths = 0
    this.transferEncodings = 0
    this.transferEncoding = ''
    this.connection = ''
    this.upgrade = ''
    this.expect = ''
    this.te = ''
    this.misplaced = false
    this.state = 'more'
    this.failure = 0
    this.#kind = kind
    this.#startRead = kind === 'trailers'
    this.#fields = 0
    this.#bytes = 0
    this.#cookieAt = -1
  }

  /**
   * What Host names. A connection names the same host again and again: it is judged once, and whoever looks it up in
   * a table finds the same string, whose hash is known.
   */
  authorityOf(host: string): string | undefined {
    if (host !== this.#knownHost) {
      this.#knownHost = host
      this.#knownAuthority = parseAuthority(host, false)
    }
    return this.#knownAuthority
  }

  /** Any byte of this head has been seen (an empty line before a request does not count). */
  get begun(): boolean {
    return this.#bytes > 0
  }

  get bytes(): number {
    return this.#bytes
  }

  /** Reads whole lines; returns where it stopped. While `state` is `more`, what follows is an incomplete line. */
  read(buffer: Buffer, start: number, end: number): number {
    this.#textStart = start
    this.#text = buffer.toString('latin1', start, Math.min(end, start + TEXT_BYTES))
    let at = start
    while (this.state === 'more') {
      const next = this.#startRead ? this.#readField(buffer, at, end) : this.#readStart(buffer, at, end)
      if (next < 0) break
      this.#bytes += next - at
      at = next
      if (this.#bytes > this.#bytesMax) this.#fail(431, 'the head is too long')
    }
    if (this.state === 'more' && this.#bytes + end - at > this.#bytesMax) this.#fail(431, 'the head is too long')
    this.#text = ''
    return at
  }

  #fail(status: number, detail: string): -1 {
    this.state = 'failed'
    this.failure = status
    this.failureDetail = detail
    return -1
  }

  #slice(buffer: Buffer, from: number, to: number): string {
    const offset = from - this.#textStart
    const length = to - from
    if (offset + length <= this.#text.length) return this.#text.substring(offset, offset + length)
    return buffer.toString('latin1', from, to)
  }

  #readStart(buffer: Buffer, start: number, end: number): number {
    return this.#kind === 'request'
      ? this.#readRequestLine(buffer, start, end)
      : this.#readStatusLine(buffer, start, end)
  }

  #readRequestLine(buffer: Buffer, start: number, end: number): number {
    const methodStart = this.#skipEmptyLine(buffer, start, end)
    if (methodStart < 0) return -1
    const methodEnd = scanName(buffer, methodStart, end)
    if (methodEnd - methodStart > METHOD_BYTES_MAX) return this.#fail(400, 'the method is too long')
    if (methodEnd === end) return -1
    if (buffer[methodEnd] !== SP || methodEnd === methodStart) return this.#fail(400, 'the method is no token')
    const targetStart = methodEnd + 1
    const targetEnd = scan(buffer, targetStart, end, TARGET)
    if (targetEnd === end) return -1
    if (buffer[targetEnd] !== SP || targetEnd === targetStart) return this.#fail(400, 'the target has a forbidden byte')
    const next = this.#readVersion(buffer, targetEnd + 1, end)
    if (next < 0) return next
    if (buffer[next] !== CR || buffer[next + 1] !== LF) return this.#fail(400, 'the request line does not end in CRLF')
    this.method = isGet(buffer, methodStart, methodEnd) ? 'GET' : this.#slice(buffer, methodStart, methodEnd)
    this.target = this.#slice(buffer, targetStart, targetEnd)
    this.#startRead = true
    return next + 2
  }

  /** One empty line before a request is tolerated (RFC 9112 2.2): old clients end a body with CRLF. */
  #skipEmptyLine(buffer: Buffer, start: number, end: number): number {
    if (buffer[start] !== CR) return start
    if (start + 1 >= end) return -1
    if (buffer[start + 1] !== LF) return this.#fail(400, 'the request line has a bare CR')
    return start + 2
  }

  /** Position after `HTTP/1.x` with two more bytes at hand, or -1. */
  #readVersion(buffer: Buffer, start: number, end: number): number {
    if (end - start < 10) {
      // A line that ends early is judged as it would be with more bytes behind it, however they come.
      const lineEnd = buffer.indexOf(LF, start)
      if (lineEnd === -1 || lineEnd >= end) return -1
      if (lineEnd - start < 8) return this.#fail(400, 'the version is malformed')
    }
    const major = buffer[start + 5] as number
    const minor = buffer[start + 7] as number
    const named =
      buffer[start] === 0x48 && buffer[start + 1] === 0x54 && buffer[start + 2] === 0x54 && buffer[start + 3] === 0x50
    if (!named || buffer[start + 4] !== 0x2f || buffer[start + 6] !== 0x2e || !isDigit(major) || !isDigit(minor))
      return this.#fail(400, 'the version is malformed')
    if (major !== 0x31 || minor > 0x31) return this.#fail(505, 'the version is not HTTP/1.0 or 1.1')
    this.minor = minor - 0x30
    return start + 8
  }

  #readStatusLine(buffer: Buffer, start: number, end: number): number {
    const lineEnd = buffer.indexOf(LF, start)
    if (lineEnd === -1 || lineEnd >= end) return -1
    if (lineEnd - start < 13) return this.#fail(502, 'the status line is malformed')
    const at = this.#readVersion(buffer, start, end)
    if (at < 0) return at
    const hundreds = buffer[at + 1] as number
    const tens = buffer[at + 2] as number
    const ones = buffer[at + 3] as number
    if (buffer[at] !== SP || hundreds < 0x31 || hundreds > 0x39 || !isDigit(tens) || !isDigit(ones))
      return this.#fail(502, 'the status is no number of three digits')
    // The reason phrase is optional, and so is the space before it in practice; its bytes are checked all the same.
    let reason = at + 4
    if (buffer[reason] !== SP && buffer[reason] !== CR) return this.#fail(502, 'the status line is malformed')
    while (VALUE[buffer[reason] as number] === 1) reason++
    if (buffer[reason] !== CR || reason + 1 !== lineEnd) return this.#fail(502, 'the reason has a forbidden byte')
    this.status = (hundreds - 0x30) * 100 + (tens - 0x30) * 10 + ones - 0x30
    this.#startRead = true
    return lineEnd + 1
  }

  #readField(buffer: Buffer, start: number, end: number): number {
    const nameEnd = scanName(buffer, start, end)
    const hash = nameHash
    if (nameEnd >= end) return -1
    if (buffer[nameEnd] !== COLON || nameEnd === start) return this.#readEnd(buffer, start, nameEnd, end)
    const valueStart = skipBlanks(buffer, nameEnd + 1, end)
    const at = scan(buffer, valueStart, end, VALUE)
    if (at + 1 >= end) return at < end && buffer[at] !== CR ? this.#fail(400, 'a value has a forbidden byte') : -1
    if (buffer[at] !== CR || buffer[at + 1] !== LF) return this.#fail(400, 'a value has a forbidden byte')
    if (++this.#fields > this.#headersMax) return this.#fail(431, 'too many fields')
    const value = this.#slice(buffer, valueStart, trimBlanks(buffer, valueStart, at))
    const slot = knownNameSlot(buffer, start, nameEnd, hash)
    if (slot === -1) this.headers.push(this.#slice(buffer, start, nameEnd).toLowerCase(), value)
    else this.#collect(slot, value)
    return at + 2
  }

  /** The empty line that ends the head, or a line that is none. */
  #readEnd(buffer: Buffer, start: number, at: number, end: number): number {
    if (at !== start || buffer[at] !== CR) return this.#fail(400, 'a field name has a forbidden byte')
    if (at + 1 >= end) return -1
    if (buffer[at + 1] !== LF) return this.#fail(400, 'a line ends in a bare CR')
    this.state = 'done'
    return at + 2
  }

  #collect(slot: number, value: string): void {
    const id = idInSlot(slot)
    switch (id) {
      case FIELD.other:
        this.headers.push(nameInSlot(slot), value)
        return
      case FIELD.cookie:
        this.#cookieAt = addCookieCrumb(this.headers, this.#cookieAt, value)
        return
      case FIELD.host:
        this.hosts++
        this.host = value
        this.misplaced = true
        return
      case FIELD.contentLength:
        this.contentLengths++
        this.contentLength = value
        this.misplaced = true
        return
      case FIELD.transferEncoding:
        this.transferEncodings++
        this.transferEncoding = this.transferEncoding === '' ? value : `${this.transferEncoding},${value}`
        this.misplaced = true
        return
      default:
        return this.#collectHop(id, value)
    }
  }

  #collectHop(id: number, value: string): void {
    if (id === FIELD.connection) this.connection = this.connection === '' ? value : `${this.connection},${value}`
    else if (id === FIELD.upgrade) this.upgrade = this.upgrade === '' ? value : `${this.upgrade},${value}`
    else if (id === FIELD.expect) this.expect = this.expect === '' ? value : `${this.expect},${value}`
    else if (id === FIELD.te) this.te = this.te === '' ? value : `${this.te},${value}`
  }
}

/** Hash of the name that `scanName` saw last: a second result without an object. */
let nameHash = 0

function scanName(buffer: Buffer, start: number, end: number): number {
  let hash = 0
  let at = start
  for (; at < end; at++) {
    const lower = TOKEN[buffer[at] as number] as number
    if (lower === 0) break
    hash = hashStep(hash, lower)
  }
  nameHash = hash
  return at
}

/** The first position whose byte is not in `allowed`, or `end`. */
function scan(buffer: Buffer, start: number, end: number, allowed: Uint8Array): number {
  let at = start
  while (at < end && allowed[buffer[at] as number] === 1) at++
  return at
}

function skipBlanks(buffer: Buffer, start: number, end: number): number {
  let at = start
  while (at < end && isBlank(buffer[at] as number)) at++
  return at
}

function trimBlanks(buffer: Buffer, start: number, end: number): number {
  let at = end
  while (at > start && isBlank(buffer[at - 1] as number)) at--
  return at
}

function isBlank(byte: number): boolean {
  return byte === SP || byte === 9
}

function isGet(buffer: Buffer, start: number, end: number): boolean {
  return end - start === 3 && buffer[start] === 0x47 && buffer[start + 1] === 0x45 && buffer[start + 2] === 0x54
}

function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39
}
