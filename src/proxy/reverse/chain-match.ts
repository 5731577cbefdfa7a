/**
 * Which filter chain of a generic listener serves a connection: Envoy's criteria in Envoy's order, each taking the
 * most specific value that any chain has, and never coming back to a less specific one when a later criterion fails.
 */
import { BlockList, isIPv6 } from 'node:net'
import type { ChainMatch, CidrRange } from '../../model/config.ts'

/** What is known about a connection when its chain is chosen. */
export interface ConnectionFacts {
  /** Where the client wanted to go. */
  readonly localAddress: string
  readonly localPort: number
  /** A relay said so; otherwise they are the socket's own. */
  readonly isBrought: boolean
  readonly remoteAddress: string
  readonly remotePort: number
  readonly transport: 'tls' | 'raw_buffer'
  /** Lower case; empty when there is none. */
  readonly serverName: string
  /** ALPN's offers, or what the HTTP inspector found. */
  readonly protocols: readonly string[]
}

const ANY = ''

interface Criterion {
  /** The values that a chain has; never empty. */
  readonly keysOf: (match: ChainMatch) => readonly string[]
  /** Values that fit a connection, most specific first. */
  readonly candidates: (facts: ConnectionFacts, ranges: readonly Range[]) => readonly string[]
  /** Among `keys`: those that are ranges of addresses. */
  readonly isRange?: true
}

const CRITERIA: readonly Criterion[] = [
  {
    keysOf: ({ destinationPort }) => [destinationPort === undefined ? ANY : `${destinationPort}`],
    candidates: ({ localPort }) => [`${localPort}`, ANY],
  },
  {
    keysOf: ({ destinations }) => rangeKeys(destinations),
    candidates: ({ localAddress }, ranges) => [...containing(ranges, localAddress), ANY],
    isRange: true,
  },
  {
    keysOf: ({ serverNames }) => orAny(serverNames),
    candidates: ({ serverName }) => [...namesOf(serverName), ANY],
  },
  {
    keysOf: ({ transport }) => [transport ?? ANY],
    candidates: ({ transport }) => [transport, ANY],
  },
  {
    keysOf: ({ applicationProtocols }) => orAny(applicationProtocols),
    candidates: ({ protocols }) => [...protocols, ANY],
  },
  {
    keysOf: ({ sourceType }) => [sourceType ?? ANY],
    candidates: ({ localAddress, remoteAddress }) => [
      localAddress === remoteAddress || isLoopback(remoteAddress) ? 'local' : 'external',
      ANY,
    ],
  },
  {
    keysOf: ({ sources }) => rangeKeys(sources),
    candidates: ({ remoteAddress }, ranges) => [...containing(ranges, remoteAddress), ANY],
    isRange: true,
  },
  {
    keysOf: ({ sourcePorts }) => orAny(sourcePorts?.map(String)),
    candidates: ({ remotePort }) => [`${remotePort}`, ANY],
  },
]

interface Node<T> {
  readonly byKey: ReadonlyMap<string, Node<T>>
  readonly ranges: readonly Range[]
  readonly chain: T | undefined
}

interface Range {
  readonly key: string
  readonly bits: number
  readonly contains: (address: string) => boolean
}

export interface ChainTable<T> {
  find(facts: ConnectionFacts): T | undefined
}

type Entry<T> = readonly [ChainMatch, T]

export function compileChains<T>(entries: readonly Entry<T>[]): ChainTable<T> {
  const root = build(entries, 0)
  // One chain for everything needs no walk.
  const only = entries.length === 1 && Object.keys(entries[0]?.[0] ?? {}).length === 0 ? entries[0]?.[1] : undefined
  return { find: (facts) => only ?? walk(root, facts) }
}

function build<T>(entries: readonly Entry<T>[], level: number): Node<T> {
  const criterion = CRITERIA[level]
  if (criterion === undefined) return { byKey: new Map(), ranges: [], chain: entries[0]?.[1] }
  const groups = new Map<string, Entry<T>[]>()
  for (const entry of entries) {
    for (const key of new Set(criterion.keysOf(entry[0]))) groups.set(key, [...(groups.get(key) ?? []), entry])
  }
  const byKey = new Map([...groups].map(([key, group]) => [key, build(group, level + 1)]))
  const ranges = criterion.isRange === true ? [...groups.keys()].filter((key) => key !== ANY).map(rangeOf) : []
  return { byKey, ranges: ranges.sort((one, other) => other.bits - one.bits), chain: undefined }
}

function walk<T>(root: Node<T>, facts: ConnectionFacts): T | undefined {
  let node = root
  for (const { candidates } of CRITERIA) {
    let next: Node<T> | undefined
    for (const key of candidates(facts, node.ranges)) {
      next = node.byKey.get(key)
      if (next !== undefined) break
    }
    if (next === undefined) return undefined
    node = next
  }
  return node.chain
}

/** Two chains that no connection could tell apart; undefined where there are none. */
export function findTwin(matches: readonly ChainMatch[]): number | undefined {
  const seen = new Set<string>()
  for (const [index, match] of matches.entries()) {
    const own = combinations(match)
    if (own.some((key) => seen.has(key))) return index
    for (const key of own) seen.add(key)
  }
  return undefined
}

function combinations(match: ChainMatch): string[] {
  let found: string[] = ['']
  for (const { keysOf } of CRITERIA) {
    const keys = [...new Set(keysOf(match))]
    found = found.flatMap((before) => keys.map((key) => `${before}|${key}`))
  }
  return found
}

const orAny = (values: readonly string[] | undefined): readonly string[] =>
  values === undefined || values.length === 0 ? [ANY] : values

const rangeKeys = (ranges: readonly CidrRange[] | undefined): readonly string[] =>
  orAny(ranges?.map(({ address, bits }) => `${address}/${bits}`))

function rangeOf(key: string): Range {
  const slash = key.lastIndexOf('/')
  const [address, bits] = [key.slice(0, slash), Number(key.slice(slash + 1))]
  const list = new BlockList()
  list.addSubnet(address, bits, isIPv6(address) ? 'ipv6' : 'ipv4')
  return { key, bits, contains: (candidate) => list.check(candidate, isIPv6(candidate) ? 'ipv6' : 'ipv4') }
}

const containing = (ranges: readonly Range[], address: string): readonly string[] =>
  ranges.filter((range) => range.contains(address)).map(({ key }) => key)

/** `a.b.c` → itself, then `*.b.c`, then `*.c`. */
function namesOf(serverName: string): readonly string[] {
  if (serverName === '') return []
  const names = [serverName]
  for (let dot = serverName.indexOf('.'); dot !== -1; dot = serverName.indexOf('.', dot + 1)) {
    names.push(`*${serverName.slice(dot)}`)
  }
  return names
}

const isLoopback = (address: string): boolean => address.startsWith('127.') || address === '::1'
