/**
 * The PROXY protocol (haproxy.org, proxy-protocol.txt, versions 1 and 2): one header before a connection's own bytes,
 * by which a relay says who its client is. Strict: what is believed here becomes an address that policies judge. Pure.
 */
import { isIPv4, isIPv6 } from 'node:net'

export interface Addresses {
  readonly remoteAddress: string
  readonly remotePort: number
  readonly localAddress: string
  readonly localPort: number
}

export type ProxyHeader =
  | { readonly kind: 'more' }
  /** The bytes are no such header, and cannot become one. */
  | { readonly kind: 'none' }
  | { readonly kind: 'invalid'; readonly reason: string }
  | {
      readonly kind: 'header'
      readonly version: 'v1' | 'v2'
      readonly length: number
      /** Absent: the relay speaks for itself (LOCAL), or does not know. */
      readonly addresses?: Addresses
    }

const MORE: ProxyHeader = { kind: 'more' }
const NONE: ProxyHeader = { kind: 'none' }

const V1_PREFIX = Buffer.from('PROXY ')
/** With two IPv6 addresses of full length and the end of the line (section 2.1). */
const V1_BYTES_MAX = 107
const V1_LINE =
  /^PROXY (?:UNKNOWN(?: [^\r\n]*)?|(TCP[46]) ([0-9A-Fa-f:.]+) ([0-9A-Fa-f:.]+) ([0-9]{1,5}) ([0-9]{1,5}))$/

const V2_SIGNATURE = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1')
const V2_FIXED_BYTES = 16
/** Addresses, and what extensions (TLVs) a relay may add; Envoy reads as far as 64 KiB. */
const V2_BYTES_MAX = 4 * 1_024
const V2_LOCAL = 0x20
const V2_PROXY = 0x21
/** Stream or datagram: the connection itself is TCP whatever the relay says, and Envoy takes both. */
const V2_IPV4: ReadonlySet<number> = new Set([0x11, 0x12])
const V2_IPV6: ReadonlySet<number> = new Set([0x21, 0x22])

export function parseProxyHeader(bytes: Buffer): ProxyHeader {
  if (startsAlike(bytes, V2_SIGNATURE)) return bytes.length < V2_FIXED_BYTES ? MORE : parseV2(bytes)
  if (startsAlike(bytes, V1_PREFIX)) return bytes.length < V1_PREFIX.length ? MORE : parseV1(bytes)
  return NONE
}

function parseV1(bytes: Buffer): ProxyHeader {
  const end = bytes.subarray(0, V1_BYTES_MAX).indexOf('\r\n')
  if (end < 0) return bytes.length < V1_BYTES_MAX ? MORE : invalid('a version 1 header without an end')
  const match = V1_LINE.exec(bytes.toString('latin1', 0, end))
  if (match === null) return invalid('a malformed version 1 header')
  const [, family, remoteAddress = '', localAddress = '', remote = '', local = ''] = match
  const length = end + 2
  if (family === undefined) return { kind: 'header', version: 'v1', length }
  const isRight = family === 'TCP4' ? isIPv4 : isIPv6
  const [remotePort, localPort] = [portOf(remote), portOf(local)]
  if (!isRight(remoteAddress) || !isRight(localAddress)) return invalid('an address of another family')
  if (remotePort === undefined || localPort === undefined) return invalid('a port that is none')
  return { kind: 'header', version: 'v1', length, addresses: { remoteAddress, remotePort, localAddress, localPort } }
}

/** One spelling each: no leading zero, which some read as octal. */
function portOf(text: string): number | undefined {
  const port = Number(text)
  return String(port) === text && port <= 65_535 ? port : undefined
}

function parseV2(bytes: Buffer): ProxyHeader {
  const [command, family] = [bytes.readUInt8(12), bytes.readUInt8(13)]
  const length = V2_FIXED_BYTES + bytes.readUInt16BE(14)
  if (command !== V2_LOCAL && command !== V2_PROXY) return invalid('another version or command than 2 knows')
  if (length > V2_BYTES_MAX) return invalid('a version 2 header that is too long')
  if (command === V2_PROXY && !V2_IPV4.has(family) && !V2_IPV6.has(family)) return invalid('neither IPv4 nor IPv6')
  const needed = command === V2_LOCAL ? 0 : V2_IPV4.has(family) ? 12 : 36
  if (length < V2_FIXED_BYTES + needed) return invalid('a version 2 header shorter than its addresses')
  if (bytes.length < length) return MORE
  if (!areTlvs(bytes.subarray(V2_FIXED_BYTES + needed, length)) && command === V2_PROXY) {
    return invalid('an extension that ends after the header')
  }
  if (command === V2_LOCAL) return { kind: 'header', version: 'v2', length }
  const addresses = V2_IPV4.has(family) ? readV4(bytes, V2_FIXED_BYTES) : readV6(bytes, V2_FIXED_BYTES)
  return { kind: 'header', version: 'v2', length, addresses }
}

/** Type, length, value, one after another up to the end; nothing in them is believed here (section 2.2.7). */
function areTlvs(bytes: Buffer): boolean {
  let at = 0
  while (at + 3 <= bytes.length) at += 3 + bytes.readUInt16BE(at + 1)
  return at === bytes.length
}

function readV4(bytes: Buffer, at: number): Addresses {
  const address = (from: number): string => bytes.subarray(from, from + 4).join('.')
  return {
    remoteAddress: address(at),
    localAddress: address(at + 4),
    remotePort: bytes.readUInt16BE(at + 8),
    localPort: bytes.readUInt16BE(at + 10),
  }
}

function readV6(bytes: Buffer, at: number): Addresses {
  return {
    remoteAddress: textOfV6(bytes, at),
    localAddress: textOfV6(bytes, at + 16),
    remotePort: bytes.readUInt16BE(at + 32),
    localPort: bytes.readUInt16BE(at + 34),
  }
}

/** As RFC 5952 writes it: the longest run of zeros, of two or more, becomes `::`. */
export function textOfV6(bytes: Buffer, at: number): string {
  const groups = Array.from({ length: 8 }, (_, index) => bytes.readUInt16BE(at + index * 2))
  let [best, bestLength] = [-1, 1]
  for (let start = 0; start < groups.length; start++) {
    let length = 0
    while (groups[start + length] === 0) length++
    if (length > bestLength) [best, bestLength] = [start, length]
  }
  const text = (from: number, to: number): string =>
    groups
      .slice(from, to)
      .map((group) => group.toString(16))
      .join(':')
  return best < 0 ? text(0, 8) : `${text(0, best)}::${text(best + bestLength, 8)}`
}

/** `addresses` absent: we speak for ourselves. */
export function formatProxyHeader(version: 'v1' | 'v2', addresses: Addresses | undefined): Buffer {
  if (addresses === undefined) {
    return version === 'v1' ? Buffer.from('PROXY UNKNOWN\r\n') : v2Header(V2_LOCAL, 0, Buffer.alloc(0))
  }
  const { remoteAddress, localAddress, remotePort, localPort } = addresses
  const isV4 = isIPv4(remoteAddress) && isIPv4(localAddress)
  if (version === 'v1') {
    const family = isV4 ? 'TCP4' : 'TCP6'
    return Buffer.from(`PROXY ${family} ${remoteAddress} ${localAddress} ${remotePort} ${localPort}\r\n`)
  }
  const ports = Buffer.alloc(4)
  ports.writeUInt16BE(remotePort, 0)
  ports.writeUInt16BE(localPort, 2)
  const bytesOf = isV4 ? bytesOfV4 : bytesOfV6
  const body = Buffer.concat([bytesOf(remoteAddress), bytesOf(localAddress), ports])
  return v2Header(V2_PROXY, isV4 ? 0x11 : 0x21, body)
}

function v2Header(command: number, family: number, body: Buffer): Buffer {
  const head = Buffer.from([command, family, 0, 0])
  head.writeUInt16BE(body.length, 2)
  return Buffer.concat([V2_SIGNATURE, head, body])
}

const bytesOfV4 = (address: string): Buffer => Buffer.from(address.split('.').map(Number))

function bytesOfV6(address: string): Buffer {
  const mapped = isIPv4(address) ? `::ffff:${address}` : address
  const tail = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(mapped)
  const plain = tail === null ? mapped : `${tail[1] ?? ''}${hexOfV4(tail[2] ?? '')}`
  const [head = '', rest] = plain.split('::')
  const groups = head === '' ? [] : head.split(':')
  const after = rest === undefined || rest === '' ? [] : rest.split(':')
  const zeros = Array.from({ length: rest === undefined ? 0 : 8 - groups.length - after.length }, () => '0')
  const bytes = Buffer.alloc(16)
  for (const [index, group] of [...groups, ...zeros, ...after].entries()) {
    bytes.writeUInt16BE(Number.parseInt(group, 16), index * 2)
  }
  return bytes
}

const hexOfV4 = (address: string): string => {
  const [a = 0, b = 0, c = 0, d = 0] = address.split('.').map(Number)
  return `${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`
}

const invalid = (reason: string): ProxyHeader => ({ kind: 'invalid', reason })

/** The shorter of both is the beginning of the longer. */
function startsAlike(bytes: Buffer, word: Buffer): boolean {
  const length = Math.min(bytes.length, word.length)
  return bytes.compare(word, 0, length, 0, length) === 0
}
