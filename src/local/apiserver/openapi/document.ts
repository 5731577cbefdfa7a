/**
 * OpenAPI v3 documents, one per group and version, as kubectl reads them: a patch operation per kind that lists its
 * query parameters (without `fieldValidation` there, kubectl validates on its own side), and schemas for `explain` and
 * for computing strategic patches. Not a full description of the API: responses are named, not specified.
 */
import { mergeKeyOf, retainsKeys } from '../patch/merge-keys.ts'
import { builtinSchema, builtinType } from './builtin.ts'
import { type GroupVersionKind, type JsonSchema, REF_PREFIX } from './json-schema.ts'
import { componentName, resolveRef, typeOfComponent } from './type-table.ts'

export interface OpenApiKind {
  readonly group: string
  readonly version: string
  readonly kind: string
  readonly plural: string
  readonly namespaced: boolean
  /** The CRD's schema; absent for built-in kinds. */
  readonly schema?: JsonSchema | undefined
  readonly verbs: readonly string[]
}

const OBJECT_META = `${REF_PREFIX}${componentName('meta.v1.ObjectMeta')}`
const DELETE_OPTIONS = `${REF_PREFIX}${componentName('meta.v1.DeleteOptions')}`
const PATCH_TYPES = ['application/json-patch+json', 'application/merge-patch+json']

/** `groupVersion` as in apiVersion: `v1`, `apps/v1`. */
export function openapiV3(groupVersion: string, kinds: readonly OpenApiKind[]): object {
  const schemas = new Map<string, object>()
  const paths: Record<string, object> = {}
  for (const kind of kinds) {
    addSchema(kind, schemas)
    Object.assign(paths, pathsOf(kind))
  }
  collect(OBJECT_META, schemas)
  collect(DELETE_OPTIONS, schemas)
  return {
    openapi: '3.0.0',
    info: { title: 'Kubernetes', version: groupVersion },
    paths,
    components: { schemas: Object.fromEntries([...schemas].toSorted(([a], [b]) => (a < b ? -1 : 1))) },
  }
}

/** Swagger 2.0 without paths, as protobuf: kubectl then reports an unknown kind by its name. */
export function openapiV2Empty(): Uint8Array {
  return Buffer.from('0a03322e3012080a01781203312e304200', 'hex')
}

const gvkOf = ({ group, version, kind }: OpenApiKind): GroupVersionKind => ({ group, version, kind })

/** Built-ins have Kubernetes' own names; custom kinds their reversed group, so that no two clash. */
function componentOf(kind: OpenApiKind): string {
  const type = kind.schema === undefined ? builtinType(kind.group, kind.version, kind.kind) : undefined
  const reversed = kind.group.split('.').toReversed().join('.')
  return type === undefined ? `${reversed}.${kind.version}.${kind.kind}` : componentName(type)
}

function addSchema(kind: OpenApiKind, schemas: Map<string, object>): void {
  const schema = kind.schema === undefined ? builtinSchema(kind.group, kind.version, kind.kind) : withMeta(kind.schema)
  const component = componentOf(kind)
  const published = publish(schema ?? withMeta({ type: 'object' }), typeOfComponent(component), schemas)
  // A type that several groups serve (autoscaling's Scale) lists them all.
  const others = gvksOf(schemas.get(component))
  schemas.set(component, { ...published, 'x-kubernetes-group-version-kind': [...others, gvkOf(kind)] })
}

function gvksOf(schema: JsonSchema | undefined): readonly GroupVersionKind[] {
  return schema?.['x-kubernetes-group-version-kind'] ?? []
}

/** CRDs leave out what every object has. */
function withMeta(schema: JsonSchema): JsonSchema {
  const text = (description: string): JsonSchema => ({ type: 'string', description })
  const meta = {
    apiVersion: text('The group and version of the schema the object is written in.'),
    kind: text('The kind of the object.'),
    metadata: { description: 'Name, labels and history of the object.', allOf: [{ $ref: OBJECT_META }] },
  }
  return { ...schema, properties: { ...schema.properties, ...meta } }
}

/** Copies the schema of a reference, and all that it refers to, into the document. */
function collect(ref: string, schemas: Map<string, object>): void {
  const component = ref.slice(REF_PREFIX.length)
  if (schemas.has(component)) return
  const schema = resolveRef(ref)
  if (schema === undefined) return
  // Reserved first: types may refer to themselves.
  schemas.set(component, {})
  schemas.set(component, publish(schema, typeOfComponent(component), schemas))
}

/** Our reading of a schema in the words of Kubernetes' documents; `type` is its name in the table, for merge keys. */
function publish(schema: JsonSchema, type: string | undefined, schemas: Map<string, object>): object {
  if (schema.$ref !== undefined) collect(schema.$ref, schemas)
  const inner = (part: JsonSchema): object => publish(part, undefined, schemas)
  const { properties, items, additionalProperties, allOf, anyOf, oneOf, not, format, ...rest } = schema
  const published: Record<string, unknown> = { ...rest }
  if (format !== undefined && format !== 'quantity')
    published['format'] = format === 'date-time-micro' ? 'date-time' : format
  // Clients that know no Kubernetes extensions read the type here.
  if (schema['x-kubernetes-int-or-string'] === true && anyOf === undefined && allOf === undefined)
    published['oneOf'] = [{ type: 'integer' }, { type: 'string' }]
  if (properties !== undefined) {
    published['properties'] = Object.fromEntries(
      Object.entries(properties).map(([name, property]) => [name, { ...inner(property), ...patchMeta(type, name) }]),
    )
  }
  if (items !== undefined) published['items'] = inner(items)
  if (additionalProperties !== undefined)
    published['additionalProperties'] =
      typeof additionalProperties === 'object' ? inner(additionalProperties) : additionalProperties
  for (const [keyword, parts] of Object.entries({ allOf, anyOf, oneOf }))
    if (parts !== undefined) published[keyword] = parts.map(inner)
  if (not !== undefined) published['not'] = inner(not)
  return published
}

/** kubectl computes strategic patches from these. */
function patchMeta(type: string | undefined, field: string): object {
  const key = mergeKeyOf(type, field)
  const strategy = [...(key === undefined ? [] : ['merge']), ...(retainsKeys(type, field) ? ['retainKeys'] : [])].join(
    ',',
  )
  return {
    ...(strategy === '' ? {} : { 'x-kubernetes-patch-strategy': strategy }),
    ...(key === undefined || key === '' ? {} : { 'x-kubernetes-patch-merge-key': key }),
  }
}

interface Operation {
  readonly verb: string
  readonly method: 'get' | 'post' | 'put' | 'patch' | 'delete'
  readonly action: string
  readonly query: readonly string[]
}

const WRITE_QUERY = ['dryRun', 'fieldManager', 'fieldValidation']
const LIST_QUERY = ['labelSelector', 'fieldSelector', 'limit', 'continue', 'resourceVersion', 'timeoutSeconds', 'watch']
const COLLECTION: readonly Operation[] = [
  { verb: 'list', method: 'get', action: 'list', query: LIST_QUERY },
  { verb: 'create', method: 'post', action: 'post', query: WRITE_QUERY },
  { verb: 'deletecollection', method: 'delete', action: 'deletecollection', query: [...LIST_QUERY, 'dryRun'] },
]
const SINGLE: readonly Operation[] = [
  { verb: 'get', method: 'get', action: 'get', query: [] },
  { verb: 'update', method: 'put', action: 'put', query: WRITE_QUERY },
  { verb: 'patch', method: 'patch', action: 'patch', query: [...WRITE_QUERY, 'force'] },
  { verb: 'delete', method: 'delete', action: 'delete', query: ['dryRun', 'gracePeriodSeconds', 'propagationPolicy'] },
]
const QUERY_TYPES: Readonly<Record<string, string>> = {
  force: 'boolean',
  watch: 'boolean',
  limit: 'integer',
  timeoutSeconds: 'integer',
  gracePeriodSeconds: 'integer',
}

function pathsOf(kind: OpenApiKind): Record<string, object> {
  const root = kind.group === '' ? `/api/${kind.version}` : `/apis/${kind.group}/${kind.version}`
  const collection = kind.namespaced ? `${root}/namespaces/{namespace}/${kind.plural}` : `${root}/${kind.plural}`
  const scope = kind.namespaced ? ['namespace'] : []
  const paths: Record<string, object> = {}
  const add = (path: string, operations: readonly Operation[], parameters: readonly string[]): void => {
    const served = operations.filter((operation) => kind.verbs.includes(operation.verb))
    if (served.length === 0) return
    paths[path] = {
      ...Object.fromEntries(served.map((operation) => [operation.method, operationOf(kind, operation)])),
      parameters: parameters.map((name) => ({ name, in: 'path', required: true, schema: { type: 'string' } })),
    }
  }
  if (kind.namespaced) add(`${root}/${kind.plural}`, COLLECTION.slice(0, 1), [])
  add(collection, COLLECTION, scope)
  add(`${collection}/{name}`, SINGLE, [...scope, 'name'])
  return paths
}

function operationOf(kind: OpenApiKind, operation: Operation): object {
  const reference = { $ref: REF_PREFIX + componentOf(kind) }
  const content = (types: readonly string[], schema: object): object => ({
    content: Object.fromEntries(types.map((type) => [type, { schema }])),
  })
  const bodies: Readonly<Record<string, object>> = {
    post: content(['application/json', 'application/yaml'], reference),
    put: content(['application/json', 'application/yaml'], reference),
    // Custom kinds have no strategic patch: naming its type would make kubectl send one.
    patch: content(
      kind.schema === undefined ? [...PATCH_TYPES, 'application/strategic-merge-patch+json'] : PATCH_TYPES,
      {},
    ),
    delete: content(['application/json'], { $ref: DELETE_OPTIONS }),
  }
  const body = bodies[operation.method]
  return {
    tags: [kind.group === '' ? `core_${kind.version}` : `${kind.group}_${kind.version}`],
    operationId: `${operation.verb}${kind.version}${kind.namespaced ? 'Namespaced' : ''}${kind.kind}`,
    parameters: operation.query.map((name) => ({ name, in: 'query', schema: { type: QUERY_TYPES[name] ?? 'string' } })),
    ...(body === undefined ? {} : { requestBody: body }),
    responses: { '200': { description: 'OK', ...content(['application/json'], reference) } },
    'x-kubernetes-action': operation.action,
    'x-kubernetes-group-version-kind': gvkOf(kind),
  }
}
