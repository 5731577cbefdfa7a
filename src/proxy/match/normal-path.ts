/**
 * The one form of a path that router, policies, log and endpoint see (RFC 3986 6.2.2): what two readers could take
 * for different paths is made one here or refused, because a policy that reads `/%61dmin` otherwise than the
 * application does is no policy. As Envoy's `normalize_path`: escapes of unreserved characters are resolved, `\` is
 * `/`, dot segments go. The query is never touched.
 */
import type { PathPolicy } from '../../model/config.ts'
import { HEX } from '../h1/chars.ts'

export type NormalPath =
  | { readonly kind: 'path'; readonly path: string }
  | { readonly kind: 'refused'; readonly detail: string }
  | { readonly kind: 'redirect'; readonly path: string }

const SLASH = 0x2f
const BACKSLASH = 0x5c
const PERCENT = 0x25
const DOT = 0x2e
const ESCAPED_SLASH = /%(?:2f|5c)/i

/** Undefined: the path is normal already, which nearly all are; nothing is allocated for them. */
export function normalizePath(path: string, policy: PathPolicy): NormalPath | undefined {
  if (policy.normalize === false) return untouchedBut(path, policy)
  const mark = path.indexOf('?')
  const end = mark === -1 ? path.length : mark
  if (path.charCodeAt(0) !== SLASH || isNormal(path, end, policy.mergeSlashes)) return undefined
  const query = path.slice(end)
  const decoded = unescape(path.slice(0, end), policy.escapedSlashes)
  if (decoded === undefined) return { kind: 'refused', detail: 'the path has an escaped slash or NUL' }
  let normal = removeDotSegments(decoded.text)
  if (policy.mergeSlashes) normal = normal.replaceAll(/\/{2,}/g, '/')
  const kind = decoded.slashes && policy.escapedSlashes === 'redirect' ? 'redirect' : 'path'
  return { kind, path: normal + query }
}

/** Without normalisation: only what the policy names, each by itself, as in Envoy. */
function untouchedBut(path: string, { mergeSlashes, escapedSlashes }: PathPolicy): NormalPath | undefined {
  if (escapedSlashes === 'keep' && !mergeSlashes) return undefined
  const mark = path.indexOf('?')
  const end = mark === -1 ? path.length : mark
  const query = path.slice(end)
  let text = path.slice(0, end)
  const hasEscaped = escapedSlashes !== 'keep' && ESCAPED_SLASH.test(text)
  if (hasEscaped && escapedSlashes === 'reject') return { kind: 'refused', detail: 'the path has an escaped slash' }
  if (hasEscaped) text = text.replaceAll(/%2f/gi, '/').replaceAll(/%5c/gi, '\\')
  if (mergeSlashes) text = text.replaceAll(/\/{2,}/g, '/')
  const normal = text + query
  if (hasEscaped && escapedSlashes === 'redirect') return { kind: 'redirect', path: normal }
  return normal === path ? undefined : { kind: 'path', path: normal }
}

function isNormal(path: string, end: number, mergeSlashes: boolean): boolean {
  let before = 0
  for (let index = 0; index < end; index++) {
    const code = path.charCodeAt(index)
    if (code === PERCENT || code === BACKSLASH) return false
    if (before === SLASH && (code === DOT || (mergeSlashes && code === SLASH))) return false
    before = code
  }
  return true
}

/** Undefined: refused. An escape that is no escape stays as it is: there is only one reading of it. */
function unescape(
  path: string,
  escapedSlashes: PathPolicy['escapedSlashes'],
): { readonly text: string; readonly slashes: boolean } | undefined {
  let text = ''
  let slashes = false
  for (let index = 0; index < path.length; index++) {
    const code = path.charCodeAt(index)
    if (code === BACKSLASH) text += '/'
    if (code === BACKSLASH) continue
    const byte = code === PERCENT ? byteAt(path, index + 1) : -1
    if (byte === 0) return undefined
    const isSlash = byte === SLASH || byte === BACKSLASH
    if (isSlash && escapedSlashes === 'reject') return undefined
    if (isSlash && escapedSlashes !== 'keep') {
      text += '/'
      slashes = true
      index += 2
    } else if (isUnreserved(byte)) {
      text += String.fromCharCode(byte)
      index += 2
    } else text += path[index]
  }
  return { text, slashes }
}

/** The byte escaped by the two digits at `at`, or -1. */
function byteAt(path: string, at: number): number {
  const high = HEX[path.charCodeAt(at)] ?? 255
  const low = HEX[path.charCodeAt(at + 1)] ?? 255
  return high === 255 || low === 255 ? -1 : high * 16 + low
}

function isUnreserved(byte: number): boolean {
  const letter = byte | 0x20
  if (letter >= 0x61 && letter <= 0x7a && byte >= 0x41) return true
  return (byte >= 0x30 && byte <= 0x39) || byte === 0x2d || byte === DOT || byte === 0x5f || byte === 0x7e
}

/** RFC 3986 5.2.4: `..` never leads above the root. */
function removeDotSegments(path: string): string {
  const kept: string[] = []
  const segments = path.split('/')
  const last = segments.length - 1
  for (let index = 1; index <= last; index++) {
    const segment = segments[index] ?? ''
    if (segment === '..') kept.pop()
    else if (segment !== '.') kept.push(segment)
    if (index === last && (segment === '.' || segment === '..')) kept.push('')
  }
  return `/${kept.join('/')}`
}
