/**
 * From decoded fields to heads and back (RFC 9113 8.1 to 8.5, RFC 8441): pseudo-headers complete, once and first; no
 * field of a connection; what HTTP/1.1 could misread (a space in a path, a second host) refused here, because the
 * other side of the proxy may speak it.
 */
import { AUTHORITY, isMadeOf, lengthOf, parseAuthority, TARGET, TOKEN } from '../h1/chars.ts'
import { addCookieCrumb, LENGTH_UNKNOWN, type HeaderList, type RequestHead, type ResponseHead } from '../message.ts'
import { KIND } from './fields.ts'
import type { HpackDecoder } from './hpack-decoder.ts'
import type { HpackEncoder } from './hpack-encoder.ts'

export interface IncomingRequest {
  readonly head: RequestHead
  readonly expectsContinue: boolean
}

/** What one pass over the fields found; one per connection, reused. */
class Collected {
  headers: HeaderList = []
  method = ''
  scheme = ''
  authority = ''
  path = ''
  protocol = ''
  status = ''
  host = ''
  contentLength = LENGTH_UNKNOWN
  expect = ''
  /** Bit per pseudo-header seen, by kind. */
  pseudo = 0
  regular = false
  cookieAt = -1

  reset(): void {
    this.headers = []
    this.contentLength = LENGTH_UNKNOWN
    this.host = ''
    this.expect = ''
    this.pseudo = 0
    this.regular = false
    this.cookieAt = -1
  }
}

const found = new Collected()

function has(kind: number): boolean {
  return (found.pseudo & (1 << kind)) !== 0
}

/** False: the message is malformed. */
function collect(decoder: HpackDecoder): boolean {
  found.reset()
  const { fields, kinds } = decoder
  for (let index = 0; index < kinds.length; index++) {
    const kind = kinds[index] as number
    const value = fields[index * 2 + 1] as string
    if (kind === KIND.other) {
      found.regular = true
      found.headers.push(fields[index * 2] as string, value)
    } else if (kind <= KIND.protocol ? !collectPseudo(kind, value) : !collectSpecial(kind, value)) return false
  }
  return true
}

function collectPseudo(kind: number, value: string): boolean {
  if (found.regular || has(kind)) return false
  found.pseudo |= 1 << kind
  if (kind === KIND.method) found.method = value
  else if (kind === KIND.scheme) found.scheme = value
  else if (kind === KIND.authority) found.authority = value
  else if (kind === KIND.path) found.path = value
  else if (kind === KIND.status) found.status = value
  else found.protocol = value
  return true
}

function collectSpecial(kind: number, value: string): boolean {
  found.regular = true
  switch (kind) {
    case KIND.host:
      if (found.host !== '') return false
      found.host = value
      return true
    case KIND.contentLength:
      if (found.contentLength !== LENGTH_UNKNOWN) return false
      found.contentLength = lengthOf(value)
      return found.contentLength !== LENGTH_UNKNOWN
    case KIND.cookie:
      found.cookieAt = addCookieCrumb(found.headers, found.cookieAt, value)
      return true
    case KIND.te:
      if (value.toLowerCase() !== 'trailers') return false
      found.headers.push('te', 'trailers')
      return true
    case KIND.expect:
      found.expect = value.toLowerCase()
      return found.expect === '100-continue'
    default:
      return false
  }
}

/** Undefined: malformed. `end`: the stream ends with this head. */
export function readRequest(
  decoder: HpackDecoder,
  end: boolean,
  extendedConnect: boolean,
): IncomingRequest | undefined {
  if (!collect(decoder) || has(KIND.status) || !has(KIND.method) || !isMadeOf(found.method, TOKEN)) return undefined
  const declared = found.contentLength
  if (end && declared > 0) return undefined
  const head: RequestHead = {
    method: found.method,
    scheme: '',
    authority: '',
    path: '',
    protocol: '',
    headers: found.headers,
    bodyLength: end ? 0 : declared,
  }
  const connect = found.method === 'CONNECT' && !has(KIND.protocol)
  if (connect ? !readConnect(head) : !readTarget(head, extendedConnect)) return undefined
  return { head, expectsContinue: found.expect !== '' && !end }
}

/** RFC 9113 8.5: only the authority, with a port. */
function readConnect(head: RequestHead): boolean {
  if (has(KIND.scheme) || has(KIND.path) || !has(KIND.authority)) return false
  const authority = parseAuthority(found.authority, true)
  if (authority === undefined || (found.host !== '' && found.host.toLowerCase() !== authority)) return false
  head.authority = authority
  head.scheme = 'http'
  head.bodyLength = LENGTH_UNKNOWN
  return true
}

function readTarget(head: RequestHead, extendedConnect: boolean): boolean {
  if (!has(KIND.scheme) || !has(KIND.path) || !isMadeOf(found.path, TARGET)) return false
  const scheme = found.scheme.toLowerCase()
  if (scheme !== 'http' && scheme !== 'https') return false
  const path = found.path
  if (path.charCodeAt(0) !== 0x2f && !(path === '*' && found.method === 'OPTIONS')) return false
  const authority = readAuthority()
  if (authority === undefined) return false
  head.scheme = scheme
  head.path = path
  head.authority = authority
  return has(KIND.protocol) ? readUpgrade(head, extendedConnect) : true
}

/** Both fields may be there when they agree (RFC 9113 8.3.1). */
function readAuthority(): string | undefined {
  const text = has(KIND.authority) ? found.authority : found.host
  const authority = isLowerAuthority(text) ? text : parseAuthority(text, false)
  if (authority === undefined || found.host === '' || !has(KIND.authority)) return authority
  return found.host.toLowerCase() === authority ? authority : undefined
}

/** The common case, without taking it apart: a name in lower case without port. */
function isLowerAuthority(text: string): boolean {
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index)
    if (code === 0x3a || code === 0x5b || code === 0x5d || AUTHORITY[code] !== code) return false
  }
  return text.length > 0
}

function readUpgrade(head: RequestHead, extendedConnect: boolean): boolean {
  if (!extendedConnect || head.method !== 'CONNECT' || !isMadeOf(found.protocol, TOKEN)) return false
  head.method = 'GET'
  head.protocol = found.protocol.toLowerCase()
  head.bodyLength = LENGTH_UNKNOWN
  return true
}

export function readResponse(
  decoder: HpackDecoder,
  request: { readonly method: string; readonly protocol: string },
): ResponseHead | undefined {
  if (!collect(decoder) || found.pseudo !== 1 << KIND.status || found.host !== '') return undefined
  const status = statusOf(found.status)
  // 101 has no meaning here (RFC 9113 8.6); an accepted upgrade is a success of its CONNECT.
  if (status === 0 || status === 101) return undefined
  const bodyLength = found.contentLength
  const tunnel = request.protocol !== '' || request.method === 'CONNECT'
  if (tunnel && status >= 200 && status < 300)
    return { status: request.protocol === '' ? status : 101, headers: found.headers, bodyLength: LENGTH_UNKNOWN }
  return { status, headers: found.headers, bodyLength }
}

/** Undefined: malformed (RFC 9113 8.1: no pseudo-header, and no framing). */
export function readTrailers(decoder: HpackDecoder): HeaderList | undefined {
  if (!collect(decoder) || found.pseudo !== 0 || found.host !== '' || found.contentLength !== LENGTH_UNKNOWN)
    return undefined
  return found.headers
}

/** Three digits, the first of them no zero; 0: malformed. */
function statusOf(text: string): number {
  const [hundreds, tens, ones] = [digitAt(text, 0), digitAt(text, 1), digitAt(text, 2)]
  return text.length === 3 && hundreds > 0 && tens >= 0 && ones >= 0 ? hundreds * 100 + tens * 10 + ones : 0
}

function digitAt(text: string, at: number): number {
  const digit = text.charCodeAt(at) - 0x30
  return digit >= 0 && digit <= 9 ? digit : -1
}

export function encodeRequest(encoder: HpackEncoder, head: RequestHead): void {
  encoder.begin()
  const upgrade = head.protocol !== ''
  encoder.field(':method', upgrade ? 'CONNECT' : head.method)
  if (upgrade) encoder.field(':protocol', head.protocol)
  if (upgrade || head.method !== 'CONNECT') {
    encoder.field(':scheme', head.scheme)
    encoder.field(':path', head.path)
  }
  encoder.field(':authority', head.authority)
  encodeFields(encoder, head.headers)
  if (head.bodyLength > 0 || (head.bodyLength === 0 && (head.method === 'POST' || head.method === 'PUT')))
    encoder.field('content-length', String(head.bodyLength))
}

export function encodeResponse(encoder: HpackEncoder, head: ResponseHead): void {
  encoder.begin()
  encoder.field(':status', head.status === 101 ? '200' : (STATUS_TEXT[head.status] ?? String(head.status)))
  encodeFields(encoder, head.headers)
  if (head.bodyLength >= 0 && head.status >= 200 && head.status !== 204)
    encoder.field('content-length', String(head.bodyLength))
}

export function encodeFields(encoder: HpackEncoder, headers: HeaderList): void {
  for (let index = 0; index < headers.length; index += 2)
    encoder.field(headers[index] as string, headers[index + 1] as string)
}

const STATUS_TEXT: readonly string[] = Array.from({ length: 600 }, (_, status) => String(status))
