/**
 * The types of the built-in kinds, read from type-table.json on demand. A type's name is `package.version.Type`; its
 * text lists `field:type`, where `!` after the field means required, `[]` a list of, `{}` a map to, and one letter a
 * scalar. tools/kubernetes-types.ts writes the table; descriptions.ts adds the words.
 */
import { DESCRIPTIONS } from './descriptions.ts'
import { type JsonSchema, REF_PREFIX } from './json-schema.ts'
import table from './type-table.json' with { type: 'json' }

const TYPES: Readonly<Record<string, string>> = table
const QUANTITY = 'api.resource.Quantity'
const INT_OR_STRING = 'util.intstr.IntOrString'

const SCALARS: Readonly<Record<string, JsonSchema>> = {
  s: { type: 'string' },
  b: { type: 'boolean' },
  i: { type: 'integer', format: 'int32' },
  l: { type: 'integer', format: 'int64' },
  f: { type: 'number', format: 'double' },
  t: { type: 'string', format: 'date-time' },
  u: { type: 'string', format: 'date-time-micro' },
  y: { type: 'string', format: 'byte' },
  x: { $ref: `${REF_PREFIX}${componentName(INT_OR_STRING)}` },
  a: { 'x-kubernetes-preserve-unknown-fields': true },
  q: { $ref: `${REF_PREFIX}${componentName(QUANTITY)}` },
}

/** `io.k8s.api.core.v1.Pod` for `core.v1.Pod`: the names that Kubernetes' own documents use. */
export function componentName(type: string): string {
  if (type.startsWith('meta.')) return `io.k8s.apimachinery.pkg.apis.${type}`
  if (type === QUANTITY || type === INT_OR_STRING) return `io.k8s.apimachinery.pkg.${type}`
  if (type.startsWith('apiextensions.')) return `io.k8s.apiextensions-apiserver.pkg.apis.${type}`
  return `io.k8s.api.${type}`
}

const refTo = (type: string): JsonSchema => ({ $ref: REF_PREFIX + componentName(type) })
/** Ends the name of a type that may also be a plain boolean, written `|b` in the table. */
const OR_BOOLEAN = 'OrBool'
const typeOf = new Map([...Object.keys(TYPES), QUANTITY, INT_OR_STRING].map((type) => [componentName(type), type]))
const compiled = new Map<string, JsonSchema>()
const fieldMaps = new Map<string, ReadonlyMap<string, string>>()

/** The schema of a type of the table, e.g. `core.v1.PodSpec`; its members refer to other types by `$ref`. */
export function typeSchema(type: string): JsonSchema | undefined {
  const known = compiled.get(type)
  if (known !== undefined) return known
  const schema = unions.get(type) ?? build(type)
  if (schema !== undefined) compiled.set(type, schema)
  return schema
}

/** The table's name for a component's. */
export const typeOfComponent = (component: string): string | undefined => typeOf.get(component)

/** What `#/components/schemas/…` stands for, if the table has it. */
export function resolveRef(ref: string): JsonSchema | undefined {
  const name = ref.startsWith(REF_PREFIX) ? ref.slice(REF_PREFIX.length) : ''
  if (name.endsWith(OR_BOOLEAN)) {
    // Members of the object are known, its type is not.
    const { type: _, ...open } = resolveRef(ref.slice(0, -OR_BOOLEAN.length)) ?? {}
    return open
  }
  const type = typeOf.get(name)
  return type === undefined ? undefined : typeSchema(type)
}

/** Fields of a type as the table writes them, for walks that need no schema: name to encoded type. */
export function fieldsOf(type: string): ReadonlyMap<string, string> {
  const known = fieldMaps.get(type)
  if (known !== undefined) return known
  const fields = new Map<string, string>()
  for (const field of (Object.hasOwn(TYPES, type) ? (TYPES[type] ?? '') : '').split(' ')) {
    const split = field.indexOf(':')
    if (split > 0) fields.set(field.slice(0, split).replace('!', ''), field.slice(split + 1))
  }
  if (fields.size > 0) fieldMaps.set(type, fields)
  return fields
}

/** The two types that are one of several scalars. */
const unions: ReadonlyMap<string, JsonSchema> = new Map([
  [
    QUANTITY,
    described({ format: 'quantity', oneOf: [{ type: 'string' }, { type: 'number' }] }, DESCRIPTIONS[QUANTITY]),
  ],
  [INT_OR_STRING, described({ 'x-kubernetes-int-or-string': true }, DESCRIPTIONS[INT_OR_STRING])],
])

function build(type: string): JsonSchema | undefined {
  const text = Object.hasOwn(TYPES, type) ? TYPES[type] : undefined
  if (text === undefined) return undefined
  const properties: Record<string, JsonSchema> = {}
  const required: string[] = []
  for (const field of text === '' ? [] : text.split(' ')) {
    const split = field.indexOf(':')
    const name = field.slice(0, split).replace('!', '')
    if (field[split - 1] === '!') required.push(name)
    properties[name] = described(decode(field.slice(split + 1)), DESCRIPTIONS[`${type}.${name}`])
  }
  const schema: JsonSchema = { type: 'object', properties, ...(required.length === 0 ? {} : { required }) }
  return described(schema, DESCRIPTIONS[type])
}

function decode(encoded: string): JsonSchema {
  if (encoded.startsWith('[]')) return { type: 'array', items: decode(encoded.slice(2)) }
  if (encoded.startsWith('{}')) return { type: 'object', additionalProperties: decode(encoded.slice(2)) }
  if (encoded.endsWith('|b')) return refTo(encoded.slice(0, -2) + OR_BOOLEAN)
  return SCALARS[encoded] ?? refTo(encoded)
}

function described(schema: JsonSchema, description: string | undefined): JsonSchema {
  if (description === undefined) return schema
  // OpenAPI 3.0 ignores what stands beside a $ref; kubectl reads it through allOf, as Kubernetes itself writes it.
  return schema.$ref === undefined ? { ...schema, description } : { description, allOf: [schema] }
}

/** The type of a kind by its name alone; kinds of several groups (Event) share their merge behaviour. */
export function typeOfKind(kind: string): string | undefined {
  kinds ??= new Map(
    Object.keys(TYPES)
      .filter((type) => fieldsOf(type).has('kind') && fieldsOf(type).has('metadata'))
      .toReversed()
      .map((type) => [type.slice(type.lastIndexOf('.') + 1), type]),
  )
  return kinds.get(kind)
}
let kinds: ReadonlyMap<string, string> | undefined

/** Of a field: the type of its value when that is an object or a map of such, and of its items when it is a list. */
export function fieldTypes(type: string | undefined, field: string): { value?: string; item?: string } {
  if (type === undefined) return {}
  // Below a map the keys are free, so the map's type carries its members' type behind a mark.
  const encoded = type.startsWith('{}') ? type.slice(2) : fieldsOf(type).get(field)
  if (encoded === undefined) return {}
  return encoded.startsWith('[]') ? { item: encoded.slice(2) } : { value: encoded }
}
