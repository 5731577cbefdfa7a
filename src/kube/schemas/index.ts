/** The CRDs an install applies, and the validation of own kinds. Imports zod (51 ms): not for proxies. */
import type { CircuitBreakerPolicy, ClusterPeer, CustomResourceDefinition } from '../kinds.ts'
import { CIRCUIT_BREAKER_POLICY } from './circuit-breaker-policy.ts'
import { CLUSTER_PEER } from './cluster-peer.ts'
import { crdOf, validateKind, type Validation } from './definition.ts'

export { mcsCrds } from './mcs.ts'
export type { Validation } from './definition.ts'

export const clusterPeerCrd = (): CustomResourceDefinition => crdOf<ClusterPeer>(CLUSTER_PEER)

export const circuitBreakerPolicyCrd = (): CustomResourceDefinition =>
  crdOf<CircuitBreakerPolicy>(CIRCUIT_BREAKER_POLICY)

export const validateCircuitBreakerPolicy = (object: unknown): Validation =>
  validateKind(CIRCUIT_BREAKER_POLICY, object)

export const validateClusterPeer = (object: unknown): Validation => validateKind(CLUSTER_PEER, object)

/** Own kinds that are built; the design's others come with the features they configure. */
export function ownCrds(): readonly CustomResourceDefinition[] {
  return [clusterPeerCrd(), circuitBreakerPolicyCrd()]
}
