/**
 * What the control plane knows of Istio's security and telemetry kinds. The fields that translate reads keep the form
 * that their authors gave them: what they mean for one port of one pod is translate/security's.
 */
import type { AuthorizationPolicySpec, RequestAuthenticationSpec, TelemetrySpec } from '../../kube/kinds.ts'
import type { PathPolicy } from '../../model/config.ts'

/** Where a policy applies, and which of two is the older. */
export interface PolicyScope {
  readonly namespace: string
  readonly name: string
  readonly createdAt: string
  readonly generation: number | undefined
  /** Labels that a pod must have. Absent: every pod of the namespace, in a root namespace of the mesh. */
  readonly selector?: Readonly<Record<string, string>>
  readonly targets?: readonly PolicyTarget[]
}

export interface PolicyTarget {
  readonly group: string
  readonly kind: string
  readonly name: string
}

/** UNSET: what the level above says. */
export type PeerMode = 'UNSET' | 'DISABLE' | 'PERMISSIVE' | 'STRICT'

export interface PeerAuthenticationFacts extends PolicyScope {
  readonly mode: PeerMode
  readonly ports: Readonly<Record<string, PeerMode>>
}

export type JwtRuleSpec = NonNullable<RequestAuthenticationSpec['jwtRules']>[number]

export interface RequestAuthenticationFacts extends PolicyScope {
  readonly rules: readonly JwtRuleSpec[]
}

export type AuthorizationRuleSpec = NonNullable<AuthorizationPolicySpec['rules']>[number]
export type AuthorizationAction = NonNullable<AuthorizationPolicySpec['action']>

export interface AuthorizationPolicyFacts extends PolicyScope {
  readonly action: AuthorizationAction
  /** Of CUSTOM only. */
  readonly provider: string
  readonly rules: readonly AuthorizationRuleSpec[]
  /** Judged and counted, never enforced. */
  readonly dryRun: boolean
}

export interface TelemetryFacts extends PolicyScope, Omit<TelemetrySpec, 'selector' | 'targetRef' | 'targetRefs'> {}

/** The mesh's own settings: ConfigMap `isthmus`, key `mesh`, in the form of Istio's MeshConfig. */
export interface MeshSettings {
  readonly providers: ReadonlyMap<string, ExtensionProvider>
  readonly defaultProviders: { readonly accessLogging: readonly string[]; readonly tracing: readonly string[] }
  /** What becomes of paths before policies see them. Absent: the mesh's default. */
  readonly paths?: PathPolicy
  /** What in it is not supported, by path; shown in status pages and by validate. */
  readonly unsupported: readonly string[]
}

export interface ServiceTarget {
  /** A host of the mesh. */
  readonly service: string
  readonly port: number
}

export type ExtensionProvider =
  | ({ readonly kind: 'authz-grpc' } & ServiceTarget & AuthzSettings)
  | ({ readonly kind: 'authz-http' } & ServiceTarget & AuthzSettings & AuthzHttpSettings)
  | ({ readonly kind: 'otlp'; readonly http?: { readonly path: string; readonly timeoutMs: number } } & ServiceTarget)
  | { readonly kind: 'log'; readonly path: string; readonly format?: LogProviderFormat }

export type LogProviderFormat = { readonly text: string } | { readonly labels: { readonly [name: string]: unknown } }

export interface AuthzSettings {
  readonly timeoutMs: number
  readonly failOpen: boolean
  readonly statusOnError?: number
  readonly body?: { readonly bytesMax: number; readonly partial: boolean; readonly raw: boolean }
}

export interface AuthzHttpSettings {
  readonly pathPrefix?: string
  readonly includeRequestHeaders: readonly string[]
  readonly addRequestHeaders: readonly (readonly [name: string, value: string])[]
  readonly headersUpstream: readonly string[]
  readonly headersToDownstreamOnDeny: readonly string[]
  readonly headersToDownstreamOnAllow: readonly string[]
}

export interface SecurityFacts {
  readonly peerAuthentications: ReadonlyMap<string, PeerAuthenticationFacts>
  readonly requestAuthentications: ReadonlyMap<string, RequestAuthenticationFacts>
  readonly authorizationPolicies: ReadonlyMap<string, AuthorizationPolicyFacts>
  readonly telemetries: ReadonlyMap<string, TelemetryFacts>
  readonly settings: MeshSettings
  /** Of token issuers outside the mesh, by where they were fetched. */
  readonly keySets: ReadonlyMap<string, string>
}

export const NO_SETTINGS: MeshSettings = {
  providers: new Map(),
  defaultProviders: { accessLogging: [], tracing: [] },
  unsupported: [],
}

export const NO_SECURITY: SecurityFacts = {
  peerAuthentications: new Map(),
  requestAuthentications: new Map(),
  authorizationPolicies: new Map(),
  telemetries: new Map(),
  settings: NO_SETTINGS,
  keySets: new Map(),
}
