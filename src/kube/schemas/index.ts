/** The CRDs an install applies, and the validation of own kinds. Imports zod (51 ms): not for proxies. */
import type { ClusterPeer, CustomResourceDefinition } from '../kinds.ts'
import { AUTHENTICATION_POLICY } from './authentication-policy.ts'
import { CIRCUIT_BREAKER_POLICY } from './circuit-breaker-policy.ts'
import { CLUSTER_PEER } from './cluster-peer.ts'
import { type AnyDefinition, crdOf, validateKind, type Validation } from './definition.ts'
import { GATEWAY, GATEWAY_CLASS, LISTENER_SET } from './gateway-api/gateways.ts'
import { BACKEND_TLS_POLICY, REFERENCE_GRANT } from './gateway-api/policies.ts'
import { GRPC_ROUTE, HTTP_ROUTE, TCP_ROUTE, TLS_ROUTE } from './gateway-api/routes.ts'
import { DESTINATION_RULE } from './networking/destination-rule.ts'
import { ISTIO_GATEWAY } from './networking/gateway.ts'
import { SERVICE_ENTRY, WORKLOAD_ENTRY } from './networking/service-entry.ts'
import { RATE_LIMIT_POLICY } from './rate-limit-policy.ts'
import { SIDECAR } from './networking/sidecar.ts'
import { VIRTUAL_SERVICE } from './networking/virtual-service.ts'
import { AUTHORIZATION_POLICY } from './security/authorization-policy.ts'
import { PEER_AUTHENTICATION } from './security/peer-authentication.ts'
import { REQUEST_AUTHENTICATION } from './security/request-authentication.ts'
import { TELEMETRY } from './security/telemetry.ts'
import { STORED_KINDS } from './stored/stored.ts'

export { mcsCrds } from './mcs.ts'
export type { AnyDefinition, Validation } from './definition.ts'

export const clusterPeerCrd = (): CustomResourceDefinition => crdOf<ClusterPeer>(CLUSTER_PEER)

export const validateCircuitBreakerPolicy = (object: unknown): Validation =>
  validateKind(CIRCUIT_BREAKER_POLICY, object)

export const validateClusterPeer = (object: unknown): Validation => validateKind(CLUSTER_PEER, object)

/** Group isthmus.dev; the design's other kinds come with the features they configure. */
export const OWN_KINDS: readonly AnyDefinition[] = [
  CLUSTER_PEER,
  CIRCUIT_BREAKER_POLICY,
  RATE_LIMIT_POLICY,
  AUTHENTICATION_POLICY,
]

/** Kinds of Istio's groups and of the Gateway API, area by area. */
export const STANDARD_KINDS: readonly AnyDefinition[] = [
  // networking.istio.io
  VIRTUAL_SERVICE,
  DESTINATION_RULE,
  SERVICE_ENTRY,
  WORKLOAD_ENTRY,
  SIDECAR,
  ISTIO_GATEWAY,
  // security.istio.io, telemetry.istio.io
  PEER_AUTHENTICATION,
  REQUEST_AUTHENTICATION,
  AUTHORIZATION_POLICY,
  TELEMETRY,
  // gateway.networking.k8s.io
  GATEWAY_CLASS,
  GATEWAY,
  LISTENER_SET,
  HTTP_ROUTE,
  GRPC_ROUTE,
  TLS_ROUTE,
  TCP_ROUTE,
  REFERENCE_GRANT,
  BACKEND_TLS_POLICY,
  // Stored only.
  ...STORED_KINDS,
]

/** What admission, `isthmus validate` and the CRDs are made from. */
export const KINDS: readonly AnyDefinition[] = [...OWN_KINDS, ...STANDARD_KINDS]

export const ownCrds = (): readonly CustomResourceDefinition[] => OWN_KINDS.map((definition) => crdOf(definition))

/** Definitions of others' standards, applied only where no one else brought them (kube/apply.ts). */
export const standardCrds = (): readonly CustomResourceDefinition[] =>
  STANDARD_KINDS.map((definition) => crdOf(definition))
