/**
 * What travels between clusters about one exported service: the model's facts plus the properties that MCS merges. The
 * source cluster is never part of what a peer says; it is stamped on receipt (`ClusterExport`).
 */
import type { ExportedService } from '../../src/model/service.ts'

export interface Export extends ExportedService {
  readonly properties: ExportProperties
}

/** KEP-1645, Constraints and Conflict Resolution: decided as wholes by the oldest export. */
export interface ExportProperties {
  readonly sessionAffinity: 'None' | 'ClientIP'
  /** 0: not set. */
  readonly sessionAffinityTimeoutSeconds: number
  /** Empty: not set. */
  readonly internalTrafficPolicy: string
  readonly trafficDistribution: string
  /** From ServiceExport.spec only, never from metadata. */
  readonly labels: Readonly<Record<string, string>>
  readonly annotations: Readonly<Record<string, string>>
}

export interface ClusterExport extends Export {
  readonly cluster: string
}

/** Names a service that is gone; `uid` empty means whichever export had the name. */
export interface Withdrawal {
  readonly namespace: string
  readonly name: string
  readonly uid: string
  readonly version: number
}

export const exportKey = (object: { namespace: string; name: string }): string => `${object.namespace}/${object.name}`

/** Namespaces whose services no cluster exports and no cluster imports, whatever a ServiceExport or a peer says. */
export const SYSTEM_NAMESPACES: ReadonlySet<string> = new Set([
  'isthmus-system',
  'kube-system',
  'kube-public',
  'kube-node-lease',
])

export const readyOf = (service: Pick<ExportedService, 'zones'>): number =>
  service.zones.reduce((sum, zone) => sum + zone.ready, 0)
