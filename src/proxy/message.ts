/**
 * The shape of a message's head, shared by both codecs and everything above them: lists of header pairs, never maps.
 * Framing is not a header here: `content-length`, `transfer-encoding`, `connection` and `host` are taken out by the
 * codec that reads them and written by the codec that sends; `bodyLength` and `authority` carry what they said.
 */

/**
 * Alternating lower-case name and value. Values hold bytes as latin1 characters, free of CR, LF and NUL when a codec
 * made the list; whoever adds a pair from configuration or elsewhere must keep that true.
 */
export type HeaderList = string[]

/** No content-length was given: the body, if any, ends with the stream. */
export const LENGTH_UNKNOWN = -1

export interface RequestHead {
  /** As sent, case kept. An upgrade reads alike on both protocols: `GET` with `protocol` set. */
  method: string
  scheme: string
  /** Host and optional port, lower case; from the target, `:authority` or Host. CONNECT's `host:port` too. */
  authority: string
  /** Path and query; empty for CONNECT, `*` for OPTIONS. */
  path: string
  /** What an Upgrade or an extended CONNECT (RFC 8441) asks for, such as `websocket`; empty otherwise. */
  protocol: string
  headers: HeaderList
  /** 0: there is no body. LENGTH_UNKNOWN: it ends with the stream. */
  bodyLength: number
}

export interface ResponseHead {
  /** 101 means that an upgrade was accepted, on HTTP/2 too (which carries it as 200). */
  status: number
  headers: HeaderList
  /** As declared, also on answers to HEAD and on 304, which have no body. */
  bodyLength: number
}

/** The first value of `name` (lower case), or undefined. */
export function headerOf(headers: HeaderList, name: string): string | undefined {
  for (let index = 0; index < headers.length; index += 2) if (headers[index] === name) return headers[index + 1]
  return undefined
}

/** All values of `name` joined as one list field (RFC 9110 5.3); undefined when absent. */
export function headerListOf(headers: HeaderList, name: string): string | undefined {
  let joined: string | undefined
  for (let index = 0; index < headers.length; index += 2) {
    if (headers[index] !== name) continue
    joined = joined === undefined ? headers[index + 1] : `${joined}, ${headers[index + 1] ?? ''}`
  }
  return joined
}

/** Removes every pair named `name`; keeps the order of the rest. */
export function removeHeader(headers: HeaderList, name: string): void {
  removeHeaders(headers, (candidate) => candidate === name)
}

/** Removes every pair whose name `matches`, in one pass and in place. */
export function removeHeaders(headers: HeaderList, matches: (name: string) => boolean): void {
  let kept = 0
  for (let index = 0; index < headers.length; index += 2) {
    const name = headers[index] ?? ''
    if (matches(name)) continue
    if (kept !== index) {
      headers[kept] = name
      headers[kept + 1] = headers[index + 1] ?? ''
    }
    kept += 2
  }
  if (kept !== headers.length) headers.length = kept
}

/** Makes `value` the only value of `name`. */
export function setHeader(headers: HeaderList, name: string, value: string): void {
  for (let index = 0; index < headers.length; index += 2) {
    if (headers[index] !== name) continue
    headers[index + 1] = value
    removeAfter(headers, name, index + 2)
    return
  }
  headers.push(name, value)
}

export function addHeader(headers: HeaderList, name: string, value: string): void {
  headers.push(name, value)
}

function removeAfter(headers: HeaderList, name: string, from: number): void {
  let kept = from
  for (let index = from; index < headers.length; index += 2) {
    if (headers[index] === name) continue
    headers[kept] = headers[index] ?? ''
    headers[kept + 1] = headers[index + 1] ?? ''
    kept += 2
  }
  if (kept !== headers.length) headers.length = kept
}

/**
 * One cookie field, whatever number came: HTTP/2 may split it into crumbs, HTTP/1.1 must see one (RFC 9113 8.2.3).
 * An empty crumb is left out: joined, it would end in a space, which no field has when it is read again. Takes the
 * index of the value that stands already (-1: none), gives the one that stands now.
 */
export function addCookieCrumb(headers: HeaderList, at: number, value: string): number {
  if (at === -1) return headers.push('cookie', value) - 1
  if (value !== '') headers[at] = `${headers[at] ?? ''}; ${value}`
  return at
}
