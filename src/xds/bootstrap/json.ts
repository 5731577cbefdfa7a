/**
 * Plain JSON values to messages, as protobuf's JSON mapping has it, with `@type` looked up among the types that this
 * project knows. What does not fit is refused by its path, which the mapping's own errors do not say.
 */
import {
  createRegistry,
  type DescField,
  type DescMessage,
  fromJson,
  type JsonObject,
  type JsonValue,
  type MessageShape,
  type Registry,
} from '@bufbuild/protobuf'
import { entries } from '#gen/entries.js'
import { refuse, within } from '../codec/shape.ts'

const registry: Registry = createRegistry(...entries)
/** Mapped as one value; their fields are no path. */
const WHOLE = 'google.protobuf.'
const ANY = 'google.protobuf.Any'

export function messageFromJson<D extends DescMessage>(schema: D, json: JsonValue, path: string): MessageShape<D> {
  try {
    return fromJson(schema, json, { registry })
  } catch (error) {
    locate(schema, json, path)
    return refuse(path, reasonOf(error))
  }
}

function faultOf(schema: DescMessage, json: JsonValue): string | undefined {
  try {
    fromJson(schema, json, { registry })
    return undefined
  } catch (error) {
    return reasonOf(error)
  }
}

/** Descends to the innermost value that does not fit; returns when the fault is the value itself. */
function locate(schema: DescMessage, json: JsonValue, path: string): void {
  if (schema.typeName === ANY) return locateInAny(json, path)
  if (schema.typeName.startsWith(WHOLE) || !isObject(json)) return
  for (const [key, value] of Object.entries(json)) {
    const field = schema.fields.find((candidate) => candidate.name === key || candidate.jsonName === key)
    if (field === undefined) refuse(within(path, key), `${schema.typeName} has no such field`)
    const fault = faultOf(schema, { [key]: value })
    if (fault === undefined) continue
    locateInField(schema, field, { value, path: within(path, field.name) })
    refuse(within(path, field.name), fault)
  }
}

function locateInField(schema: DescMessage, field: DescField, at: { value: JsonValue; path: string }): void {
  const { value, path } = at
  if (field.fieldKind === 'message') return locate(field.message, value, path)
  const isList = field.fieldKind === 'list' && Array.isArray(value)
  const isMap = field.fieldKind === 'map' && isObject(value)
  if (!isList && !isMap) return
  const items: [string, JsonValue, JsonValue][] = isList
    ? value.map((item, index) => [`${path}[${index}]`, item, [item]])
    : Object.entries(value).map(([key, item]) => [`${path}["${key}"]`, item, { [key]: item }])
  for (const [itemPath, item, alone] of items) {
    const fault = faultOf(schema, { [field.name]: alone })
    if (fault === undefined) continue
    if ('message' in field && field.message !== undefined) locate(field.message, item, itemPath)
    refuse(itemPath, fault)
  }
}

function locateInAny(json: JsonValue, path: string): void {
  if (!isObject(json)) return
  const { '@type': typeUrl, ...rest } = json
  if (typeof typeUrl !== 'string') return refuse(within(path, '@type'), 'is required')
  const type = registry.getMessage(typeUrl.slice(typeUrl.lastIndexOf('/') + 1))
  if (type === undefined) return refuse(path, `extension ${typeUrl} is not supported`)
  locate(type, rest, path)
}

function isObject(json: JsonValue): json is JsonObject {
  return typeof json === 'object' && json !== null && !Array.isArray(json)
}

/** `cannot decode field x.y.Z.a from JSON: expected string` → the last part: the path says the rest. */
function reasonOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error)
  return /from JSON: (.*)$/s.exec(text)?.[1] ?? text
}
