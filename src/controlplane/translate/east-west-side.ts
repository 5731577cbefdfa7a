/** What an east-west gateway runs: one table of the exports, with memory. What it consists of stands in east-west.ts. */
import type { Cluster, Listener, LoadAssignment, ProxyConfig, RouteTable } from '../../model/config.ts'
import { type PodFacts, type Snapshot } from '../observe/facts.ts'
import {
  eastWestCluster,
  eastWestClusterNames,
  eastWestListener,
  eastWestRoutes,
  exportedEndpoints,
  gatewayCluster,
  systemEndpoints,
} from './east-west.ts'
import type { ExportedService } from './hosts.ts'
import { Memo } from './memo.ts'
import { byCluster, named, type Tables } from './tables.ts'

export class EastWestSide {
  readonly #tables: Tables
  readonly #endpointIdKey: Buffer
  readonly #listeners = new Memo<Listener>()
  readonly #routes = new Memo<RouteTable>()
  readonly #clusters = new Memo<Cluster>()
  readonly #assignments = new Memo<LoadAssignment>()

  constructor(tables: Tables, endpointIdKey: Buffer) {
    this.#tables = tables
    this.#endpointIdKey = endpointIdKey
  }

  build(snapshot: Snapshot, pod: PodFacts): Omit<ProxyConfig, 'secrets'> {
    const tables = this.#tables
    const exports = tables.exports(snapshot)
    const peers = tables.peerTrustDomains(snapshot)
    const key = `${pod.namespace}/${pod.name}`
    const listener = this.#listeners.get(key, [pod.ip, peers, snapshot.mesh], () =>
      eastWestListener(pod, snapshot.mesh, peers),
    )
    const routes = this.#routes.get('east-west', [exports, peers], () => eastWestRoutes(exports, peers))
    const clusters = eastWestClusterNames(exports).map((name) =>
      this.#clusters.get(name, [], () => gatewayCluster(name)),
    )
    return {
      listeners: tables.keep(`listeners|${key}`, named([listener])),
      routes: tables.keep('routes|east-west', named([routes])),
      clusters: tables.keep('clusters|east-west', named(clusters)),
      endpoints: tables.keep('endpoints|east-west', this.#endpoints(snapshot, exports)),
    }
  }

  #endpoints(snapshot: Snapshot, exports: readonly ExportedService[]): ProxyConfig['endpoints'] {
    const index = this.#tables.slicesByService(snapshot)
    const found = exports.flatMap(({ key, namespace, name, ports }) =>
      ports.map(({ port }) => {
        const cluster = eastWestCluster({ service: name, namespace, port })
        return exportedEndpoints(cluster, index.get(key) ?? [], snapshot, this.#endpointIdKey)
      }),
    )
    const system = systemEndpoints(snapshot, this.#endpointIdKey)
    return byCluster(
      [...found, ...system].map((assignment) =>
        this.#assignments.get(assignment.cluster, [JSON.stringify(assignment)], () => assignment),
      ),
    )
  }
}
