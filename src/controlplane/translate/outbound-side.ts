/**
 * What a pod may call and how, with memory: routes, clusters, endpoints and the listeners before them, for the scope that
 * the pod shares with others like it.
 */
import type { Cluster, Listener, ProxyConfig } from '../../model/config.ts'
import { type PodFacts, type Snapshot } from '../observe/facts.ts'
import { addressesOf, captureAddress, captureOutbound } from './capture.ts'
import { forwardListener } from './forward.ts'
import { type Scope, Scopes } from './istio/scope.ts'
import { Memo } from './memo.ts'
import { OutboundClusters } from './outbound-clusters.ts'
import { OutboundEndpoints } from './outbound-endpoints.ts'
import { OutboundRoutes } from './outbound-routes.ts'
import { named, NOWHERE, type Tables } from './tables.ts'

export interface Outbound {
  readonly listeners: readonly Listener[]
  readonly routes: ProxyConfig['routes']
  readonly clusters: readonly Cluster[]
  readonly endpoints: ProxyConfig['endpoints']
}

export class OutboundSide {
  readonly #tables: Tables
  readonly #scopes = new Scopes()
  readonly #routes: OutboundRoutes
  readonly #clusters: OutboundClusters
  readonly #endpoints: OutboundEndpoints
  readonly #listeners = new Memo<Listener>()

  constructor(tables: Tables) {
    this.#tables = tables
    this.#routes = new OutboundRoutes(tables)
    this.#clusters = new OutboundClusters(tables)
    this.#endpoints = new OutboundEndpoints(tables)
  }

  build(snapshot: Snapshot, pod: PodFacts): Outbound {
    const scope = this.#scopes.scopeOf(snapshot, pod, this.#tables.hosts(snapshot))
    return {
      listeners: this.#listenersOf(pod, scope),
      routes: this.#tables.keep(`routes|${scope.key}`, named([this.#routes.tableFor(scope)])),
      clusters: this.#clusters.clustersFor(snapshot, scope),
      endpoints: this.#endpoints.endpointsFor(snapshot, scope, snapshot.nodes.get(pod.node) ?? NOWHERE),
    }
  }

  #listenersOf(pod: PodFacts, { key, hosts }: Scope): readonly Listener[] {
    const forward = this.#listeners.get(`forward|${pod.namespace}/${pod.name}`, [pod.ip], () => forwardListener(pod.ip))
    if (!pod.captured) return [forward]
    const captured = addressesOf(pod).map((address, index) => {
      const at = `capture|${captureAddress(address)}|${index}|${key}`
      return this.#listeners.get(at, [hosts], () => captureOutbound(pod, hosts, address))
    })
    return [forward, ...captured]
  }
}
