/**
 * The product's own kinds (`isthmus.dev/v1alpha1`). Their types come from the zod definitions in kube/schemas, which also
 * give validation and CRDs; only the types are imported, so no process pays for zod here.
 */
import type { z } from 'zod'
import type { KubeObject, Resource } from '../object.ts'
import type { authenticationPolicySpec, authenticationPolicyStatus } from '../schemas/authentication-policy.ts'
import type { circuitBreakerPolicySpec, circuitBreakerPolicyStatus } from '../schemas/circuit-breaker-policy.ts'
import type { clusterPeerSpec, clusterPeerStatus } from '../schemas/cluster-peer.ts'
import type { rateLimitPolicySpec, rateLimitPolicyStatus } from '../schemas/rate-limit-policy.ts'

export type ClusterPeerSpec = z.input<typeof clusterPeerSpec>
export type ClusterPeerStatus = z.input<typeof clusterPeerStatus>

/** One per peer; the object's name is the peer cluster's name. Deleting it is the only thing that withdraws a peer. */
export interface ClusterPeer extends KubeObject {
  spec: ClusterPeerSpec
  status?: ClusterPeerStatus
}

export const CLUSTER_PEERS: Resource<ClusterPeer> = {
  group: 'isthmus.dev',
  version: 'v1alpha1',
  plural: 'clusterpeers',
  kind: 'ClusterPeer',
  namespaced: false,
}

export type CircuitBreakerPolicySpec = z.input<typeof circuitBreakerPolicySpec>
type CircuitBreakerPolicyStatus = z.input<typeof circuitBreakerPolicyStatus>

/** Cuts a failing service off from its callers in this cluster; stands in the service's namespace. */
export interface CircuitBreakerPolicy extends KubeObject {
  spec: CircuitBreakerPolicySpec
  status?: CircuitBreakerPolicyStatus
}

export const CIRCUIT_BREAKER_POLICIES: Resource<CircuitBreakerPolicy> = {
  group: 'isthmus.dev',
  version: 'v1alpha1',
  plural: 'circuitbreakerpolicies',
  kind: 'CircuitBreakerPolicy',
  namespaced: true,
}

export type RateLimitPolicySpec = z.input<typeof rateLimitPolicySpec>

/** How many requests the workloads of its namespace take. */
export interface RateLimitPolicy extends KubeObject {
  spec: RateLimitPolicySpec
  status?: z.input<typeof rateLimitPolicyStatus>
}

export const RATE_LIMIT_POLICIES: Resource<RateLimitPolicy> = {
  group: 'isthmus.dev',
  version: 'v1alpha1',
  plural: 'ratelimitpolicies',
  kind: 'RateLimitPolicy',
  namespaced: true,
}

export type AuthenticationPolicySpec = z.input<typeof authenticationPolicySpec>

/** Who calls the workloads of its namespace, by keys and passwords. */
export interface AuthenticationPolicy extends KubeObject {
  spec: AuthenticationPolicySpec
  status?: z.input<typeof authenticationPolicyStatus>
}

export const AUTHENTICATION_POLICIES: Resource<AuthenticationPolicy> = {
  group: 'isthmus.dev',
  version: 'v1alpha1',
  plural: 'authenticationpolicies',
  kind: 'AuthenticationPolicy',
  namespaced: true,
}
