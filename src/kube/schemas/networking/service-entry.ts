/** ServiceEntry and WorkloadEntry (networking.istio.io): services, and endpoints of services, that Kubernetes does not know. */
import { z } from 'zod'
import { SERVICE_ENTRIES, WORKLOAD_ENTRIES } from '../../kinds/networking.ts'
import { AGE_COLUMN, istioKind } from '../istio.ts'
import { NETWORKING_VERSIONS, exportTo, labelSelector, portNumber, stringMap, uint32 } from './common.ts'

export const workloadEntrySpec = z.strictObject({
  address: z.string().max(256).exactOptional(),
  ports: z.record(z.string(), portNumber()).exactOptional(),
  labels: stringMap().exactOptional(),
  network: z.string().max(2_048).exactOptional(),
  locality: z.string().max(2_048).exactOptional().describe('region/zone/subzone'),
  weight: uint32().exactOptional(),
  serviceAccount: z.string().max(253).exactOptional(),
})

const entryPort = z.strictObject({
  number: portNumber(),
  name: z.string().min(1).max(256),
  protocol: z.string().max(256).exactOptional(),
  targetPort: portNumber().exactOptional(),
})

export const serviceEntrySpec = z.strictObject({
  hosts: z.array(z.string()).min(1).max(256),
  addresses: z.array(z.string().max(64)).max(256).exactOptional(),
  ports: z
    .array(entryPort)
    .max(256)
    .exactOptional()
    .meta({ 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['name'] }),
  location: z.enum(['MESH_EXTERNAL', 'MESH_INTERNAL']).exactOptional(),
  resolution: z.enum(['NONE', 'STATIC', 'DNS', 'DNS_ROUND_ROBIN', 'DYNAMIC_DNS']).exactOptional(),
  endpoints: z.array(workloadEntrySpec).max(4_096).exactOptional(),
  workloadSelector: labelSelector().exactOptional(),
  exportTo: exportTo().exactOptional(),
  subjectAltNames: z.array(z.string()).exactOptional(),
})

export const SERVICE_ENTRY = istioKind({
  resource: SERVICE_ENTRIES,
  description: 'A service that Kubernetes does not know.',
  spec: serviceEntrySpec,
  specOptional: false,
  versions: NETWORKING_VERSIONS,
  shortNames: ['se'],
  columns: [
    { name: 'Hosts', type: 'string', jsonPath: '.spec.hosts' },
    { name: 'Location', type: 'string', jsonPath: '.spec.location' },
    { name: 'Resolution', type: 'string', jsonPath: '.spec.resolution' },
    AGE_COLUMN,
  ],
})

export const WORKLOAD_ENTRY = istioKind({
  resource: WORKLOAD_ENTRIES,
  description: 'An endpoint of services that is no pod.',
  spec: workloadEntrySpec,
  specOptional: false,
  versions: NETWORKING_VERSIONS,
  shortNames: ['we'],
  columns: [AGE_COLUMN, { name: 'Address', type: 'string', jsonPath: '.spec.address' }],
})
