/**
 * Istio's networking kinds. Their types come from the zod definitions in kube/schemas/networking, which also give
 * validation and CRDs; only the types are imported, so no process pays for zod here.
 */
import type { z } from 'zod'
import type { KubeObject, Resource } from '../object.ts'
import type { destinationRuleSpec } from '../schemas/networking/destination-rule.ts'
import type { gatewaySpec } from '../schemas/networking/gateway.ts'
import type { serviceEntrySpec, workloadEntrySpec } from '../schemas/networking/service-entry.ts'
import type { sidecarSpec } from '../schemas/networking/sidecar.ts'
import type { trafficPolicy } from '../schemas/networking/traffic-policy.ts'
import type { virtualServiceSpec } from '../schemas/networking/virtual-service.ts'

export type VirtualServiceSpec = z.input<typeof virtualServiceSpec>
export type HttpRouteSpec = NonNullable<VirtualServiceSpec['http']>[number]
export type HttpMatchSpec = NonNullable<HttpRouteSpec['match']>[number]
export type TlsRouteSpec = NonNullable<VirtualServiceSpec['tls']>[number]
export type TcpRouteSpec = NonNullable<VirtualServiceSpec['tcp']>[number]
export type DestinationSpec = NonNullable<HttpRouteSpec['route']>[number]['destination']
export type DestinationRuleSpec = z.input<typeof destinationRuleSpec>
export type TrafficPolicySpec = z.input<ReturnType<typeof trafficPolicy>>
export type ServiceEntrySpec = z.input<typeof serviceEntrySpec>
export type WorkloadEntrySpec = z.input<typeof workloadEntrySpec>
export type SidecarSpec = z.input<typeof sidecarSpec>
export type IstioGatewaySpec = z.input<typeof gatewaySpec>

export interface IstioStatus {
  conditions?: unknown[]
}

/** Istio writes some of them without a spec. */
interface Istio<Spec> extends KubeObject {
  spec?: Spec
  status?: IstioStatus
}

export type VirtualService = Istio<VirtualServiceSpec>
export type DestinationRule = Istio<DestinationRuleSpec>
export interface ServiceEntry extends Istio<ServiceEntrySpec> {
  status?: IstioStatus & { addresses?: { readonly value?: string; readonly host?: string }[] }
}
export type WorkloadEntry = Istio<WorkloadEntrySpec>
export type Sidecar = Istio<SidecarSpec>
export type IstioGateway = Istio<IstioGatewaySpec>

const resource = <T extends KubeObject>(kind: string, plural: string): Resource<T> => ({
  group: 'networking.istio.io',
  version: 'v1',
  plural,
  kind,
  namespaced: true,
})

export const VIRTUAL_SERVICES = resource<VirtualService>('VirtualService', 'virtualservices')
export const DESTINATION_RULES = resource<DestinationRule>('DestinationRule', 'destinationrules')
export const SERVICE_ENTRIES = resource<ServiceEntry>('ServiceEntry', 'serviceentries')
export const WORKLOAD_ENTRIES = resource<WorkloadEntry>('WorkloadEntry', 'workloadentries')
export const SIDECARS = resource<Sidecar>('Sidecar', 'sidecars')
export const ISTIO_GATEWAYS = resource<IstioGateway>('Gateway', 'gateways')
