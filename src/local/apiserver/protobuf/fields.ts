/**
 * The messages of the kinds that Go clients send as protobuf: numbers, JSON names and types of their fields, read from
 * messages.json on demand. The table holds facts of Kubernetes' API (its structs' tags); a test compares names and
 * types with the type table that OpenAPI uses. A field is written `number:name:type`; `=` for a name means that its
 * members are the message's own, `*` before a type that presence counts even when the value is zero.
 */
import table from './messages.json' with { type: 'json' }

export interface Field {
  readonly number: number
  /** `=`: inlined. */
  readonly name: string
  /** Go's pointer: a zero value is a value. Otherwise zero means absent. */
  readonly pointer: boolean
  readonly shape: 'one' | 'list' | 'map'
  /** A scalar's letter (see decode.ts) or the name of a message. */
  readonly type: string
}

const MESSAGES: Readonly<Record<string, string>> = table
const compiled = new Map<string, ReadonlyMap<number, Field>>()

export function messageFields(message: string): ReadonlyMap<number, Field> | undefined {
  const known = compiled.get(message)
  if (known !== undefined) return known
  const text = Object.hasOwn(MESSAGES, message) ? MESSAGES[message] : undefined
  if (text === undefined) return undefined
  const fields = new Map((text === '' ? [] : text.split(' ')).map(parse).map((field) => [field.number, field]))
  compiled.set(message, fields)
  return fields
}

export const messageNames = (): string[] => Object.keys(MESSAGES)

function parse(text: string): Field {
  const [number = '', name = '', encoded = ''] = text.split(':')
  const pointer = encoded.startsWith('*')
  const type = pointer ? encoded.slice(1) : encoded
  const shape = type.startsWith('[]') ? 'list' : type.startsWith('{}') ? 'map' : 'one'
  return { number: Number(number), name, pointer, shape, type: shape === 'one' ? type : type.slice(2) }
}
