/**
 * Removes what a schema does not know, in place, and names it. `x-kubernetes-preserve-unknown-fields` keeps unknown
 * members of its own object, while members that are specified below it are still pruned by their own schemas.
 */
import { DEPTH_MAX, type JsonObject, isObject } from '../patch/json-value.ts'
import type { JsonSchema } from '../openapi/json-schema.ts'
import { deref, IMPLICIT, member, propertyOf } from './schema-walk.ts'

/** `isResource`: apiVersion, kind and metadata are known without being specified. */
export function prune(schema: JsonSchema, value: unknown, options: { isResource: boolean }): string[] {
  const pruned: string[] = []
  walk(deref(schema), value, { path: '', isResource: options.isResource, pruned, depth: 0 })
  return pruned
}

interface Place {
  readonly path: string
  readonly isResource: boolean
  readonly pruned: string[]
  readonly depth: number
}

function walk(schema: JsonSchema, value: unknown, place: Place): void {
  if (Array.isArray(value)) {
    const items = schema.items === undefined ? undefined : deref(schema.items)
    if (items === undefined && keepsUnknown(schema)) return
    value.forEach((item, index) => {
      const isResource = items?.['x-kubernetes-embedded-resource'] === true
      walk(items ?? {}, item, {
        path: `${place.path}[${index}]`,
        isResource,
        pruned: place.pruned,
        depth: place.depth + 1,
      })
    })
  } else if (isObject(value)) walkObject(schema, value, place)
}

function walkObject(schema: JsonSchema, object: JsonObject, place: Place): void {
  for (const name of Object.keys(object)) {
    const path = member(place.path, name)
    const specified = propertyOf(schema, name) ?? additional(schema)
    // The schema of a resource's metadata may only restrict names: the rest of ObjectMeta is always known.
    const isImplicit = place.isResource && IMPLICIT.has(name) && !isReference(specified)
    if (isImplicit || specified === 'anything') continue
    // Beyond any real depth the stack would end before the object does: there, nothing is known.
    if (specified !== undefined && place.depth < DEPTH_MAX) {
      const next = deref(specified)
      const isResource = next['x-kubernetes-embedded-resource'] === true
      walk(next, object[name], { path, isResource, pruned: place.pruned, depth: place.depth + 1 })
    } else if (specified !== undefined || !keepsUnknown(schema)) {
      delete object[name]
      place.pruned.push(path)
    }
  }
}

function additional(schema: JsonSchema): JsonSchema | 'anything' | undefined {
  const { additionalProperties } = schema
  if (additionalProperties === true) return 'anything'
  return additionalProperties === false ? undefined : additionalProperties
}

/** Built-in kinds refer to the whole ObjectMeta. */
const isReference = (schema: JsonSchema | 'anything' | undefined): boolean =>
  schema !== undefined && schema !== 'anything' && deref(schema) !== schema

const keepsUnknown = (schema: JsonSchema): boolean => schema['x-kubernetes-preserve-unknown-fields'] === true
