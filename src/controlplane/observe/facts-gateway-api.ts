/**
 * Facts of the Gateway API's kinds: the spec with the defaults that an API server fills in, and what orders two of them.
 * Status is not here: what controllers write must not change what proxies run.
 */
import type {
  BackendTlsPolicySpec,
  GatewayClassSpec,
  GatewaySpec,
  GrpcRouteSpec,
  HttpRouteSpec,
  ReferenceGrantSpec,
  TcpRouteSpec,
  TlsRouteSpec,
} from '../../kube/kinds/gateway-api.ts'
import type { Ruled } from './facts-networking.ts'

export type HttpRouteFacts = Ruled<HttpRouteSpec>
export type GrpcRouteFacts = Ruled<GrpcRouteSpec>
export type TlsRouteFacts = Ruled<TlsRouteSpec>
export type TcpRouteFacts = Ruled<TcpRouteSpec>
export type GatewayFacts = Ruled<GatewaySpec>
export type GatewayClassFacts = Ruled<GatewayClassSpec>
export type ReferenceGrantFacts = Ruled<ReferenceGrantSpec>
export type BackendTlsPolicyFacts = Ruled<BackendTlsPolicySpec>

export interface GatewayApiFacts {
  readonly httpRoutes: ReadonlyMap<string, HttpRouteFacts>
  readonly grpcRoutes: ReadonlyMap<string, GrpcRouteFacts>
  readonly tlsRoutes: ReadonlyMap<string, TlsRouteFacts>
  readonly tcpRoutes: ReadonlyMap<string, TcpRouteFacts>
  readonly referenceGrants: ReadonlyMap<string, ReferenceGrantFacts>
  readonly backendTlsPolicies: ReadonlyMap<string, BackendTlsPolicyFacts>
  readonly gateways: ReadonlyMap<string, GatewayFacts>
  readonly gatewayClasses: ReadonlyMap<string, GatewayClassFacts>
}

/** A cluster without any such object. */
export const NO_GATEWAY_API: GatewayApiFacts = {
  httpRoutes: new Map(),
  grpcRoutes: new Map(),
  tlsRoutes: new Map(),
  tcpRoutes: new Map(),
  referenceGrants: new Map(),
  backendTlsPolicies: new Map(),
  gateways: new Map(),
  gatewayClasses: new Map(),
}
