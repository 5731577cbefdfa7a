/** rbac.authorization.k8s.io/v1: what the installer grants and the local API server enforces. */
import type { KubeObject, Resource } from '../object.ts'
import type { LabelSelector } from './apps.ts'

const rbac = <T extends KubeObject>(plural: string, kind: string, namespaced: boolean): Resource<T> => ({
  group: 'rbac.authorization.k8s.io',
  version: 'v1',
  plural,
  kind,
  namespaced,
})

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
export const ROLES = rbac<Role>('roles', 'Role', true)

export interface RoleBinding extends KubeObject {
  subjects?: RbacSubject[]
  roleRef: RoleRef
}
export const ROLE_BINDINGS = rbac<RoleBinding>('rolebindings', 'RoleBinding', true)

export interface ClusterRole extends KubeObject {
  rules: PolicyRule[] | null
  aggregationRule?: { clusterRoleSelectors?: LabelSelector[] }
}
export const CLUSTER_ROLES = rbac<ClusterRole>('clusterroles', 'ClusterRole', false)

export interface ClusterRoleBinding extends KubeObject {
  subjects?: RbacSubject[]
  roleRef: RoleRef
}
export const CLUSTER_ROLE_BINDINGS = rbac<ClusterRoleBinding>('clusterrolebindings', 'ClusterRoleBinding', false)
