/**
 * Istio's kinds for security and telemetry (`security.istio.io`, `telemetry.istio.io`). Their types come from the zod
 * definitions in kube/schemas/security, which also give validation and CRDs; only the types are imported here.
 */
import type { z } from 'zod'
import type { KubeObject, Resource } from '../object.ts'
import type { istioStatus } from '../schemas/istio.ts'
import type { authorizationPolicySpec } from '../schemas/security/authorization-policy.ts'
import type { peerAuthenticationSpec } from '../schemas/security/peer-authentication.ts'
import type { requestAuthenticationSpec } from '../schemas/security/request-authentication.ts'
import type { telemetrySpec } from '../schemas/security/telemetry.ts'

type IstioStatus = z.input<ReturnType<typeof istioStatus>>

export type PeerAuthenticationSpec = z.input<typeof peerAuthenticationSpec>
export type RequestAuthenticationSpec = z.input<typeof requestAuthenticationSpec>
export type AuthorizationPolicySpec = z.input<typeof authorizationPolicySpec>
export type TelemetrySpec = z.input<typeof telemetrySpec>

/** Whether callers may, must or must not come with a certificate. An absent spec is an empty one, in all of these. */
export interface PeerAuthentication extends KubeObject {
  spec?: PeerAuthenticationSpec
  status?: IstioStatus
}

/** Which tokens requests may carry. */
export interface RequestAuthentication extends KubeObject {
  spec?: RequestAuthenticationSpec
  status?: IstioStatus
}

/** Who may call what. */
export interface AuthorizationPolicy extends KubeObject {
  spec?: AuthorizationPolicySpec
  status?: IstioStatus
}

/** What is written down about requests. */
export interface Telemetry extends KubeObject {
  spec?: TelemetrySpec
  status?: IstioStatus
}

const security = { group: 'security.istio.io', version: 'v1', namespaced: true } as const

export const PEER_AUTHENTICATIONS: Resource<PeerAuthentication> = {
  ...security,
  plural: 'peerauthentications',
  kind: 'PeerAuthentication',
}

export const REQUEST_AUTHENTICATIONS: Resource<RequestAuthentication> = {
  ...security,
  plural: 'requestauthentications',
  kind: 'RequestAuthentication',
}

export const AUTHORIZATION_POLICIES: Resource<AuthorizationPolicy> = {
  ...security,
  plural: 'authorizationpolicies',
  kind: 'AuthorizationPolicy',
}

export const TELEMETRIES: Resource<Telemetry> = {
  group: 'telemetry.istio.io',
  version: 'v1',
  plural: 'telemetries',
  kind: 'Telemetry',
  namespaced: true,
}
