/**
 * What each part of the mesh may do at its own cluster's API server: least privilege, one list per ServiceAccount.
 * A request that meets 403 is a bug here or there; the end-to-end test counts them.
 */
import { GATEWAY_GROUP } from '../../kube/schemas/gateway-api/common.ts'
import { STANDARD_KINDS } from '../../kube/schemas/index.ts'
import { WEBHOOK_CONFIGURATION } from '../../kube/webhooks.ts'
import { OBJECTS, READER_ACCOUNT, SYSTEM_ACCOUNTS, SYSTEM_NAMESPACE } from '../../model/names.ts'

export interface Rule {
  readonly apiGroups: readonly string[]
  readonly resources: readonly string[]
  readonly verbs: readonly string[]
  readonly resourceNames?: readonly string[]
}

const READ = ['get', 'list', 'watch'] as const
const OWN = 'isthmus.dev'
const MCS = 'multicluster.x-k8s.io'

const WATCHED_BY_BOTH: readonly Rule[] = [
  { apiGroups: [''], resources: ['services', 'pods', 'nodes', 'namespaces'], verbs: READ },
  { apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs: READ },
  { apiGroups: [MCS], resources: ['serviceexports', 'serviceimports'], verbs: READ },
  { apiGroups: [OWN], resources: ['clusterpeers'], verbs: READ },
]

/** Kinds whose objects are told what became of them: judged once more after admission, or attached or not. */
function judgedKinds(): readonly Rule[] {
  const byGroup = new Map<string, string[]>()
  for (const { resource } of STANDARD_KINDS) {
    if (resource.group.endsWith('.istio.io') || resource.group === GATEWAY_GROUP) {
      byGroup.set(resource.group, [...(byGroup.get(resource.group) ?? []), resource.plural])
    }
  }
  return [...byGroup].flatMap(([group, plurals]) => [
    { apiGroups: [group], resources: plurals, verbs: READ },
    { apiGroups: [group], resources: plurals.map((plural) => `${plural}/status`), verbs: ['get', 'update', 'patch'] },
  ])
}

export const CONTROL_PLANE_CLUSTER_RULES: readonly Rule[] = [
  ...WATCHED_BY_BOTH,
  {
    apiGroups: [OWN],
    resources: ['circuitbreakerpolicies', 'ratelimitpolicies', 'authenticationpolicies'],
    verbs: READ,
  },
  // Says of each policy whether it is in force.
  {
    apiGroups: [OWN],
    resources: ['circuitbreakerpolicies/status', 'ratelimitpolicies/status', 'authenticationpolicies/status'],
    verbs: ['get', 'update', 'patch'],
  },
  // Consumers' credentials; it asks for those with a label alone, which RBAC cannot say.
  { apiGroups: [''], resources: ['secrets'], verbs: ['list', 'watch'] },
  ...judgedKinds(),
  // Says of each export whose policies would leave a peer's callers out.
  { apiGroups: [MCS], resources: ['serviceexports/status'], verbs: ['get', 'update', 'patch'] },
  // The serving root goes into every namespace, where sidecars mount it.
  { apiGroups: [''], resources: ['configmaps'], verbs: ['create'] },
  {
    apiGroups: [''],
    resources: ['configmaps'],
    verbs: ['get', 'update', 'patch'],
    resourceNames: [OBJECTS.servingRoot],
  },
  // A kind that is not served: absent, or not served yet?
  { apiGroups: ['apiextensions.k8s.io'], resources: ['customresourcedefinitions'], verbs: ['get'] },
  { apiGroups: ['authentication.k8s.io'], resources: ['tokenreviews'], verbs: ['create'] },
  // Who may read its pages of 15014.
  { apiGroups: ['authorization.k8s.io'], resources: ['subjectaccessreviews'], verbs: ['create'] },
  // Its serving CA goes into them, and whether they fail closed.
  {
    apiGroups: ['admissionregistration.k8s.io'],
    resources: ['validatingwebhookconfigurations', 'mutatingwebhookconfigurations'],
    verbs: [...READ, 'update'],
    resourceNames: [WEBHOOK_CONFIGURATION],
  },
]

export const CONTROL_PLANE_RULES: readonly Rule[] = [
  { apiGroups: [''], resources: ['secrets'], verbs: ['create'] },
  {
    apiGroups: [''],
    resources: ['secrets'],
    verbs: ['get', 'update', 'patch'],
    resourceNames: [OBJECTS.caKey, OBJECTS.servingCa],
  },
  // Watching one ConfigMap by name needs list and watch on that name only.
  {
    apiGroups: [''],
    resources: ['configmaps'],
    verbs: [...READ, 'update', 'patch'],
    resourceNames: [OBJECTS.caRequest, OBJECTS.issuerKeys],
  },
  {
    apiGroups: [''],
    resources: ['configmaps'],
    verbs: READ,
    resourceNames: [OBJECTS.trust, OBJECTS.meshConfig, OBJECTS.meshSettings],
  },
  { apiGroups: ['coordination.k8s.io'], resources: ['leases'], verbs: READ, resourceNames: [OBJECTS.federationLease] },
  // The replica that writes status of the Gateway API's objects.
  { apiGroups: ['coordination.k8s.io'], resources: ['leases'], verbs: ['create'] },
  {
    apiGroups: ['coordination.k8s.io'],
    resources: ['leases'],
    verbs: ['get', 'update', 'patch'],
    resourceNames: [OBJECTS.controlPlaneLease],
  },
]

export const FEDERATION_CLUSTER_RULES: readonly Rule[] = [
  ...WATCHED_BY_BOTH,
  { apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs: ['create', 'update', 'patch', 'delete'] },
  { apiGroups: [MCS], resources: ['serviceimports'], verbs: ['create', 'update', 'patch', 'delete'] },
  {
    apiGroups: [MCS],
    resources: ['serviceimports/status', 'serviceexports/status'],
    verbs: ['get', 'update', 'patch'],
  },
  { apiGroups: [MCS], resources: ['serviceexports', 'serviceexports/finalizers'], verbs: ['update', 'patch'] },
  { apiGroups: [OWN], resources: ['clusterpeers'], verbs: ['create', 'update', 'patch', 'delete'] },
  { apiGroups: [OWN], resources: ['clusterpeers/status'], verbs: ['get', 'update', 'patch'] },
  { apiGroups: ['', 'events.k8s.io'], resources: ['events'], verbs: ['create', 'patch'] },
]

export const FEDERATION_RULES: readonly Rule[] = [
  // By name: the control plane's CA key in the same namespace is not among them.
  {
    apiGroups: [''],
    resources: ['secrets'],
    verbs: [...READ, 'update', 'patch', 'delete'],
    resourceNames: [OBJECTS.root, OBJECTS.join, OBJECTS.joinTokens],
  },
  { apiGroups: [''], resources: ['configmaps'], verbs: ['create'] },
  {
    apiGroups: [''],
    resources: ['configmaps'],
    verbs: [...READ, 'update', 'patch'],
    resourceNames: [OBJECTS.trust, OBJECTS.caRequest, OBJECTS.meshConfig, OBJECTS.federationState],
  },
  { apiGroups: ['coordination.k8s.io'], resources: ['leases'], verbs: ['create'] },
  {
    apiGroups: ['coordination.k8s.io'],
    resources: ['leases'],
    verbs: ['get', 'list', 'watch', 'update', 'patch'],
    resourceNames: [OBJECTS.federationLease],
  },
]

export function clusterRole(account: string, rules: readonly Rule[]): readonly object[] {
  return [
    { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'ClusterRole', metadata: { name: account }, rules },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRoleBinding',
      metadata: { name: account },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: account },
      subjects: [{ kind: 'ServiceAccount', name: account, namespace: SYSTEM_NAMESPACE }],
    },
  ]
}

export function role(account: string, rules: readonly Rule[]): readonly object[] {
  return [
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'Role',
      metadata: { name: account, namespace: SYSTEM_NAMESPACE },
      rules,
    },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'RoleBinding',
      metadata: { name: account, namespace: SYSTEM_NAMESPACE },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: account },
      subjects: [{ kind: 'ServiceAccount', name: account, namespace: SYSTEM_NAMESPACE }],
    },
  ]
}

/** What the CLI shows to the control plane is a token of this account: who may make one may read its pages. */
function reader(): readonly object[] {
  const kind = 'ClusterRole'
  const rules = [{ nonResourceURLs: ['/isthmus/*'], verbs: ['get'] }]
  return [
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: READER_ACCOUNT, namespace: SYSTEM_NAMESPACE } },
    { apiVersion: 'rbac.authorization.k8s.io/v1', kind, metadata: { name: READER_ACCOUNT }, rules },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRoleBinding',
      metadata: { name: READER_ACCOUNT },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind, name: READER_ACCOUNT },
      subjects: [{ kind: 'ServiceAccount', name: READER_ACCOUNT, namespace: SYSTEM_NAMESPACE }],
    },
  ]
}

/** Every RBAC object of the installation; the gateway asks the API server nothing and has none. */
export function rbacManifests(): readonly object[] {
  return [
    ...reader(),
    ...clusterRole(SYSTEM_ACCOUNTS.controlPlane, CONTROL_PLANE_CLUSTER_RULES),
    ...role(SYSTEM_ACCOUNTS.controlPlane, CONTROL_PLANE_RULES),
    ...clusterRole(SYSTEM_ACCOUNTS.federation, FEDERATION_CLUSTER_RULES),
    ...role(SYSTEM_ACCOUNTS.federation, FEDERATION_RULES),
  ]
}
