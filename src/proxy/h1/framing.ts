/**
 * Judges what frames a message: where its body ends, what it asks of this hop, and whether two readers could disagree.
 * Whatever is ambiguous is refused (RFC 9112 6.3, and stricter where it lets a recipient choose). Pure.
 */
import { LENGTH_UNKNOWN, removeHeaders, type HeaderList, type RequestHead, type ResponseHead } from '../message.ts'
import { isMadeOf, lengthOf, parseAuthority, TOKEN } from './chars.ts'
import type { HeadReader } from './head-reader.ts'

export const HOST_MISSING = 'Host is missing'
export const HEAD_LATE = 'the head did not arrive in time'
/** Tokens in Connection; more is an attempt to make us walk the fields often. */
const CONNECTION_TOKENS_MAX = 32

export interface Refusal {
  readonly status: number
  readonly detail: string
}

/** How the body of a message is delimited. `close`: by the end of the connection (responses only). */
export type BodyKind = 'none' | 'length' | 'chunked' | 'close'

export interface RequestFraming {
  readonly head: RequestHead
  readonly body: BodyKind
  readonly keepAlive: boolean
  readonly expectsContinue: boolean
}

export interface ResponseFraming {
  readonly head: ResponseHead
  readonly body: BodyKind
  readonly keepAlive: boolean
}

function refuse(status: number, detail: string): Refusal {
  return { status, detail }
}

export function frameRequest(reader: HeadReader, scheme: string): RequestFraming | Refusal {
  const body = bodyOf(reader)
  if (typeof body !== 'string') return body
  const hop = readConnection(reader)
  if (hop === undefined) return refuse(400, 'Connection has too many tokens')
  const head: RequestHead = {
    method: reader.method,
    scheme,
    authority: '',
    path: '',
    protocol: '',
    headers: reader.headers,
    bodyLength: body === 'none' ? 0 : declaredLength(reader, body),
  }
  const refusal = reader.method === 'CONNECT' ? connectTarget(reader, head) : ordinaryTarget(reader, head)
  if (refusal !== undefined) return refusal
  if (hop.upgrade && reader.method === 'GET' && head.bodyLength === 0) head.protocol = upgradeOf(reader)
  const expect = reader.expect === '' ? '' : reader.expect.toLowerCase()
  if (expect !== '' && expect !== '100-continue') return refuse(417, 'Expect is not 100-continue')
  return {
    head,
    body: head.bodyLength === 0 ? 'none' : body,
    keepAlive: persists(reader, hop),
    expectsContinue: expect !== '' && head.bodyLength !== 0 && reader.minor === 1,
  }
}

export function frameResponse(
  reader: HeadReader,
  request: { readonly method: string; readonly protocol: string },
): ResponseFraming | Refusal {
  const declared = bodyOf(reader)
  if (typeof declared !== 'string') return declared
  const hop = readConnection(reader)
  if (hop === undefined) return refuse(502, 'Connection has too many tokens')
  const status = reader.status
  if (status === 101 && request.protocol === '') return refuse(502, 'an upgrade that nobody asked for')
  const length = declaredLength(reader, declared)
  const neverHasBody = status < 200 || status === 204
  // A reader that honours the fields would take what follows for a body; the length 0 that many servers send with
  // 204 misleads no one.
  if (neverHasBody && declared !== 'none' && length !== 0) return refuse(502, 'a body on a status without one')
  const accepted = request.method === 'CONNECT' && status < 300
  const head: ResponseHead = { status, headers: reader.headers, bodyLength: length }
  // A success of CONNECT ignores both fields (RFC 9112 6.3).
  if (neverHasBody || accepted) {
    head.bodyLength = LENGTH_UNKNOWN
    return { head, body: 'none', keepAlive: persists(reader, hop) }
  }
  const body = describesGet(status, request.method) ? 'none' : bodyAfter(declared, length)
  return { head, body, keepAlive: body !== 'close' && persists(reader, hop) }
}

/** Its fields, lengths included, are those GET would have got; there is no body. */
function describesGet(status: number, method: string): boolean {
  return status === 304 || method === 'HEAD'
}

function bodyAfter(declared: BodyKind, length: number): BodyKind {
  if (declared === 'none') return 'close'
  return length === 0 ? 'none' : declared
}

function declaredLength(reader: HeadReader, body: BodyKind): number {
  return body === 'length' ? lengthOf(reader.contentLength) : LENGTH_UNKNOWN
}

function persists(reader: HeadReader, hop: Hop): boolean {
  return !hop.close && (reader.minor === 1 || hop.keepAlive)
}

/** `none` means that neither field was there. */
function bodyOf(reader: HeadReader): BodyKind | Refusal {
  if (reader.transferEncodings > 0) {
    if (reader.minor === 0) return refuse(400, 'Transfer-Encoding on HTTP/1.0')
    if (reader.contentLengths > 0) return refuse(400, 'Content-Length and Transfer-Encoding together')
    const coding = reader.transferEncoding.toLowerCase()
    if (coding === 'chunked') return 'chunked'
    const codings = coding.split(',', CONNECTION_TOKENS_MAX).map((part) => part.trim())
    const misused = codings.includes('') || codings.slice(0, -1).includes('chunked')
    return misused ? refuse(400, 'chunked is not the last coding, once') : refuse(501, 'an unknown transfer coding')
  }
  if (reader.contentLengths === 0) return 'none'
  if (reader.contentLengths > 1) return refuse(400, 'Content-Length twice')
  return lengthOf(reader.contentLength) !== LENGTH_UNKNOWN ? 'length' : refuse(400, 'Content-Length is no number')
}

function connectTarget(reader: HeadReader, head: RequestHead): Refusal | undefined {
  if (reader.transferEncodings > 0 || head.bodyLength > 0) return refuse(400, 'CONNECT with a body')
  const authority = parseAuthority(reader.target, true)
  if (authority === undefined) return refuse(400, 'the target of CONNECT is no host:port')
  const host = checkHost(reader)
  if (typeof host !== 'string') return host
  head.authority = authority
  return undefined
}

function ordinaryTarget(reader: HeadReader, head: RequestHead): Refusal | undefined {
  const host = checkHost(reader)
  if (typeof host !== 'string') return host
  head.authority = host
  head.path = reader.target
  if (reader.target.charCodeAt(0) === 0x2f) return undefined
  if (reader.target === '*')
    return reader.method === 'OPTIONS' ? undefined : refuse(400, 'the target * without OPTIONS')
  return absolute(reader.target, head)
}

/** The authority Host names; empty only on HTTP/1.0 without it. */
function checkHost(reader: HeadReader): string | Refusal {
  if (reader.hosts === 0) return reader.minor === 0 ? '' : refuse(400, HOST_MISSING)
  if (reader.hosts > 1) return refuse(400, 'Host twice')
  return reader.authorityOf(reader.host) ?? refuse(400, 'Host is no host with an optional port')
}

/** Absolute form (RFC 9112 3.2.2): the target's authority replaces what Host says. */
function absolute(text: string, head: RequestHead): Refusal | undefined {
  const schemeEnd = text.indexOf('://')
  const scheme = text.slice(0, Math.max(schemeEnd, 0)).toLowerCase()
  if (scheme !== 'http' && scheme !== 'https') return refuse(400, 'the target is neither a path nor an http URI')
  const start = schemeEnd + 3
  const end = endOfAuthority(text, start)
  const authority = parseAuthority(text.slice(start, end), false)
  if (authority === undefined) return refuse(400, 'the authority in the target is malformed')
  const rest = text.slice(end)
  head.scheme = scheme
  head.authority = authority
  head.path = rest === '' ? (head.method === 'OPTIONS' ? '*' : '/') : rest.startsWith('?') ? `/${rest}` : rest
  return undefined
}

function endOfAuthority(text: string, start: number): number {
  for (let at = start; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code === 0x2f || code === 0x3f) return at
  }
  return text.length
}

interface Hop {
  readonly close: boolean
  readonly keepAlive: boolean
  readonly upgrade: boolean
}

/** Connection as nearly everyone writes it, the empty text for those who do not. */
const SILENT: Hop = { close: false, keepAlive: false, upgrade: false }
const STAYS: Hop = { close: false, keepAlive: true, upgrade: false }
const CLOSES: Hop = { close: true, keepAlive: false, upgrade: false }

/** Reads Connection and removes the fields it names: they were meant for us (RFC 9110 7.6.1). */
function readConnection(reader: HeadReader): Hop | undefined {
  if (reader.te !== '') keepTrailersOnly(reader.te, reader.headers)
  if (reader.connection === '') return SILENT
  if (reader.connection === 'keep-alive') return STAYS
  if (reader.connection === 'close') return CLOSES
  const tokens = reader.connection.toLowerCase().split(',', CONNECTION_TOKENS_MAX + 1)
  if (tokens.length > CONNECTION_TOKENS_MAX) return undefined
  const hop = { close: false, keepAlive: false, upgrade: false }
  let named: Set<string> | undefined
  for (const part of tokens) {
    const token = part.trim()
    if (token === 'close') hop.close = true
    else if (token === 'keep-alive') hop.keepAlive = true
    else if (token === 'upgrade') hop.upgrade = true
    else if (token !== '' && token !== 'te') named = (named ?? new Set()).add(token)
  }
  if (named !== undefined) {
    const names = named
    removeHeaders(reader.headers, (name) => names.has(name))
  }
  return hop
}

/** The one transfer coding preference that travels on: gRPC needs it. */
function keepTrailersOnly(te: string, headers: HeaderList): void {
  if (
    te
      .toLowerCase()
      .split(',', CONNECTION_TOKENS_MAX)
      .some((part) => part.trim() === 'trailers')
  )
    headers.push('te', 'trailers')
}

/** The first protocol asked for; HTTP/2 by upgrade is not offered (prior knowledge and ALPN are). */
function upgradeOf(reader: HeadReader): string {
  const first = (reader.upgrade.split(',', 1)[0] ?? '').trim().toLowerCase()
  return first === 'h2c' || reader.minor === 0 || !isMadeOf(first, TOKEN) ? '' : first
}
