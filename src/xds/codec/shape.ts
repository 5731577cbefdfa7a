/**
 * Strictness of the codec: a message may set only the fields its shape lists. Anything else is refused by its path in
 * the proto's names, never ignored, because a security setting that is silently dropped is a hole. The shapes are also
 * the supported subset of docs/reference/xds-support.md.
 */
import {
  type DescField,
  type DescMessage,
  fromBinary,
  isFieldSet,
  type Message,
  type MessageShape,
} from '@bufbuild/protobuf'
import type { Any } from '@bufbuild/protobuf/wkt'

/** `true`: the field with whatever it holds (the decoder judges its value); a shape: the message, or each of a list or map. */
export interface Shape {
  readonly [field: string]: true | Shape
}

/** Carries a path out of nested decoders; turned into a `Rejection` at the codec's edge and never leaves it. */
export class Refusal extends Error {
  readonly path: string

  constructor(path: string, message: string) {
    super(message)
    this.name = 'Refusal'
    this.path = path
  }
}

export function refuse(path: string, message: string): never {
  throw new Refusal(path, message)
}

export function require(path: string, condition: boolean, message: string): asserts condition {
  if (!condition) refuse(path, message)
}

/** The value, or a refusal that names the absent field. */
export function present<T>(path: string, value: T | undefined): T {
  if (value === undefined) return refuse(path, 'is required')
  return value
}

export function within(path: string, field: string): string {
  return path === '' ? field : `${path}.${field}`
}

type Witness = (schema: DescMessage, shape: Shape, message: Message) => void

let witness: Witness | undefined

/** For docs/reference/xds-support.md alone: told of every message that `run` holds to a shape. */
export function witnessShapes(told: Witness, run: () => void): void {
  witness = told
  try {
    run()
  } finally {
    witness = undefined
  }
}

/** Refuses every set field that `shape` does not list, at any depth. */
export function checkShape<D extends DescMessage>(
  schema: D,
  message: MessageShape<D>,
  shape: Shape,
  path: string,
): void {
  witness?.(schema, shape, message)
  const unknown = message.$unknown?.[0]
  if (unknown !== undefined) refuse(within(path, `#${unknown.no}`), `${schema.typeName} has no such field here`)
  for (const field of schema.fields) {
    if (!isFieldSet(message, field)) continue
    const allowed = Object.hasOwn(shape, field.name) ? shape[field.name] : undefined
    if (allowed === undefined) refuse(within(path, field.name), 'is not supported')
    if (allowed !== true) checkNested(field, valueOf(message, field), allowed, within(path, field.name))
  }
}

function checkNested(field: DescField, value: unknown, shape: Shape, path: string): void {
  if (field.fieldKind === 'message') return checkShape(field.message, value as Message, shape, path)
  if (field.fieldKind === 'list' && field.listKind === 'message') {
    const items = value as readonly Message[]
    for (const [index, item] of items.entries()) checkShape(field.message, item, shape, `${path}[${index}]`)
    return
  }
  if (field.fieldKind === 'map' && field.mapKind === 'message') {
    for (const [key, item] of Object.entries(value as Readonly<Record<string, Message>>)) {
      checkShape(field.message, item, shape, `${path}["${key}"]`)
    }
    return
  }
  throw new Error(`the shape of ${field.parent.typeName}.${field.name} nests, the field does not`)
}

/** Members of a oneof live under the oneof's name as `{case, value}`. */
function valueOf(message: Message, field: DescField): unknown {
  const fields = message as unknown as Readonly<Record<string, unknown>>
  if (field.oneof === undefined) return fields[field.localName]
  return (fields[field.oneof.localName] as { readonly value?: unknown }).value
}

/** Parses bytes of one type and holds them to their shape, or to the one of several that fits the message. */
export function parseShaped<D extends DescMessage>(
  schema: D,
  bytes: Uint8Array,
  shape: Shape | ((message: MessageShape<D>) => Shape),
  path: string,
): MessageShape<D> {
  const message = parse(schema, bytes, path)
  checkShape(schema, message, typeof shape === 'function' ? shape(message) : shape, path)
  return message
}

function parse<D extends DescMessage>(schema: D, bytes: Uint8Array, path: string): MessageShape<D> {
  try {
    return fromBinary(schema, bytes)
  } catch (error) {
    return refuse(path, `is not a ${schema.typeName}: ${String(error)}`)
  }
}

/** An extension's `typed_config`, which must be of exactly this type. */
export function unpackShaped<D extends DescMessage>(
  schema: D,
  any: Any | undefined,
  shape: Shape | ((message: MessageShape<D>) => Shape),
  path: string,
): MessageShape<D> {
  const { value } = present(path, any)
  const found = typeOf(any)
  require(path, found === schema.typeName, `extension ${found} is not supported here; expected ${schema.typeName}`)
  return parseShaped(schema, value, shape, path)
}

/** The full name of the message inside; empty where there is none. */
export function typeOf(any: Any | undefined): string {
  return any === undefined ? '' : any.typeUrl.slice(any.typeUrl.lastIndexOf('/') + 1)
}
