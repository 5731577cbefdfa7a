/**
 * The configuration of a data plane as plain data: what `controlplane/translate` produces, `xds/codec` carries as
 * Envoy v3 protos, and `proxy/` compiles. Shaped after Envoy's resources, so that the codec stays a mapping; every
 * field here has an effect in the proxy, and what is not here is refused by the codec (NACK), never ignored.
 */
import type { Locality } from './locality.ts'

export interface Listener {
  readonly name: string
  readonly address: string
  readonly port: number
  /** First match wins, most specific server name first; no match closes the connection with `unrecognized_name`. */
  readonly chains: readonly FilterChain[]
}

export interface FilterChain {
  readonly name: string
  /** Exact lower-case server names; empty matches any. Needs TLS at the listener. */
  readonly serverNames: readonly string[]
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
}

export interface TcpProxy {
  readonly kind: 'tcp'
  readonly statPrefix: string
  readonly cluster: string
}

/** An empty list admits no one. */
export interface PrincipalRule {
  /** Trust domains of which any workload is admitted. */
  readonly trustDomains: readonly string[]
  /** Exact SPIFFE ids. */
  readonly ids: readonly string[]
}

export interface RouteTable {
  readonly name: string
  readonly hosts: readonly VirtualHost[]
}

export interface VirtualHost {
  readonly name: string
  /** Lower-case `host` or `host:port`, exact; `*` for the rest. */
  readonly domains: readonly string[]
  readonly routes: readonly Route[]
}

export interface Route {
  /** `connect` matches CONNECT requests only; a prefix matches every other method. */
  readonly match: { readonly kind: 'prefix'; readonly prefix: string } | { readonly kind: 'connect' }
  readonly cluster: string
  /** 0: no limit. */
  readonly timeoutMs: number
  readonly retry?: RetryPolicy
  /** Judged by the caller's certificate; a refusal of a `connect` route answers 404, so that nothing is disclosed. */
  readonly allow?: PrincipalRule
}

export interface RetryPolicy {
  readonly on: readonly ('connect-failure' | 'refused-stream' | 'reset-before-request' | 'gateway-error')[]
  readonly retriesMax: number
}

export interface Cluster {
  readonly name: string
  /** Inline endpoints, or `eds`: a LoadAssignment of the same name. */
  readonly endpoints: 'eds' | LoadAssignment
  readonly lb: 'least-request'
  readonly connectTimeoutMs: number
  /** Envoy's transport socket matches: an endpoint's `transport` picks one. */
  readonly tls?: UpstreamTls
  readonly outlier?: OutlierDetection
}

export interface UpstreamTls {
  readonly certificate: string
  readonly validation: string
  readonly sni: string
  readonly alpn: readonly string[]
  /** Exact SPIFFE ids the service's own cluster published; tunnels carry their own list. */
  readonly identities: readonly string[]
}

export interface OutlierDetection {
  readonly consecutiveErrors: number
  readonly baseEjectionMs: number
  readonly ejectionPercentMax: number
}

export interface LoadAssignment {
  readonly cluster: string
  readonly localities: readonly LocalityEndpoints[]
}

export interface LocalityEndpoints {
  readonly locality: Locality
  /** 0 is tried first; spill follows Envoy's overprovisioning of 1.4. */
  readonly priority: number
  readonly weight: number
  readonly endpoints: readonly Endpoint[]
}

export interface Endpoint {
  readonly address: string
  readonly port: number
  readonly health: 'healthy' | 'unhealthy' | 'draining'
  readonly weight: number
  /** `mtls`: direct to the pod's 15008. `tunnel`: nested through a gateway. `plain`: no sidecar there. */
  readonly transport: 'mtls' | 'tunnel' | 'plain'
  readonly workload: WorkloadFacts
  /** Opaque id for `isthmus-endpoint` and `isthmus-avoid`; set where a gateway picks. */
  readonly id?: string
  readonly tunnel?: Tunnel
}

export interface WorkloadFacts {
  readonly cluster: string
  readonly namespace: string
  readonly workload: string
}

export interface Tunnel {
  /** CONNECT `:authority`, and the server name's service part. */
  readonly authority: string
  readonly cluster: string
  readonly trustDomain: string
  /** Server name of the gateway (outer handshake). */
  readonly gatewaySni: string
  /** The one identity the gateway may have. */
  readonly gatewayIdentity: string
  /** Inner handshake: server name and the identities the exporting cluster published. */
  readonly innerSni: string
  readonly identities: readonly string[]
  /** Ready endpoints behind the gateway: the caller keeps at most this many tunnels. */
  readonly endpoints: number
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
