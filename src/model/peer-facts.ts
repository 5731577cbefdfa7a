/**
 * The text that the two ends of a mesh connection tell each other, in W3C baggage form (design, The wire contract).
 * Reading it is the proxy's (proxy/peer-facts.ts), which believes it as far as the certificate allows.
 */
export interface ToldFacts {
  readonly workload: string
  readonly version: string
  readonly cluster: string
  readonly region: string
  readonly zone: string
}

export function formatPeerFacts(facts: ToldFacts): string {
  const members = [
    ['workload', facts.workload],
    ['version', facts.version],
    ['cluster', facts.cluster],
    ['region', facts.region],
    ['zone', facts.zone],
  ] as const
  return members
    .filter(([, value]) => value !== '')
    .map(([key, value]) => `${key}=${encodeURIComponent(value)}`)
    .join(',')
}
