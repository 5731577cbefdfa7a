/**
 * Addresses that no request may name on an outbound path: link-local ones and the metadata services of clouds, which
 * hand out the machine's credentials to whoever can make a pod's proxy ask (SSRF). A name that resolves to one is no way
 * round that: what was judged is what is connected to.
 */
import { lookup as lookupSystem, type LookupAddress } from 'node:dns'
import { BlockList, isIP, type LookupFunction } from 'node:net'

export interface AddressRange {
  readonly address: string
  readonly prefixLength: number
}

export const FORBIDDEN_RANGES: readonly AddressRange[] = [
  { address: '169.254.0.0', prefixLength: 16 },
  { address: 'fe80::', prefixLength: 10 },
  { address: 'fd00:ec2::254', prefixLength: 128 }, // AWS
  { address: 'fd20:ce::254', prefixLength: 128 }, // Google
  { address: '100.100.100.200', prefixLength: 32 }, // Alibaba
  { address: '168.63.129.16', prefixLength: 32 }, // Azure
  { address: '192.0.0.192', prefixLength: 32 }, // Oracle
  { address: '64:ff9b::a9fe:0', prefixLength: 112 }, // link-local through a translator (RFC 6052)
]

const FORBIDDEN = new BlockList()
for (const { address, prefixLength } of FORBIDDEN_RANGES) {
  FORBIDDEN.addSubnet(address, prefixLength, address.includes(':') ? 'ipv6' : 'ipv4')
}

const NAMES: ReadonlySet<string> = new Set([
  'metadata',
  'metadata.google.internal',
  'instance-data',
  'instance-data.ec2.internal',
])

/** Requests go to few places; more than this, and the memory starts anew. */
const KNOWN_MAX = 1_024
const known = new Map<string, boolean>()

/** `authority`: host with optional port, lower case. */
export function isForbiddenTarget(authority: string): boolean {
  const verdict = known.get(authority)
  if (verdict !== undefined) return verdict
  if (known.size >= KNOWN_MAX) known.clear()
  const forbidden = isForbidden(authority)
  known.set(authority, forbidden)
  return forbidden
}

function isForbidden(authority: string): boolean {
  const host = hostOf(authority)
  if (NAMES.has(host)) return true
  const family = isIP(host)
  // Shortened and decimal forms of IPv4 (`0xa9fe…`, `169.254.43518`) resolve too, and no name of ours looks so.
  if (family === 0) return /^(0x[0-9a-f]+|[0-9]+)(\.(0x[0-9a-f]+|[0-9]+))*$/.test(host)
  return FORBIDDEN.check(host, family === 6 ? 'ipv6' : 'ipv4')
}

function hostOf(authority: string): string {
  if (authority.startsWith('[')) return authority.slice(1, Math.max(1, authority.indexOf(']')))
  const colon = authority.lastIndexOf(':')
  const host = colon < 0 ? authority : authority.slice(0, colon)
  // A trailing dot names the same host in DNS.
  return host.endsWith('.') ? host.slice(0, -1) : host
}

const isForbiddenAddress = (address: string): boolean =>
  isForbiddenTarget(isIP(address) === 6 ? `[${address}]` : address)

/** Of what a name resolved to, what may be connected to. */
export const allowedAddresses = (addresses: readonly string[]): readonly string[] =>
  addresses.filter((address) => !isForbiddenAddress(address))

/**
 * A `lookup` that never answers a forbidden address. The socket connects to what it is told here and asks nobody again,
 * so a name cannot be one thing when it is judged and another when it is dialled (DNS rebinding).
 */
export function guardedLookup(lookup: LookupFunction = lookupSystem): LookupFunction {
  return (hostname, options, callback) => {
    lookup(hostname, { ...options, all: true }, (error, found) => {
      if (error !== null) return callback(error, '', 0)
      const all: readonly LookupAddress[] =
        typeof found === 'string' ? [{ address: found, family: isIP(found) }] : found
      const allowed = all.filter(({ address }) => !isForbiddenAddress(address))
      const [first] = allowed
      if (first === undefined) return callback(new Error(`${hostname} resolves to nothing that may be reached`), '', 0)
      if (options.all === true) callback(null, allowed)
      else callback(null, first.address, first.family)
    })
  }
}
