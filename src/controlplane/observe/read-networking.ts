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
import { isVirtualAddress } from '../virtual-addresses.ts'
import type { IstioGatewayFacts, Ruled, ServiceEntryFacts } from './facts-networking.ts'

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
const readEntrySpec = reader<ServiceEntry, ServiceEntrySpec>(serviceEntrySpec)

/** Istio's label: its owner wants no virtual address. */
const ALLOCATES = 'networking.istio.io/enable-autoallocate-ip'

export function readServiceEntry(entry: ServiceEntry): ServiceEntryFacts | undefined {
  const read = readEntrySpec(entry)
  if (read === undefined) return undefined
  // Who may write a status must not take over the address of a service: only those of the ranges are believed.
  const allocated = (entry.status?.addresses ?? []).flatMap(({ value = '', host = '' }) =>
    isVirtualAddress(value) ? [{ value, host: host.toLowerCase() }] : [],
  )
  const refuses = entry.metadata.labels?.[ALLOCATES]?.toLowerCase() === 'false'
  return { ...read, ...(allocated.length > 0 && { allocated }), ...(refuses && { allocates: false }) }
}

export const readWorkloadEntry = reader<WorkloadEntry, WorkloadEntrySpec>(workloadEntrySpec)
export const readSidecar = reader<Sidecar, SidecarSpec>(sidecarSpec)
const gatewayReader = reader<IstioGateway, IstioGatewaySpec>(gatewaySpec)

/** Its condition is about a generation of it. */
export function readIstioGateway(gateway: IstioGateway): IstioGatewayFacts | undefined {
  const found = gatewayReader(gateway)
  const { generation } = gateway.metadata
  return found === undefined || generation === undefined ? found : { ...found, generation }
}
