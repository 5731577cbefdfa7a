/**
 * A schema ready for use on objects: prune, default, validate, in this order (the API server's). Takes the structural
 * schemas of CRDs and the schemas of built-in kinds alike; the object is a whole resource, whose apiVersion, kind and
 * metadata are known without being specified.
 */
import type { JsonSchema } from '../openapi/json-schema.ts'
import { applyDefaults } from './defaults.ts'
import type { FieldError } from './field-error.ts'
import { prune } from './prune.ts'
import { validate } from './validate.ts'

export type { FieldError } from './field-error.ts'

export interface CompiledSchema {
  /** Removes unknown fields from the object; the paths of what it removed, e.g. `spec.x`. */
  prune(object: Record<string, unknown>): string[]
  applyDefaults(object: Record<string, unknown>): void
  validate(object: Record<string, unknown>): FieldError[]
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
