/**
 * JSON as CEL sees it: integers are int where the schema says so (or, without a schema, where they are whole), times are
 * timestamps, and names that CEL reserves are escaped as Kubernetes escapes them (`self.__namespace__`).
 */
import type { JsonSchema } from '../kinds.ts'

/** apiextensions' list: CEL's keywords and reserved words. */
const RESERVED = new Set(
  'true false null in as break const continue else for function if import let loop package namespace return var void while'.split(
    ' ',
  ),
)

export function celValue(schema: JsonSchema | undefined, value: unknown): unknown {
  if (typeof value === 'number') return isWhole(schema, value) ? BigInt(value) : value
  if (typeof value === 'string') return schema?.format === 'date-time' ? new Date(value) : value
  if (Array.isArray(value)) return value.map((inner: unknown) => celValue(schema?.items, inner))
  if (typeof value !== 'object' || value === null) return value
  return celObject(schema, value as Readonly<Record<string, unknown>>)
}

/** Without prototype: nothing but the object's own fields can be named. */
function celObject(schema: JsonSchema | undefined, value: Readonly<Record<string, unknown>>): unknown {
  const { properties, additionalProperties } = schema ?? {}
  const additional = typeof additionalProperties === 'object' ? additionalProperties : undefined
  const object = Object.create(null) as Record<string, unknown>
  for (const [name, inner] of Object.entries(value)) {
    const isProperty = properties !== undefined && Object.hasOwn(properties, name)
    const known = isProperty ? properties[name] : additional
    // Fields that the schema does not know cannot be named by a rule, except where there is no schema at all.
    if (schema !== undefined && known === undefined && properties !== undefined) continue
    object[isProperty || schema === undefined ? escaped(name) : name] = celValue(known, inner)
  }
  return object
}

function isWhole(schema: JsonSchema | undefined, value: number): boolean {
  if (!Number.isInteger(value)) return false
  return schema?.type !== 'number'
}

function escaped(name: string): string {
  if (RESERVED.has(name)) return `__${name}__`
  if (/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) return name
  return name
    .replaceAll('__', '__underscores__')
    .replaceAll('.', '__dot__')
    .replaceAll('-', '__dash__')
    .replaceAll('/', '__slash__')
}
