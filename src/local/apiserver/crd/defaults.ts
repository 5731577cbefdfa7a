/**
 * Fills in the defaults of a structural schema, in place. A null where null is not allowed counts as absent: it takes
 * the default, or goes. Defaults are copied, so that no two objects share one.
 */
import { type JsonObject, clone, isObject, put } from '../patch/json-value.ts'
import type { JsonSchema } from '../openapi/json-schema.ts'
import { deref, IMPLICIT } from './schema-walk.ts'

export function applyDefaults(schema: JsonSchema, value: unknown, options: { isResource: boolean }): void {
  const resolved = deref(schema)
  if (Array.isArray(value)) {
    const { items } = resolved
    if (items === undefined) return
    const isResource = items['x-kubernetes-embedded-resource'] === true
    for (const item of value) applyDefaults(items, item, { isResource })
  } else if (isObject(value)) applyToObject(resolved, value, options.isResource)
}

function applyToObject(schema: JsonSchema, object: JsonObject, isResource: boolean): void {
  for (const [name, property] of Object.entries(schema.properties ?? {})) {
    if (isResource && IMPLICIT.has(name)) continue
    const isNull = Object.hasOwn(object, name) && object[name] === null && !allowsNull(property)
    if (isNull) delete object[name]
    if (property.default !== undefined && !Object.hasOwn(object, name)) put(object, name, clone(property.default))
    if (Object.hasOwn(object, name)) descend(property, object[name])
  }
  if (typeof schema.additionalProperties === 'object') applyToMembers(schema.additionalProperties, object)
}

/** Members of a map: none is added, but a null may stand for the default. */
function applyToMembers(schema: JsonSchema, object: JsonObject): void {
  for (const name of Object.keys(object)) {
    const isNull = object[name] === null && !allowsNull(schema)
    if (isNull && schema.default !== undefined) put(object, name, clone(schema.default))
    descend(schema, object[name])
  }
}

function descend(schema: JsonSchema, value: unknown): void {
  if (typeof value !== 'object' || value === null) return
  applyDefaults(schema, value, { isResource: schema['x-kubernetes-embedded-resource'] === true })
}

/** Where the type is open (preserve-unknown-fields without a type), null is a value like any other. */
function allowsNull(schema: JsonSchema): boolean {
  return schema.nullable === true || (schema.type === undefined && schema['x-kubernetes-int-or-string'] !== true)
}
