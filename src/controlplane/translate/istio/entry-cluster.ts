/** The cluster of a host that is not a Service with pods, before any rule for it. */
import type { Cluster, DnsDiscovery, UpstreamTls } from '../../../model/config.ts'
import type { PortFacts } from '../../observe/facts.ts'
import type { Host } from '../hosts.ts'
import { namedEndpoints } from './entry-endpoints.ts'
import type { HostEntry } from './service-entries.ts'

const CONNECT_TIMEOUT_MS = 10_000 // Istio's; what is outside the cluster may be far away
const DNS: Readonly<Record<'dns' | 'dns-round-robin', DnsDiscovery>> = {
  dns: { kind: 'strict', respectTtl: true },
  'dns-round-robin': { kind: 'logical', respectTtl: true },
}

export interface EntryClusterInput {
  readonly name: string
  readonly host: Host
  readonly entry: HostEntry
  readonly port: PortFacts
  /** For endpoints with sidecars. */
  readonly meshTls: UpstreamTls
  readonly cluster: string
}

export function entryCluster({ name, host, entry, port, meshTls, cluster }: EntryClusterInput): Cluster {
  const common = { name, lb: 'least-request', connectTimeoutMs: CONNECT_TIMEOUT_MS } as const
  const protocol = port.isHttp2 === true ? { protocol: 'http2' as const } : {}
  switch (entry.resolution) {
    case 'none':
      return {
        ...common,
        endpoints: { cluster: name, localities: [] },
        originalDst: {},
        lb: 'round-robin',
        ...protocol,
      }
    case 'static':
      return entry.isInternal
        ? { ...common, endpoints: 'eds', tls: meshTls }
        : { ...common, endpoints: 'eds', ...protocol }
    case 'dns':
    case 'dns-round-robin': {
      const localities = namedEndpoints(host, entry, port, cluster)
      // A proxy takes no name without an endpoint; one that may not be reached has none.
      const dns = localities.length === 0 ? {} : { dns: DNS[entry.resolution] }
      return { ...common, endpoints: { cluster: name, localities }, ...dns, ...protocol }
    }
    default:
      return entry.resolution satisfies never
  }
}
