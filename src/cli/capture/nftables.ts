/**
 * Capture rules as input of `nft -f -`: pure text, the same rules as iptables.ts. A table of our own, replaced whole in
 * one transaction, so that applying twice and removing need to read nothing.
 */
import { nftablesDns, nftablesZones } from './dns-rules.ts'
import type { CapturePlan, Family, PortRange } from './plan.ts'
import { rangesOf } from './plan.ts'

const TABLE = 'inet isthmus_capture'
/** The place of destination NAT; nft takes the word only where packets come in. */
const REDIRECTING = { type: 'nat', priority: -100 }
/** Before connections are tracked, which is at -200. */
const TRACKING = { type: 'filter', priority: -300 }
const KEYWORD: Readonly<Record<Family, string>> = { ipv4: 'ip', ipv6: 'ip6' }
const LOOPBACK: Readonly<Record<Family, string>> = { ipv4: '127.0.0.0/8', ipv6: '::1' }

export function nftablesApply(plan: CapturePlan): string {
  const [only, ...more] = plan.families
  const family = only !== undefined && more.length === 0 ? [`meta nfproto != ${only} return`] : []
  return `${nftablesRemove()}table ${TABLE} {
${chain('outbound', 'output', [...family, ...outboundRules(plan)])}
${chain('inbound', 'prerouting', [...family, ...inboundRules(plan)])}
${zones(plan, family)}}
`
}

function zones(plan: CapturePlan, family: readonly string[]): string {
  return nftablesZones(plan)
    .map(([hook, rules]) => `${chain(`dns_${hook}`, hook, [...family, ...rules], TRACKING)}\n`)
    .join('')
}

/** Declared before it is deleted: deleting what is not there would be an error. */
export function nftablesRemove(): string {
  return `table ${TABLE}\ndelete table ${TABLE}\n`
}

function outboundRules(plan: CapturePlan): readonly string[] {
  return [
    ...plan.proxyUids.map((uid) => `meta skuid ${uid} return`),
    ...plan.proxyGids.map((gid) => `meta skgid ${gid} return`),
    // What a pod says to itself stays its own business, by loopback or by its own address.
    'oifname "lo" return',
    ...plan.families.map((family) => `${KEYWORD[family]} daddr ${LOOPBACK[family]} return`),
    ...plan.excludeOutboundPorts.map((range) => `tcp dport ${ports(range)} return`),
    ...plan.families.flatMap((family) =>
      rangesOf(plan, family).map((range) => `${KEYWORD[family]} daddr ${range} return`),
    ),
    ...nftablesDns(plan),
    `meta l4proto tcp redirect to :${plan.outboundPort}`,
  ]
}

function inboundRules(plan: CapturePlan): readonly string[] {
  return [
    'iifname "lo" return',
    ...plan.excludeInboundPorts.map((range) => `tcp dport ${ports(range)} return`),
    `meta l4proto tcp redirect to :${plan.inboundPort}`,
  ]
}

function chain(name: string, hook: string, rules: readonly string[], kind = REDIRECTING): string {
  const head = `type ${kind.type} hook ${hook} priority ${kind.priority}; policy accept;`
  return `  chain ${name} {\n${[head, ...rules].map((line) => `    ${line}`).join('\n')}\n  }`
}

const ports = ({ first, last }: PortRange): string => (first === last ? String(first) : `${first}-${last}`)
