/**
 * What a pod's capture rules are to do, as plain data read from flags. The rules themselves are iptables.ts and
 * nftables.ts, which say the same in two languages.
 */
import { isIP } from 'node:net'
import { PORTS } from '../../model/ports.ts'
import { MeshError } from '../../runtime/errors.ts'

export interface PortRange {
  readonly first: number
  readonly last: number
}

export interface CapturePlan {
  /** The proxy's own traffic goes out untouched, by user or by group; anything else would be captured again. */
  readonly proxyUids: readonly number[]
  readonly proxyGids: readonly number[]
  readonly outboundPort: number
  readonly inboundPort: number
  /** Where questions for names go; absent: past the proxy. */
  readonly dnsPort?: number
  readonly excludeOutboundPorts: readonly PortRange[]
  readonly excludeInboundPorts: readonly PortRange[]
  /** Address ranges (CIDR) that applications reach without the proxy. */
  readonly excludeOutboundRanges: readonly string[]
  readonly families: readonly Family[]
}

export type Family = 'ipv4' | 'ipv6'

export interface PlanFlags {
  readonly proxyUid: string
  readonly proxyGid: string
  readonly outboundPort: string
  readonly inboundPort: string
  readonly excludeOutboundPorts: string
  readonly excludeInboundPorts: string
  readonly excludeOutboundRanges: string
  readonly ipFamily: string
  readonly dns?: boolean
}

/** Peers and probes come here for the proxy itself; its TLS listener is no plaintext to capture. */
const OWN_INBOUND = [PORTS.inboundMesh, PORTS.metrics, PORTS.readiness]
/** Without `--dns` names are resolved past the proxy, over TCP too. */
export const DNS_PORT = 53
const ID_MAX = 0xffff_fffe
/** Addresses that every namespace has, whatever it speaks: loopback and link-local ones. */
const LOCAL = /^(127\.|::1$|fe[89ab][0-9a-f]:)/i

export const PLAN_DEFAULTS: PlanFlags = {
  proxyUid: '1337',
  proxyGid: '1337',
  outboundPort: String(PORTS.outbound),
  inboundPort: String(PORTS.inbound),
  excludeOutboundPorts: '',
  excludeInboundPorts: '',
  excludeOutboundRanges: '',
  ipFamily: 'ipv4',
}

/** `addresses`: of the network namespace that the rules are for; what `--ip-family auto` goes by. */
export function planOf(flags: PlanFlags, addresses: readonly string[] = []): CapturePlan {
  const single = (port: number): PortRange => ({ first: port, last: port })
  const proxyUids = numbers('--proxy-uid', flags.proxyUid)
  const proxyGids = numbers('--proxy-gid', flags.proxyGid)
  if (proxyUids.length + proxyGids.length === 0) {
    throw new MeshError('USAGE', 'without --proxy-uid and --proxy-gid the proxy would capture its own connections')
  }
  return {
    proxyUids,
    proxyGids,
    outboundPort: portOf('--outbound-port', flags.outboundPort),
    inboundPort: portOf('--inbound-port', flags.inboundPort),
    ...(flags.dns === true && { dnsPort: PORTS.dns }),
    excludeOutboundPorts: [
      ...(flags.dns === true ? [] : [single(DNS_PORT)]),
      ...portRanges('--exclude-outbound-ports', flags.excludeOutboundPorts),
    ],
    excludeInboundPorts: [
      ...OWN_INBOUND.map(single),
      ...portRanges('--exclude-inbound-ports', flags.excludeInboundPorts),
    ],
    excludeOutboundRanges: list(flags.excludeOutboundRanges).map(cidrOf),
    families: familiesOf(flags.ipFamily, addresses),
  }
}

/** Ranges of one family; rules of the other cannot name them. */
export function rangesOf(plan: CapturePlan, family: Family): readonly string[] {
  return plan.excludeOutboundRanges.filter((range) => range.includes(':') === (family === 'ipv6'))
}

function familiesOf(text: string, addresses: readonly string[]): readonly Family[] {
  if (text === 'auto') {
    const has = (family: 4 | 6): boolean => addresses.some((each) => isIP(each) === family && !LOCAL.test(each))
    // A pod without any address of its own is IPv4's: rules first, addresses later.
    return [...(has(4) || !has(6) ? (['ipv4'] as const) : []), ...(has(6) ? (['ipv6'] as const) : [])]
  }
  if (text === 'both') return ['ipv4', 'ipv6']
  if (text === 'ipv4' || text === 'ipv6') return [text]
  throw new MeshError('USAGE', `--ip-family ${text}: expected auto, ipv4, ipv6 or both`)
}

function portRanges(flag: string, text: string): readonly PortRange[] {
  return list(text).map((part) => {
    const [first = '', last = first, ...more] = part.split('-')
    const range = { first: portOf(flag, first), last: portOf(flag, last) }
    if (more.length > 0 || range.last < range.first) {
      throw new MeshError('USAGE', `${flag} ${part}: expected a port or FIRST-LAST`)
    }
    return range
  })
}

function portOf(flag: string, text: string): number {
  return numberOf(flag, text, { min: 1, max: 65_535, what: 'a port' })
}

function numbers(flag: string, text: string): readonly number[] {
  return list(text).map((part) => numberOf(flag, part, { min: 0, max: ID_MAX, what: 'a number' }))
}

/** Digits only: what is written into a rule is exactly what was understood here. */
function numberOf(flag: string, text: string, range: { min: number; max: number; what: string }): number {
  const value = /^[0-9]{1,10}$/.test(text) ? Number(text) : Number.NaN
  if (value >= range.min && value <= range.max) return value
  throw new MeshError('USAGE', `${flag} ${text}: expected ${range.what} from ${range.min} to ${range.max}`)
}

function cidrOf(text: string): string {
  const [address = '', bits, ...more] = text.split('/')
  const family = isIP(address)
  const max = family === 6 ? 128 : 32
  const length = Number(bits ?? max)
  const valid = family !== 0 && more.length === 0 && /^[0-9]*$/.test(bits ?? '') && bits !== '' && length <= max
  if (!valid || address.includes('%')) {
    throw new MeshError('USAGE', `--exclude-outbound-ranges ${text}: expected ADDRESS or ADDRESS/BITS`)
  }
  return `${address}/${length}`
}

const list = (text: string): readonly string[] =>
  text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '')
