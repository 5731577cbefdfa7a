/** The table of built-in kinds. What a kind does differently from the others stands in its row and nowhere else. */
import { COLUMNS, DEFAULT_COLUMNS } from '../table/columns.ts'
import { compiledBuiltin } from './builtin-schema.ts'
import {
  BINDING_RULES,
  CONFIG_MAP_RULES,
  ENDPOINT_SLICE_RULES,
  ENDPOINTS_RULES,
  EVENT_RULES,
  LEASE_RULES,
  NAMESPACE_RULES,
  NODE_RULES,
  ROLE_RULES,
  SECRET_RULES,
} from './core-rules.ts'
import { CRON_JOB_RULES, JOB_RULES } from './batch-rules.ts'
import { BUDGET_RULES, INGRESS_RULES, PRIORITY_CLASS_RULES } from './cluster-rules.ts'
import { CRD_RULES } from './crd-rules.ts'
import { EVENT_CONVERSION } from './event-conversion.ts'
import { FIELDS } from './fields.ts'
import {
  apiVersionOf,
  type Kind,
  type KindRules,
  type KindVersion,
  type ScalePaths,
  type SubresourceEntry,
} from './kind.ts'
import { POD_RULES, podGraceSeconds } from './pod-rules.ts'
import { POLICY_BINDING_RULES, POLICY_RULES } from './policy-rules.ts'
import { QUOTA_RULES } from './quota.ts'
import { SERVICE_RULES } from './service-rules.ts'
import { DEPLOYMENT_RULES, REPLICA_SET_RULES } from './workload-rules.ts'
import { MUTATING_WEBHOOK_RULES, VALIDATING_WEBHOOK_RULES } from './webhook-rules.ts'

export const ALL_VERBS = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch']
const SCALE: ScalePaths = {
  specReplicas: 'spec.replicas',
  statusReplicas: 'status.replicas',
  selector: 'spec.selector',
}

/** A kind without what the defaults below and the table of columns already say. */
interface Row {
  readonly group?: string
  readonly version?: string
  readonly kind: string
  readonly plural: string
  readonly shortNames?: readonly string[]
  readonly categories?: readonly string[]
  readonly cluster?: boolean
  readonly status?: boolean
  readonly scale?: ScalePaths
  readonly verbs?: readonly string[]
  readonly rules?: KindRules
  readonly generation?: boolean
  readonly nameRule?: Kind['nameRule']
  readonly unconditionalUpdate?: boolean
  readonly createOnUpdate?: boolean
  readonly keepsStatusOnCreate?: boolean
  readonly returnsDeleted?: boolean
  readonly gracefulDeletion?: NonNullable<Kind['gracefulDeletion']>
  readonly subresources?: readonly SubresourceEntry[]
  readonly storageKey?: string
  readonly storageVersion?: string
  readonly convert?: NonNullable<KindVersion['convert']>
}

const CREATE_ONLY = ['create']
const TOKEN: SubresourceEntry = {
  name: 'token',
  verbs: CREATE_ONLY,
  group: 'authentication.k8s.io',
  version: 'v1',
  kind: 'TokenRequest',
}

const ROWS: readonly Row[] = [
  { kind: 'ConfigMap', plural: 'configmaps', shortNames: ['cm'], rules: CONFIG_MAP_RULES },
  { kind: 'Endpoints', plural: 'endpoints', shortNames: ['ep'], rules: ENDPOINTS_RULES },
  { kind: 'Event', plural: 'events', shortNames: ['ev'], rules: EVENT_RULES },
  {
    kind: 'Namespace',
    plural: 'namespaces',
    shortNames: ['ns'],
    cluster: true,
    status: true,
    nameRule: 'label',
    rules: NAMESPACE_RULES,
    verbs: ALL_VERBS.filter((verb) => verb !== 'deletecollection'),
    subresources: [{ name: 'finalize', verbs: ['update'], kind: 'Namespace' }],
  },
  {
    kind: 'Node',
    plural: 'nodes',
    shortNames: ['no'],
    cluster: true,
    status: true,
    keepsStatusOnCreate: true,
    rules: NODE_RULES,
  },
  {
    kind: 'Pod',
    plural: 'pods',
    shortNames: ['po'],
    categories: ['all'],
    status: true,
    rules: POD_RULES,
    returnsDeleted: true,
    gracefulDeletion: podGraceSeconds,
    subresources: [
      { name: 'binding', verbs: CREATE_ONLY, kind: 'Binding' },
      { name: 'log', verbs: ['get'], kind: 'Pod' },
      { name: 'proxy', verbs: ['get'], kind: 'PodProxyOptions' },
    ],
  },
  {
    kind: 'ResourceQuota',
    plural: 'resourcequotas',
    shortNames: ['quota'],
    status: true,
    rules: QUOTA_RULES,
    returnsDeleted: true,
  },
  { kind: 'Secret', plural: 'secrets', rules: SECRET_RULES },
  {
    kind: 'ServiceAccount',
    plural: 'serviceaccounts',
    shortNames: ['sa'],
    returnsDeleted: true,
    subresources: [TOKEN],
  },
  {
    kind: 'Service',
    plural: 'services',
    shortNames: ['svc'],
    categories: ['all'],
    status: true,
    nameRule: 'label1035',
    rules: SERVICE_RULES,
    returnsDeleted: true,
  },
  {
    group: 'apiextensions.k8s.io',
    kind: 'CustomResourceDefinition',
    plural: 'customresourcedefinitions',
    shortNames: ['crd', 'crds'],
    categories: ['api-extensions'],
    cluster: true,
    status: true,
    generation: true,
    unconditionalUpdate: false,
    rules: CRD_RULES,
  },
  {
    group: 'apps',
    kind: 'Deployment',
    plural: 'deployments',
    shortNames: ['deploy'],
    categories: ['all'],
    status: true,
    scale: SCALE,
    generation: true,
    rules: DEPLOYMENT_RULES,
  },
  {
    group: 'apps',
    kind: 'ReplicaSet',
    plural: 'replicasets',
    shortNames: ['rs'],
    categories: ['all'],
    status: true,
    scale: SCALE,
    generation: true,
    rules: REPLICA_SET_RULES,
  },
  {
    group: 'batch',
    kind: 'CronJob',
    plural: 'cronjobs',
    shortNames: ['cj'],
    categories: ['all'],
    status: true,
    generation: true,
    rules: CRON_JOB_RULES,
  },
  {
    group: 'batch',
    kind: 'Job',
    plural: 'jobs',
    categories: ['all'],
    status: true,
    generation: true,
    rules: JOB_RULES,
  },
  {
    group: 'networking.k8s.io',
    kind: 'Ingress',
    plural: 'ingresses',
    shortNames: ['ing'],
    status: true,
    generation: true,
    rules: INGRESS_RULES,
  },
  {
    group: 'policy',
    kind: 'PodDisruptionBudget',
    plural: 'poddisruptionbudgets',
    shortNames: ['pdb'],
    status: true,
    generation: true,
    rules: BUDGET_RULES,
  },
  {
    group: 'scheduling.k8s.io',
    kind: 'PriorityClass',
    plural: 'priorityclasses',
    shortNames: ['pc'],
    cluster: true,
    generation: true,
    rules: PRIORITY_CLASS_RULES,
  },
  {
    group: 'events.k8s.io',
    kind: 'Event',
    plural: 'events',
    shortNames: ['ev'],
    rules: EVENT_RULES,
    storageKey: 'events',
    storageVersion: 'v1',
    convert: EVENT_CONVERSION,
  },
  { group: 'authentication.k8s.io', kind: 'TokenReview', plural: 'tokenreviews', cluster: true, verbs: CREATE_ONLY },
  {
    group: 'authentication.k8s.io',
    kind: 'SelfSubjectReview',
    plural: 'selfsubjectreviews',
    cluster: true,
    verbs: CREATE_ONLY,
  },
  {
    group: 'authorization.k8s.io',
    kind: 'LocalSubjectAccessReview',
    plural: 'localsubjectaccessreviews',
    verbs: CREATE_ONLY,
  },
  {
    group: 'authorization.k8s.io',
    kind: 'SelfSubjectAccessReview',
    plural: 'selfsubjectaccessreviews',
    cluster: true,
    verbs: CREATE_ONLY,
  },
  {
    group: 'authorization.k8s.io',
    kind: 'SelfSubjectRulesReview',
    plural: 'selfsubjectrulesreviews',
    cluster: true,
    verbs: CREATE_ONLY,
  },
  {
    group: 'authorization.k8s.io',
    kind: 'SubjectAccessReview',
    plural: 'subjectaccessreviews',
    cluster: true,
    verbs: CREATE_ONLY,
  },
  {
    group: 'rbac.authorization.k8s.io',
    kind: 'ClusterRoleBinding',
    plural: 'clusterrolebindings',
    cluster: true,
    nameRule: 'path-segment',
    rules: BINDING_RULES,
  },
  {
    group: 'rbac.authorization.k8s.io',
    kind: 'ClusterRole',
    plural: 'clusterroles',
    cluster: true,
    nameRule: 'path-segment',
    rules: ROLE_RULES,
  },
  {
    group: 'rbac.authorization.k8s.io',
    kind: 'RoleBinding',
    plural: 'rolebindings',
    nameRule: 'path-segment',
    rules: BINDING_RULES,
  },
  { group: 'rbac.authorization.k8s.io', kind: 'Role', plural: 'roles', nameRule: 'path-segment', rules: ROLE_RULES },
  {
    group: 'admissionregistration.k8s.io',
    kind: 'MutatingWebhookConfiguration',
    plural: 'mutatingwebhookconfigurations',
    cluster: true,
    categories: ['api-extensions'],
    generation: true,
    rules: MUTATING_WEBHOOK_RULES,
  },
  {
    group: 'admissionregistration.k8s.io',
    kind: 'ValidatingWebhookConfiguration',
    plural: 'validatingwebhookconfigurations',
    cluster: true,
    categories: ['api-extensions'],
    generation: true,
    rules: VALIDATING_WEBHOOK_RULES,
  },
  {
    group: 'admissionregistration.k8s.io',
    kind: 'ValidatingAdmissionPolicy',
    plural: 'validatingadmissionpolicies',
    cluster: true,
    status: true,
    categories: ['api-extensions'],
    generation: true,
    rules: POLICY_RULES,
  },
  {
    group: 'admissionregistration.k8s.io',
    kind: 'ValidatingAdmissionPolicyBinding',
    plural: 'validatingadmissionpolicybindings',
    cluster: true,
    categories: ['api-extensions'],
    generation: true,
    rules: POLICY_BINDING_RULES,
  },
  {
    group: 'coordination.k8s.io',
    kind: 'Lease',
    plural: 'leases',
    unconditionalUpdate: false,
    createOnUpdate: true,
    rules: LEASE_RULES,
  },
  {
    group: 'discovery.k8s.io',
    kind: 'EndpointSlice',
    plural: 'endpointslices',
    generation: true,
    rules: ENDPOINT_SLICE_RULES,
  },
]

/** What most kinds have in common. */
const DEFAULTS = {
  group: '',
  version: 'v1',
  shortNames: [],
  categories: [],
  cluster: false,
  status: false,
  verbs: ALL_VERBS,
  generation: false,
  nameRule: 'subdomain',
  unconditionalUpdate: true,
  createOnUpdate: false,
  subresources: [],
  rules: {},
} as const

function kindOf(given: Row): Kind {
  const row = { ...DEFAULTS, ...given }
  const { group, version, cluster, status, scale, convert, ...kind } = row
  const storageKey = row.storageKey ?? (group === '' ? row.plural : `${row.plural}.${group}`)
  return {
    ...kind,
    group,
    listKind: `${row.kind}List`,
    singular: row.kind.toLowerCase(),
    namespaced: !cluster,
    storageKey,
    storageVersion: row.storageVersion ?? apiVersionOf(group, version),
    custom: false,
    versions: [
      {
        version,
        served: true,
        columns: COLUMNS[storageKey] ?? DEFAULT_COLUMNS,
        status,
        ...(scale === undefined ? {} : { scale }),
        fields: FIELDS[storageKey] ?? {},
        schema: compiledBuiltin(group, version, row.kind),
        ...(convert === undefined ? {} : { convert }),
      },
    ],
  }
}

export const BUILTIN_KINDS: readonly Kind[] = ROWS.map(kindOf)
