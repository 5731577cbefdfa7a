/**
 * What the definition of a kind alone says of an object: fields that are missing, of the wrong form or unknown. The API
 * server says the first two as well, and drops the third silently unless asked to be strict; Istio's webhook refuses it.
 */
import type { z } from 'zod'
import type { JsonSchema } from '../kinds.ts'
import { type AnyDefinition, fieldOf, objectSchema, zodOf } from '../schemas/definition.ts'
import { fieldsAt, isRecord, join } from './fields.ts'
import { error, type Flaw } from './finding.ts'

const schemas = new WeakMap<AnyDefinition, { readonly zod: z.ZodType; readonly structural: JsonSchema }>()

export function schemaFlaws(definition: AnyDefinition, object: unknown): readonly Flaw[] {
  let both = schemas.get(definition)
  if (both === undefined) {
    both = { zod: zodOf(definition), structural: objectSchema(definition) }
    schemas.set(definition, both)
  }
  const unknown: Flaw[] = []
  for (const flaw of unknownFields(both.structural, object, '')) {
    // A message that lists thousands of keys takes zod seconds to write.
    if (unknown.push(flaw) >= UNKNOWN_MAX) return unknown
  }
  const result = both.zod.safeParse(object)
  if (result.success) return unknown
  return [...unknown, ...result.error.issues.slice(0, ISSUES_MAX).flatMap((issue) => flawsOf(issue, object))]
}

const UNKNOWN_MAX = 50
const ISSUES_MAX = 50

function flawsOf(issue: z.core.$ZodIssue, object: unknown): readonly Flaw[] {
  const field = fieldOf(issue.path)
  // Strict objects and the structural schema find the same fields; they are reported once, by the latter.
  if (issue.code === 'unrecognized_keys') return []
  if (issue.code === 'invalid_type' && isAbsent(object, issue.path)) {
    return [error({ code: 'FIELD_REQUIRED', field, message: 'is required' })]
  }
  return [error({ code: 'FIELD_INVALID', field, message: issue.message })]
}

function isAbsent(object: unknown, path: readonly PropertyKey[]): boolean {
  let value = object
  for (const step of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, step)) return true
    value = (value as Record<PropertyKey, unknown>)[step]
  }
  return value === undefined
}

/** metadata is Kubernetes' own and status is written by controllers of any version. */
const NOT_JUDGED: ReadonlySet<string> = new Set(['metadata', 'status'])

function* unknownFields(schema: JsonSchema, value: unknown, path: string): Iterable<Flaw> {
  if (Array.isArray(value)) {
    const { items } = schema
    if (items === undefined) return
    for (const [index, inner] of value.entries()) yield* unknownFields(items, inner, join(path, index))
    return
  }
  if (!isRecord(value) || schema['x-kubernetes-preserve-unknown-fields'] === true) return
  // Keys alone: whoever asks stops after some, and pairs of all would have been made for nothing.
  for (const name of Object.keys(value)) {
    if (path === '' && NOT_JUDGED.has(name)) continue
    const inner = value[name]
    const field = join(path, name)
    const known = memberOf(schema, name)
    if (known === undefined) yield error({ code: 'FIELD_UNKNOWN', field, message: `${name} is not a field here` })
    else yield* unknownFields(known, inner, field)
  }
}

/** What the schema says of a member; undefined when it knows none of that name. */
function memberOf({ properties = {}, additionalProperties }: JsonSchema, name: string): JsonSchema | undefined {
  if (Object.hasOwn(properties, name)) return properties[name] ?? {}
  return additionalProperties === true ? {} : additionalProperties === false ? undefined : additionalProperties
}

/** Where the definition's status or an area's list says that a field is stored and does nothing. */
export function unsupportedFlaws(object: unknown, fields: readonly { path: string; hint?: string }[]): readonly Flaw[] {
  return fields.flatMap(({ path, hint }) =>
    fieldsAt(object, path).map((found) =>
      error({
        code: 'FIELD_UNSUPPORTED',
        field: found.path,
        message: 'is stored and has no effect in this mesh',
        ...(hint === undefined ? {} : { hint }),
      }),
    ),
  )
}
