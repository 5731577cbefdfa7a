/**
 * From a decoded body to an object of the kind: versions and kinds agree, unknown and duplicate fields are refused,
 * warned about or dropped as the client asked (fieldValidation), types are right, metadata holds only what it may.
 */
import type { DecodedBody } from '../http/body.ts'
import { isJsonObject, type ApiObject, type JsonObject } from '../object.ts'
import { apiVersionOf } from '../kinds/kind.ts'
import { ApiError, badRequest, invalid } from '../status.ts'
import { cleanMetadata } from './metadata-shape.ts'
import { subjectOf, type Scope } from './scope.ts'

/** Pruning comes before the type check, so that an unknown field of a wrong type is reported as unknown. */
export function decodeObject(scope: Scope, body: DecodedBody): ApiObject {
  const { value } = body
  checkType(scope, value)
  const { metadata, unknown } = cleanMetadata(scope, value['metadata'])
  const object: ApiObject = {
    ...(scope.kind.custom ? value : (dropNulls(value) as JsonObject)),
    apiVersion: apiVersionOf(scope.kind.group, scope.version.version),
    kind: scope.kind.kind,
    metadata,
  }
  const pruned = scope.version.schema?.prune(object) ?? []
  reportFields(scope, [...unknown, ...pruned], body.duplicates)
  checkTypes(scope, object)
  return object
}

/** A body may leave both out; the URL then says what it is. */
function checkType(scope: Scope, value: JsonObject): void {
  const expected = apiVersionOf(scope.kind.group, scope.version.version)
  const [apiVersion, kind] = [textOf(value['apiVersion']), textOf(value['kind'])]
  if (apiVersion !== '' && apiVersion !== expected)
    throw badRequest(
      `the API version in the data (${apiVersion}) does not match the expected API version (${expected})`,
    )
  if (kind !== '' && kind !== scope.kind.kind)
    throw badRequest(
      `${kind} in version "${scope.version.version}" cannot be handled as a ${scope.kind.kind}: converting (${kind}) to (${scope.kind.kind}): unknown conversion`,
    )
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : value === undefined || value === null ? '' : JSON.stringify(value)
}

/** JSON null means absent to Go's decoder; custom resources keep theirs for their own defaulting. */
function dropNulls(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(dropNulls)
  if (!isJsonObject(value)) return value
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, field]) => (field === null ? [] : [[key, dropNulls(field)]])),
  )
}

function reportFields(scope: Scope, unknown: readonly string[], duplicates: readonly string[]): void {
  const problems = [
    ...unknown.map((path) => `unknown field "${path}"`),
    ...duplicates.map((path) => `duplicate field "${path}"`),
  ]
  if (problems.length === 0) return
  switch (fieldValidation(scope)) {
    case 'Strict':
      throw badRequest(`${cannotHandle(scope)}: strict decoding error: ${problems.join(', ')}`)
    case 'Warn':
      scope.warnings.push(...problems)
      break
    case 'Ignore':
      break
  }
}

/** Warn is what kube-apiserver does unasked: old clients keep working, and people see their typo. */
function fieldValidation(scope: Scope): 'Strict' | 'Warn' | 'Ignore' {
  const asked = scope.query.get('fieldValidation') ?? ''
  if (asked === '') return 'Warn'
  if (asked === 'Strict' || asked === 'Warn' || asked === 'Ignore') return asked
  const options = scope.method === 'POST' ? 'CreateOptions' : scope.method === 'PUT' ? 'UpdateOptions' : 'PatchOptions'
  throw invalid({ group: 'meta.k8s.io', plural: '', kind: options }, '', [
    {
      path: 'fieldValidation',
      reason: 'FieldValueNotSupported',
      detail: 'supported values: "Ignore", "Strict", "Warn"',
      value: asked,
    },
  ])
}

/** How Go words every decoding failure; people search for it. */
function cannotHandle(scope: Scope): string {
  return `${scope.kind.kind} in version "${scope.version.version}" cannot be handled as a ${scope.kind.kind}`
}

/** A wrong JSON type in a built-in is a decoding error (400); custom resources learn of it from validation (422). */
function checkTypes(scope: Scope, object: ApiObject): void {
  if (scope.kind.custom) return
  const problem = scope.version.schema?.validate(object).find((error) => error.reason === 'FieldValueTypeInvalid')
  if (problem === undefined) return
  throw new ApiError(
    400,
    'BadRequest',
    `${cannotHandle(scope)}: json: cannot unmarshal ${goType(problem.value)} into Go struct field ${scope.kind.kind}.${problem.path}: ${problem.detail}`,
  )
}

/** JSON types under the names that Go's decoder gives them. */
function goType(value: unknown): string {
  if (Array.isArray(value)) return 'array'
  return typeof value === 'boolean' ? 'bool' : typeof value
}

/** Create and update of one object name it twice: in the URL and in the body. */
export function checkIdentity(scope: Scope, object: ApiObject): void {
  const { subject, namespace } = { subject: subjectOf(scope), namespace: scope.info.namespace }
  const { metadata } = object
  if (scope.kind.namespaced) {
    metadata.namespace ??= namespace
    if (metadata.namespace === '') metadata.namespace = namespace
    if (metadata.namespace !== namespace)
      throw badRequest('the namespace of the provided object does not match the namespace sent on the request')
  } else {
    delete metadata.namespace
  }
  if (scope.info.name === '') return
  metadata.name ??= scope.info.name
  if (metadata.name !== scope.info.name && subject.plural !== '')
    throw badRequest(
      `the name of the object (${metadata.name}) does not match the name on the URL (${scope.info.name})`,
    )
}
