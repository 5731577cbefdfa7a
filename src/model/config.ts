/**
 * The configuration of a data plane as plain data: what `controlplane/translate` produces, `xds/codec` carries as
 * Envoy v3 protos, and `proxy/` compiles. Shaped after Envoy's resources, so that the codec stays a mapping; every
 * field here has an effect in the proxy, and what is not here is refused by the codec (NACK), never ignored.
 */
import type { Cluster, LoadAssignment } from './cluster.ts'
import type { DnsName } from './dns.ts'
import type { Listener } from './listener.ts'
import type { RouteTable } from './route.ts'
import type { GenericSecret } from './tls.ts'

export * from './authn.ts'
export * from './access-log.ts'
export * from './local-reply.ts'
export * from './tracing.ts'
export * from './cluster.ts'
export * from './envoy.ts'
export * from './ext-authz.ts'
export * from './filters.ts'
export * from './http-settings.ts'
export * from './listener.ts'
export * from './oauth2.ts'
export * from './rate-limit.ts'
export * from './rbac.ts'
export * from './route.ts'
export * from './tcp.ts'
export * from './tls.ts'
export * from './upgrade.ts'

/** The mesh's trust anchors. Its certificates and keys never travel; a proxy makes its own and knows it as `default`. */
export interface ValidationContext {
  readonly kind?: never
  readonly name: string
  /** Trust domain -> PEM roots; never merged into one pool on the wire (SPIFFE federation). */
  readonly roots: Readonly<Record<string, readonly string[]>>
  /** Trust domains and issuer key ids (hex) that are refused whatever chain they show. */
  readonly revokedTrustDomains: readonly string[]
  readonly revokedIssuers: readonly string[]
}

/** The mesh's own, or what generic listeners and clusters name. */
export type Secret = ValidationContext | GenericSecret

/** Names a proxy uses for its own certificate and for the bundle. */
export const OWN_CERTIFICATE = 'default'
export const TRUST_BUNDLE = 'ROOTCA'

/** Everything one proxy runs; resources by name. */
export interface ProxyConfig {
  readonly listeners: ReadonlyMap<string, Listener>
  readonly routes: ReadonlyMap<string, RouteTable>
  readonly clusters: ReadonlyMap<string, Cluster>
  readonly endpoints: ReadonlyMap<string, LoadAssignment>
  readonly secrets: ReadonlyMap<string, Secret>
  /** What its DNS server answers. Absent: it has none, or none was asked for. */
  readonly names?: ReadonlyMap<string, DnsName>
}

/** `host`: a virtual host that travels by itself, named `<route table>/<host>`. */
export type ResourceKind = 'cluster' | 'endpoints' | 'host' | 'listener' | 'name' | 'route' | 'secret'

/** Why one resource was refused: sent back in the NACK, shown by proxy-status. The last good one stays in force. */
export interface Rejection {
  readonly kind: ResourceKind
  readonly resource: string
  /** The field, in the proto's names: `filter_chains[0].filters[1].typed_config`. */
  readonly path: string
  readonly message: string
}
