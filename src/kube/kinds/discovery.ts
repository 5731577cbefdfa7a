/** EndpointSlice (discovery.k8s.io/v1): the addresses behind a Service, and what federation imports. */
import type { KubeObject, Resource } from '../object.ts'
import type { ObjectReference } from './core.ts'

export interface EndpointSlice extends KubeObject {
  /** Immutable. */
  addressType: 'IPv4' | 'IPv6' | 'FQDN'
  endpoints: SliceEndpoint[] | null
  ports?: SlicePort[] | null
}

export interface SliceEndpoint {
  addresses: string[]
  /** Absent `ready` counts as ready, absent `serving` and `terminating` as ready and not terminating. */
  conditions?: { ready?: boolean; serving?: boolean; terminating?: boolean }
  hostname?: string
  nodeName?: string
  zone?: string
  targetRef?: ObjectReference
  hints?: { forZones?: { name: string }[]; forNodes?: { name: string }[] }
}

export interface SlicePort {
  name?: string
  protocol?: 'TCP' | 'UDP' | 'SCTP'
  port?: number
  appProtocol?: string
}

export const ENDPOINT_SLICES: Resource<EndpointSlice> = {
  group: 'discovery.k8s.io',
  version: 'v1',
  plural: 'endpointslices',
  kind: 'EndpointSlice',
  namespaced: true,
}
