/**
 * Istio's networking kinds to facts. The CRD holds objects to the same schemas; an API server that has somebody else's
 * CRD may hold more, so what does not fit says nothing to the mesh.
 */
import type { z } from 'zod'
import type {
  DestinationRule,
  DestinationRuleSpec,
  IstioGateway,
  IstioGatewaySpec,
  ServiceEntry,
  ServiceEntrySpec,
  Sidecar,
  SidecarSpec,
  VirtualService,
  VirtualServiceSpec,
  WorkloadEntry,
  WorkloadEntrySpec,
} from '../../kube/kinds/networking.ts'
import type { KubeObject } from '../../kube/object.ts'
import { destinationRuleSpec } from '../../kube/schemas/networking/destination-rule.ts'
import { gatewaySpec } from '../../kube/schemas/networking/gateway.ts'
import { serviceEntrySpec, workloadEntrySpec } from '../../kube/schemas/networking/service-entry.ts'
import { sidecarSpec } from '../../kube/schemas/networking/sidecar.ts'
import { virtualServiceSpec } from '../../kube/schemas/networking/virtual-service.ts'
import type { Ruled } from './facts-networking.ts'

type Reader<T, Spec> = (object: T) => Ruled<Spec> | undefined

function reader<T extends KubeObject & { readonly spec?: unknown }, Spec>(schema: z.ZodType): Reader<T, Spec> {
  return ({ metadata, spec }) => {
    if (metadata.deletionTimestamp !== undefined) return undefined
    const parsed = schema.safeParse(spec ?? {})
    if (!parsed.success) return undefined
    const { namespace = '', name = '', creationTimestamp: createdAt = '' } = metadata
    return { namespace, name, createdAt, spec: parsed.data as Spec }
  }
}

export const readVirtualService = reader<VirtualService, VirtualServiceSpec>(virtualServiceSpec)
export const readDestinationRule = reader<DestinationRule, DestinationRuleSpec>(destinationRuleSpec)
export const readServiceEntry = reader<ServiceEntry, ServiceEntrySpec>(serviceEntrySpec)
export const readWorkloadEntry = reader<WorkloadEntry, WorkloadEntrySpec>(workloadEntrySpec)
export const readSidecar = reader<Sidecar, SidecarSpec>(sidecarSpec)
export const readIstioGateway = reader<IstioGateway, IstioGatewaySpec>(gatewaySpec)
