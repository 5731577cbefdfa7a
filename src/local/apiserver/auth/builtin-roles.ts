/**
 * The ClusterRoles and ClusterRoleBindings that every Kubernetes cluster has from its first start, as data for the
 * kinds that this server serves. admin, edit and view aggregate, so that roles labelled
 * `rbac.authorization.k8s.io/aggregate-to-…` (CRD installers bring them) extend them. Not the controllers' own roles:
 * the local controllers run with the admin certificate.
 */
import type { ClusterRole, ClusterRoleBinding, PolicyRule } from '../../../kube/kinds.ts'
import { AUTHENTICATED, MASTERS, UNAUTHENTICATED } from './user.ts'

const BOOTSTRAP = { 'kubernetes.io/bootstrapping': 'rbac-defaults' }
const AGGREGATE = 'rbac.authorization.k8s.io/aggregate-to-'
const READ = ['get', 'list', 'watch']
const WRITE = ['create', 'delete', 'deletecollection', 'patch', 'update']

const rule = (group: string, resources: string[], verbs: string[]): PolicyRule => ({
  apiGroups: [group],
  resources,
  verbs,
})

function role(name: string, rules: PolicyRule[], labels: Record<string, string> = {}): ClusterRole {
  return {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'ClusterRole',
    metadata: { name, labels: { ...BOOTSTRAP, ...labels } },
    rules,
  }
}

/** A role that is the union of the roles labelled for it, and is itself part of the next wider one. */
function aggregating(name: string, partOf?: string): ClusterRole {
  const labels: Record<string, string> = partOf === undefined ? {} : { [`${AGGREGATE}${partOf}`]: 'true' }
  const clusterRoleSelectors = [{ matchLabels: { [`${AGGREGATE}${name}`]: 'true' } }]
  return { ...role(name, [], labels), aggregationRule: { clusterRoleSelectors } }
}

const VIEWED = [
  rule(
    '',
    [
      'configmaps',
      'endpoints',
      'events',
      'namespaces',
      'pods',
      'pods/log',
      'pods/status',
      'serviceaccounts',
      'services',
      'services/status',
    ],
    READ,
  ),
  rule(
    'apps',
    [
      'daemonsets',
      'deployments',
      'deployments/scale',
      'replicasets',
      'replicasets/scale',
      'statefulsets',
      'statefulsets/scale',
    ].flatMap((resource) => (resource.includes('/') ? [resource] : [resource, `${resource}/status`])),
    READ,
  ),
  rule('discovery.k8s.io', ['endpointslices'], READ),
]

/** Secrets are edited but not viewed: reading one may mean becoming its ServiceAccount. */
const EDITED = [
  rule('', ['secrets', 'pods/exec', 'pods/attach', 'pods/portforward', 'pods/proxy', 'services/proxy'], READ),
  rule('', ['serviceaccounts'], ['impersonate']),
  rule('', ['configmaps', 'events', 'pods', 'secrets', 'serviceaccounts', 'services'], WRITE),
  rule('', ['pods/attach', 'pods/exec', 'pods/portforward', 'pods/proxy', 'services/proxy'], WRITE),
  rule('', ['pods/eviction', 'serviceaccounts/token'], ['create']),
  rule(
    'apps',
    [
      'daemonsets',
      'deployments',
      'deployments/rollback',
      'deployments/scale',
      'replicasets',
      'replicasets/scale',
      'statefulsets',
      'statefulsets/scale',
    ],
    WRITE,
  ),
  rule('coordination.k8s.io', ['leases'], [...READ, ...WRITE]),
]

const ADMINISTERED = [
  rule('authorization.k8s.io', ['localsubjectaccessreviews'], ['create']),
  rule('rbac.authorization.k8s.io', ['roles', 'rolebindings'], [...READ, ...WRITE]),
]

const DISCOVERY_PATHS = [
  '/api',
  '/api/*',
  '/apis',
  '/apis/*',
  '/healthz',
  '/livez',
  '/openapi',
  '/openapi/*',
  '/readyz',
]
const PUBLIC_PATHS = ['/healthz', '/livez', '/readyz', '/version', '/version/']

export const BUILTIN_CLUSTER_ROLES: readonly ClusterRole[] = [
  role('cluster-admin', [
    { apiGroups: ['*'], resources: ['*'], verbs: ['*'] },
    { nonResourceURLs: ['*'], verbs: ['*'] },
  ]),
  aggregating('admin'),
  aggregating('edit', 'admin'),
  aggregating('view', 'edit'),
  role('system:aggregate-to-admin', ADMINISTERED, { [`${AGGREGATE}admin`]: 'true' }),
  role('system:aggregate-to-edit', EDITED, { [`${AGGREGATE}edit`]: 'true' }),
  role('system:aggregate-to-view', VIEWED, { [`${AGGREGATE}view`]: 'true' }),
  role('system:discovery', [{ nonResourceURLs: [...DISCOVERY_PATHS, '/version', '/version/'], verbs: ['get'] }]),
  role('system:public-info-viewer', [{ nonResourceURLs: PUBLIC_PATHS, verbs: ['get'] }]),
  role('system:basic-user', [
    rule('authorization.k8s.io', ['selfsubjectaccessreviews', 'selfsubjectrulesreviews'], ['create']),
    rule('authentication.k8s.io', ['selfsubjectreviews'], ['create']),
  ]),
  role('system:auth-delegator', [
    rule('authentication.k8s.io', ['tokenreviews'], ['create']),
    rule('authorization.k8s.io', ['subjectaccessreviews'], ['create']),
  ]),
  role('system:service-account-issuer-discovery', [
    { nonResourceURLs: ['/.well-known/openid-configuration', '/openid/v1/jwks', '/openid/v1/jwks/'], verbs: ['get'] },
  ]),
]

function binding(name: string, groups: readonly string[]): ClusterRoleBinding {
  return {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'ClusterRoleBinding',
    metadata: { name, labels: BOOTSTRAP },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name },
    subjects: groups.map((group) => ({ apiGroup: 'rbac.authorization.k8s.io', kind: 'Group', name: group })),
  }
}

export const BUILTIN_CLUSTER_ROLE_BINDINGS: readonly ClusterRoleBinding[] = [
  binding('cluster-admin', [MASTERS]),
  binding('system:discovery', [AUTHENTICATED]),
  binding('system:basic-user', [AUTHENTICATED]),
  binding('system:public-info-viewer', [AUTHENTICATED, UNAUTHENTICATED]),
  binding('system:service-account-issuer-discovery', ['system:serviceaccounts']),
]
