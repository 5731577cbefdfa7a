/**
 * Known field names, found by the hash that the scan computes anyway: no string is made for them, and equal names are
 * the same string, so that comparing is comparing pointers. Fields that frame the message or concern one hop carry an
 * id; the reader takes those out of the list.
 */
import { TOKEN } from './chars.ts'

export const FIELD = {
  other: 0,
  host: 1,
  contentLength: 2,
  transferEncoding: 3,
  connection: 4,
  upgrade: 5,
  expect: 6,
  te: 7,
  /** keep-alive and proxy-connection: for one hop, and nothing we act on. */
  dropped: 8,
  cookie: 9,
} as const

const SPECIAL = new Map<string, number>([
  ['host', FIELD.host],
  ['content-length', FIELD.contentLength],
  ['transfer-encoding', FIELD.transferEncoding],
  ['connection', FIELD.connection],
  ['upgrade', FIELD.upgrade],
  ['expect', FIELD.expect],
  ['te', FIELD.te],
  ['keep-alive', FIELD.dropped],
  ['proxy-connection', FIELD.dropped],
  ['cookie', FIELD.cookie],
])

const COMMON = `accept accept-charset accept-encoding accept-language accept-ranges access-control-allow-credentials
access-control-allow-headers access-control-allow-methods access-control-allow-origin access-control-expose-headers
access-control-max-age access-control-request-headers access-control-request-method age allow alt-svc authorization
b3 baggage cache-control content-disposition content-encoding content-language content-location content-range
content-security-policy content-type date dnt etag expires forwarded from grpc-accept-encoding grpc-encoding
grpc-message grpc-status grpc-timeout if-match if-modified-since if-none-match if-range if-unmodified-since
isthmus-avoid isthmus-endpoint isthmus-error isthmus-peer isthmus-version last-modified link location max-forwards
origin pragma proxy-authenticate proxy-authorization range referer referrer-policy retry-after sec-fetch-dest
sec-fetch-mode sec-fetch-site sec-websocket-accept sec-websocket-extensions sec-websocket-key sec-websocket-protocol
sec-websocket-version server set-cookie strict-transport-security traceparent tracestate trailer
upgrade-insecure-requests user-agent vary via warning www-authenticate x-b3-parentspanid
x-b3-sampled x-b3-spanid x-b3-traceid x-content-type-options x-envoy-attempt-count x-envoy-peer-metadata
x-forwarded-client-cert x-forwarded-for x-forwarded-host x-forwarded-proto x-frame-options x-powered-by x-real-ip
x-request-id x-requested-with x-xss-protection`.split(/\s+/)

const SLOTS = 512
const names: string[] = Array.from({ length: SLOTS }, () => '')
const ids = new Uint8Array(SLOTS)

for (const name of [...SPECIAL.keys(), ...COMMON]) {
  let slot = hashOf(name) & (SLOTS - 1)
  while (names[slot] !== '') slot = (slot + 1) & (SLOTS - 1)
  names[slot] = name
  ids[slot] = SPECIAL.get(name) ?? FIELD.other
}

/** One step of the hash over lower-case bytes. */
export function hashStep(hash: number, byte: number): number {
  return (Math.imul(hash, 31) + byte) | 0
}

function hashOf(name: string): number {
  let hash = 0
  for (let index = 0; index < name.length; index++) hash = hashStep(hash, name.charCodeAt(index))
  return hash
}

/** Slot of the known name that `buffer[start..end)` spells in any case, or -1. `hash` is that of its lower case. */
export function knownNameSlot(buffer: Buffer, start: number, end: number, hash: number): number {
  const length = end - start
  let slot = hash & (SLOTS - 1)
  for (let name = names[slot] ?? ''; name !== ''; name = names[slot] ?? '') {
    if (name.length === length && spells(buffer, start, name)) return slot
    slot = (slot + 1) & (SLOTS - 1)
  }
  return -1
}

export function nameInSlot(slot: number): string {
  return names[slot] ?? ''
}

export function idInSlot(slot: number): number {
  return ids[slot] ?? FIELD.other
}

function spells(buffer: Buffer, start: number, name: string): boolean {
  for (let index = 0; index < name.length; index++)
    if (TOKEN[buffer[start + index] as number] !== name.charCodeAt(index)) return false
  return true
}
