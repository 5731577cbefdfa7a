/**
 * Which lists of the built-in kinds a strategic merge patch merges, and by which member. Every list that is not here
 * is replaced as a whole. Facts of Kubernetes' API, by type and field of openapi/type-table.json.
 */
const CONTAINER = { ports: 'containerPort', env: 'name', volumeMounts: 'mountPath', volumeDevices: 'devicePath' }
const CONDITIONS = { conditions: 'type' }
/** Lists of scalars have no key: they merge as sets. */
const SET = ''

const MERGE_KEYS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'meta.v1.ObjectMeta': { ownerReferences: 'uid', finalizers: SET },
  'core.v1.Container': CONTAINER,
  'core.v1.EphemeralContainer': CONTAINER,
  'core.v1.PodSpec': {
    containers: 'name',
    initContainers: 'name',
    ephemeralContainers: 'name',
    imagePullSecrets: 'name',
    schedulingGates: 'name',
    volumes: 'name',
    resourceClaims: 'name',
    hostAliases: 'ip',
    topologySpreadConstraints: 'topologyKey',
  },
  'core.v1.PodStatus': { ...CONDITIONS, podIPs: 'ip', hostIPs: 'ip', resourceClaimStatuses: 'name' },
  'core.v1.ContainerStatus': { volumeMounts: 'mountPath', allocatedResourcesStatus: 'name' },
  // Two ports of one number (TCP and UDP) are one element here: Kubernetes' own trap, kept.
  'core.v1.ServiceSpec': { ports: 'port' },
  'core.v1.ServiceStatus': CONDITIONS,
  'core.v1.ServiceAccount': { secrets: 'name' },
  'core.v1.NamespaceStatus': CONDITIONS,
  'core.v1.NodeSpec': { podCIDRs: SET },
  'core.v1.NodeStatus': { ...CONDITIONS, addresses: 'type' },
  'core.v1.PersistentVolumeClaimStatus': CONDITIONS,
  'admissionregistration.v1.MutatingWebhookConfiguration': { webhooks: 'name' },
  'admissionregistration.v1.MutatingWebhook': { matchConditions: 'name' },
  'admissionregistration.v1.ValidatingWebhookConfiguration': { webhooks: 'name' },
  'admissionregistration.v1.ValidatingWebhook': { matchConditions: 'name' },
  'apps.v1.DeploymentStatus': CONDITIONS,
  'apps.v1.ReplicaSetStatus': CONDITIONS,
  'apps.v1.StatefulSetStatus': CONDITIONS,
  'apps.v1.DaemonSetStatus': CONDITIONS,
}

/** The member that identifies an element; empty for a set of scalars; undefined for a list that is replaced. */
export function mergeKeyOf(type: string | undefined, field: string): string | undefined {
  const keys = type === undefined || !Object.hasOwn(MERGE_KEYS, type) ? undefined : MERGE_KEYS[type]
  return keys !== undefined && Object.hasOwn(keys, field) ? keys[field] : undefined
}

const RETAINED: ReadonlySet<string> = new Set([
  'core.v1.PodSpec.volumes',
  'core.v1.PodSpec.resourceClaims',
  'core.v1.PodStatus.resourceClaimStatuses',
  'apps.v1.DeploymentSpec.strategy',
])

/** Unions, of which clients name the members that stay (`$retainKeys`). */
export function retainsKeys(type: string | undefined, field: string): boolean {
  return type !== undefined && RETAINED.has(`${type}.${field}`)
}

export const mergedLists = (): string[] =>
  Object.entries(MERGE_KEYS).flatMap(([type, fields]) => Object.keys(fields).map((field) => `${type}.${field}`))
