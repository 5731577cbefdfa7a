/** Workload objects of the group `apps`, and the batch-free subset the mesh deploys. */
import type { KubeObject, Resource } from '../object.ts'
import type { CoreCondition, PodTemplateSpec } from './core.ts'

const apps = <T extends KubeObject>(plural: string, kind: string): Resource<T> => ({
  group: 'apps',
  version: 'v1',
  plural,
  kind,
  namespaced: true,
})

export interface LabelSelector {
  matchLabels?: Record<string, string>
  matchExpressions?: LabelSelectorRequirement[]
}

export interface LabelSelectorRequirement {
  key: string
  operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist'
  values?: string[]
}

export interface Deployment extends KubeObject {
  spec: DeploymentSpec
  status?: DeploymentStatus
}

export interface DeploymentSpec {
  replicas?: number
  selector: LabelSelector
  template: PodTemplateSpec
  minReadySeconds?: number
  revisionHistoryLimit?: number
  progressDeadlineSeconds?: number
  paused?: boolean
  strategy?: {
    type?: 'RollingUpdate' | 'Recreate'
    rollingUpdate?: { maxSurge?: number | string; maxUnavailable?: number | string }
  }
}

export interface DeploymentStatus {
  observedGeneration?: number
  replicas?: number
  updatedReplicas?: number
  readyReplicas?: number
  availableReplicas?: number
  unavailableReplicas?: number
  terminatingReplicas?: number
  collisionCount?: number
  conditions?: CoreCondition[]
}
export const DEPLOYMENTS = apps<Deployment>('deployments', 'Deployment')

export interface ReplicaSet extends KubeObject {
  spec: { replicas?: number; selector: LabelSelector; template?: PodTemplateSpec; minReadySeconds?: number }
  status?: {
    observedGeneration?: number
    replicas: number
    fullyLabeledReplicas?: number
    readyReplicas?: number
    availableReplicas?: number
    conditions?: CoreCondition[]
  }
}
export const REPLICA_SETS = apps<ReplicaSet>('replicasets', 'ReplicaSet')
