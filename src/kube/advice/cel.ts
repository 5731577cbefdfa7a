/**
 * The CEL rules of a kind's definition as findings. Only where no API server stands between: `isthmus validate` and lint.
 * In a cluster the API server has evaluated them before admission is asked, and refuses by itself.
 */
import { celFlaws } from '../cel/validations.ts'
import type { JsonSchema } from '../kinds.ts'
import type { KubeObject } from '../object.ts'
import { type AnyDefinition, objectSchema } from '../schemas/definition.ts'
import { error, type Flaw } from './finding.ts'
import { groupOf } from './objects.ts'
import { knownKind } from './registry.ts'

const schemas = new WeakMap<AnyDefinition, JsonSchema>()

/** For objects that their schema accepts. */
export function celRuleFlaws(object: KubeObject): readonly Flaw[] {
  const definition = knownKind(groupOf(object.apiVersion), object.kind)?.definition
  if (definition === undefined) return []
  const schema = schemas.get(definition) ?? objectSchema(definition)
  schemas.set(definition, schema)
  return celFlaws(schema, object).map(({ path, message }) => error({ code: 'FIELD_INVALID', field: path, message }))
}
