/** Get and list: the objects that match, in the shape their kind's lists have. */
import { present } from '../kinds/kind.ts'
import { apiVersionOf } from '../kinds/kind.ts'
import { keyOf, type ApiObject, type JsonObject } from '../object.ts'
import { ApiError, expired, invalid, notFound } from '../status.ts'
import { pageOf } from './paging.ts'
import { fieldPredicate, labelPredicate, type Predicate } from '../store/selectors.ts'
import { subjectOf, type Scope } from './scope.ts'

export interface ObjectList {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: {
    readonly resourceVersion: string
    readonly continue?: string
    readonly remainingItemCount?: number
  }
  readonly items: readonly ApiObject[]
}

export function getObject(scope: Scope): ApiObject {
  const { context, kind, version, info } = scope
  const stored = context.store.get(kind.storageKey, keyOf(info.namespace, info.name))
  if (stored === undefined) throw notFound(subjectOf(scope), info.name)
  return present(kind, version, stored)
}

export function listObjects(scope: Scope): ObjectList {
  const { kind, version } = scope
  checkListVersion(scope)
  const matches = selection(scope)
  const { items, resourceVersion, next, remaining } = pageOf(scope, (object) => {
    const item = present(kind, version, object)
    return matches(item) ? item : undefined
  })
  return {
    apiVersion: apiVersionOf(kind.group, version.version),
    kind: kind.listKind,
    metadata: {
      resourceVersion: String(resourceVersion),
      ...(next !== undefined && { continue: next }),
      ...(remaining !== undefined && { remainingItemCount: remaining }),
    },
    items,
  }
}

/** Items of built-in lists carry no apiVersion and kind: Go's typed lists never did, and clients compare. */
export function listOnWire(scope: Scope, list: ObjectList): JsonObject {
  if (scope.kind.custom) return { ...list }
  const items = list.items.map((item) => {
    const copy: JsonObject = { ...item }
    delete copy['apiVersion']
    delete copy['kind']
    return copy
  })
  return { ...list, items }
}

/** Both selectors, and the namespace of the URL, as one predicate over presented objects. */
export function selection(scope: Scope): Predicate {
  const { query, version, info } = scope
  const labels = query.get('labelSelector') ?? ''
  const fields = query.get('fieldSelector') ?? ''
  const tests: Predicate[] = []
  if (info.namespace !== '' && scope.kind.namespaced)
    tests.push((object) => object.metadata.namespace === info.namespace)
  if (info.name !== '') tests.push((object) => object.metadata.name === info.name)
  if (labels !== '') tests.push(labelPredicate(labels))
  if (fields !== '') tests.push(fieldPredicate(fields, version.fields))
  return (object) => tests.every((test) => test(object))
}

/** A resourceVersion parameter as a number; 0 for absent and "0". */
export function requestedVersion(scope: Scope): number {
  const value = scope.query.get('resourceVersion') ?? ''
  if (value === '') return 0
  if (/^[0-9]{1,16}$/.test(value)) return Number(value)
  throw listOptionError(`strconv.ParseUint: parsing "${value}": invalid syntax`, 'resourceVersion', value)
}

/** History is kept for watches only: a list at an exact old version is Expired, as after an etcd compaction. */
function checkListVersion(scope: Scope): void {
  const { query, context } = scope
  if (query.get('sendInitialEvents') !== null)
    throw forbiddenOption('sendInitialEvents', 'sendInitialEvents is forbidden for list')
  if ((query.get('continue') ?? '') !== '') {
    if (query.has('resourceVersionMatch'))
      throw forbiddenOption('resourceVersionMatch', 'resourceVersionMatch is forbidden for continue')
    return
  }
  const match = checkVersionMatch(query)
  const asked = requestedVersion(scope)
  const current = context.store.resourceVersion
  if (asked > current) throw futureVersion(asked, current)
  if (match === 'Exact' && asked < current)
    throw expired(`The resourceVersion for the provided list is too old: ${asked}`)
}

function checkVersionMatch(query: URLSearchParams): string {
  const match = query.get('resourceVersionMatch') ?? ''
  const given = query.get('resourceVersion') ?? ''
  if (match === '') return match
  if (given === '')
    throw forbiddenOption(
      'resourceVersionMatch',
      'resourceVersionMatch is forbidden unless resourceVersion is provided',
    )
  if (match === 'Exact' && given === '0')
    throw forbiddenOption('resourceVersionMatch', 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"')
  if (match !== 'Exact' && match !== 'NotOlderThan')
    throw listOptionError('supported values: "Exact", "NotOlderThan", ""', 'resourceVersionMatch', match)
  return match
}

/** Clients that see a newer version elsewhere retry after a second; one server never gets there. */
export function futureVersion(asked: number, current: number): ApiError {
  return new ApiError(504, 'Timeout', `Timeout: Too large resource version: ${asked}, current: ${current}`, {
    causes: [{ reason: 'ResourceVersionTooLarge', message: 'Too large resource version', field: '' }],
    retryAfterSeconds: 1,
  })
}

const LIST_OPTIONS = { group: 'meta.k8s.io', plural: '', kind: 'ListOptions' }

export function forbiddenOption(path: string, detail: string): ApiError {
  return invalid(LIST_OPTIONS, '', [{ path, reason: 'FieldValueForbidden', detail }])
}

function listOptionError(detail: string, path: string, value: string): ApiError {
  return invalid(LIST_OPTIONS, '', [{ path, reason: 'FieldValueInvalid', detail, value }])
}
