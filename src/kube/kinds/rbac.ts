/** rbac.authorization.k8s.io/v1: what the installer grants and the local API server enforces. */
import type { KubeObject } from '../object.ts'
import type { LabelSelector } from './apps.ts'

export interface PolicyRule {
  verbs: string[]
  apiGroups?: string[]
  resources?: string[]
  resourceNames?: string[]
  nonResourceURLs?: string[]
}

export interface RbacSubject {
  kind: 'ServiceAccount' | 'User' | 'Group'
  name: string
  namespace?: string
  apiGroup?: string
}

export interface RoleRef {
  apiGroup: string
  kind: 'Role' | 'ClusterRole'
  name: string
}

export interface Role extends KubeObject {
  rules: PolicyRule[] | null
}

export interface RoleBinding extends KubeObject {
  subjects?: RbacSubject[]
  roleRef: RoleRef
}

export interface ClusterRole extends KubeObject {
  rules: PolicyRule[] | null
  aggregationRule?: { clusterRoleSelectors?: LabelSelector[] }
}

export interface ClusterRoleBinding extends KubeObject {
  subjects?: RbacSubject[]
  roleRef: RoleRef
}
