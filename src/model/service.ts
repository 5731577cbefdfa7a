/**
 * Facts about services as the two controllers see them. Federation writes them into Kubernetes objects; the control
 * plane reads them back; neither imports the other.
 */
import type { Locality } from './locality.ts'

export interface ServicePort {
  readonly name: string
  readonly port: number
  readonly protocol: string
  readonly appProtocol?: string
}

/** One exported service of one cluster, per zone: the payload of the federation stream. */
export interface ExportedService {
  readonly namespace: string
  readonly name: string
  /** Uid of the ServiceExport: a re-created export is another one. */
  readonly uid: string
  /** RFC 3339; the MCS conflict rule prefers the oldest. */
  readonly createdAt: string
  readonly type: 'ClusterSetIP' | 'Headless'
  readonly ports: readonly ServicePort[]
  /** SPIFFE ids that may answer for the service. */
  readonly identities: readonly string[]
  readonly zones: readonly ExportedZone[]
}

export interface ExportedZone extends Locality {
  readonly ready: number
  readonly total: number
}

/** JSON of the annotation `isthmus.dev/facts` on an imported EndpointSlice: one slice per source cluster and zone. */
export interface ImportedFacts extends ExportedZone {
  readonly cluster: string
  readonly identities: readonly string[]
}
