/**
 * A gateway's own mesh port: callers of the mesh come to it as to any pod with a sidecar, over mTLS by the name of a
 * Service that selects it, and get what is served at the port behind that name. ISTIO_MUTUAL servers are served here:
 * it is the mesh's own TLS that they ask for. TLS that is somebody's own goes on to the gateway's listener as it is.
 */
import {
  ALPN_TCP,
  type Cluster,
  type DownstreamTls,
  type FilterChain,
  type Listener,
  OWN_CERTIFICATE,
  type RouteTable,
  TRUST_BUNDLE,
} from '../../../model/config.ts'
import { PORTS } from '../../../model/ports.ts'
import { innerSni } from '../../../model/sni.ts'
import type { MeshFacts, PodFacts, ServiceFacts } from '../../observe/facts.ts'
import { ALPN_H2, CONNECT_TIMEOUT_MS } from '../clusters.ts'
import { INBOUND_LISTENER, targetPortOf } from '../inbound.ts'
import type { PodPolicies } from '../security/pod-policies.ts'
import { plainTableOf } from './edge-config.ts'
import { joinedHosts, tableOf } from './edge-hosts.ts'
import type { EdgeServer } from './edge.ts'

export interface MeshPortInput {
  readonly pod: PodFacts
  readonly services: readonly ServiceFacts[]
  readonly servers: readonly EdgeServer[]
  readonly mesh: MeshFacts
  readonly policies: PodPolicies
}

export interface MeshPort {
  readonly listeners: readonly Listener[]
  readonly clusters: readonly Cluster[]
  readonly routes: readonly RouteTable[]
}

export function meshPort(input: MeshPortInput): MeshPort {
  const { pod, services, servers, mesh, policies } = input
  const ports = new Map<number, PortBehind>()
  const chains = services.flatMap((service) =>
    service.ports.flatMap(({ port, ...rest }): readonly FilterChain[] => {
      const target = targetPortOf({ port, ...rest }, pod)
      const behind = target === undefined ? undefined : behindOf(target, servers, pod)
      if (target === undefined || behind === undefined) return []
      ports.set(target, behind)
      const sni = innerSni({ service: service.name, namespace: service.namespace, domain: mesh.domain, port })
      const place = { port: target, address: pod.ip, serverName: sni, services: [service] }
      return chainsFor(sni, behind, mesh).map((chain) => policies.guard(chain, place))
    }),
  )
  const found = [...ports.values()]
  return {
    // A listener without chains would accept connections only to close them.
    listeners:
      chains.length === 0 ? [] : [{ name: INBOUND_LISTENER, address: pod.ip, port: PORTS.inboundMesh, chains }],
    clusters: found.flatMap(({ own }) => own ?? []),
    routes: found.flatMap(({ table }) => table ?? []),
  }
}

/** What is served at one of the pod's ports, for callers of the mesh. */
interface PortBehind {
  /** Requests go by this table. */
  readonly requests?: string
  /** It is a table of the mesh port alone. */
  readonly table?: RouteTable
  readonly bytes: FilterChain['filter']
  /** The pod's own listener. */
  readonly own?: Cluster
}

/** Undefined: nothing is. */
function behindOf(port: number, servers: readonly EdgeServer[], pod: PodFacts): PortBehind | undefined {
  const there = servers.filter((server) => server.port === port)
  const [first] = there
  if (first === undefined) return undefined
  const meshed = there.filter(({ tls }) => tls?.certificates === 'mesh')
  const bytes = (meshed.length > 0 ? meshed : there).find(({ serves, tls }) => {
    return serves.kind === 'tcp' && (tls === undefined || tls.certificates === 'mesh')
  })
  const own = ownCluster(pod, port)
  const to = { kind: 'tcp', statPrefix: own.name, cluster: own.name } as const
  const filter = bytes?.serves.kind === 'tcp' ? bytes.serves.to : to
  const common = { bytes: filter, ...(filter === to && { own }) }
  if (first.tls === undefined && first.serves.kind === 'http') return { ...common, requests: plainTableOf(port) }
  const requested = meshed.filter(({ serves }) => serves.kind === 'http')
  if (requested.length === 0) return common
  const table = tableOf(`mesh.${port}`, joinedHosts(requested))
  return { ...common, requests: table.name, table }
}

function chainsFor(sni: string, { requests, bytes }: PortBehind, { trustDomain }: MeshFacts): readonly FilterChain[] {
  const common = { name: sni, serverNames: [sni], allow: { trustDomains: [trustDomain], ids: [] } }
  const carried: FilterChain = { ...common, tls: tlsWith(ALPN_TCP), filter: bytes }
  if (requests === undefined) return [carried]
  return [
    {
      ...common,
      tls: tlsWith(ALPN_H2),
      filter: { kind: 'http', statPrefix: requests, mode: 'inbound', routes: { rds: requests } },
    },
    { ...carried, name: `${sni} ${ALPN_TCP}`, applicationProtocols: [ALPN_TCP] },
  ]
}

const tlsWith = (alpn: string): DownstreamTls => ({
  certificate: OWN_CERTIFICATE,
  validation: TRUST_BUNDLE,
  alpn: [alpn],
})

function ownCluster({ ip: address, namespace, workload }: PodFacts, port: number): Cluster {
  const name = `own|${port}||`
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
              address,
              port,
              health: 'healthy',
              weight: 1,
              transport: 'plain',
              workload: { cluster: '', namespace, workload },
            },
          ],
        },
      ],
    },
    lb: 'least-request',
    connectTimeoutMs: CONNECT_TIMEOUT_MS,
  }
}
