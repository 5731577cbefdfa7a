/** Multi-Cluster Services (KEP-1645) and About API (KEP-2149) objects, as the storage version v1beta1 has them. */
import type { Condition, KubeObject, Resource } from '../object.ts'

const MCS_GROUP = 'multicluster.x-k8s.io'

/** Exports the Service of the same namespace and name; it has no selector and no reference. */
export interface ServiceExport extends KubeObject {
  spec?: { exportedLabels?: Record<string, string>; exportedAnnotations?: Record<string, string> }
  status?: { conditions?: Condition[] }
}

export const SERVICE_EXPORTS: Resource<ServiceExport> = {
  group: MCS_GROUP,
  version: 'v1beta1',
  plural: 'serviceexports',
  kind: 'ServiceExport',
  namespaced: true,
}

export interface ServiceImport extends KubeObject {
  spec: ServiceImportSpec
  status?: { clusters?: { cluster: string }[]; conditions?: Condition[] }
}

export interface ServiceImportSpec {
  type: 'ClusterSetIP' | 'Headless'
  ports: ServiceImportPort[]
  /** At most two, stable for the life of the import. */
  ips?: string[]
  ipFamilies?: ('IPv4' | 'IPv6')[]
  sessionAffinity?: 'None' | 'ClientIP'
  sessionAffinityConfig?: { clientIP?: { timeoutSeconds?: number } }
  internalTrafficPolicy?: 'Cluster' | 'Local'
  trafficDistribution?: string
}

export interface ServiceImportPort {
  name?: string
  protocol?: 'TCP' | 'UDP' | 'SCTP'
  appProtocol?: string
  port: number
}

export const SERVICE_IMPORTS: Resource<ServiceImport> = {
  group: MCS_GROUP,
  version: 'v1beta1',
  plural: 'serviceimports',
  kind: 'ServiceImport',
  namespaced: true,
}
