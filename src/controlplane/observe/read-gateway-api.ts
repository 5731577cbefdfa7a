/**
 * Kinds of the Gateway API to facts. Somebody else's definitions may admit more than ours know: what does not fit says
 * nothing to the mesh, and its status says so (gateway-status).
 */
import type { z } from 'zod'
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
import type { KubeObject } from '../../kube/object.ts'
import { gatewayClassSpec, gatewaySpec } from '../../kube/schemas/gateway-api/gateways.ts'
import { backendTlsPolicySpec, referenceGrantSpec } from '../../kube/schemas/gateway-api/policies.ts'
import { grpcRouteSpec, httpRouteSpec, tcpRouteSpec, tlsRouteSpec } from '../../kube/schemas/gateway-api/routes.ts'
import type { Ruled } from './facts-networking.ts'

function reader<Spec>(
  schema: z.ZodType<Spec>,
): (object: KubeObject & { readonly spec?: unknown }) => Ruled<Spec> | undefined {
  return ({ metadata, spec }) => {
    if (metadata.deletionTimestamp !== undefined) return undefined
    const parsed = schema.safeParse(spec)
    if (!parsed.success) return undefined
    const { namespace = '', name = '', creationTimestamp: createdAt = '' } = metadata
    return { namespace, name, createdAt, spec: parsed.data }
  }
}

export const readHttpRoute = reader<HttpRouteSpec>(httpRouteSpec)
export const readGrpcRoute = reader<GrpcRouteSpec>(grpcRouteSpec)
export const readTlsRoute = reader<TlsRouteSpec>(tlsRouteSpec)
export const readTcpRoute = reader<TcpRouteSpec>(tcpRouteSpec)
export const readGateway = reader<GatewaySpec>(gatewaySpec)
export const readGatewayClass = reader<GatewayClassSpec>(gatewayClassSpec)
export const readReferenceGrant = reader<ReferenceGrantSpec>(referenceGrantSpec)
export const readBackendTlsPolicy = reader<BackendTlsPolicySpec>(backendTlsPolicySpec)
