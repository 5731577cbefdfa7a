/**
 * Endpoints of one host and port: local pods as they are, peers as tunnels through their gateways, grouped by place and
 * weighed for one caller's locality (model/weigh). The only part of translate that a pod's readiness touches.
 */
import type { Endpoint, LoadAssignment, LocalityEndpoints } from '../../model/config.ts'
import { formatSpiffeId, parseSpiffeId } from '../../model/identity.ts'
import type { ClusterLocality, Locality } from '../../model/locality.ts'
import { CLUSTERSET_DOMAIN, LABELS, SYSTEM_ACCOUNTS, SYSTEM_NAMESPACE } from '../../model/names.ts'
import { PORTS } from '../../model/ports.ts'
import { gatewaySni, innerSni, tunnelAuthority } from '../../model/sni.ts'
import { type LocalityPolicy, weigh, type WeighedGroup, type WeighInput } from '../../model/weigh.ts'
import type { ImportedFacts } from '../../model/service.ts'
import type {
  MeshFacts,
  PeerFacts,
  PodFacts,
  PortFacts,
  SliceEndpointFacts,
  SliceFacts,
  Snapshot,
} from '../observe/facts.ts'
import type { Host } from './hosts.ts'
import { ADDRESS_KEY, hasPods } from './headless.ts'
import type { DialMode } from './istio/client-tls.ts'
import type { EndpointTerms } from './istio/endpoint-terms.ts'
import { entryGroups, type EntryTables } from './istio/entry-endpoints.ts'
import { hasLabels } from './istio/names.ts'
import type { PeerModes } from './security/peer-modes.ts'

/** Endpoints in one zone of one cluster, not yet weighed for anyone. */
export interface Group extends WeighedGroup {
  readonly endpoints: readonly Endpoint[]
}

export type PlaceTables = Pick<Snapshot, 'mesh' | 'pods' | 'nodes' | 'peers'>

export interface EndpointTables extends PlaceTables {
  readonly modes: Pick<PeerModes, 'tlsModeOf'>
}

export interface GroupsInput {
  readonly host: Host
  readonly port: PortFacts
  readonly slices: readonly SliceFacts[]
  readonly tables: EntryTables
  /** What the rules for it say. */
  readonly terms?: EndpointTerms
}

export function groupsOf({ host, port, slices, tables, terms }: GroupsInput): readonly Group[] {
  const { entry } = host
  if (entry !== undefined) return mergeByPlace(entryGroups({ host, entry, port, tables, terms }))
  const groups = slices.flatMap((slice): readonly Group[] => {
    const { imported } = slice
    if (imported === undefined)
      return host.includesLocal ? localGroups({ port, slice, tables, terms, isHeadless: hasPods(host) }) : []
    const peer = tables.peers.get(imported.cluster)
    if (!host.includesRemote || peer === undefined || !isTrustworthy(imported, peer)) return []
    // A peer that does not export this port has no slice port of that number.
    if (!Object.values(slice.ports).includes(port.port)) return []
    // The mesh's own TLS is what tunnels are made of.
    if (terms?.dial === 'own') return []
    // Of a peer's pods only the place is known.
    if (!hasLabels(placeLabels(imported), terms?.labels)) return []
    return [remoteGroup({ host, port, imported, peer, mesh: tables.mesh })]
  })
  return mergeByPlace(groups)
}

/** Istio's labels of an endpoint's place, which it has beside its pod's. */
const placeLabels = ({ cluster, region, zone }: ClusterLocality): Readonly<Record<string, string>> => ({
  'topology.istio.io/cluster': cluster,
  [LABELS.region]: region,
  [LABELS.zone]: zone,
})

/** An identity outside the peer's trust domain drops all that came with it: the peer speaks for itself only. */
function isTrustworthy(imported: ImportedFacts, peer: PeerFacts): boolean {
  return imported.identities.every((id) => parseSpiffeId(id)?.trustDomain === peer.trustDomain)
}

interface SliceInput {
  readonly port: PortFacts
  readonly slice: SliceFacts
  readonly tables: EndpointTables
  readonly terms: EndpointTerms | undefined
  readonly isHeadless: boolean
}

function localGroups({ port, slice, tables, terms, isHeadless }: SliceInput): readonly Group[] {
  const targetPort = slice.ports[port.name]
  if (targetPort === undefined) return []
  const { cluster } = tables.mesh
  return slice.endpoints.flatMap((found) => {
    if (found.state === 'not-ready') return []
    const pod = found.pod === undefined ? undefined : tables.pods.get(`${slice.namespace}/${found.pod}`)
    const place = { ...placeOf(found, tables.nodes), cluster }
    if (terms !== undefined && !hasLabels({ ...pod?.labels, ...placeLabels(place) }, terms.labels)) return []
    const bare = localEndpoint({ found, pod, slice, targetPort, tables, dial: terms?.dial ?? 'auto' })
    const endpoint = isHeadless ? { ...bare, metadata: { [ADDRESS_KEY]: found.address } } : bare
    const ready = found.state === 'ready' ? 1 : 0
    return [{ ...place, ready, total: 1, healthy: true, endpoints: [endpoint], ...orderOf(terms, pod, found.node) }]
  })
}

/** Those of its labels that its order goes by. */
function orderOf(terms: EndpointTerms | undefined, pod: PodFacts | undefined, node: string): Pick<Group, 'labels'> {
  if (terms === undefined || terms.orderLabels.length === 0) return {}
  const all: Readonly<Record<string, string>> = { ...pod?.labels, 'kubernetes.io/hostname': node }
  return {
    labels: Object.fromEntries(
      terms.orderLabels.flatMap((label) => (all[label] === undefined ? [] : [[label, all[label]]])),
    ),
  }
}

export function placeOf(found: { node: string; zone: string }, nodes: ReadonlyMap<string, Locality>): Locality {
  return nodes.get(found.node) ?? { cloud: '', region: '', zone: found.zone }
}

interface LocalInput {
  readonly found: SliceEndpointFacts
  readonly pod: PodFacts | undefined
  readonly slice: SliceFacts
  readonly targetPort: number
  readonly tables: EndpointTables
  readonly dial: DialMode
}

function localEndpoint({ found, pod, slice, targetPort, tables, dial }: LocalInput): Endpoint {
  const { cluster } = tables.mesh
  const transport = dial === 'auto' ? tables.modes.tlsModeOf(pod, targetPort) : dial === 'mtls' ? 'mtls' : 'plain'
  return {
    address: found.address,
    port: transport === 'mtls' ? PORTS.inboundMesh : targetPort,
    health: found.state === 'ready' ? 'healthy' : 'draining',
    weight: 1,
    transport,
    workload: { cluster, namespace: slice.namespace, workload: pod?.workload ?? slice.service },
  }
}

interface RemoteInput {
  readonly host: Host
  readonly port: PortFacts
  readonly imported: ImportedFacts
  readonly peer: PeerFacts
  readonly mesh: MeshFacts
}

/** One endpoint per gateway of the peer; how many pods stand behind is its weight, which of them the gateway picks. */
function remoteGroup({ host, port, imported, peer, mesh }: RemoteInput): Group {
  const { cluster, cloud, region, zone, ready, total, identities } = imported
  const name = { service: host.name, namespace: host.namespace, port: port.port }
  const tunnel = {
    authority: tunnelAuthority(name),
    cluster,
    trustDomain: peer.trustDomain,
    gatewaySni: gatewaySni(cluster, mesh.mesh),
    gatewayIdentity: formatSpiffeId({
      trustDomain: peer.trustDomain,
      namespace: SYSTEM_NAMESPACE,
      serviceAccount: SYSTEM_ACCOUNTS.eastWest,
    }),
    innerSni: innerSni({ ...name, domain: CLUSTERSET_DOMAIN }),
    identities,
    endpoints: ready,
  }
  const workload = { cluster, namespace: host.namespace, workload: host.name }
  const endpoints = peer.gateways.map((gateway): Endpoint => ({
    address: gateway.host,
    port: gateway.port,
    health: peer.dataLost ? 'unhealthy' : 'healthy',
    weight: Math.max(ready, 1),
    transport: 'tunnel',
    workload,
    tunnel,
  }))
  return { cluster, cloud, region, zone, ready, total, healthy: !peer.dataLost, endpoints: ready > 0 ? endpoints : [] }
}

const placeKey = ({ cluster, cloud, region, zone, labels }: Group): string =>
  [cluster, cloud, region, zone, ...(labels === undefined ? [] : [JSON.stringify(labels)])].join('|')

function mergeByPlace(groups: readonly Group[]): readonly Group[] {
  const merged = new Map<string, Group>()
  for (const group of groups) {
    const key = placeKey(group)
    const known = merged.get(key)
    if (known === undefined) merged.set(key, group)
    else {
      const endpoints = [...known.endpoints, ...group.endpoints]
      const [ready, total] = [known.ready + group.ready, known.total + group.total]
      merged.set(key, { ...known, ready, total, endpoints })
    }
  }
  const sorted = [...merged].sort(([a], [b]) => (a < b ? -1 : 1))
  return sorted.map(([, group]) => Object.assign({}, group, { endpoints: group.endpoints.toSorted(byAddress) }))
}

function byAddress(a: Endpoint, b: Endpoint): number {
  return a.address < b.address ? -1 : a.address > b.address ? 1 : a.port - b.port
}

/** The groups as one caller sees them. Places at one priority become one locality, as xDS clients require. */
export function assignmentFor(
  cluster: string,
  self: WeighInput<Group>['self'],
  groups: readonly Group[],
  policy?: LocalityPolicy,
): LoadAssignment {
  const weights = weigh({ self, groups, ...(policy !== undefined && { policy }) })
  const localities = new Map<string, LocalityEndpoints>()
  for (const [index, group] of groups.entries()) {
    const { priority = 0, weight = 0 } = weights[index] ?? {}
    if (group.endpoints.length === 0) continue
    const { cloud, region, zone } = group
    const key = [priority, cloud, region, zone].join('|')
    const known = localities.get(key)
    localities.set(key, {
      locality: { cloud, region, zone },
      priority,
      weight: weight + (known?.weight ?? 0),
      endpoints: [...(known?.endpoints ?? []), ...group.endpoints],
    })
  }
  return { cluster, localities: [...localities.values()].sort((a, b) => a.priority - b.priority) }
}
