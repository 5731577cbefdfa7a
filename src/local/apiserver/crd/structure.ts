/**
 * Whether a CRD's schema is structural: every field has one type, given outside of allOf, anyOf, oneOf and not, so
 * that pruning and defaulting have one meaning. Also that its patterns are RE2 and its defaults are valid.
 */
import type { JsonSchema } from '../openapi/json-schema.ts'
import { clone, same } from '../patch/json-value.ts'
import { duplicate, type FieldError, forbidden, invalid, notSupported, required } from './field-error.ts'
import { prune } from './prune.ts'
import { compilePattern, validate } from './validate.ts'

type Level = 'root' | 'item' | 'field'

const TYPES = ['array', 'boolean', 'integer', 'number', 'object', 'string']
const INT_OR_STRING = [{ type: 'integer' }, { type: 'string' }]
/** Type-less schemas are an error with another end of the sentence at each level. */
const EMPTY_TYPE: Readonly<Record<Level, string>> = {
  root: 'must not be empty at the root',
  item: 'must not be empty for specified array items',
  field: 'must not be empty for specified object fields',
}
const UNSUPPORTED = [
  '$ref',
  '$schema',
  'id',
  'additionalItems',
  'patternProperties',
  'definitions',
  'dependencies',
] as const

/** The caller has checked the schema's own types and its depth. */
export function validateStructure(schema: JsonSchema, path: string): FieldError[] {
  const errors: FieldError[] = []
  checkSchema(schema, 'root', path, errors)
  if (schema.nullable === true) errors.push(forbidden(`${path}.nullable`, 'nullable cannot be true at the root'))
  return errors
}

function checkSchema(schema: JsonSchema, level: Level, path: string, errors: FieldError[]): void {
  checkType(schema, level, path, errors)
  checkKeywords(schema, path, errors)
  checkExtensions(schema, path, errors)
  checkLists(schema, path, errors)
  checkRules(schema, path, errors)
  checkChildren(schema, level, path, errors)
  checkMetadata(schema, level, path, errors)
  checkCombinations(schema, schema, path, errors)
  if (schema.default !== undefined) checkDefault(schema, path, errors)
}

function checkType(schema: JsonSchema, level: Level, path: string, errors: FieldError[]): void {
  const { type = '' } = schema
  const embedded = schema['x-kubernetes-embedded-resource'] === true
  const open = schema['x-kubernetes-int-or-string'] === true || schema['x-kubernetes-preserve-unknown-fields'] === true
  if (type !== '' && !TYPES.includes(type)) errors.push(notSupported(`${path}.type`, type, TYPES))
  else if (embedded && type !== 'object') {
    const text = 'must be object if x-kubernetes-embedded-resource is true'
    errors.push(type === '' ? required(`${path}.type`, text) : invalid(`${path}.type`, type, text))
  } else if (type === '' && !open) errors.push(required(`${path}.type`, EMPTY_TYPE[level]))
  else if (level === 'root' && type !== '' && type !== 'object')
    errors.push(invalid(`${path}.type`, type, 'must be object at the root'))
  if (type === 'array' && schema.items === undefined) errors.push(required(`${path}.items`, 'must be specified'))
}

function checkKeywords(schema: JsonSchema, path: string, errors: FieldError[]): void {
  for (const keyword of UNSUPPORTED)
    if ((schema as Record<string, unknown>)[keyword] !== undefined)
      errors.push(forbidden(`${path}.${keyword}`, `${keyword} is not supported`))
  if (schema.uniqueItems === true)
    errors.push(
      forbidden(
        `${path}.uniqueItems`,
        'uniqueItems cannot be set to true since the runtime complexity becomes quadratic',
      ),
    )
  if (
    schema.properties !== undefined &&
    schema.additionalProperties !== undefined &&
    schema.additionalProperties !== false
  )
    errors.push(forbidden(`${path}.additionalProperties`, 'additionalProperties and properties are mutual exclusive'))
  if (schema.additionalProperties === false)
    errors.push(forbidden(`${path}.additionalProperties`, 'additionalProperties cannot be set to false'))
}

function checkExtensions(schema: JsonSchema, path: string, errors: FieldError[]): void {
  const preserve = schema['x-kubernetes-preserve-unknown-fields']
  const embedded = schema['x-kubernetes-embedded-resource'] === true
  if (preserve === false)
    errors.push(invalid(`${path}.x-kubernetes-preserve-unknown-fields`, false, 'must be true or undefined'))
  if (schema['x-kubernetes-int-or-string'] === true) {
    const text = 'must be false if x-kubernetes-int-or-string is true'
    if (preserve === true) errors.push(invalid(`${path}.x-kubernetes-preserve-unknown-fields`, true, text))
    if (embedded) errors.push(invalid(`${path}.x-kubernetes-embedded-resource`, true, text))
  }
  if (embedded && preserve !== true && Object.keys(schema.properties ?? {}).length === 0) {
    const text =
      'must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields'
    errors.push(required(`${path}.properties`, text))
  }
  const mapType = schema['x-kubernetes-map-type']
  if (mapType !== undefined && mapType !== 'atomic' && mapType !== 'granular')
    errors.push(notSupported(`${path}.x-kubernetes-map-type`, mapType, ['atomic', 'granular']))
  if (mapType !== undefined && schema.type !== 'object')
    errors.push(invalid(`${path}.type`, schema.type ?? '', 'must be object if x-kubernetes-map-type is specified'))
}

function checkLists(schema: JsonSchema, path: string, errors: FieldError[]): void {
  const listType = schema['x-kubernetes-list-type']
  const where = `${path}.x-kubernetes-list-type`
  if (listType !== undefined && schema.type !== 'array')
    errors.push(invalid(`${path}.type`, schema.type ?? '', 'must be array if x-kubernetes-list-type is specified'))
  if (listType !== undefined && !['atomic', 'set', 'map'].includes(listType))
    errors.push(notSupported(where, listType, ['atomic', 'set', 'map']))
  if (listType === 'map') checkListMap(schema, path, errors)
  else if ((schema['x-kubernetes-list-map-keys'] ?? []).length > 0)
    errors.push(invalid(where, listType ?? '', 'must be map if x-kubernetes-list-map-keys is non-empty'))
}

function checkListMap(schema: JsonSchema, path: string, errors: FieldError[]): void {
  const keys = schema['x-kubernetes-list-map-keys'] ?? []
  const where = `${path}.x-kubernetes-list-map-keys`
  const { type = '' } = schema.items ?? {}
  if (keys.length === 0) errors.push(required(where, 'must not be empty if x-kubernetes-list-type is map'))
  if (new Set(keys).size !== keys.length) errors.push(duplicate(where, keys))
  if (type !== 'object')
    errors.push(invalid(`${path}.items.type`, type, "must be object if parent array's x-kubernetes-list-type is map"))
  for (const key of keys) checkMapKey(schema.items ?? {}, key, path, errors)
}

function checkMapKey(items: JsonSchema, key: string, path: string, errors: FieldError[]): void {
  const property = items.properties?.[key]
  const where = `${path}.items.properties[${key}]`
  if (property === undefined) {
    errors.push(invalid(`${path}.x-kubernetes-list-map-keys`, [key], 'entries must all be names of item properties'))
    return
  }
  if (property.type === 'array' || property.type === 'object')
    errors.push(
      invalid(`${where}.type`, property.type, "must be a scalar type if parent array's x-kubernetes-list-type is map"),
    )
  const given = property.default !== undefined || items.required?.includes(key) === true
  const text = 'this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property'
  if (!given) errors.push(required(`${where}.default`, text))
}

function checkRules(schema: JsonSchema, path: string, errors: FieldError[]): void {
  schema['x-kubernetes-validations']?.forEach((rule, index) => {
    const text = rule['rule']
    if (typeof text !== 'string' || text.trim() === '')
      errors.push(required(`${path}.x-kubernetes-validations[${index}].rule`, 'rule is not specified'))
  })
}

function checkChildren(schema: JsonSchema, level: Level, path: string, errors: FieldError[]): void {
  if (schema.items !== undefined) checkSchema(schema.items, 'item', `${path}.items`, errors)
  for (const [name, property] of Object.entries(schema.properties ?? {}))
    checkSchema(property, 'field', `${path}.properties[${name}]`, errors)
  const { additionalProperties } = schema
  if (additionalProperties === undefined) return
  if (level === 'root') errors.push(forbidden(`${path}.additionalProperties`, 'must not be used at the root'))
  if (typeof additionalProperties === 'object')
    checkSchema(additionalProperties, 'field', `${path}.additionalProperties`, errors)
}

/** A CRD may restrict the names of its objects and nothing else of their metadata. */
function checkMetadata(schema: JsonSchema, level: Level, path: string, errors: FieldError[]): void {
  const embedded = schema['x-kubernetes-embedded-resource'] === true
  if (level !== 'root' && !embedded) return
  for (const name of ['apiVersion', 'kind', 'metadata']) {
    const property = schema.properties?.[name]
    const type = name === 'metadata' ? 'object' : 'string'
    if (property !== undefined && property.type !== type)
      errors.push(invalid(`${path}.properties[${name}].type`, property.type ?? '', `must be ${type}`))
  }
  const { type: _, description: __, properties = {}, ...rest } = schema.properties?.['metadata'] ?? {}
  const others = Object.keys(properties).filter((name) => name !== 'name' && name !== 'generateName')
  if (level === 'root' && (others.length > 0 || Object.keys(rest).length > 0)) {
    const text = 'must not specify anything other than name and generateName, but metadata is implicitly specified'
    errors.push(forbidden(`${path}.properties[metadata]`, text))
  }
}

/** `outer` is where the value's structure is given; what a combination mentions must be specified there. */
function checkCombinations(schema: JsonSchema, outer: JsonSchema, path: string, errors: FieldError[]): void {
  if (schema.pattern !== undefined && compilePattern(schema.pattern) === undefined)
    errors.push(
      invalid(`${path}.pattern`, schema.pattern, "must be a valid regular expression, but isn't (RE2 syntax)"),
    )
  // The two spellings of int-or-string that predate the extension's own type keep theirs.
  const intOrString = outer['x-kubernetes-int-or-string'] === true
  if (!(intOrString && same(schema.anyOf, INT_OR_STRING)))
    schema.anyOf?.forEach((part, index) => checkNested(part, outer, `${path}.anyOf[${index}]`, errors))
  schema.allOf?.forEach((part, index) => {
    const exempt = intOrString && index === 0 && same(part.anyOf, INT_OR_STRING)
    checkNested(exempt ? withoutAnyOf(part) : part, outer, `${path}.allOf[${index}]`, errors)
  })
  schema.oneOf?.forEach((part, index) => checkNested(part, outer, `${path}.oneOf[${index}]`, errors))
  if (schema.not !== undefined) checkNested(schema.not, outer, `${path}.not`, errors)
}

function withoutAnyOf(schema: JsonSchema): JsonSchema {
  const { anyOf: _, ...rest } = schema
  return rest
}

const NESTED_FORBIDDEN: readonly (readonly [keyof JsonSchema, string])[] = [
  ['type', 'must be empty to be structural'],
  ['additionalProperties', 'must be undefined to be structural'],
  ['default', 'must be undefined to be structural'],
  ['title', 'must be empty to be structural'],
  ['description', 'must be empty to be structural'],
  ['nullable', 'must be false to be structural'],
  ['x-kubernetes-preserve-unknown-fields', 'must be false to be structural'],
  ['x-kubernetes-embedded-resource', 'must be false to be structural'],
  ['x-kubernetes-int-or-string', 'must be false to be structural'],
  ['x-kubernetes-list-map-keys', 'must be empty to be structural'],
  ['x-kubernetes-list-type', 'must be undefined to be structural'],
  ['x-kubernetes-map-type', 'must be undefined to be structural'],
  ['x-kubernetes-validations', 'must be empty to be structural'],
]

function checkNested(schema: JsonSchema, outer: JsonSchema, path: string, errors: FieldError[]): void {
  for (const [keyword, text] of NESTED_FORBIDDEN) {
    const value = schema[keyword]
    const isSet = value !== undefined && value !== false && value !== ''
    if (isSet) errors.push(forbidden(`${path}.${keyword}`, text))
  }
  checkCombinations(schema, outer, path, errors)
  for (const [name, property] of Object.entries(schema.properties ?? {})) {
    const where = `${path}.properties[${name}]`
    if (name === 'metadata') errors.push(forbidden(where, 'must not be specified in a nested context'))
    const specified = outer.properties?.[name]
    if (specified === undefined && outer['x-kubernetes-preserve-unknown-fields'] !== true)
      errors.push(required(where, 'because it is defined in a nested context, it must be specified outside of it too'))
    checkNested(property, specified ?? {}, where, errors)
  }
  if (schema.items === undefined) return
  if (outer.items === undefined)
    errors.push(required(`${path}.items`, 'must be specified outside of the nested context too'))
  checkNested(schema.items, outer.items ?? {}, `${path}.items`, errors)
}

/** A default is stored without passing through validation again, so it must be what validation would leave. */
function checkDefault(schema: JsonSchema, path: string, errors: FieldError[]): void {
  const where = `${path}.default`
  const copy = clone(schema.default)
  const isResource = schema['x-kubernetes-embedded-resource'] === true
  const pruned = prune(schema, copy, { isResource })
  if (pruned.length > 0)
    errors.push(invalid(where, schema.default, `must not have unknown fields: ${pruned.join(', ')}`))
  errors.push(...validate(schema, copy, where))
}
