/**
 * Snapshot × proxy → ProxyConfig. A pure function with a memory: it gives the same objects for what did not change, so
 * that a changed endpoint rebuilds one assignment and no route. No IO, no clock.
 */
import type {
  Cluster,
  Listener,
  LoadAssignment,
  ProxyConfig,
  RouteTable,
  ValidationContext,
} from '../../model/config.ts'
import type { Locality } from '../../model/locality.ts'
import { PORTS } from '../../model/ports.ts'
import { clusterName } from '../../model/sni.ts'
import { loopbackOf } from '../../runtime/network.ts'
import { type PodFacts, type ServiceFacts, type SliceFacts, type Snapshot } from '../observe/facts.ts'
import { breakersOf, type Breakers } from './breakers.ts'
import { captureAddress, captureInbound, captureOutbound } from './capture.ts'
import { identitiesOf, outboundCluster } from './clusters.ts'
import {
  eastWestCluster,
  eastWestClusterNames,
  eastWestListener,
  eastWestRoutes,
  exportedEndpoints,
  gatewayCluster,
  systemEndpoints,
} from './east-west.ts'
import { assignmentFor, type Group, groupsOf } from './endpoints.ts'
import { type ExportedService, type Host, listExports, listHosts } from './hosts.ts'
import { type Inbound, inboundOf, servicesSelecting } from './inbound.ts'
import { keepMap, Memo } from './memo.ts'
import { OUTBOUND_ROUTES, outboundRoutes } from './routes.ts'

export type ProxyRole = 'sidecar' | 'east-west'

export interface ProxyFacts {
  readonly role: ProxyRole
  readonly pod: PodFacts
}

export interface TranslatorOptions {
  /** Secret of the cluster behind the opaque endpoint ids. */
  readonly endpointIdKey: Buffer
}

const HTTP_PROXY_LISTENER = 'http-proxy'

export class Translator {
  readonly #endpointIdKey: Buffer
  readonly #lists = new Memo<readonly unknown[]>()
  readonly #sliceIndex = new Memo<ReadonlyMap<string, readonly SliceFacts[]>>()
  readonly #identities = new Memo<readonly string[]>()
  readonly #groups = new Memo<readonly Group[]>()
  readonly #clusters = new Memo<Cluster>()
  readonly #assignments = new Memo<LoadAssignment>()
  readonly #breakers = new Memo<Breakers>()
  readonly #routes = new Memo<RouteTable>()
  readonly #inbound = new Memo<Inbound>()
  readonly #listeners = new Memo<Listener>()
  readonly #configs = new Memo<ProxyConfig>()
  /** By what they are for; the last map, so that an equal one keeps its identity. */
  readonly #maps = new Memo<{ last: ReadonlyMap<string, unknown> | undefined }>()

  constructor(options: TranslatorOptions) {
    this.#endpointIdKey = options.endpointIdKey
  }

  /** Undefined while there is nothing sensible to run: no trust yet, or a pod without an address. */
  translate(snapshot: Snapshot, proxy: ProxyFacts): ProxyConfig | undefined {
    if (snapshot.trust === undefined || proxy.pod.ip === '') return undefined
    const key = `${proxy.role}|${proxy.pod.namespace}/${proxy.pod.name}`
    const secrets = this.#secrets(snapshot.trust)
    return this.#configs.get(key, [snapshot, proxy.pod], () =>
      proxy.role === 'sidecar'
        ? this.#sidecar(snapshot, proxy.pod, secrets)
        : this.#gateway(snapshot, proxy.pod, secrets),
    )
  }

  #sidecar(snapshot: Snapshot, pod: PodFacts, secrets: ProxyConfig['secrets']): ProxyConfig {
    const hosts = this.#hosts(snapshot)
    const inbound = this.#inboundOf(snapshot, pod)
    const clusters = [...this.#outboundClusters(snapshot, hosts), ...inbound.clusters]
    const place = snapshot.nodes.get(pod.node) ?? NOWHERE
    const key = `${pod.namespace}/${pod.name}`
    const routes = this.#routes.get(`${OUTBOUND_ROUTES}|${pod.namespace}`, [hosts], () =>
      outboundRoutes(hosts, pod.namespace),
    )
    const proxyListener = this.#listeners.get(`${HTTP_PROXY_LISTENER}|${key}`, [pod.ip], () => forwardListener(pod.ip))
    const listeners = [proxyListener, ...this.#captureListeners(snapshot, pod, hosts)]
    if (inbound.listener !== undefined) listeners.push(inbound.listener)
    return {
      listeners: this.#keep(`listeners|${key}`, named(listeners)),
      routes: this.#keep(`routes|${pod.namespace}`, named([routes])),
      clusters: this.#keep(`clusters|${key}`, named(clusters)),
      endpoints: this.#outboundEndpoints(snapshot, hosts, place),
      secrets,
    }
  }

  #gateway(snapshot: Snapshot, pod: PodFacts, secrets: ProxyConfig['secrets']): ProxyConfig {
    const exports = this.#exports(snapshot)
    const peers = this.#peerTrustDomains(snapshot)
    const key = `${pod.namespace}/${pod.name}`
    const listener = this.#listeners.get(`east-west|${key}`, [pod.ip, peers, snapshot.mesh], () =>
      eastWestListener(pod, snapshot.mesh, peers),
    )
    const routes = this.#routes.get('east-west', [exports, peers], () => eastWestRoutes(exports, peers))
    const clusters = eastWestClusterNames(exports).map((name) =>
      this.#clusters.get(name, [], () => gatewayCluster(name)),
    )
    return {
      listeners: this.#keep(`listeners|${key}`, named([listener])),
      routes: this.#keep('routes|east-west', named([routes])),
      clusters: this.#keep('clusters|east-west', named(clusters)),
      endpoints: this.#keep('endpoints|east-west', this.#gatewayEndpoints(snapshot, exports)),
      secrets,
    }
  }

  #hosts(snapshot: Snapshot): readonly Host[] {
    const { mesh, services, exports, imports } = snapshot
    return this.#lists.get('hosts', [mesh, services, exports, imports], () => listHosts(snapshot)) as readonly Host[]
  }

  #exports(snapshot: Snapshot): readonly ExportedService[] {
    const { services, exports, namespaces } = snapshot
    const peers = this.#peerTrustDomains(snapshot)
    const build = (): readonly ExportedService[] => listExports(snapshot)
    return this.#lists.get('exports', [services, exports, namespaces, peers], build) as readonly ExportedService[]
  }

  /** Sorted; the same list while only the peers' health changes. */
  #peerTrustDomains(snapshot: Snapshot): readonly string[] {
    const domains = Array.from(snapshot.peers.values(), ({ trustDomain }) => trustDomain).sort()
    return this.#lists.get('peers', domains, () => domains) as readonly string[]
  }

  #slicesOf(snapshot: Snapshot): ReadonlyMap<string, readonly SliceFacts[]> {
    return this.#sliceIndex.get('all', [snapshot.slices], () => {
      const index = new Map<string, SliceFacts[]>()
      for (const slice of snapshot.slices.values()) {
        const key = `${slice.namespace}/${slice.service}`
        const known = index.get(key)
        if (known === undefined) index.set(key, [slice])
        else known.push(slice)
      }
      return index
    })
  }

  #inboundOf(snapshot: Snapshot, pod: PodFacts): Inbound {
    const key = `${pod.namespace}/${pod.name}`
    const services = this.#selecting(pod, snapshot.services)
    const exports = this.#exports(snapshot)
    const { trustDomain, domain, cluster } = snapshot.mesh
    // Readiness is no input: a pod that becomes ready must not restart its listener.
    const inputs = [services, exports, pod.ip, pod.workload, JSON.stringify(pod.ports), snapshot.mesh]
    return this.#inbound.get(key, inputs, () => inboundOf({ pod, services, exports, trustDomain, domain, cluster }))
  }

  #captureListeners(snapshot: Snapshot, pod: PodFacts, hosts: readonly Host[]): readonly Listener[] {
    if (!pod.captured) return []
    const { services, mesh } = snapshot
    const key = `${pod.namespace}/${pod.name}`
    const selecting = this.#selecting(pod, services)
    const addresses = pod.ipv6 === undefined ? [pod.ip] : [pod.ip, pod.ipv6]
    return addresses.flatMap((address, index) => {
      const at = captureAddress(address)
      const inputs = [selecting, pod.ip, address, JSON.stringify(pod.ports), mesh]
      return [
        this.#listeners.get(`capture-outbound|${at}|${index}`, [hosts], () => captureOutbound(pod, hosts, address)),
        this.#listeners.get(`capture-inbound|${key}|${index}`, inputs, () =>
          captureInbound(pod, { services: selecting, domain: mesh.domain }, address),
        ),
      ]
    })
  }

  #selecting(pod: PodFacts, services: Snapshot['services']): readonly ServiceFacts[] {
    const selecting = servicesSelecting(pod, services)
    const key = `selecting|${pod.namespace}/${pod.name}`
    return this.#lists.get(key, selecting, () => selecting) as typeof selecting
  }

  #outboundClusters(snapshot: Snapshot, hosts: readonly Host[]): readonly Cluster[] {
    const index = this.#slicesOf(snapshot)
    const { trustDomain } = snapshot.mesh
    const breakers = this.#breakersOf(snapshot)
    const inputs = [hosts, index, snapshot.pods, snapshot.mesh, breakers]
    const built = this.#lists.get('outbound-clusters', inputs, () =>
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
    return built as readonly Cluster[]
  }

  #breakersOf({ breakers, services, imports, mesh }: Snapshot): Breakers {
    return this.#breakers.get(
      'all',
      [breakers, services, imports, mesh],
      () => breakersOf({ breakers, services, imports, mesh }).breakers,
    )
  }

  #outboundEndpoints(snapshot: Snapshot, hosts: readonly Host[], place: Locality): ProxyConfig['endpoints'] {
    const self = { ...place, cluster: snapshot.mesh.cluster }
    const where = JSON.stringify(place)
    const { pods, nodes, peers } = snapshot
    const index = this.#slicesOf(snapshot)
    const assignments = this.#lists.get(`endpoints|${where}`, [hosts, index, pods, nodes, peers], () =>
      hosts.flatMap((host) => {
        const slices = index.get(`${host.namespace}/${host.name}`) ?? []
        return host.ports.map((port) => {
          const cluster = clusterName('outbound', port.port, host.host)
          const groups = this.#groupsOf(snapshot, host, port, slices)
          return this.#assignments.get(`${cluster}|${where}`, [groups], () => assignmentFor(cluster, self, groups))
        })
      }),
    ) as readonly LoadAssignment[]
    return this.#keep(`endpoints|${where}`, byCluster(assignments))
  }

  /** Rebuilt only when a slice, one of its pods or a peer behind it changed. */
  #groupsOf(
    snapshot: Snapshot,
    host: Host,
    port: Host['ports'][number],
    slices: readonly SliceFacts[],
  ): readonly Group[] {
    const inputs: unknown[] = [host, port, snapshot.nodes, ...slices]
    for (const slice of slices) {
      if (slice.imported !== undefined) inputs.push(snapshot.peers.get(slice.imported.cluster))
      else for (const { pod } of slice.endpoints) inputs.push(snapshot.pods.get(`${slice.namespace}/${pod ?? ''}`))
    }
    return this.#groups.get(`${host.host}|${port.port}`, inputs, () => groupsOf(host, port, slices, snapshot))
  }

  #gatewayEndpoints(snapshot: Snapshot, exports: readonly ExportedService[]): ProxyConfig['endpoints'] {
    const index = this.#slicesOf(snapshot)
    const found = exports.flatMap(({ key, namespace, name, ports }) =>
      ports.map(({ port }) => {
        const cluster = eastWestCluster({ service: name, namespace, port })
        const slices = index.get(key) ?? []
        const assignment = exportedEndpoints(cluster, slices, snapshot, this.#endpointIdKey)
        return this.#assignments.get(cluster, [JSON.stringify(assignment)], () => assignment)
      }),
    )
    const system = systemEndpoints(snapshot, this.#endpointIdKey).map((assignment) =>
      this.#assignments.get(assignment.cluster, [JSON.stringify(assignment)], () => assignment),
    )
    return byCluster([...found, ...system])
  }

  #secrets(trust: ValidationContext): ProxyConfig['secrets'] {
    return this.#keep('secrets', named([trust]))
  }

  #keep<V>(key: string, next: ReadonlyMap<string, V>): ReadonlyMap<string, V> {
    const holder = this.#maps.get(key, [], () => ({ last: undefined }))
    const kept = keepMap(holder.last as ReadonlyMap<string, V> | undefined, next)
    holder.last = kept
    return kept
  }
}

const NOWHERE: Locality = { cloud: '', region: '', zone: '' }

function named<V extends { readonly name: string }>(values: readonly V[]): ReadonlyMap<string, V> {
  return new Map(values.map((value) => [value.name, value]))
}

function byCluster(assignments: readonly LoadAssignment[]): ReadonlyMap<string, LoadAssignment> {
  return new Map(assignments.map((assignment) => [assignment.cluster, assignment]))
}

/** The explicit proxy for the pod's own applications; only they can reach it. */
function forwardListener(podIp: string): Listener {
  return {
    name: HTTP_PROXY_LISTENER,
    address: loopbackOf(podIp),
    port: PORTS.httpProxy,
    chains: [
      {
        name: 'forward',
        serverNames: [],
        filter: { kind: 'http', statPrefix: OUTBOUND_ROUTES, mode: 'forward', routes: { rds: OUTBOUND_ROUTES } },
      },
    ],
  }
}
