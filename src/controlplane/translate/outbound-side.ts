/**
 * What a pod may call and how, with memory: routes, clusters, endpoints and the listeners before them, for the scope that
 * the pod shares with others like it.
 */
import type { Cluster, FilterChain, Listener, ProxyConfig } from '../../model/config.ts'
import type { DnsName } from '../../model/dns.ts'
import { type PodFacts, type Snapshot } from '../observe/facts.ts'
import { addressesOf, captureAddress, captureOutbound, requestChains } from './capture.ts'
import { DnsNames } from './dns-names.ts'
import { forwardListener } from './forward.ts'
import { headlessChains, headlessPods, type NamedPod, namedPods } from './headless.ts'
import { connectionChains } from './istio/connection-chains.ts'
import { type Scope, Scopes } from './istio/scope.ts'
import { Memo } from './memo.ts'
import { OutboundClusters } from './outbound-clusters.ts'
import { OutboundEndpoints } from './outbound-endpoints.ts'
import { OutboundRoutes } from './outbound-routes.ts'
import { named, NOWHERE, type Tables } from './tables.ts'

export interface Outbound {
  /** Who has the same, shares it. */
  readonly scope: string
  readonly listeners: readonly Listener[]
  readonly routes: ProxyConfig['routes']
  readonly clusters: readonly Cluster[]
  readonly endpoints: ProxyConfig['endpoints']
}

export interface Reachable extends Pick<Outbound, 'clusters' | 'endpoints'> {
  readonly scope: Scope
}

export class OutboundSide {
  readonly #tables: Tables
  readonly #scopes = new Scopes()
  readonly #routes: OutboundRoutes
  readonly #clusters: OutboundClusters
  readonly #endpoints: OutboundEndpoints
  readonly #names: DnsNames
  readonly #listeners = new Memo<Listener>()

  constructor(tables: Tables) {
    this.#tables = tables
    this.#routes = new OutboundRoutes(tables)
    this.#clusters = new OutboundClusters(tables)
    this.#endpoints = new OutboundEndpoints(tables)
    this.#names = new DnsNames(tables)
  }

  build(snapshot: Snapshot, pod: PodFacts): Outbound {
    const { scope, clusters, endpoints } = this.reach(snapshot, pod)
    return {
      scope: `${scope.key}|${pod.node}`,
      listeners: this.#listenersOf(snapshot, pod, scope),
      routes: this.#tables.keep(
        `routes|${scope.key}`,
        named([this.#routes.tableFor(scope, this.#podsOf(snapshot, scope))]),
      ),
      clusters,
      endpoints,
    }
  }

  /** What there is to lead to, for those who have routes of their own. */
  reach(snapshot: Snapshot, pod: PodFacts): Reachable {
    const scope = this.#scopes.scopeOf(snapshot, pod, this.#tables.hosts(snapshot))
    return {
      scope,
      clusters: this.#clusters.clustersFor(snapshot, scope),
      endpoints: this.#endpoints.endpointsFor(snapshot, scope, snapshot.nodes.get(pod.node) ?? NOWHERE),
    }
  }

  /** What its DNS server answers, if it has one. */
  namesFor(snapshot: Snapshot, pod: PodFacts): ReadonlyMap<string, DnsName> {
    return this.#names.namesFor(snapshot, this.#scopes.scopeOf(snapshot, pod, this.#tables.hosts(snapshot)))
  }

  /** The same list while its pods are the same: readiness of others changes no route. */
  #podsOf(snapshot: Snapshot, scope: Scope): readonly NamedPod[] {
    const slices = this.#tables.slicesByService(snapshot)
    const pods = this.#tables.list(`named pods|${scope.key}`, [scope, slices], () => namedPods(scope.hosts, slices))
    return this.#tables.list(`named pods, kept|${scope.key}`, [JSON.stringify(pods)], () => pods)
  }

  #listenersOf(snapshot: Snapshot, pod: PodFacts, scope: Scope): readonly Listener[] {
    const forward = this.#listeners.get(`forward|${pod.namespace}/${pod.name}`, [pod.ip], () => forwardListener(pod.ip))
    if (!pod.captured) return [forward]
    const chains = this.#chainsOf(snapshot, scope)
    const { passesUnknown, key } = scope
    const captured = addressesOf(pod).map((address, index) => {
      const at = `capture|${captureAddress(address)}|${index}|${key}`
      return this.#listeners.get(at, [chains, passesUnknown], () =>
        captureOutbound(pod, { chains, passesUnknown }, address),
      )
    })
    return [forward, ...captured]
  }

  /** The same while they are equal: a listener that changes is made anew by some proxies. */
  #chainsOf(snapshot: Snapshot, scope: Scope): readonly FilterChain[] {
    const slices = this.#tables.slicesByService(snapshot)
    const headless = this.#tables.list(`headless|${scope.key}`, [scope, slices], () =>
      headlessPods(scope.hosts, slices),
    )
    const pods = this.#tables.list(`headless, kept|${scope.key}`, [JSON.stringify(headless)], () => headless)
    const built = this.#tables.list(`chains|${scope.key}`, [scope, pods], () => [
      ...requestChains(scope.hosts),
      ...connectionChains(scope),
      ...headlessChains(pods),
    ])
    return this.#tables.list(`chains, kept|${scope.key}`, [JSON.stringify(built)], () => built)
  }
}
