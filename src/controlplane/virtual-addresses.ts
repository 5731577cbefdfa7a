/**
 * Virtual addresses for hosts of ServiceEntries that have none, so that captured connections to them can be told apart:
 * which entries get some, from which ranges, and who keeps what it has. Pure; address-status.ts writes them down. Every
 * replica comes to the same addresses, for where the search for a free one begins is the host's own.
 */
import { createHash } from 'node:crypto'
import { isIP } from 'node:net'
import { byAge, type ServiceEntryFacts } from './observe/facts-networking.ts'

/** `status.addresses`, as Istio writes it. */
export interface AllocatedAddress {
  readonly value: string
  readonly host: string
}

/** Istio's: class E, which no network routes. */
const IPV4 = { prefix: '240.240.', first: 1, count: 65_534 } as const
/** Istio's: for benchmarks (RFC 5180), never routed; the last 32 bits of it are ours to give. */
const IPV6 = { prefix: '2001:2::', first: 1, count: 0xffff_fffe } as const
/** Of hosts; an entry has 256 at most, and the range of IPv4 is shared by all. */
const HOSTS_MAX = IPV4.count

/** In the canonical form that is written: anything else in the range's place is nobody's. */
export function isVirtualAddress(address: string): boolean {
  const index = indexOf(address)
  return index !== undefined && textOf(index.family, index.value) === address
}

/** Hosts that get addresses; those with an address of their own, and patterns, do not. */
export function hostsToAllocate({ allocates, spec }: ServiceEntryFacts): readonly string[] {
  const { resolution = 'NONE', addresses = [], hosts } = spec
  // Without resolution a connection goes where it wanted to go, and a virtual address is no such place.
  if (allocates === false || resolution === 'NONE' || resolution === 'DYNAMIC_DNS' || addresses.length > 0) return []
  return [...new Set(hosts.map((host) => host.toLowerCase()))].filter((host) => !host.includes('*') && isIP(host) === 0)
}

/** What each entry's status should say; entries that want none are not in it. The older of two keeps what both claim. */
export function allocate(
  entries: ReadonlyMap<string, ServiceEntryFacts>,
): ReadonlyMap<string, readonly AllocatedAddress[]> {
  const sorted = [...entries].sort(([, one], [, other]) => byAge(one, other))
  const taken = new Set<string>()
  const kept = new Map<string, readonly AllocatedAddress[]>()
  for (const [key, entry] of sorted) kept.set(key, keptOf(entry, taken))
  const wanted = new Map<string, readonly AllocatedAddress[]>()
  let hosts = 0
  for (const [key, entry] of sorted) {
    const own = kept.get(key) ?? []
    const found = hostsToAllocate(entry).flatMap((host) => {
      hosts += 1
      return (['ipv4', 'ipv6'] as const).flatMap((family): AllocatedAddress[] => {
        const before = own.find((one) => one.host === host && familyOf(one.value) === family)
        const value = before?.value ?? (hosts > HOSTS_MAX ? undefined : free(`${key}/${host}`, family, taken))
        return value === undefined ? [] : [{ value, host }]
      })
    })
    if (found.length > 0) wanted.set(key, found)
  }
  return wanted
}

/** What an entry says already, as far as it may. */
function keptOf(entry: ServiceEntryFacts, taken: Set<string>): readonly AllocatedAddress[] {
  const hosts = new Set(hostsToAllocate(entry))
  const seen = new Set<string>()
  return (entry.allocated ?? []).filter(({ value, host }) => {
    const place = `${host}|${familyOf(value)}`
    if (!isVirtualAddress(value) || taken.has(value) || !hosts.has(host) || seen.has(place)) return false
    taken.add(value)
    seen.add(place)
    return true
  })
}

type Family = 'ipv4' | 'ipv6'

const familyOf = (address: string): Family => (address.includes(':') ? 'ipv6' : 'ipv4')
const rangeOf = (family: Family): typeof IPV4 | typeof IPV6 => (family === 'ipv4' ? IPV4 : IPV6)

/** The first free one from a place of the name's own; undefined: the range is used up. */
function free(name: string, family: Family, taken: Set<string>): string | undefined {
  const { first, count } = rangeOf(family)
  const start = createHash('sha256').update(`${family}/${name}`).digest().readUInt32BE(0) % count
  for (let step = 0; step <= taken.size; step += 1) {
    const text = textOf(family, first + ((start + step) % count))
    if (taken.has(text)) continue
    taken.add(text)
    return text
  }
  return undefined
}

function textOf(family: Family, index: number): string {
  if (family === 'ipv4') return `${IPV4.prefix}${index >> 8}.${index & 0xff}`
  const [high, low] = [Math.floor(index / 0x1_0000), index % 0x1_0000]
  return high === 0 ? `${IPV6.prefix}${low.toString(16)}` : `${IPV6.prefix}${high.toString(16)}:${low.toString(16)}`
}

function indexOf(address: string): { readonly family: Family; readonly value: number } | undefined {
  const family = familyOf(address)
  const { prefix, first, count } = rangeOf(family)
  if (!address.startsWith(prefix) || isIP(address) === 0) return undefined
  const parts = address.slice(prefix.length).split(family === 'ipv4' ? '.' : ':')
  const numbers = parts.map((part) => Number.parseInt(part, family === 'ipv4' ? 10 : 16))
  const value = numbers.reduce((sum, part) => sum * (family === 'ipv4' ? 0x100 : 0x1_0000) + part, 0)
  const isInside = parts.length <= 2 && value >= first && value < first + count
  return isInside ? { family, value } : undefined
}
