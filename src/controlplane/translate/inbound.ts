/**
 * What a sidecar accepts: one chain per service port that selects the pod, told apart by server name, each with the
 * callers it admits. This enforces exports a second time, whatever the gateway let through.
 */
import {
  ALPN_TCP,
  type Cluster,
  type DownstreamTls,
  type FilterChain,
  type HttpFilterChain,
  type Listener,
  OWN_CERTIFICATE,
  type PrincipalRule,
  type TcpProxy,
  TRUST_BUNDLE,
} from '../../model/config.ts'
import { CLUSTERSET_DOMAIN } from '../../model/names.ts'
import { PORTS } from '../../model/ports.ts'
import { innerSni, innerSniOfHost } from '../../model/sni.ts'
import { keyOf, type PodFacts, type PortFacts, type ServiceFacts, type Snapshot } from '../observe/facts.ts'
import { ALPN_H2, CONNECT_TIMEOUT_MS } from './clusters.ts'
import type { ExportedService } from './hosts.ts'
import type { PodPolicies } from './security/pod-policies.ts'

export const INBOUND_LISTENER = 'inbound-mesh'

export interface Inbound {
  readonly listener: Listener | undefined
  readonly clusters: readonly Cluster[]
}

/** Services of the pod's namespace whose selector its labels match, sorted by name. */
export function servicesSelecting(pod: PodFacts, services: Snapshot['services']): readonly ServiceFacts[] {
  const found: ServiceFacts[] = []
  for (const service of services.values()) {
    if (isSelecting(service, pod)) found.push(service)
  }
  return found.sort((a, b) => (a.name < b.name ? -1 : 1))
}

export function isSelecting({ namespace, selector }: ServiceFacts, pod: PodFacts): boolean {
  if (namespace !== pod.namespace || selector === undefined) return false
  return Object.entries(selector).every(([label, value]) => pod.labels[label] === value)
}

export interface InboundInput {
  readonly pod: PodFacts
  readonly services: readonly ServiceFacts[]
  readonly exports: readonly ExportedService[]
  readonly trustDomain: string
  readonly domain: string
  readonly cluster: string
  readonly policies: PodPolicies
}

export function inboundOf(input: InboundInput): Inbound {
  const { pod, services } = input
  const chains: FilterChain[] = []
  const clusters = new Map<string, Cluster>()
  for (const service of services) {
    const exported = input.exports.find(({ key }) => key === keyOf(service))
    for (const port of service.ports) {
      const targetPort = targetPortOf(port, pod)
      if (targetPort === undefined) continue
      const cluster = inboundCluster(pod, targetPort, input.cluster)
      // What the mesh carries as HTTP/2 comes out as the application said it speaks.
      const isHttp2 = port.isHttp2 === true || clusters.get(cluster.name)?.protocol === 'http2'
      clusters.set(cluster.name, isHttp2 ? { ...cluster, protocol: 'http2' } : cluster)
      const { domains, trustDomains } = reachOf(input, exported, targetPort)
      for (const domain of domains) {
        const sni = sniOf(service, domain, port.port)
        const isClusterset = domain === CLUSTERSET_DOMAIN
        const place = {
          port: targetPort,
          address: pod.ip,
          serverName: sni,
          services: [service],
          isClusterset,
          isGrpcWeb: port.isGrpcWeb === true,
        }
        const bare = inboundChains(sni, { port, cluster: cluster.name, allow: { trustDomains, ids: [] } })
        chains.push(...bare.map((chain) => input.policies.guard(chain, place)))
      }
    }
  }
  const listener = { name: INBOUND_LISTENER, address: pod.ip, port: PORTS.inboundMesh, chains }
  // A listener without chains would accept connections only to close them.
  return { listener: chains.length === 0 ? undefined : listener, clusters: [...clusters.values()] }
}

/**
 * By which names, and from where, a port is reached over mTLS. Where the own cluster's callers must not use it (DISABLE),
 * peers still do: between clusters there is no other way.
 */
function reachOf(
  { domain, trustDomain, policies }: InboundInput,
  exported: ExportedService | undefined,
  port: number,
): { readonly domains: readonly string[]; readonly trustDomains: readonly string[] } {
  const peers = exported?.trustDomains ?? []
  const shared = exported === undefined ? [] : [CLUSTERSET_DOMAIN]
  if (policies.modeAt(port) === 'DISABLE') return { domains: shared, trustDomains: peers }
  return { domains: [domain, ...shared], trustDomains: [trustDomain, ...peers] }
}

const sniOf = ({ name: service, namespace, host }: ServiceFacts, domain: string, port: number): string =>
  host === undefined ? innerSni({ service, namespace, domain, port }) : innerSniOfHost(host, port)

export function targetPortOf(port: PortFacts, pod: PodFacts): number | undefined {
  const { targetPort = port.port } = port
  return typeof targetPort === 'number' ? targetPort : pod.ports[targetPort]
}

/** Requests, bytes, or both where nobody declared the port: the caller then says which by its ALPN. */
function inboundChains(
  sni: string,
  { port, cluster, allow }: { port: PortFacts; cluster: string; allow: PrincipalRule },
): readonly FilterChain[] {
  const common = { name: sni, serverNames: [sni] }
  const requests = { ...common, tls: tlsWith(ALPN_H2), allow, filter: inboundHttpTo(cluster) }
  const bytes = { ...common, tls: tlsWith(ALPN_TCP), allow, filter: inboundTcpTo(cluster) }
  if (port.protocol === 'http') return [requests]
  if (port.protocol === 'tcp') return [bytes]
  return [requests, { ...bytes, name: `${sni} ${ALPN_TCP}`, applicationProtocols: [ALPN_TCP] }]
}

const tlsWith = (alpn: string): DownstreamTls => ({
  certificate: OWN_CERTIFICATE,
  validation: TRUST_BUNDLE,
  alpn: [alpn],
})

/** As `inboundHttp`, for bytes that are not ours to read. */
export function inboundTcp(port: number): TcpProxy {
  return inboundTcpTo(inboundName(port))
}

const inboundTcpTo = (cluster: string): TcpProxy => ({ kind: 'tcp', statPrefix: cluster, cluster })

/** To the pod's own port, whoever asks; the cluster is one of `inboundOf`'s. */
export function inboundHttp(port: number): HttpFilterChain {
  return inboundHttpTo(inboundName(port))
}

const inboundName = (port: number): string => `inbound|${port}||`

export function inboundHttpTo(cluster: string): HttpFilterChain {
  return {
    kind: 'http',
    statPrefix: cluster,
    mode: 'inbound',
    routes: {
      name: cluster,
      hosts: [
        {
          name: 'inbound',
          domains: ['*'],
          routes: [{ match: { kind: 'prefix', prefix: '/' }, cluster, timeoutMs: 0 }],
        },
      ],
    },
  }
}

function inboundCluster(pod: PodFacts, port: number, cluster: string): Cluster {
  const name = inboundName(port)
  const { namespace, workload } = pod
  return {
    name,
    endpoints: {
      cluster: name,
      localities: [
        {
          locality: { cloud: '', region: '', zone: '' },
          priority: 0,
          weight: 1,
          endpoints: [
            {
              address: pod.ip,
              port,
              health: 'healthy',
              weight: 1,
              transport: 'plain',
              workload: { cluster, namespace, workload },
            },
          ],
        },
      ],
    },
    lb: 'least-request',
    connectTimeoutMs: CONNECT_TIMEOUT_MS,
  }
}
