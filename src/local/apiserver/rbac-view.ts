/** RBAC objects of the store compiled for decisions, again whenever one of them changes. */
import type { ClusterRole, ClusterRoleBinding, Role, RoleBinding } from '../../kube/kinds.ts'
import { compileRbac, type RbacRules } from './auth/rbac.ts'
import type { Store } from './store/store.ts'

const GROUP = 'rbac.authorization.k8s.io'
const PLURALS = ['roles', 'clusterroles', 'rolebindings', 'clusterrolebindings'] as const

export function rbacView(store: Store): () => RbacRules {
  let compiled: RbacRules | undefined
  for (const plural of PLURALS) {
    store.subscribe(`${plural}.${GROUP}`, store.resourceVersion, () => {
      compiled = undefined
    })
  }
  // The store holds what validation let in, so its objects have the kinds' shapes.
  const list = <T>(plural: (typeof PLURALS)[number]): T[] => store.list(`${plural}.${GROUP}`) as unknown as T[]
  return () =>
    (compiled ??= compileRbac({
      roles: list<Role>('roles'),
      clusterRoles: list<ClusterRole>('clusterroles'),
      roleBindings: list<RoleBinding>('rolebindings'),
      clusterRoleBindings: list<ClusterRoleBinding>('clusterrolebindings'),
    }))
}
