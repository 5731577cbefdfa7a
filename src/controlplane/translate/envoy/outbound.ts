/**
 * The outbound half of a sidecar in Envoy's form: clusters whose connections speak one protocol, endpoints behind
 * listeners of the process for tunnels and for the bridge, and those listeners with their clusters. Pure; the same objects
 * for the same inputs.
 */
import { isIP } from 'node:net'
import {
  ALPN_TCP,
  type Cluster,
  type Endpoint,
  type Listener,
  type LoadAssignment,
  type LocalityEndpoints,
  OWN_CERTIFICATE,
  PASSTHROUGH_CLUSTER,
  type ProxyConfig,
  TRUST_BUNDLE,
} from '../../../model/config.ts'
import { ALPN_H2, CONNECT_TIMEOUT_MS } from '../clusters.ts'
import type { Outbound } from '../outbound-side.ts'
import { byCluster } from '../tables.ts'
import { withEnvoyBreaker } from './breaker.ts'
import { BLACK_HOLE_CLUSTER } from './listeners.ts'
import { envoyTunnels, isBridged, isPlainOnly, type Reach, reachOf, speaksRequests, type TunnelReach } from './reach.ts'

export const BRIDGE = 'bridge'
/** Namespace of the endpoint's metadata (codec/envoy/internal.ts). */
const BRIDGE_METADATA = 'isthmus.bridge'
/** The caller keeps at most so many tunnels to a service in a cluster (design, How a request travels). */
const TUNNELS_MAX = 16
const NOWHERE = { cluster: '', namespace: '', workload: '' }

export interface EnvoyOutbound {
  readonly listeners: readonly Listener[]
  readonly clusters: readonly Cluster[]
  readonly endpoints: ProxyConfig['endpoints']
  /** Clusters for requests of which connections ask: the name of the one for connections. */
  readonly forConnections: ReadonlyMap<string, string>
}

const tunnelName = (cluster: string): string => `tunnel|${cluster}`
const connectionName = (cluster: string): string => `${cluster}|tcp`

/** `connections`: the clusters that connections go to. */
export function envoyOutbound(
  { clusters, endpoints }: Pick<Outbound, 'clusters' | 'endpoints'>,
  connections: ReadonlySet<string>,
): EnvoyOutbound {
  const made: Cluster[] = [PASSTHROUGH, BLACK_HOLE]
  const assignments: LoadAssignment[] = []
  const forConnections = new Map<string, string>()
  const peers = new Map<string, TunnelReach>()
  let hasBridge = false
  for (const cluster of clusters) {
    const assignment = endpoints.get(cluster.name)
    if (assignment === undefined || cluster.tls === undefined) {
      made.push(cluster)
      if (assignment !== undefined) assignments.push(assignment)
      continue
    }
    const reach = reachOf(assignment)
    for (const tunnel of reach.tunnels) peers.set(tunnel.tunnel.cluster, tunnel)
    hasBridge ||= isBridged(cluster, reach)
    made.push(withEnvoyBreaker(envoyCluster(cluster, reach)))
    assignments.push(envoyAssignment(assignment, isBridged(cluster, reach)))
    if (!speaksRequests(cluster) || !connections.has(cluster.name)) continue
    const name = connectionName(cluster.name)
    forConnections.set(cluster.name, name)
    const bytes = { ...cluster, name, tls: { ...cluster.tls, alpn: [ALPN_TCP] } }
    made.push(envoyCluster(bytes, reach))
    assignments.push(envoyAssignment({ ...assignment, cluster: name }, false))
  }
  const inner = [...peers.values()].map(({ tunnel }) => tunnelListener(tunnel.cluster))
  return {
    listeners: hasBridge ? [...inner, BRIDGE_LISTENER] : inner,
    clusters: [...made, ...[...peers.values()].map(gatewayCluster), ...(hasBridge ? [BRIDGE_CLUSTER] : [])],
    endpoints: byCluster(assignments),
    forConnections,
  }
}

/** One that leads to a workload of this cluster and nowhere else. */
export const envoyDirectCluster = (cluster: Cluster, assignment: LoadAssignment): Cluster =>
  envoyCluster(cluster, reachOf(assignment))

function envoyCluster(cluster: Cluster, reach: Reach): Cluster {
  const { tls, ...rest } = cluster
  if (tls === undefined) return cluster
  // Nobody is there who would speak HTTP/2 with us.
  if (isPlainOnly(reach) && speaksRequests(cluster)) return rest
  const bridged = isBridged(cluster, reach)
  return {
    ...cluster,
    tls: { ...tls, secrets: 'agent' },
    envoy: { ...(bridged && { bridged: true as const }), tunnels: envoyTunnels(reach) },
  }
}

function envoyAssignment(assignment: LoadAssignment, bridged: boolean): LoadAssignment {
  const localities = assignment.localities.map((locality): LocalityEndpoints => {
    const near = locality.endpoints.filter(({ tunnel }) => tunnel === undefined)
    const far = locality.endpoints.filter(({ tunnel }) => tunnel !== undefined)
    const endpoints = [...near.map((endpoint) => (bridged ? behindBridge(endpoint) : endpoint)), ...behindTunnels(far)]
    return { ...locality, endpoints }
  })
  return { ...assignment, localities }
}

function behindBridge(endpoint: Endpoint): Endpoint {
  if (endpoint.transport !== 'plain') return endpoint
  return { ...endpoint, internal: { listener: BRIDGE, id: `${endpoint.address}:${endpoint.port}` } }
}

/**
 * One endpoint for each tunnel that the caller may keep: each is a connection of its own, for which the gateway picks the
 * pod with the fewest. So requests spread over remote pods, and a bad one costs one tunnel.
 */
function behindTunnels(endpoints: readonly Endpoint[]): readonly Endpoint[] {
  const byPeer = new Map<string, Endpoint[]>()
  for (const endpoint of endpoints) {
    const key = endpoint.tunnel?.cluster ?? ''
    byPeer.set(key, [...(byPeer.get(key) ?? []), endpoint])
  }
  return [...byPeer].flatMap(([cluster, gateways]) => {
    const [first] = gateways
    if (first?.tunnel === undefined) return []
    const { authority, endpoints: ready } = first.tunnel
    const count = Math.min(Math.max(ready, 1), TUNNELS_MAX)
    const health = gateways.some((gateway) => gateway.health === 'healthy') ? 'healthy' : first.health
    return Array.from({ length: count }, (_, index): Endpoint => ({
      ...first,
      health,
      weight: Math.max(1, Math.round(first.weight / count)),
      internal: { listener: tunnelName(cluster), id: `${authority} ${index}` },
    }))
  })
}

const tunnelListener = (cluster: string): Listener => ({
  name: tunnelName(cluster),
  address: '',
  port: 0,
  chains: [],
  internal: { kind: 'tunnel', cluster: tunnelName(cluster) },
})

/** The outer connection: to the peer's gateways and nobody else. */
function gatewayCluster({ tunnel, gateways }: TunnelReach): Cluster {
  const name = tunnelName(tunnel.cluster)
  const isByName = gateways.some(({ address }) => isIP(address) === 0)
  return {
    name,
    endpoints: {
      cluster: name,
      localities: [
        {
          locality: { cloud: '', region: '', zone: '' },
          priority: 0,
          weight: 1,
          endpoints: gateways.map(({ address, port }) => ({
            address,
            port,
            health: 'healthy',
            weight: 1,
            transport: 'mtls',
            workload: { ...NOWHERE, cluster: tunnel.cluster },
          })),
        },
      ],
    },
    ...(isByName && { dns: { kind: 'strict' as const } }),
    lb: 'least-request',
    connectTimeoutMs: CONNECT_TIMEOUT_MS,
    tls: {
      certificate: OWN_CERTIFICATE,
      validation: TRUST_BUNDLE,
      sni: tunnel.gatewaySni,
      alpn: [ALPN_H2],
      identities: [tunnel.gatewayIdentity],
      secrets: 'agent',
    },
    // As between our proxies: PING when idle; a dead gateway is noticed.
    connections: { keepAlive: { intervalMs: 5_000, timeoutMs: 2_000 } },
  }
}

const anywhere = (name: string, originalDst: NonNullable<Cluster['originalDst']>): Cluster => ({
  name,
  endpoints: { cluster: name, localities: [] },
  lb: 'round-robin',
  originalDst,
  connectTimeoutMs: CONNECT_TIMEOUT_MS,
})

const BLACK_HOLE: Cluster = {
  name: BLACK_HOLE_CLUSTER,
  endpoints: { cluster: BLACK_HOLE_CLUSTER, localities: [] },
  lb: 'round-robin',
  connectTimeoutMs: CONNECT_TIMEOUT_MS,
}
const PASSTHROUGH = anywhere(PASSTHROUGH_CLUSTER, {})
const BRIDGE_CLUSTER = anywhere(BRIDGE, { metadata: BRIDGE_METADATA })
const BRIDGE_LISTENER: Listener = {
  name: BRIDGE,
  address: '',
  port: 0,
  chains: [],
  internal: { kind: 'bridge', cluster: BRIDGE },
}
