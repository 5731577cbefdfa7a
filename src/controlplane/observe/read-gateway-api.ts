/**
 * Kinds of the Gateway API to facts. Somebody else's definitions may admit more than ours know: what does not fit says
 * nothing to the mesh, and its status says so (gateway-status).
 */
import type { z } from 'zod'
import type {
  BackendTlsPolicy,
  BackendTlsPolicySpec,
  Gateway,
  GatewayClass,
  GatewayClassSpec,
  GatewaySpec,
  GrpcRoute,
  GrpcRouteSpec,
  HttpRoute,
  HttpRouteSpec,
  ReferenceGrant,
  ReferenceGrantSpec,
  TcpRoute,
  TcpRouteSpec,
  TlsRoute,
  TlsRouteSpec,
} from '../../kube/kinds/gateway-api.ts'
import type { KubeObject } from '../../kube/object.ts'
import { gatewayClassSpec, gatewaySpec } from '../../kube/schemas/gateway-api/gateways.ts'
import { backendTlsPolicySpec, referenceGrantSpec } from '../../kube/schemas/gateway-api/policies.ts'
import { grpcRouteSpec, httpRouteSpec, tcpRouteSpec, tlsRouteSpec } from '../../kube/schemas/gateway-api/routes.ts'
import type { Ruled } from './facts-networking.ts'

function reader<T extends KubeObject & { readonly spec?: unknown }, Spec>(
  schema: z.ZodType<Spec>,
): (object: T) => Ruled<Spec> | undefined {
  return ({ metadata, spec }) => {
    if (metadata.deletionTimestamp !== undefined) return undefined
    const parsed = schema.safeParse(spec)
    if (!parsed.success) return undefined
    const { namespace = '', name = '', creationTimestamp: createdAt = '' } = metadata
    return { namespace, name, createdAt, spec: parsed.data }
  }
}

export const readHttpRoute = reader<HttpRoute, HttpRouteSpec>(httpRouteSpec)
export const readGrpcRoute = reader<GrpcRoute, GrpcRouteSpec>(grpcRouteSpec)
export const readTlsRoute = reader<TlsRoute, TlsRouteSpec>(tlsRouteSpec)
export const readTcpRoute = reader<TcpRoute, TcpRouteSpec>(tcpRouteSpec)
export const readGateway = reader<Gateway, GatewaySpec>(gatewaySpec)
export const readGatewayClass = reader<GatewayClass, GatewayClassSpec>(gatewayClassSpec)
export const readReferenceGrant = reader<ReferenceGrant, ReferenceGrantSpec>(referenceGrantSpec)
export const readBackendTlsPolicy = reader<BackendTlsPolicy, BackendTlsPolicySpec>(backendTlsPolicySpec)
