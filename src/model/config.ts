/**
 * The configuration of a data plane as plain data: what `controlplane/translate` produces, `xds/codec` carries as
 * Envoy v3 protos, and `proxy/` compiles. Shaped after Envoy's resources, so that the codec stays a mapping; every
 * field here has an effect in the proxy, and what is not here is refused by the codec (NACK), never ignored.
 */
import type { Cluster, LoadAssignment } from './cluster.ts'
import type { HttpFilters } from './filters.ts'
import type { PathPolicy, PrincipalRule, RouteTable } from './route.ts'
import type { Upgrade } from './upgrade.ts'

export * from './cluster.ts'
export * from './filters.ts'
export * from './rbac.ts'
export * from './route.ts'
export * from './upgrade.ts'

export interface Listener {
  readonly name: string
  readonly address: string
  readonly port: number
  /** First match wins, most specific server name first; no match closes the connection with `unrecognized_name`. */
  readonly chains: readonly FilterChain[]
  /** Connections come here redirected by the kernel; where they wanted to go chooses the chain. */
  readonly capture?: Capture
}

export interface Capture {
  readonly direction: 'outbound' | 'inbound'
  /** How long the client may take to speak where the protocol is not declared; then it counts as not HTTP. */
  readonly detectMs: number
}

/** Cluster of a TCP proxy on a captured listener: the connection's own destination. */
export const PASSTHROUGH_CLUSTER = 'PassthroughCluster'

export interface FilterChain {
  readonly name: string
  /** Exact lower-case server names; empty matches any. Needs TLS at the listener. */
  readonly serverNames: readonly string[]
  /** Captured listeners only: original destinations of the chain; without addresses any at the port. Absent: the rest. */
  readonly destinations?: { readonly addresses: readonly string[]; readonly port: number }
  /** Captured listeners only: the chain is for what begins like HTTP. Absent: for anything, or for what does not. */
  readonly protocol?: 'http'
  /** Absent: plaintext, or TLS passed through untouched when `filter` is `tcp`. */
  readonly tls?: DownstreamTls
  /** Who may use the chain at all, judged by the client's certificate. Absent: anyone the TLS context admits. */
  readonly allow?: PrincipalRule
  readonly filter: HttpFilterChain | TcpProxy
}

/** TLS 1.3 only; the client certificate is always required and checked against `validation`. */
export interface DownstreamTls {
  readonly certificate: string
  readonly validation: string
  readonly alpn: readonly string[]
}

export interface HttpFilterChain {
  readonly kind: 'http'
  readonly statPrefix: string
  /** `forward`: absolute-form requests of local apps. `inbound`: to the local app. `tunnel`: CONNECT streams are spliced. */
  readonly mode: 'forward' | 'inbound' | 'tunnel'
  readonly routes: { readonly rds: string } | RouteTable
  /** Absent: DEFAULT_PATHS. */
  readonly paths?: PathPolicy
  /** For routes that bring none of their own. */
  readonly filters?: HttpFilters
  /** Absent: MESH_UPGRADES. */
  readonly upgrades?: readonly Upgrade[]
}

export interface TcpProxy {
  readonly kind: 'tcp'
  readonly statPrefix: string
  readonly cluster: string
}

/** SDS: trust anchors. Certificates and keys never travel; a proxy makes its own and knows it as `default`. */
export interface ValidationContext {
  readonly name: string
  /** Trust domain -> PEM roots; never merged into one pool on the wire (SPIFFE federation). */
  readonly roots: Readonly<Record<string, readonly string[]>>
  /** Trust domains and issuer key ids (hex) that are refused whatever chain they show. */
  readonly revokedTrustDomains: readonly string[]
  readonly revokedIssuers: readonly string[]
}

/** Names a proxy uses for its own certificate and for the bundle. */
export const OWN_CERTIFICATE = 'default'
export const TRUST_BUNDLE = 'ROOTCA'

/** Everything one proxy runs; resources by name. */
export interface ProxyConfig {
  readonly listeners: ReadonlyMap<string, Listener>
  readonly routes: ReadonlyMap<string, RouteTable>
  readonly clusters: ReadonlyMap<string, Cluster>
  readonly endpoints: ReadonlyMap<string, LoadAssignment>
  readonly secrets: ReadonlyMap<string, ValidationContext>
}

export type ResourceKind = 'cluster' | 'endpoints' | 'listener' | 'route' | 'secret'

/** Why one resource was refused: sent back in the NACK, shown by proxy-status. The last good one stays in force. */
export interface Rejection {
  readonly kind: ResourceKind
  readonly resource: string
  /** The field, in the proto's names: `filter_chains[0].filters[1].typed_config`. */
  readonly path: string
  readonly message: string
}
