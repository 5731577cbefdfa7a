/**
 * What a proxy's DNS server answers itself, as the control plane tells it: one record per name, so that a change is one
 * name's bytes. Whatever is not here is asked of the pod's own resolvers.
 */
export interface DnsName {
  /** Lower case, without a final dot; `*.example.com` is every name below. */
  readonly name: string
  /** Of either family; empty for headless services. */
  readonly addresses: readonly string[]
  /** For SRV; those of ServiceEntries are nobody's to discover. */
  readonly ports: readonly DnsPort[]
  /** Absent: not headless. Only those that are ready. */
  readonly endpoints?: readonly DnsEndpoint[]
}

export interface DnsPort {
  readonly name: string
  readonly port: number
  readonly protocol: 'tcp' | 'udp'
}

export interface DnsEndpoint {
  /** Before the service's name: `web-0`, under clusterset.local `web-0.east`. */
  readonly label: string
  readonly address: string
  /** What it listens on, by port name. */
  readonly ports: Readonly<Record<string, number>>
}
