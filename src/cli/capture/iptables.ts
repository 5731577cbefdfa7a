/**
 * Capture rules as input of `iptables-restore --noflush`: pure text. Everything of ours stands in two chains, so that
 * applying again and removing need to know only the jumps into them, which are read off `iptables-save`.
 */
import type { CapturePlan, Family, PortRange } from './plan.ts'
import { rangesOf } from './plan.ts'

const OUTPUT = 'ISTHMUS_OUTPUT'
const INBOUND = 'ISTHMUS_INBOUND'
const OWN_CHAINS = [OUTPUT, INBOUND] as const
const LOOPBACK: Readonly<Record<Family, string>> = { ipv4: '127.0.0.0/8', ipv6: '::1/128' }

/** `saved`: what `iptables-save -t nat` says now. One transaction: at no moment is a connection captured by half. */
export function iptablesApply(plan: CapturePlan, family: Family, saved: string): string {
  return table([
    ...OWN_CHAINS.map((chain) => `:${chain} - [0:0]`),
    ...jumpsIn(saved).map(deletion),
    ...outboundRules(plan, family),
    ...inboundRules(plan),
    `-A OUTPUT -p tcp -j ${OUTPUT}`,
    `-A PREROUTING -p tcp -j ${INBOUND}`,
  ])
}

/** Empty when there is nothing of ours. */
export function iptablesRemove(saved: string): string {
  const chains = OWN_CHAINS.filter((chain) => saved.split('\n').some((line) => line.startsWith(`:${chain} `)))
  const jumps = jumpsIn(saved).map(deletion)
  if (chains.length + jumps.length === 0) return ''
  return table([...jumps, ...chains.map((chain) => `-F ${chain}`), ...chains.map((chain) => `-X ${chain}`)])
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
function jumpsIn(saved: string): readonly string[] {
  return saved.split('\n').filter((line) => {
    const own = OWN_CHAINS.some((chain) => line.startsWith(`-A ${chain} `))
    return line.startsWith('-A ') && !own && OWN_CHAINS.some((chain) => line.endsWith(` -j ${chain}`))
  })
}

const deletion = (rule: string): string => rule.replace(/^-A /, '-D ')
const ports = ({ first, last }: PortRange): string => (first === last ? String(first) : `${first}:${last}`)
const table = (lines: readonly string[]): string => `*nat\n${lines.join('\n')}\nCOMMIT\n`
