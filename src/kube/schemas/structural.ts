/**
 * zod 4 -> the structural OpenAPI v3 schema of a CRD. zod's own OpenAPI output is the start; keywords that a structural
 * schema may not hold are translated or refused at once, so that a definition fails in a unit test and not at install.
 */
import { z } from 'zod'
import type { JsonSchema } from '../kinds.ts'

/** Copied as they are; everything else zod may emit needs a decision here. */
const KEPT = new Set([
  'type',
  'description',
  'default',
  'enum',
  'format',
  'pattern',
  'nullable',
  'required',
  'minimum',
  'maximum',
  'minLength',
  'maxLength',
  'minItems',
  'maxItems',
  'minProperties',
  'maxProperties',
  'exclusiveMinimum',
  'exclusiveMaximum',
  'multipleOf',
])

/** `z.union([z.string(), z.number()]).meta({ 'x-kubernetes-int-or-string': true })` */
const INT_OR_STRING = 'x-kubernetes-int-or-string'
/** `z.unknown().meta({ 'x-kubernetes-preserve-unknown-fields': true })`: anything, kept as it is. */
const PRESERVE = 'x-kubernetes-preserve-unknown-fields'

type Json = Readonly<Record<string, unknown>>

export function structuralSchema(schema: z.ZodType): JsonSchema {
  // `input`: a field with a default may be left out by whoever writes the object.
  return convert(z.toJSONSchema(schema, { target: 'openapi-3.0', io: 'input' }) as Json, '')
}

function convert(json: Json, path: string): JsonSchema {
  const converted: Record<string, unknown> = {}
  for (const [keyword, value] of Object.entries(json)) {
    if (isSaidOtherwise(keyword, json)) continue
    if (KEPT.has(keyword) || keyword.startsWith('x-kubernetes-')) converted[keyword] = value
    else if (keyword === 'properties') converted[keyword] = convertProperties(value as Record<string, Json>, path)
    else if (keyword === 'items') converted[keyword] = convert(value as Json, `${path}[]`)
    else if (keyword === 'additionalProperties') converted[keyword] = convert(value as Json, `${path}.*`)
    else
      throw new RangeError(`${path === '' ? 'the schema' : path} uses ${keyword}, which a structural schema cannot say`)
  }
  const isOpen = converted[INT_OR_STRING] === true || converted[PRESERVE] === true
  if (typeof converted['type'] !== 'string' && !isOpen) throw new RangeError(`${path} has no single type`)
  return withIntegerRange(converted)
}

/** Keywords that Kubernetes has another way to say. */
function isSaidOtherwise(keyword: string, json: Json): boolean {
  // A field that takes both forms is a union in zod and a word of its own in Kubernetes.
  if (keyword === 'anyOf') return json[INT_OR_STRING] === true
  // `false` (strict objects) is what pruning does; beside "keep anything" any value would say the same again.
  if (keyword === 'additionalProperties') return json[keyword] === false || json[PRESERVE] === true
  return keyword === '$schema'
}

function convertProperties(properties: Readonly<Record<string, Json>>, path: string): Record<string, JsonSchema> {
  return Object.fromEntries(
    Object.entries(properties).map(([name, value]) => [name, convert(value, `${path}.${name}`)]),
  )
}

/** zod bounds every integer by what JavaScript can hold; the API server's word for that is a format. */
function withIntegerRange(schema: JsonSchema): JsonSchema {
  if (schema.type !== 'integer') return schema
  const { minimum, maximum, ...rest } = schema
  return {
    ...rest,
    format: 'int64',
    ...(minimum === undefined || minimum === Number.MIN_SAFE_INTEGER ? {} : { minimum }),
    ...(maximum === undefined || maximum === Number.MAX_SAFE_INTEGER ? {} : { maximum }),
  }
}
