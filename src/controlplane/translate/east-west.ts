/**
 * What an east-west gateway runs: CONNECT by exported name for the peers it is exported to, and two server names that
 * are spliced, unopened, to the federation leader. It holds no route to anything that is not exported.
 */
import { createHmac } from 'node:crypto'
import {
  type Cluster,
  type Endpoint,
  type FilterChain,
  type Listener,
  type LoadAssignment,
  OWN_CERTIFICATE,
  type RouteTable,
  TRUST_BUNDLE,
  type VirtualHost,
} from '../../model/config.ts'
import { CLUSTERSET_DOMAIN, SYSTEM_ACCOUNTS, SYSTEM_NAMESPACE } from '../../model/names.ts'
import { PORTS } from '../../model/ports.ts'
import { clusterName, federationSni, gatewaySni, hostOf, joinSni, tunnelAuthority } from '../../model/sni.ts'
import type { MeshFacts, PodFacts, SliceFacts, Snapshot } from '../observe/facts.ts'
import { ALPN_H2, CONNECT_TIMEOUT_MS } from './clusters.ts'
import { type PlaceTables, placeOf } from './endpoints.ts'
import type { ExportedService } from './hosts.ts'

export const EAST_WEST_LISTENER = 'east-west'
export const EAST_WEST_ROUTES = 'east-west'
const FEDERATION_PEER = 'federation-peer'
const FEDERATION_JOIN = 'federation-join'
/** Reserved name that peers probe: answered by the gateway pods' own readiness port. */
const HEALTH = { service: 'health', namespace: SYSTEM_NAMESPACE, port: PORTS.readiness } as const

export function eastWestListener(pod: PodFacts, mesh: MeshFacts, trustDomains: readonly string[]): Listener {
  const tunnels: FilterChain = {
    name: 'tunnels',
    serverNames: [gatewaySni(mesh.cluster, mesh.mesh)],
    tls: { certificate: OWN_CERTIFICATE, validation: TRUST_BUNDLE, alpn: [ALPN_H2] },
    allow: { trustDomains, ids: [] },
    filter: { kind: 'http', statPrefix: EAST_WEST_LISTENER, mode: 'tunnel', routes: { rds: EAST_WEST_ROUTES } },
  }
  const spliced = (serverName: string, cluster: string): FilterChain => ({
    name: cluster,
    serverNames: [serverName],
    // The leader may just have changed.
    filter: { kind: 'tcp', statPrefix: cluster, cluster, connectAttemptsMax: 3 },
  })
  return {
    name: EAST_WEST_LISTENER,
    address: pod.ip,
    port: PORTS.eastWest,
    chains: [
      tunnels,
      spliced(federationSni(mesh.cluster, mesh.mesh), FEDERATION_PEER),
      spliced(joinSni(mesh.cluster, mesh.mesh), FEDERATION_JOIN),
    ],
  }
}

export function eastWestRoutes(exports: readonly ExportedService[], peers: readonly string[]): RouteTable {
  const hosts = exports.flatMap(({ namespace, name, ports, trustDomains }) =>
    ports.map(({ port }) => tunnelHost({ service: name, namespace, port }, trustDomains)),
  )
  return { name: EAST_WEST_ROUTES, hosts: [...hosts, tunnelHost(HEALTH, peers)] }
}

interface TunnelName {
  readonly service: string
  readonly namespace: string
  readonly port: number
}

function tunnelHost(name: TunnelName, trustDomains: readonly string[]): VirtualHost {
  const authority = tunnelAuthority(name)
  const cluster = eastWestCluster(name)
  const allow = { trustDomains, ids: [] }
  return {
    name: authority,
    domains: [authority],
    routes: [{ match: { kind: 'connect' }, cluster, timeoutMs: 0, allow }],
  }
}

export const eastWestCluster = (name: TunnelName): string =>
  clusterName('east-west', name.port, hostOf({ ...name, domain: CLUSTERSET_DOMAIN }))

/** Names of all clusters of a gateway; their shape never varies, only their endpoints do. */
export function eastWestClusterNames(exports: readonly ExportedService[]): readonly string[] {
  const names = exports.flatMap(({ namespace, name, ports }) =>
    ports.map(({ port }) => eastWestCluster({ service: name, namespace, port })),
  )
  return [...names, eastWestCluster(HEALTH), FEDERATION_PEER, FEDERATION_JOIN]
}

export function gatewayCluster(name: string): Cluster {
  return { name, endpoints: 'eds', lb: 'least-request', connectTimeoutMs: CONNECT_TIMEOUT_MS }
}

/** Local ready pods by their mesh port; without a sidecar a pod cannot end the inner handshake and stays out. */
export function exportedEndpoints(
  cluster: string,
  slices: readonly SliceFacts[],
  tables: PlaceTables,
  endpointIdKey: Buffer,
): LoadAssignment {
  const endpoints = slices.flatMap((slice) => {
    if (slice.imported !== undefined) return []
    return slice.endpoints.flatMap((found) => {
      const pod = found.pod === undefined ? undefined : tables.pods.get(`${slice.namespace}/${found.pod}`)
      if (pod === undefined || !pod.hasSidecar || found.state === 'not-ready') return []
      const health = found.state === 'ready' ? ('healthy' as const) : ('draining' as const)
      const endpoint = plainEndpoint(pod, PORTS.inboundMesh, tables.mesh.cluster)
      return [{ ...endpoint, health, id: endpointId(endpointIdKey, pod.uid), node: found }]
    })
  })
  const byPlace = new Map<string, { locality: ReturnType<typeof placeOf>; endpoints: Endpoint[] }>()
  for (const { node, ...endpoint } of endpoints.toSorted((a, b) => (a.address < b.address ? -1 : 1))) {
    const locality = placeOf(node, tables.nodes)
    const key = JSON.stringify(locality)
    const known = byPlace.get(key) ?? { locality, endpoints: [] }
    known.endpoints.push(endpoint)
    byPlace.set(key, known)
  }
  // All at one priority: the caller has chosen the cluster, the gateway spreads over all of its pods.
  return {
    cluster,
    localities: [...byPlace]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([, place]) => Object.assign({ priority: 0, weight: place.endpoints.length }, place)),
  }
}

/** One place without a name: for what runs beside the gateway. */
function assignmentOf(cluster: string, endpoints: readonly Endpoint[]): LoadAssignment {
  const locality = { cloud: '', region: '', zone: '' }
  if (endpoints.length === 0) return { cluster, localities: [] }
  return { cluster, localities: [{ locality, priority: 0, weight: endpoints.length, endpoints }] }
}

export function systemEndpoints(
  tables: Pick<Snapshot, 'mesh' | 'pods' | 'federationLeader'>,
  endpointIdKey: Buffer,
): readonly LoadAssignment[] {
  const { cluster } = tables.mesh
  const gateways = [...tables.pods.values()]
    .filter((pod) => pod.namespace === SYSTEM_NAMESPACE && pod.serviceAccount === SYSTEM_ACCOUNTS.eastWest)
    .filter((pod) => pod.ready && pod.ip !== '')
    .toSorted((a, b) => (a.ip < b.ip ? -1 : 1))
    .map((pod) =>
      Object.assign(plainEndpoint(pod, PORTS.readiness, cluster), { id: endpointId(endpointIdKey, pod.uid) }),
    )
  const leader = tables.pods.get(`${SYSTEM_NAMESPACE}/${tables.federationLeader}`)
  const atLeader = (port: number): readonly Endpoint[] =>
    leader === undefined || leader.ip === '' ? [] : [plainEndpoint(leader, port, cluster)]
  return [
    assignmentOf(eastWestCluster(HEALTH), gateways),
    assignmentOf(FEDERATION_PEER, atLeader(PORTS.federationPeer)),
    assignmentOf(FEDERATION_JOIN, atLeader(PORTS.federationJoin)),
  ]
}

function plainEndpoint(pod: PodFacts, port: number, cluster: string): Endpoint {
  const { ip, namespace, workload } = pod
  return {
    address: ip,
    port,
    health: 'healthy',
    weight: 1,
    transport: 'plain',
    workload: { cluster, namespace, workload },
  }
}

const BASE32 = 'abcdefghijklmnopqrstuvwxyz234567'
const ID_CHARACTERS = 26

/** Opaque to peers, and stable: 130 bits of HMAC(cluster key, pod uid) in base32 (wire contract). */
export function endpointId(key: Buffer, uid: string): string {
  const digest = createHmac('sha256', key).update(uid).digest()
  let id = ''
  let bits = 0
  let value = 0
  for (const byte of digest) {
    value = ((value << 8) | byte) & 0xfff
    bits += 8
    while (bits >= 5 && id.length < ID_CHARACTERS) {
      bits -= 5
      id += BASE32[(value >> bits) & 31] ?? ''
    }
  }
  return id
}
