/**
 * Kinds of the Gateway API. Types come from the zod definitions in kube/schemas/gateway-api; only types are imported. A
 * `…Spec` is what reading gives: with the defaults that an API server fills in.
 */
import type { z } from 'zod'
import type { Condition, KubeObject, Resource } from '../object.ts'
import type { gatewayClassSpec, gatewaySpec, listenerSetSpec } from '../schemas/gateway-api/gateways.ts'
import type { backendTlsPolicySpec, referenceGrantSpec } from '../schemas/gateway-api/policies.ts'
import type { grpcRouteSpec, httpRouteSpec, tcpRouteSpec, tlsRouteSpec } from '../schemas/gateway-api/routes.ts'

export type HttpRouteSpec = z.output<typeof httpRouteSpec>
export type GrpcRouteSpec = z.output<typeof grpcRouteSpec>
export type TlsRouteSpec = z.output<typeof tlsRouteSpec>
export type TcpRouteSpec = z.output<typeof tcpRouteSpec>
export type GatewaySpec = z.output<typeof gatewaySpec>
export type GatewayClassSpec = z.output<typeof gatewayClassSpec>
export type ListenerSetSpec = z.output<typeof listenerSetSpec>
export type ReferenceGrantSpec = z.output<typeof referenceGrantSpec>
export type BackendTlsPolicySpec = z.output<typeof backendTlsPolicySpec>
export type ParentRef = NonNullable<HttpRouteSpec['parentRefs']>[number]

export interface RouteParentStatus {
  parentRef: Partial<ParentRef> & { name: string }
  controllerName: string
  conditions: Condition[]
}

export interface RouteStatus {
  parents: RouteParentStatus[]
}

interface Route<Schema extends z.ZodType> extends KubeObject {
  spec: z.input<Schema>
  status?: RouteStatus
}

export type HttpRoute = Route<typeof httpRouteSpec>
export type GrpcRoute = Route<typeof grpcRouteSpec>
export type TlsRoute = Route<typeof tlsRouteSpec>
export type TcpRoute = Route<typeof tcpRouteSpec>

export interface ListenerStatus {
  name: string
  supportedKinds?: { group?: string; kind: string }[]
  attachedRoutes: number
  conditions: Condition[]
}

export interface Gateway extends KubeObject {
  spec: z.input<typeof gatewaySpec>
  status?: {
    addresses?: { type?: string; value: string }[]
    conditions?: Condition[]
    listeners?: ListenerStatus[]
    attachedListenerSets?: number
  }
}

export interface GatewayClass extends KubeObject {
  spec: z.input<typeof gatewayClassSpec>
  status?: { conditions?: Condition[]; supportedFeatures?: { name: string }[] }
}

export interface ListenerSet extends KubeObject {
  spec: z.input<typeof listenerSetSpec>
  status?: { conditions?: Condition[]; listeners?: ListenerStatus[] }
}

export interface ReferenceGrant extends KubeObject {
  spec: z.input<typeof referenceGrantSpec>
}

export interface PolicyAncestorStatus {
  ancestorRef: Partial<ParentRef> & { name: string }
  controllerName: string
  conditions: Condition[]
}

export interface BackendTlsPolicy extends KubeObject {
  spec: z.input<typeof backendTlsPolicySpec>
  status?: { ancestors: PolicyAncestorStatus[] }
}

const resource = <T extends KubeObject>(kind: string, plural: string, namespaced = true): Resource<T> => ({
  group: 'gateway.networking.k8s.io',
  version: 'v1',
  plural,
  kind,
  namespaced,
})

export const HTTP_ROUTES = resource<HttpRoute>('HTTPRoute', 'httproutes')
export const GRPC_ROUTES = resource<GrpcRoute>('GRPCRoute', 'grpcroutes')
export const TLS_ROUTES = resource<TlsRoute>('TLSRoute', 'tlsroutes')
export const TCP_ROUTES = resource<TcpRoute>('TCPRoute', 'tcproutes')
export const GATEWAYS = resource<Gateway>('Gateway', 'gateways')
export const GATEWAY_CLASSES = resource<GatewayClass>('GatewayClass', 'gatewayclasses', false)
export const LISTENER_SETS = resource<ListenerSet>('ListenerSet', 'listenersets')
export const REFERENCE_GRANTS = resource<ReferenceGrant>('ReferenceGrant', 'referencegrants')
export const BACKEND_TLS_POLICIES = resource<BackendTlsPolicy>('BackendTLSPolicy', 'backendtlspolicies')
