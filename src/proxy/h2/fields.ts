/**
 * HPACK's static table (RFC 7541 appendix A), and what each field name means to us: the decoder keeps a kind beside
 * every table entry, so that a head made of indexed fields is understood without looking at a name.
 */
import { TOKEN } from '../h1/chars.ts'

export const KIND = {
  other: 0,
  method: 1,
  scheme: 2,
  authority: 3,
  path: 4,
  status: 5,
  protocol: 6,
  host: 7,
  contentLength: 8,
  cookie: 9,
  te: 10,
  expect: 11,
  /** Concerns a connection, or is a pseudo-header nobody defined: the message is malformed (RFC 9113 8.2.2, 8.3). */
  forbidden: 12,
  /** A byte that no name may have. */
  invalid: 13,
} as const

const KINDS = new Map<string, number>([
  [':method', KIND.method],
  [':scheme', KIND.scheme],
  [':authority', KIND.authority],
  [':path', KIND.path],
  [':status', KIND.status],
  [':protocol', KIND.protocol],
  ['host', KIND.host],
  ['content-length', KIND.contentLength],
  ['cookie', KIND.cookie],
  ['te', KIND.te],
  ['expect', KIND.expect],
  ['connection', KIND.forbidden],
  ['keep-alive', KIND.forbidden],
  ['proxy-connection', KIND.forbidden],
  ['transfer-encoding', KIND.forbidden],
  ['upgrade', KIND.forbidden],
])

export function kindOf(name: string): number {
  const known = KINDS.get(name)
  if (known !== undefined) return known
  if (name.charCodeAt(0) === 0x3a) return KIND.forbidden
  for (let index = 0; index < name.length; index++) {
    const code = name.charCodeAt(index)
    // Upper case is not HTTP/2's (RFC 9113 8.2.1): a token's byte must be its own lower case.
    if (TOKEN[code] !== code || code === 0) return KIND.invalid
  }
  return name === '' ? KIND.invalid : KIND.other
}

/** Entry n is at n - 1; a name without a value stands for an empty one. */
export const STATIC_TABLE: readonly (readonly [name: string, value: string])[] = `:authority
:method GET
:method POST
:path /
:path /index.html
:scheme http
:scheme https
:status 200
:status 204
:status 206
:status 304
:status 400
:status 404
:status 500
accept-charset
accept-encoding gzip, deflate
accept-language
accept-ranges
accept
access-control-allow-origin
age
allow
authorization
cache-control
content-disposition
content-encoding
content-language
content-length
content-location
content-range
content-type
cookie
date
etag
expect
expires
from
host
if-match
if-modified-since
if-none-match
if-range
if-unmodified-since
last-modified
link
location
max-forwards
proxy-authenticate
proxy-authorization
range
referer
refresh
retry-after
server
set-cookie
strict-transport-security
transfer-encoding
user-agent
vary
via
www-authenticate`
  .split('\n')
  .map((line) => {
    const space = line.indexOf(' ')
    return space === -1 ? [line, ''] : [line.slice(0, space), line.slice(space + 1)]
  })

export const STATIC_COUNT = STATIC_TABLE.length

export const STATIC_KINDS: readonly number[] = STATIC_TABLE.map(([name]) => kindOf(name))
