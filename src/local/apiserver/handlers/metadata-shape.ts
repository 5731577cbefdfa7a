/**
 * ObjectMeta as a table: which fields exist and of which type. Shared by built-ins and custom resources, whose
 * schemas say nothing about metadata.
 */
import { isJsonObject, type JsonObject, type Metadata } from '../object.ts'
import { badRequest } from '../status.ts'
import type { Scope } from './scope.ts'

type Shape = 'string' | 'integer' | 'string-map' | 'string-list' | 'owners' | 'dropped'

const FIELDS: Readonly<Record<string, Shape>> = {
  name: 'string',
  generateName: 'string',
  namespace: 'string',
  uid: 'string',
  resourceVersion: 'string',
  generation: 'integer',
  creationTimestamp: 'string',
  deletionTimestamp: 'string',
  deletionGracePeriodSeconds: 'integer',
  labels: 'string-map',
  annotations: 'string-map',
  ownerReferences: 'owners',
  finalizers: 'string-list',
  managedFields: 'dropped', // server-side apply is a later issue; until then nobody owns fields
  selfLink: 'dropped',
}

const OWNER_FIELDS = new Set(['apiVersion', 'kind', 'name', 'uid', 'controller', 'blockOwnerDeletion'])

/** Empty maps and strings are dropped as Go's omitempty does: otherwise a no-op update would count as a change. */
export function cleanMetadata(scope: Scope, value: unknown): { metadata: Metadata; unknown: string[] } {
  if (value === undefined || value === null) return { metadata: {}, unknown: [] }
  if (!isJsonObject(value)) throw wrongType(scope, 'metadata', value)
  const metadata: JsonObject = {}
  const unknown: string[] = []
  for (const [field, content] of Object.entries(value)) {
    const shape = FIELDS[field]
    const path = `metadata.${field}`
    if (shape === undefined) unknown.push(path)
    else if (content !== null && shape !== 'dropped') metadata[field] = checked(scope, path, shape, content, unknown)
  }
  for (const field of ['labels', 'annotations', 'ownerReferences', 'finalizers'])
    if (isEmpty(metadata[field])) delete metadata[field]
  for (const field of ['name', 'generateName', 'namespace', 'uid', 'resourceVersion'])
    if (metadata[field] === '') delete metadata[field]
  return { metadata, unknown }
}

function isEmpty(value: unknown): boolean {
  return Array.isArray(value) ? value.length === 0 : isJsonObject(value) && Object.keys(value).length === 0
}

// oxlint-disable-next-line max-params -- one recursive check, all five needed
function checked(scope: Scope, path: string, shape: Shape, value: unknown, unknown: string[]): unknown {
  switch (shape) {
    case 'string':
      if (typeof value === 'string') return value
      break
    case 'integer':
      if (Number.isInteger(value)) return value
      break
    case 'string-map':
      if (isJsonObject(value)) return stringMap(scope, path, value)
      break
    case 'string-list':
      if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return [...new Set(value)]
      break
    case 'owners':
      if (Array.isArray(value) && value.every(isJsonObject)) return owners(path, value, unknown)
      break
    case 'dropped':
      return undefined
  }
  throw wrongType(scope, path, value)
}

/** A null value is an empty string to Go. */
function stringMap(scope: Scope, path: string, value: JsonObject): Record<string, string> {
  const map: Record<string, string> = {}
  for (const [key, content] of Object.entries(value)) {
    if (content !== null && typeof content !== 'string') throw wrongType(scope, path, content)
    map[key] = content ?? ''
  }
  return map
}

/** Unknown fields of an owner are collected with the rest, so that Strict names them. */
function owners(path: string, list: JsonObject[], unknown: string[]): JsonObject[] {
  return list.map((owner, index) =>
    Object.fromEntries(
      Object.entries(owner).filter(([field, content]) => {
        if (OWNER_FIELDS.has(field)) return content !== null
        unknown.push(`${path}[${index}].${field}`)
        return false
      }),
    ),
  )
}

function wrongType(scope: Scope, path: string, value: unknown): Error {
  const { kind } = scope.kind
  const type = Array.isArray(value) ? 'array' : typeof value === 'boolean' ? 'bool' : typeof value
  return badRequest(
    `${kind} in version "${scope.version.version}" cannot be handled as a ${kind}: json: cannot unmarshal ${type} into Go struct field ObjectMeta.${path}`,
  )
}
