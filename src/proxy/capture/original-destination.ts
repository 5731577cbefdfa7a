/**
 * Where a captured connection wanted to go, before the kernel led it here: a socket option that Node does not read.
 * Cold: imported by the first captured connection only, because koffi and its binary cost memory that other proxies
 * need not pay.
 */
import koffi from 'koffi'
import type { Socket } from 'node:net'
import type { Destination, OriginalDestination } from './destination.ts'

/** linux/netfilter_ipv4.h and linux/netfilter_ipv6/ip6_tables.h: one number for both levels. */
const SO_ORIGINAL_DST = 80
const SOL_IP = 0
const SOL_IPV6 = 41
const SOCKADDR_IN6_BYTES = 28

export function openOriginalDestination(): OriginalDestination {
  // The process itself has libc's symbols, whichever libc it is.
  const getsockopt = koffi
    .load(null)
    .func('int getsockopt(int fd, int level, int name, _Out_ uint8_t *value, _Inout_ uint32_t *length)') as (
    ...of: readonly [fd: number, level: number, name: number, value: Buffer, length: number[]]
  ) => number
  return (socket) => {
    const fd = descriptorOf(socket)
    if (fd === undefined) return undefined
    const isV6 = socket.localFamily === 'IPv6' && socket.localAddress?.startsWith('::ffff:') !== true
    const address = Buffer.alloc(SOCKADDR_IN6_BYTES)
    const failed = getsockopt(fd, isV6 ? SOL_IPV6 : SOL_IP, SO_ORIGINAL_DST, address, [address.length]) !== 0
    return failed ? undefined : isV6 ? readV6(address) : readV4(address)
  }
}

/** sockaddr_in: family, port, address; the latter two in network order. */
function readV4(bytes: Buffer): Destination {
  return { address: bytes.subarray(4, 8).join('.'), port: bytes.readUInt16BE(2) }
}

/** sockaddr_in6: family, port, flow, address. */
function readV6(bytes: Buffer): Destination {
  const groups = Array.from({ length: 8 }, (_, index) => bytes.readUInt16BE(8 + index * 2).toString(16))
  // The URL parser writes an IPv6 address in its one canonical form (RFC 5952).
  const { hostname } = new URL(`http://[${groups.join(':')}]/`)
  return { address: hostname.slice(1, -1), port: bytes.readUInt16BE(2) }
}

/** Not in Node's types; present on every socket that is open. */
function descriptorOf(socket: Socket): number | undefined {
  const { _handle: handle } = socket as unknown as { _handle?: { fd?: number } | null }
  const fd = handle?.fd
  return fd === undefined || fd < 0 ? undefined : fd
}
