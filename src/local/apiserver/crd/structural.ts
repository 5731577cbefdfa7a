/**
 * A schema ready for use on objects: prune, default, validate, in this order (the API server's). Takes the structural
 * schemas of CRDs and the schemas of built-in kinds alike; the object is a whole resource, whose apiVersion, kind and
 * metadata are known without being specified.
 */
import type { JsonSchema as DefinitionSchema } from '../../../kube/kinds.ts'
import { celFlaws } from '../../../kube/cel/validations.ts'
import type { JsonSchema } from '../openapi/json-schema.ts'
import { applyDefaults } from './defaults.ts'
import type { FieldError, FieldErrorReason } from './field-error.ts'
import { prune } from './prune.ts'
import { validate } from './validate.ts'

export type { FieldError } from './field-error.ts'

export interface CompiledSchema {
  /** Removes unknown fields from the object; the paths of what it removed, e.g. `spec.x`. */
  prune(object: Record<string, unknown>): string[]
  applyDefaults(object: Record<string, unknown>): void
  validate(object: Record<string, unknown>): FieldError[]
  /** The CEL rules of a definition, for objects that `validate` accepts; `old` is what an update replaces. */
  rules?(object: Record<string, unknown>, old: Record<string, unknown> | undefined): FieldError[]
}

/** Without a schema nothing is known, so everything is kept. */
const OPEN: JsonSchema = { 'x-kubernetes-preserve-unknown-fields': true }

export function compileSchema(schema: JsonSchema = OPEN): CompiledSchema {
  return {
    prune: (object) => prune(schema, object, { isResource: true }),
    applyDefaults: (object) => applyDefaults(schema, object, { isResource: true }),
    validate: (object) => validate(schema, object),
  }
}

/** A definition's schema with its CEL rules; built-in kinds have none. */
export function compileDefinition(schema: JsonSchema = OPEN): CompiledSchema {
  return {
    ...compileSchema(schema),
    // What a definition may hold is the narrower of the two types, and has been checked.
    rules: (object, old) => celFlaws(schema as DefinitionSchema, object, old).map(errorOf),
  }
}

function errorOf({ path, message, reason }: { path: string; message: string; reason: string }): FieldError {
  const field = { path, detail: message }
  if (reason === 'FieldValueInvalid') return { ...field, reason, value: 'object' }
  return { ...field, reason: REASONS.has(reason) ? (reason as FieldErrorReason) : 'FieldValueInvalid' }
}

/** The reasons that a rule may give. */
const REASONS: ReadonlySet<string> = new Set([
  'FieldValueInvalid',
  'FieldValueForbidden',
  'FieldValueRequired',
  'FieldValueDuplicate',
])
