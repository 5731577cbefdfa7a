/** What prune, default and validate share in reading a schema: references and the implicit members of objects. */
import type { JsonSchema } from '../openapi/json-schema.ts'
import { resolveRef } from '../openapi/type-table.ts'

/** The schema itself, or the built-in type that it refers to (also through the `allOf` that carries a description). */
export function deref(schema: JsonSchema): JsonSchema {
  const ref = schema.$ref ?? (schema.allOf?.length === 1 ? schema.allOf[0]?.$ref : undefined)
  return ref === undefined ? schema : (resolveRef(ref) ?? {})
}

export function propertyOf(schema: JsonSchema, name: string): JsonSchema | undefined {
  const { properties } = schema
  return properties !== undefined && Object.hasOwn(properties, name) ? properties[name] : undefined
}

/** Members that every object of the API has, whether its schema lists them or not. */
export const IMPLICIT: ReadonlySet<string> = new Set(['apiVersion', 'kind', 'metadata'])

export const member = (path: string, name: string): string => (path === '' ? name : `${path}.${name}`)
