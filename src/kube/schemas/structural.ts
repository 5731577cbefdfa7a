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
])

type Json = Readonly<Record<string, unknown>>

export function structuralSchema(schema: z.ZodType): JsonSchema {
  // `input`: a field with a default may be left out by whoever writes the object.
  return convert(z.toJSONSchema(schema, { target: 'openapi-3.0', io: 'input' }) as Json, '')
}

function convert(json: Json, path: string): JsonSchema {
  const converted: Record<string, unknown> = {}
  for (const [keyword, value] of Object.entries(json)) {
    if (KEPT.has(keyword) || keyword.startsWith('x-kubernetes-')) converted[keyword] = value
    else if (keyword === 'properties') converted[keyword] = convertProperties(value as Record<string, Json>, path)
    else if (keyword === 'items') converted[keyword] = convert(value as Json, `${path}[]`)
    else if (keyword === 'additionalProperties') {
      // `false` (strict objects) is what pruning does; structural schemas forbid it beside properties.
      if (value !== false) converted[keyword] = convert(value as Json, `${path}.*`)
    } else if (keyword !== '$schema') {
      throw new RangeError(`${path === '' ? 'the schema' : path} uses ${keyword}, which a structural schema cannot say`)
    }
  }
  if (typeof converted['type'] !== 'string') throw new RangeError(`${path} has no single type`)
  return withIntegerRange(converted)
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
