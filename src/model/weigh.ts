/**
 * Failover weights: where a caller's requests should go, nearest first. Pure and deterministic, so that the simulator
 * and the control plane say the same. It orders and shares; the proxy does the spilling, from the priorities and from
 * the health it sees (Envoy's overprovisioning of 1.4).
 */
import { type ClusterLocality, distance } from './locality.ts'

/** The endpoints of one service in one zone of one cluster. */
export interface WeighedGroup extends ClusterLocality {
  readonly ready: number
  readonly total: number
  /** False: data to the cluster is known to be lost. The group keeps its place, so that it comes back where it was. */
  readonly healthy: boolean
}

export interface Weight {
  /** 0 is tried first; priorities in use have no gaps, as gRPC clients require. */
  readonly priority: number
  /** Share within the priority; 0 for a group without ready endpoints. */
  readonly weight: number
}

export interface WeighInput<G extends WeighedGroup> {
  readonly self: ClusterLocality
  readonly groups: readonly G[]
}

/** One weight per group, in the order of the groups. A group with nothing ready shares the last priority in use. */
export function weigh<G extends WeighedGroup>(input: WeighInput<G>): readonly Weight[] {
  const distances = input.groups.map((group) => distance(input.self, group))
  const inUse = distances.filter((_, index) => (input.groups[index]?.ready ?? 0) > 0)
  const steps = [...new Set(inUse)].sort((a, b) => a - b)
  return input.groups.map((group, index) => {
    if (group.ready <= 0) return { priority: Math.max(steps.length - 1, 0), weight: 0 }
    return { priority: steps.indexOf(distances[index] ?? 0), weight: group.ready }
  })
}
