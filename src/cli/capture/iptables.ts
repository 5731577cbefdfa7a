/**
 * Capture rules as input of `iptables-restore --noflush`: pure text. Everything of ours stands in two chains, so that
 * applying again and removing need to know only the jumps into them, which are read off `iptables-save`.
 */
import { iptablesDns, iptablesZones, ZONE_CHAINS } from './dns-rules.ts'
import { type CapturePlan, DNS_PORT, type Family, type PortRange } from './plan.ts'
import { rangesOf } from './plan.ts'

const OUTPUT = 'ISTHMUS_OUTPUT'
const INBOUND = 'ISTHMUS_INBOUND'
const OWN_CHAINS = [OUTPUT, INBOUND] as const
const LOOPBACK: Readonly<Record<Family, string>> = { ipv4: '127.0.0.0/8', ipv6: '::1/128' }

/** What `iptables-save -t` says now of the two tables. */
export interface Saved {
  readonly nat: string
  readonly raw: string
}

/** One transaction for each table: at no moment is a connection captured by half. */
export function iptablesApply(plan: CapturePlan, family: Family, { nat, raw }: Saved): string {
  const zones = iptablesZones(plan)
  const tracked =
    zones.length === 0
      ? removal('raw', raw, ZONE_CHAINS)
      : table('raw', [...ZONE_CHAINS.map(fresh), ...jumpsIn(raw, ZONE_CHAINS).map(deletion), ...zones])
  return tracked + redirections(plan, family, nat)
}

function redirections(plan: CapturePlan, family: Family, saved: string): string {
  return table('nat', [
    ...OWN_CHAINS.map(fresh),
    ...jumpsIn(saved, OWN_CHAINS).map(deletion),
    ...outboundRules(plan, family),
    ...inboundRules(plan),
    `-A OUTPUT -p tcp -j ${OUTPUT}`,
    ...(plan.dnsPort === undefined ? [] : [`-A OUTPUT -p udp --dport ${DNS_PORT} -j ${OUTPUT}`]),
    `-A PREROUTING -p tcp -j ${INBOUND}`,
  ])
}

/** Empty when there is nothing of ours. */
export function iptablesRemove({ nat, raw }: Saved): string {
  return removal('raw', raw, ZONE_CHAINS) + removal('nat', nat, OWN_CHAINS)
}

function removal(name: keyof Saved, saved: string, own: readonly string[]): string {
  const chains = own.filter((chain) => saved.split('\n').some((line) => line.startsWith(`:${chain} `)))
  const jumps = jumpsIn(saved, own).map(deletion)
  if (chains.length + jumps.length === 0) return ''
  return table(name, [...jumps, ...chains.map((chain) => `-F ${chain}`), ...chains.map((chain) => `-X ${chain}`)])
}

function outboundRules(plan: CapturePlan, family: Family): readonly string[] {
  return [
    ...plan.proxyUids.map((uid) => `-A ${OUTPUT} -m owner --uid-owner ${uid} -j RETURN`),
    ...plan.proxyGids.map((gid) => `-A ${OUTPUT} -m owner --gid-owner ${gid} -j RETURN`),
    // What a pod says to itself stays its own business, by loopback or by its own address.
    `-A ${OUTPUT} -o lo -j RETURN`,
    `-A ${OUTPUT} -d ${LOOPBACK[family]} -j RETURN`,
    ...plan.excludeOutboundPorts.map((range) => `-A ${OUTPUT} -p tcp --dport ${ports(range)} -j RETURN`),
    ...rangesOf(plan, family).map((range) => `-A ${OUTPUT} -d ${range} -j RETURN`),
    ...iptablesDns(plan, OUTPUT),
    `-A ${OUTPUT} -p tcp -j REDIRECT --to-ports ${plan.outboundPort}`,
  ]
}

function inboundRules(plan: CapturePlan): readonly string[] {
  return [
    `-A ${INBOUND} -i lo -j RETURN`,
    ...plan.excludeInboundPorts.map((range) => `-A ${INBOUND} -p tcp --dport ${ports(range)} -j RETURN`),
    `-A ${INBOUND} -p tcp -j REDIRECT --to-ports ${plan.inboundPort}`,
  ]
}

/** Rules of other chains that lead into ours, as often as they stand there. */
function jumpsIn(saved: string, chains: readonly string[]): readonly string[] {
  return saved.split('\n').filter((line) => {
    const own = chains.some((chain) => line.startsWith(`-A ${chain} `))
    return line.startsWith('-A ') && !own && chains.some((chain) => line.endsWith(` -j ${chain}`))
  })
}

const deletion = (rule: string): string => rule.replace(/^-A /, '-D ')
const ports = ({ first, last }: PortRange): string => (first === last ? String(first) : `${first}:${last}`)
const fresh = (chain: string): string => `:${chain} - [0:0]`
const table = (name: keyof Saved, lines: readonly string[]): string => `*${name}\n${lines.join('\n')}\nCOMMIT\n`
