/** What a sidecar accepts, with memory: its own listeners and clusters. What they consist of stands in inbound.ts. */
import type { Cluster, Listener, LoadAssignment } from '../../model/config.ts'
import { type PodFacts, type Snapshot } from '../observe/facts.ts'
import { addressesOf, captureInbound, INBOUND_PASSTHROUGH_CLUSTER, readsUnnamed } from './capture.ts'
import { type Inbound, inboundOf } from './inbound.ts'
import { Memo } from './memo.ts'
import { LIMITS_SERVICE, limitsClusterOf, limitsEndpointsOf, replicasOf } from './own/limit-owners.ts'
import type { PodPolicies } from './security/pod-policies.ts'
import { PolicyTables } from './security/policy-tables.ts'
import type { Tables } from './tables.ts'

/** A policy that the control plane counts. */
interface Counted {
  readonly cluster: Cluster
  readonly endpoints: LoadAssignment
}

const NOTHING_COUNTED: readonly Counted[] = []

export class InboundSide {
  readonly #tables: Tables
  readonly #inbound = new Memo<Inbound>()
  readonly #listeners = new Memo<Listener>()
  readonly #limits = new Memo<Cluster>()
  readonly #owners = new Memo<LoadAssignment>()
  readonly #policies: PolicyTables

  constructor(tables: Tables) {
    this.#tables = tables
    this.#policies = new PolicyTables(tables)
  }

  build(
    snapshot: Snapshot,
    pod: PodFacts,
  ): {
    readonly listeners: readonly Listener[]
    readonly clusters: readonly Cluster[]
    readonly endpoints: readonly LoadAssignment[]
  } {
    const { listener, clusters } = this.#meshInbound(snapshot, pod)
    const captured = this.#captured(snapshot, pod)
    const counted = this.#counted(snapshot, pod)
    const own = captured.some(readsUnnamed) ? [...clusters, INBOUND_PASSTHROUGH_CLUSTER] : clusters
    return {
      listeners: listener === undefined ? captured : [...captured, listener],
      clusters: counted.length === 0 ? own : [...own, ...counted.map(({ cluster: one }) => one)],
      endpoints: counted.map(({ endpoints }) => endpoints),
    }
  }

  /** One object for all pods that a policy speaks to: the replica that counts it is the same for all. */
  #counted(snapshot: Snapshot, pod: PodFacts): readonly Counted[] {
    const { counted } = this.#policiesOf(snapshot, pod)
    if (counted.length === 0) return NOTHING_COUNTED
    const slices = this.#tables.slicesByService(snapshot).get(LIMITS_SERVICE) ?? []
    const { trustDomain, cluster } = snapshot.mesh
    const replicas = replicasOf(slices)
    return counted.map((policy) => ({
      cluster: this.#limits.get(policy, [trustDomain], () => limitsClusterOf(policy, { trustDomain })),
      endpoints: this.#owners.get(policy, [replicas.join(), cluster], () =>
        limitsEndpointsOf(policy, { replicas, trustDomain, cluster }),
      ),
    }))
  }

  #meshInbound(snapshot: Snapshot, pod: PodFacts): Inbound {
    const key = `${pod.namespace}/${pod.name}`
    const services = this.#tables.servicesSelecting(pod, snapshot)
    const exports = this.#tables.exports(snapshot)
    const { trustDomain, domain, cluster } = snapshot.mesh
    // Readiness is no input: a pod that becomes ready must not restart its listener.
    const policies = this.#policiesOf(snapshot, pod)
    const inputs = [services, exports, pod.ip, pod.workload, JSON.stringify(pod.ports), snapshot.mesh, policies]
    return this.#inbound.get(key, inputs, () =>
      inboundOf({ pod, services, exports, trustDomain, domain, cluster, policies }),
    )
  }

  #captured(snapshot: Snapshot, pod: PodFacts): readonly Listener[] {
    if (!pod.captured) return []
    const { mesh } = snapshot
    const selecting = this.#tables.servicesSelecting(pod, snapshot)
    const policies = this.#policiesOf(snapshot, pod)
    return addressesOf(pod).map((address, index) => {
      const inputs = [selecting, pod.ip, address, JSON.stringify(pod.ports), mesh, policies]
      return this.#listeners.get(`${pod.namespace}/${pod.name}|${index}`, inputs, () =>
        captureInbound(pod, { services: selecting, domain: mesh.domain, policies }, address),
      )
    })
  }

  #policiesOf(snapshot: Snapshot, pod: PodFacts): PodPolicies {
    return this.#policies.of(snapshot, pod, this.#tables.servicesSelecting(pod, snapshot))
  }
}
