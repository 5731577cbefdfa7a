/**
 * What a pod may call and how, with memory: routes, clusters, endpoints and the listeners before them. What they consist
 * of stands in routes.ts, clusters.ts, endpoints.ts and capture.ts.
 */
import type { Cluster, Listener, LoadAssignment, ProxyConfig, RouteTable } from '../../model/config.ts'
import type { Locality } from '../../model/locality.ts'
import { clusterName } from '../../model/sni.ts'
import { type PodFacts, type SliceFacts, type Snapshot } from '../observe/facts.ts'
import { breakersOf, type Breakers } from './breakers.ts'
import { addressesOf, captureAddress, captureOutbound } from './capture.ts'
import { identitiesOf, outboundCluster } from './clusters.ts'
import { assignmentFor, type Group, groupsOf } from './endpoints.ts'
import { forwardListener } from './forward.ts'
import type { Host } from './hosts.ts'
import { Memo } from './memo.ts'
import { outboundRoutes } from './routes.ts'
import { byCluster, named, NOWHERE, type Tables } from './tables.ts'

export interface Outbound {
  readonly listeners: readonly Listener[]
  readonly routes: ProxyConfig['routes']
  readonly clusters: readonly Cluster[]
  readonly endpoints: ProxyConfig['endpoints']
}

export class OutboundSide {
  readonly #tables: Tables
  readonly #identities = new Memo<readonly string[]>()
  readonly #groups = new Memo<readonly Group[]>()
  readonly #clusters = new Memo<Cluster>()
  readonly #assignments = new Memo<LoadAssignment>()
  readonly #breakers = new Memo<Breakers>()
  readonly #routes = new Memo<RouteTable>()
  readonly #listeners = new Memo<Listener>()

  constructor(tables: Tables) {
    this.#tables = tables
  }

  build(snapshot: Snapshot, pod: PodFacts): Outbound {
    const hosts = this.#tables.hosts(snapshot)
    const { namespace } = pod
    const routes = this.#routes.get(namespace, [hosts], () => outboundRoutes(hosts, namespace))
    return {
      listeners: this.#listenersOf(pod, hosts),
      routes: this.#tables.keep(`routes|${namespace}`, named([routes])),
      clusters: this.#clustersOf(snapshot, hosts),
      endpoints: this.#endpointsOf(snapshot, hosts, snapshot.nodes.get(pod.node) ?? NOWHERE),
    }
  }

  #listenersOf(pod: PodFacts, hosts: readonly Host[]): readonly Listener[] {
    const key = `${pod.namespace}/${pod.name}`
    const forward = this.#listeners.get(`forward|${key}`, [pod.ip], () => forwardListener(pod.ip))
    if (!pod.captured) return [forward]
    const captured = addressesOf(pod).map((address, index) => {
      const at = `capture|${captureAddress(address)}|${index}`
      return this.#listeners.get(at, [hosts], () => captureOutbound(pod, hosts, address))
    })
    return [forward, ...captured]
  }

  #clustersOf(snapshot: Snapshot, hosts: readonly Host[]): readonly Cluster[] {
    const index = this.#tables.slicesByService(snapshot)
    const { trustDomain } = snapshot.mesh
    const breakers = this.#breakersOf(snapshot)
    const inputs = [hosts, index, snapshot.pods, snapshot.mesh, breakers]
    const built = this.#tables.list('outbound-clusters', inputs, () =>
      hosts.flatMap((host) => {
        const slices = host.includesLocal ? (index.get(`${host.namespace}/${host.name}`) ?? []) : []
        const found = identitiesOf(slices, snapshot.pods, trustDomain)
        const identities = this.#identities.get(host.host, found, () => found)
        return host.ports.map((port) => {
          const name = clusterName('outbound', port.port, host.host)
          const breaker = breakers.get(name)
          return this.#clusters.get(name, [host, port, identities, breaker], () =>
            outboundCluster(host, port, identities, breaker),
          )
        })
      }),
    )
    // The same list while it holds the same clusters: what is shared by that is not compared for every proxy.
    return this.#tables.list('outbound-clusters, kept', built, () => built)
  }

  #breakersOf({ breakers, services, imports, mesh }: Snapshot): Breakers {
    return this.#breakers.get(
      'all',
      [breakers, services, imports, mesh],
      () => breakersOf({ breakers, services, imports, mesh }).breakers,
    )
  }

  #endpointsOf(snapshot: Snapshot, hosts: readonly Host[], place: Locality): ProxyConfig['endpoints'] {
    const self = { ...place, cluster: snapshot.mesh.cluster }
    const where = JSON.stringify(place)
    const { pods, nodes, peers } = snapshot
    const modes = this.#tables.peerModes(snapshot)
    const index = this.#tables.slicesByService(snapshot)
    const assignments = this.#tables.list(`endpoints|${where}`, [hosts, index, pods, nodes, peers, modes], () =>
      hosts.flatMap((host) => {
        const slices = index.get(`${host.namespace}/${host.name}`) ?? []
        return host.ports.map((port) => {
          const cluster = clusterName('outbound', port.port, host.host)
          const groups = this.#groupsOf(snapshot, host, port, slices)
          return this.#assignments.get(`${cluster}|${where}`, [groups], () => assignmentFor(cluster, self, groups))
        })
      }),
    )
    return this.#tables.keep(`endpoints|${where}`, byCluster(assignments))
  }

  /** Rebuilt only when a slice, one of its pods or a peer behind it changed. */
  #groupsOf(
    snapshot: Snapshot,
    host: Host,
    port: Host['ports'][number],
    slices: readonly SliceFacts[],
  ): readonly Group[] {
    const modes = this.#tables.peerModes(snapshot)
    const inputs: unknown[] = [host, port, snapshot.nodes, modes, ...slices]
    for (const slice of slices) {
      if (slice.imported !== undefined) inputs.push(snapshot.peers.get(slice.imported.cluster))
      else for (const { pod } of slice.endpoints) inputs.push(snapshot.pods.get(`${slice.namespace}/${pod ?? ''}`))
    }
    return this.#groups.get(`${host.host}|${port.port}`, inputs, () =>
      groupsOf(host, port, slices, { ...snapshot, modes }),
    )
  }
}
