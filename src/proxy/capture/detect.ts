/**
 * What a captured connection speaks, by its first bytes, and which host an HTTP/1 request names. Only to choose who
 * reads on: the codec parses again and strictly, so a wrong guess here can misroute to the original destination but
 * never let a malformed request through. Pure.
 */
import { PREFACE } from '../h2/frames.ts'

export type Speech =
  /** `begun`: so far it can only be HTTP. */
  | { readonly kind: 'more'; readonly begun: boolean }
  /** `host` as a routing key: lower case; undefined when there is not exactly one. */
  | { readonly kind: 'http1'; readonly host: string | undefined }
  | { readonly kind: 'h2' }
  | { readonly kind: 'other' }

/** A head longer than this goes to the codec unread, which has the real limit. */
export const DETECT_BYTES_MAX = 16 * 1024

const METHODS = ['GET', 'POST', 'PUT', 'HEAD', 'DELETE', 'OPTIONS', 'PATCH', 'CONNECT', 'TRACE'].map((name) =>
  Buffer.from(`${name} `),
)
const END_OF_HEAD = '\r\n\r\n'
const HOST = /\r\nhost:[ \t]*([^\r\n]*?)[ \t]*(?=\r\n)/gi
const ABSOLUTE = /^[A-Z]+ http:\/\/([^/?# ]+)/i

export function detect(bytes: Buffer): Speech {
  if (bytes.length === 0) return { kind: 'more', begun: false }
  if (startsAlike(bytes, PREFACE)) {
    return bytes.length < PREFACE.length ? { kind: 'more', begun: bytes.length > 3 } : { kind: 'h2' }
  }
  const method = METHODS.find((name) => startsAlike(bytes, name))
  if (method === undefined) return { kind: 'other' }
  if (bytes.length < method.length) return { kind: 'more', begun: false }
  const end = bytes.indexOf(END_OF_HEAD)
  if (end < 0)
    return bytes.length < DETECT_BYTES_MAX ? { kind: 'more', begun: true } : { kind: 'http1', host: undefined }
  return { kind: 'http1', host: hostOf(bytes.toString('latin1', 0, end + 2)) }
}

/** RFC 9112 3.2.2: the target of an absolute form beats Host. */
function hostOf(head: string): string | undefined {
  const absolute = ABSOLUTE.exec(head)?.[1]
  if (absolute !== undefined) return absolute.toLowerCase()
  const hosts = [...head.matchAll(HOST)]
  return hosts.length === 1 ? hosts[0]?.[1]?.toLowerCase() : undefined
}

/** The shorter of both is the beginning of the longer. */
function startsAlike(bytes: Buffer, word: Buffer): boolean {
  const length = Math.min(bytes.length, word.length)
  return bytes.compare(word, 0, length, 0, length) === 0
}
