/** The outbound clusters of a scope, with memory: one per host and port, one more per subset that a rule names. */
import { type Cluster, PASSTHROUGH_CLUSTER } from '../../model/config.ts'
import { clusterName } from '../../model/sni.ts'
import type { MeshFacts, PortFacts, Snapshot } from '../observe/facts.ts'
import { breakersOf, type Breakers } from './breakers.ts'
import { identitiesOf, outboundCluster } from './clusters.ts'
import type { Host } from './hosts.ts'
import { type HostRule, policyFor } from './istio/destination-rules.ts'
import { entryIdentities } from './istio/entry-endpoints.ts'
import type { Scope } from './istio/scope.ts'
import { Memo } from './memo.ts'
import type { Tables } from './tables.ts'

export class OutboundClusters {
  readonly #tables: Tables
  readonly #identities = new Memo<readonly string[]>()
  readonly #clusters = new Memo<Cluster>()
  readonly #breakers = new Memo<Breakers>()

  constructor(tables: Tables) {
    this.#tables = tables
  }

  clustersFor(snapshot: Snapshot, scope: Scope): readonly Cluster[] {
    const index = this.#tables.slicesByService(snapshot)
    const breakers = this.#breakersOf(snapshot)
    const { workloadEntries } = snapshot.networking
    const inputs = [scope, index, snapshot.pods, snapshot.mesh, breakers, workloadEntries]
    const built = this.#tables.list(`outbound-clusters|${scope.key}`, inputs, () =>
      scope.hosts.flatMap((host) => {
        const found = this.#identitiesOf(host, snapshot)
        const identities = this.#identities.get(host.host, found, () => found)
        const rule = scope.ruleFor(host)
        return host.ports.flatMap((port) =>
          subsetsOf(rule).map((subset) =>
            this.#clusterOf({ host, port, subset, rule, identities, breakers, mesh: snapshot.mesh }),
          ),
        )
      }),
    )
    // The same list while it holds the same clusters: what is shared by that is not compared for every proxy.
    const all = scope.passesUnknown ? [...built, ANYWHERE] : built
    return this.#tables.list(`outbound-clusters, kept|${scope.key}`, all, () => all)
  }

  #clusterOf({ host, port, subset, rule, identities, breakers, mesh }: ClusterInput): Cluster {
    const name = clusterName('outbound', port.port, host.host, subset)
    // A policy on a service holds for all of its subsets.
    const breaker = breakers.get(clusterName('outbound', port.port, host.host))
    return this.#clusters.get(`${name}|${rule?.key ?? ''}`, [host, port, identities, breaker, rule], () =>
      outboundCluster({
        name,
        host,
        port,
        identities,
        cluster: mesh.cluster,
        trustDomain: mesh.trustDomain,
        ...(breaker !== undefined && { breaker }),
        ...(rule !== undefined && { policy: policyFor(rule, port.port, subset) }),
      }),
    )
  }

  #identitiesOf(host: Host, snapshot: Snapshot): readonly string[] {
    const { pods, networking, mesh } = snapshot
    const { trustDomain } = mesh
    const { entry } = host
    if (entry !== undefined) {
      const { workloadEntries } = networking
      return entry.isInternal ? entryIdentities(host, entry, { pods, workloadEntries, trustDomain }) : []
    }
    const index = this.#tables.slicesByService(snapshot)
    const slices = host.includesLocal ? (index.get(`${host.namespace}/${host.name}`) ?? []) : []
    return identitiesOf(slices, pods, trustDomain)
  }

  #breakersOf({ breakers, services, imports, mesh }: Snapshot): Breakers {
    return this.#breakers.get(
      'all',
      [breakers, services, imports, mesh],
      () => breakersOf({ breakers, services, imports, mesh }).breakers,
    )
  }
}

/** What the mesh does not know: where its client wanted to go. */
const ANYWHERE: Cluster = {
  name: PASSTHROUGH_CLUSTER,
  lb: 'round-robin',
  connectTimeoutMs: 10_000, // Istio's
  endpoints: { cluster: PASSTHROUGH_CLUSTER, localities: [] },
  originalDst: {},
}

interface ClusterInput {
  readonly host: Host
  readonly port: PortFacts
  /** Empty: the whole service. */
  readonly subset: string
  readonly rule: HostRule | undefined
  readonly identities: readonly string[]
  readonly breakers: Breakers
  readonly mesh: MeshFacts
}

/** The whole service first. */
export const subsetsOf = (rule: HostRule | undefined): readonly string[] =>
  rule === undefined ? WHOLE : ['', ...rule.subsets.map(({ name }) => name)]

const WHOLE: readonly string[] = ['']
