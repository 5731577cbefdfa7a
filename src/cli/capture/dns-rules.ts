/**
 * Questions for names, led to the proxy beside the connections: pure text in both languages. The proxy asks resolvers
 * from the same addresses as its applications, and might get a port that one of them has just left: connection tracking
 * would then lead its question back to itself. So the two are tracked in zones of their own.
 */
import { type CapturePlan, DNS_PORT } from './plan.ts'

const ZONE = { proxy: 1, application: 2 } as const
const OUT = 'ISTHMUS_DNS_OUTPUT'
const IN = 'ISTHMUS_DNS_INBOUND'
/** In the table `raw`, which comes before tracking. */
export const ZONE_CHAINS = [OUT, IN] as const

/** For the table of redirections, after everything that is left alone. */
export function iptablesDns({ dnsPort }: CapturePlan, chain: string): readonly string[] {
  if (dnsPort === undefined) return []
  return ['udp', 'tcp'].map(
    (protocol) => `-A ${chain} -p ${protocol} --dport ${DNS_PORT} -j REDIRECT --to-ports ${dnsPort}`,
  )
}

export function iptablesZones(plan: CapturePlan): readonly string[] {
  const { dnsPort } = plan
  if (dnsPort === undefined) return []
  const owners = [
    ...plan.proxyUids.map((uid) => `-m owner --uid-owner ${uid}`),
    ...plan.proxyGids.map((gid) => `-m owner --gid-owner ${gid}`),
  ]
  return [
    ...owners.map((owner) => `-A ${OUT} -p udp --sport ${dnsPort} ${owner} -j CT --zone ${ZONE.application}`),
    `-A ${OUT} -o lo -j RETURN`,
    ...owners.map((owner) => `-A ${OUT} -p udp --dport ${DNS_PORT} ${owner} -j CT --zone ${ZONE.proxy}`),
    ...owners.map((owner) => `-A ${OUT} ${owner} -j RETURN`),
    `-A ${OUT} -p udp --dport ${DNS_PORT} -j CT --zone ${ZONE.application}`,
    `-A ${IN} -i lo -j RETURN`,
    `-A ${IN} -p udp --sport ${DNS_PORT} -j CT --zone ${ZONE.proxy}`,
    `-A OUTPUT -p udp -j ${OUT}`,
    `-A PREROUTING -p udp -j ${IN}`,
  ]
}

export function nftablesDns({ dnsPort }: CapturePlan): readonly string[] {
  return dnsPort === undefined
    ? []
    : ['udp', 'tcp'].map((protocol) => `${protocol} dport ${DNS_PORT} redirect to :${dnsPort}`)
}

/** Chains of the table's own, before tracking. */
export function nftablesZones(
  plan: CapturePlan,
): readonly (readonly [hook: 'output' | 'prerouting', rules: readonly string[]])[] {
  const { dnsPort } = plan
  if (dnsPort === undefined) return []
  const owners = [
    ...plan.proxyUids.map((uid) => `meta skuid ${uid}`),
    ...plan.proxyGids.map((gid) => `meta skgid ${gid}`),
  ]
  return [
    [
      'output',
      [
        ...owners.map((owner) => `udp sport ${dnsPort} ${owner} ct zone set ${ZONE.application} return`),
        'oifname "lo" return',
        ...owners.map((owner) => `udp dport ${DNS_PORT} ${owner} ct zone set ${ZONE.proxy} return`),
        `udp dport ${DNS_PORT} ct zone set ${ZONE.application}`,
      ],
    ],
    ['prerouting', ['iifname "lo" return', `udp sport ${DNS_PORT} ct zone set ${ZONE.proxy}`]],
  ]
}
