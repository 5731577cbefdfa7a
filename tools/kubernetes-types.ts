/**
 * Writes src/local/apiserver/openapi/type-table.json: names and types of the fields of the built-in kinds, from the
 * models of @kubernetes/client-node. A table, because importing those models costs a server process 435 ms and 80 MiB.
 * Run `node tools/kubernetes-types.ts` after raising client-node; a test compares the table with the models.
 * The encoding of a field's type is read back in type-table.ts.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const MODELS = new URL('../node_modules/@kubernetes/client-node/dist/gen/models/', import.meta.url)
const OUTPUT = fileURLToPath(new URL('../src/local/apiserver/openapi/type-table.json', import.meta.url))

interface Attribute {
  readonly name: string
  readonly baseName: string
  readonly type: string
  readonly format: string
}

/** Package, then the models that start there. A model shared by packages belongs to the first that reaches it. */
const ROOTS: Readonly<Record<string, readonly string[]>> = {
  'meta.v1': [
    'V1ObjectMeta',
    'V1ListMeta',
    'V1LabelSelector',
    'V1FieldSelectorRequirement',
    'V1Condition',
    'V1Status',
    'V1DeleteOptions',
  ],
  'core.v1': [
    'V1Namespace',
    'V1Pod',
    'V1Service',
    'V1Endpoints',
    'V1ConfigMap',
    'V1Secret',
    'V1ServiceAccount',
    'V1Node',
    'CoreV1Event',
    'V1PodTemplateSpec',
    'V1PersistentVolumeClaim',
    'V1Binding',
    'V1ResourceQuota',
  ],
  'apps.v1': ['V1Deployment', 'V1ReplicaSet', 'V1StatefulSet', 'V1DaemonSet'],
  'batch.v1': ['V1Job', 'V1CronJob'],
  'networking.v1': ['V1Ingress'],
  'policy.v1': ['V1PodDisruptionBudget'],
  'scheduling.v1': ['V1PriorityClass'],
  'autoscaling.v1': ['V1Scale'],
  'discovery.v1': ['V1EndpointSlice'],
  'events.v1': ['EventsV1Event'],
  'coordination.v1': ['V1Lease'],
  'rbac.v1': ['V1Role', 'V1ClusterRole', 'V1RoleBinding', 'V1ClusterRoleBinding'],
  'apiextensions.v1': ['V1CustomResourceDefinition'],
  'admissionregistration.v1': [
    'V1MutatingWebhookConfiguration',
    'V1ValidatingWebhookConfiguration',
    'V1ValidatingAdmissionPolicy',
    'V1ValidatingAdmissionPolicyBinding',
  ],
  'authentication.v1': ['AuthenticationV1TokenRequest', 'V1TokenReview', 'V1SelfSubjectReview'],
  'authorization.v1': [
    'V1SubjectAccessReview',
    'V1SelfSubjectAccessReview',
    'V1LocalSubjectAccessReview',
    'V1SelfSubjectRulesReview',
  ],
}

/** The models call a quantity a string; a server takes numbers too (`cpu: 2`). */
const QUANTITIES: Readonly<Record<string, readonly string[]>> = {
  V1ResourceRequirements: ['limits', 'requests'],
  V1VolumeResourceRequirements: ['limits', 'requests'],
  V1PodSpec: ['overhead'],
  V1PodStatus: ['allocatedResources'],
  V1ContainerStatus: ['allocatedResources'],
  V1EmptyDirVolumeSource: ['sizeLimit'],
  V1ResourceFieldSelector: ['divisor'],
  V1ResourceQuotaSpec: ['hard'],
  V1ResourceQuotaStatus: ['hard', 'used'],
  V1NodeStatus: ['capacity', 'allocatable'],
  V1PersistentVolumeClaimStatus: ['capacity', 'allocatedResources'],
}

/** Structural schemas narrow what the models leave open. */
const OVERRIDES: Readonly<Record<string, string>> = {
  'V1JSONSchemaProps.items': 'V1JSONSchemaProps',
  'V1JSONSchemaProps.additionalProperties': 'V1JSONSchemaProps|boolean',
}

const SCALARS: Readonly<Record<string, string>> = {
  string: 's',
  boolean: 'b',
  Date: 't',
  V1MicroTime: 'u',
  IntOrString: 'x',
  any: 'a',
}

const names = new Map<string, string>()
const types: Record<string, string> = {}

function attributes(model: string): Attribute[] {
  const source = readFileSync(new URL(`${model}.js`, MODELS), 'utf8')
  const map = /attributeTypeMap = (\[[\s\S]*?\n\]);/.exec(source)?.[1]
  if (map === undefined) throw new Error(`${model} has no attributeTypeMap`)
  return JSON.parse(map) as Attribute[]
}

/** Optional properties carry a question mark in the declarations. */
function isRequired(declarations: string, name: string): boolean {
  return declarations.includes(`\n    '${name}': `)
}

function visit(model: string, pkg: string): string {
  const known = names.get(model)
  if (known !== undefined) return known
  const name = `${pkg}.${model.replace(/^[A-Za-z]*?V1/, '')}`
  names.set(model, name)
  // Reserves the place, so that the table reads from roots to leaves.
  types[name] = ''
  const declarations = readFileSync(new URL(`${model}.d.ts`, MODELS), 'utf8')
  const fields = attributes(model).map((attribute) => {
    const mark = isRequired(declarations, attribute.name) ? '!' : ''
    return `${attribute.baseName}${mark}:${encode(model, attribute, pkg)}`
  })
  types[name] = fields.join(' ')
  return name
}

function encode(model: string, attribute: Attribute, pkg: string): string {
  const type = OVERRIDES[`${model}.${attribute.baseName}`] ?? attribute.type
  const list = /^Array<(.*)>$/.exec(type)?.[1]
  if (list !== undefined) return `[]${encodeItem(list, attribute.format, pkg)}`
  const quantity = QUANTITIES[model]?.includes(attribute.baseName) === true
  const map = /^\{ \[key: string\]: (.*); \}$/.exec(type)?.[1]
  if (map !== undefined) return `{}${quantity ? 'q' : encode(model, { ...attribute, type: map }, pkg)}`
  return quantity ? 'q' : encodeItem(type, attribute.format, pkg)
}

function encodeItem(type: string, format: string, pkg: string): string {
  if (type.endsWith('|boolean')) return `${visit(type.slice(0, -8), pkg)}|b`
  if (type === 'number') return format === 'int64' ? 'l' : format === 'double' ? 'f' : 'i'
  if (type === 'string' && format === 'byte') return 'y'
  return SCALARS[type] ?? visit(type, pkg)
}

for (const [pkg, models] of Object.entries(ROOTS)) for (const model of models) visit(model, pkg)
writeFileSync(OUTPUT, `${JSON.stringify(types, undefined, 2)}\n`)
process.stdout.write(`${Object.keys(types).length} types\n`)
