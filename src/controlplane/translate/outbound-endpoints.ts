/**
 * The endpoints behind the outbound clusters of a scope, with memory: who changes, changes one assignment per place of
 * callers, and nothing else.
 */
import type { LoadAssignment, ProxyConfig } from '../../model/config.ts'
import type { Locality } from '../../model/locality.ts'
import { clusterName } from '../../model/sni.ts'
import type { PortFacts, SliceFacts, Snapshot } from '../observe/facts.ts'
import { assignmentFor, type Group, groupsOf } from './endpoints.ts'
import type { Host } from './hosts.ts'
import type { HostRule } from './istio/destination-rules.ts'
import { type EndpointTerms, termsFor } from './istio/endpoint-terms.ts'
import type { Scope } from './istio/scope.ts'
import { Memo } from './memo.ts'
import { subsetsOf } from './outbound-clusters.ts'
import { byCluster, type Tables } from './tables.ts'

export class OutboundEndpoints {
  readonly #tables: Tables
  readonly #terms = new Memo<EndpointTerms>()
  readonly #groups = new Memo<readonly Group[]>()
  readonly #assignments = new Memo<LoadAssignment>()

  constructor(tables: Tables) {
    this.#tables = tables
  }

  endpointsFor(snapshot: Snapshot, scope: Scope, place: Locality): ProxyConfig['endpoints'] {
    const caller = { ...place, cluster: snapshot.mesh.cluster, labels: scope.caller.labels }
    const where = JSON.stringify(place)
    const { pods, nodes, peers } = snapshot
    const { workloadEntries } = snapshot.networking
    const index = this.#tables.slicesByService(snapshot)
    const key = `endpoints|${where}|${scope.key}`
    const modes = this.#tables.peerModes(snapshot)
    const assignments = this.#tables.list(key, [scope, index, pods, nodes, peers, modes, workloadEntries], () =>
      scope.hosts.filter(isDiscovered).flatMap((host) => {
        const slices = index.get(`${host.namespace}/${host.name}`) ?? []
        const rule = scope.ruleFor(host)
        return host.ports.flatMap((port) =>
          subsetsOf(rule).map((subset) => {
            const cluster = clusterName('outbound', port.port, host.host, subset)
            const terms = this.#termsOf(rule, port.port, subset)
            const groups = this.#groupsOf({ snapshot, host, port, slices, rule, subset, terms })
            const seen = terms?.asksLabels === true ? `${where}|${JSON.stringify(caller.labels)}` : where
            return this.#assignments.get(`${cluster}|${rule?.key ?? ''}|${seen}`, [groups, terms], () =>
              assignmentFor(cluster, caller, groups, terms?.locality),
            )
          }),
        )
      }),
    )
    return this.#tables.keep(key, byCluster(assignments))
  }

  #termsOf(rule: HostRule | undefined, port: number, subset: string): EndpointTerms | undefined {
    return rule && this.#terms.get(`${rule.key}|${port}|${subset}`, [rule], () => termsFor(rule, port, subset))
  }

  /** Rebuilt only when a slice, one of its pods, a peer behind it or the rule for it changed. */
  #groupsOf({ snapshot, host, port, slices, rule, subset, terms }: GroupsInput): readonly Group[] {
    const modes = this.#tables.peerModes(snapshot)
    const inputs: unknown[] = [host, port, snapshot.nodes, modes, terms, ...slices]
    for (const slice of slices) {
      if (slice.imported !== undefined) inputs.push(snapshot.peers.get(slice.imported.cluster))
      else for (const { pod } of slice.endpoints) inputs.push(snapshot.pods.get(`${slice.namespace}/${pod ?? ''}`))
    }
    const { workloadEntries } = snapshot.networking
    if (host.entry?.selector !== undefined) inputs.push(snapshot.pods, workloadEntries)
    return this.#groups.get(`${host.host}|${port.port}|${subset}|${rule?.key ?? ''}`, inputs, () =>
      groupsOf({
        host,
        port,
        slices,
        tables: { ...snapshot, modes, workloadEntries },
        ...(terms !== undefined && { terms }),
      }),
    )
  }
}

/** The others have no endpoints, or hold them in their clusters. */
const isDiscovered = ({ entry }: Host): boolean => entry === undefined || entry.resolution === 'static'

interface GroupsInput {
  readonly snapshot: Snapshot
  readonly host: Host
  readonly port: PortFacts
  readonly slices: readonly SliceFacts[]
  readonly rule: HostRule | undefined
  readonly subset: string
  readonly terms: EndpointTerms | undefined
}
