/**
 * A sidecar's configuration for an Envoy in its place, with memory: what many pods share is put into Envoy's form once.
 */
import { createHash } from 'node:crypto'
import type { Cluster, Listener, LoadAssignment, ProxyConfig, RouteTable } from '../../../model/config.ts'
import { Memo } from '../memo.ts'
import type { Outbound } from '../outbound-side.ts'
import { byCluster, named, type Tables } from '../tables.ts'
import { envoyListener, envoyTables, type ListenerOptions } from './listeners.ts'
import { envoyDirectCluster, type EnvoyOutbound, envoyOutbound } from './outbound.ts'

const STATE_LENGTH = 11

export interface SidecarParts {
  readonly outbound: Outbound
  readonly inboundClusters: readonly Cluster[]
  /** Of those that are not inline: what the control plane counts for the pod. */
  readonly inboundEndpoints: readonly LoadAssignment[]
  /** Both directions, with what Telemetry says. */
  readonly listeners: readonly Listener[]
}

export class EnvoySide {
  readonly #tables: Tables
  readonly #outbound = new Memo<EnvoyOutbound>()
  readonly #listeners = new Memo<Listener>()
  readonly #routes = new Memo<readonly RouteTable[]>()
  readonly #states = new Memo<string>()
  readonly #counted = new Memo<Cluster>()

  constructor(tables: Tables) {
    this.#tables = tables
  }

  /** `key`: the pod. */
  build(parts: SidecarParts, key: string): Omit<ProxyConfig, 'secrets'> {
    const { outbound, inboundClusters, inboundEndpoints, listeners } = parts
    const { scope } = outbound
    const tables = this.#tables
    const connections = connectionClusters(listeners)
    const made = this.#outbound.get(
      `outbound|${scope}`,
      [outbound.clusters, outbound.endpoints, [...connections].join('|')],
      () => this.#kept(scope, envoyOutbound(outbound, connections)),
    )
    const passesUnknown = passesUnknownOf(listeners)
    const options: ListenerOptions = { forConnections: made.forConnections, passesUnknown }
    const all = [
      ...listeners.map((listener) =>
        this.#listeners.get(`${key}|${listener.name}`, [listener, JSON.stringify([...made.forConnections])], () =>
          envoyListener(listener, options),
        ),
      ),
      ...made.listeners,
    ]
    const routes = [...outbound.routes.values()].flatMap((table) =>
      this.#routes.get(`${scope}|${table.name}|${passesUnknown}`, [table], () => envoyTables(table, options)),
    )
    return {
      listeners: tables.keep(`envoy listeners|${key}`, named(all)),
      routes: tables.keep(`envoy routes|${scope}|${passesUnknown}`, named(routes)),
      clusters: tables.layers(`envoy clusters|${key}`, [
        tables.shared(made.clusters),
        tables.keep(`envoy clusters|${key}`, named(this.#direct(inboundClusters, inboundEndpoints))),
      ]),
      endpoints:
        inboundEndpoints.length === 0
          ? made.endpoints
          : tables.layers(`envoy endpoints|${key}`, [
              made.endpoints,
              tables.keep(`envoy endpoints|${key}`, byCluster(inboundEndpoints)),
            ]),
    }
  }

  /** The pod's own are inline; the others are of the mesh, with the agent's certificate. */
  #direct(clusters: readonly Cluster[], endpoints: readonly LoadAssignment[]): readonly Cluster[] {
    if (endpoints.length === 0) return clusters
    const assignments = byCluster(endpoints)
    return clusters.map((cluster) => {
      const assignment = assignments.get(cluster.name)
      if (assignment === undefined) return cluster
      return this.#counted.get(cluster.name, [cluster], () => envoyDirectCluster(cluster, assignment))
    })
  }

  /** Those that are as they were stay the same objects: a change of one endpoint is no news of any cluster. */
  #kept(scope: string, made: EnvoyOutbound): EnvoyOutbound {
    const tables = this.#tables
    const keepEach = <V extends object>(
      kind: string,
      nameOf: (value: V) => string,
      values: readonly V[],
    ): readonly V[] =>
      values.map((value) => {
        const [kept = value] = tables.list(`envoy ${kind}|${scope}|${nameOf(value)}`, [JSON.stringify(value)], () => [
          value,
        ])
        return kept
      })
    const clusters = keepEach<Cluster>('cluster', ({ name }) => name, made.clusters)
    const listeners = keepEach<Listener>('inner', ({ name }) => name, made.listeners)
    const states = new Map(clusters.map((cluster) => [cluster.name, this.#stateOf(cluster)]))
    const assignments = Array.from(made.endpoints.values(), (assignment): LoadAssignment => {
      const clusterState = states.get(assignment.cluster)
      return clusterState === undefined ? assignment : { ...assignment, clusterState }
    })
    const endpoints = keepEach('endpoints', ({ cluster }) => cluster, assignments)
    return {
      clusters: tables.list(`envoy clusters|${scope}`, clusters, () => clusters),
      listeners: tables.list(`envoy inners|${scope}`, listeners, () => listeners),
      endpoints: tables.keep(`envoy endpoints|${scope}`, byCluster(endpoints)),
      forConnections: made.forConnections,
    }
  }

  /** Short, and another whenever the cluster is. */
  #stateOf(cluster: Cluster): string {
    return this.#states.get(cluster.name, [cluster], () =>
      createHash('sha256').update(JSON.stringify(cluster)).digest('base64url').slice(0, STATE_LENGTH),
    )
  }
}

/** What connections go to. */
function connectionClusters(listeners: readonly Listener[]): ReadonlySet<string> {
  const found = new Set<string>()
  for (const { chains } of listeners) {
    for (const { filter } of chains) {
      if (filter.kind !== 'tcp') continue
      if (filter.weighted === undefined) found.add(filter.cluster)
      else for (const { name } of filter.weighted) found.add(name)
    }
  }
  return found
}

/** As the captured listener has it: its last chain is for what nothing names. */
function passesUnknownOf(listeners: readonly Listener[]): boolean {
  const captured = listeners.find(({ capture }) => capture?.direction === 'outbound')
  const last = captured?.chains.at(-1)
  return last?.destinations === undefined && last?.filter.kind === 'tcp'
}
