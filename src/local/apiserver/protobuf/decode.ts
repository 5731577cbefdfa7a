/**
 * Decodes the protobuf bodies that kubectl and Go clients send into the JSON that the same object would have been.
 * Go writes every field that is not a pointer, also when it is zero: those zeros are dropped, as its JSON would leave
 * them out. A field that the table does not know is refused by name: dropping it silently would store another object
 * than the client asked for. Answers are always JSON; nothing is encoded here.
 */
import { builtinType } from '../openapi/builtin.ts'
import { type JsonObject, get, isObject, put } from '../patch/json-value.ts'
import { type Field, messageFields } from './fields.ts'
import { ProtobufError, WIRE, WireReader } from './wire.ts'

export { ProtobufError } from './wire.ts'

export interface DecodedProtobuf {
  readonly apiVersion: string
  readonly kind: string
  /** Without apiVersion and kind. */
  readonly object: Record<string, unknown>
}

/** "k8s" and a zero byte: every Kubernetes protobuf body starts so. */
const MAGIC = Buffer.from([0x6b, 0x38, 0x73, 0x00])
/** Times that Go prints with four-digit years. */
const SECONDS_MIN = -62_135_596_800n
const SECONDS_MAX = 253_402_300_799n

export function decodeProtobuf(body: Uint8Array): DecodedProtobuf {
  if (!MAGIC.equals(body.subarray(0, MAGIC.length)))
    throw new ProtobufError(400, 'the body does not start as Kubernetes protobuf does (6b 38 73 00)')
  const envelope = readEnvelope(new WireReader(body.subarray(MAGIC.length)))
  const { apiVersion, kind } = envelope
  const message = messageOf(apiVersion, kind)
  const object: JsonObject = {}
  readMessage(envelope.raw, message, object)
  return { apiVersion, kind, object }
}

/** runtime.Unknown: the kind, then the object's own bytes. */
function readEnvelope(reader: WireReader): { apiVersion: string; kind: string; raw: Uint8Array } {
  let type: Record<'apiVersion' | 'kind', string> = { apiVersion: '', kind: '' }
  let raw: Uint8Array = new Uint8Array()
  while (!reader.done) {
    const { number, wire } = reader.tag()
    if (wire !== WIRE.bytes) throw new ProtobufError(400, `field ${number} of the envelope has wire type ${wire}`)
    if (number === 1) type = readTypeMeta(new WireReader(reader.bytes()))
    else if (number === 2) raw = reader.bytes()
    else if (number === 3 || number === 4) {
      const encoding = reader.text()
      if (encoding !== '' && encoding !== 'application/vnd.kubernetes.protobuf')
        throw new ProtobufError(415, `the protobuf body contains content encoded as "${encoding}"`)
    } else throw new ProtobufError(415, `unknown field ${number} in the protobuf envelope`)
  }
  return { ...type, raw }
}

function readTypeMeta(reader: WireReader): Record<'apiVersion' | 'kind', string> {
  const type = { apiVersion: '', kind: '' }
  while (!reader.done) {
    const { number, wire } = reader.tag()
    if (wire !== WIRE.bytes || number > 2)
      throw new ProtobufError(415, `unknown field ${number} in the protobuf TypeMeta`)
    type[number === 1 ? 'apiVersion' : 'kind'] = reader.text()
  }
  return type
}

function messageOf(apiVersion: string, kind: string): string {
  // Options travel under the group and version of what they are about.
  if (kind === 'DeleteOptions') return 'meta.v1.DeleteOptions'
  const slash = apiVersion.indexOf('/')
  const type = builtinType(apiVersion.slice(0, Math.max(slash, 0)), apiVersion.slice(slash + 1), kind)
  if (type !== undefined && messageFields(type) !== undefined) return type
  throw new ProtobufError(415, `protobuf bodies of ${kind} in "${apiVersion}" are not decoded; send JSON or YAML`)
}

/** Reads into `target`, so that inlined messages and repeated occurrences of one merge, as protobuf says. */
function readMessage(bytes: Uint8Array, message: string, target: JsonObject): void {
  const reader = new WireReader(bytes)
  const fields = messageFields(message)
  while (!reader.done) {
    const { number, wire } = reader.tag()
    const field = fields?.get(number)
    if (field === undefined) {
      const advice = 'this server is older or newer than the client; send JSON'
      throw new ProtobufError(415, `unknown field ${number} in protobuf message ${message}: ${advice}`)
    }
    readField(reader, wire, field, { message, target })
  }
  for (const field of fields?.values() ?? []) dropEmpty(field, target)
}

interface Owner {
  readonly message: string
  readonly target: JsonObject
}

function readField(reader: WireReader, wire: number, field: Field, { message, target }: Owner): void {
  const where = `${message}.${field.name === '=' ? field.type : field.name}`
  if (field.name === '=') {
    expectWire(wire, WIRE.bytes, where)
    readMessage(reader.bytes(), field.type, target)
  } else if (field.shape === 'map') {
    expectWire(wire, WIRE.bytes, where)
    const map = member(target, field.name)
    const [key, value] = readEntry(new WireReader(reader.bytes()), field.type, where)
    put(map, key, value)
  } else if (field.shape === 'list') {
    const held = get(target, field.name)
    const list: unknown[] = Array.isArray(held) ? held : []
    put(target, field.name, list)
    list.push(...readItems(reader, wire, field.type, where))
  } else if (isMessage(field.type)) {
    expectWire(wire, WIRE.bytes, where)
    readMessage(reader.bytes(), field.type, member(target, field.name))
  } else {
    const value = readScalar(reader, wire, field.type, where)
    // The last occurrence counts, also when it is the zero that stands for absence.
    if (value !== undefined && (field.pointer || !isZero(value))) put(target, field.name, value)
    else delete target[field.name]
  }
}

const isMessage = (type: string): boolean => type.includes('.')
const isZero = (value: unknown): boolean => value === '' || value === 0 || value === false

function member(target: JsonObject, name: string): JsonObject {
  const held = get(target, name)
  if (isObject(held)) return held
  const made: JsonObject = {}
  put(target, name, made)
  return made
}

/** Go writes structs that are no pointers also when nothing is in them. */
function dropEmpty(field: Field, target: JsonObject): void {
  if (field.shape !== 'one' || field.pointer || field.name === '=' || !isMessage(field.type)) return
  const value = get(target, field.name)
  if (isObject(value) && Object.keys(value).length === 0) delete target[field.name]
}

function readEntry(reader: WireReader, type: string, where: string): [string, unknown] {
  let key = ''
  let value = isMessage(type) ? {} : zeroOf(type)
  while (!reader.done) {
    const { number, wire } = reader.tag()
    if (number === 1) {
      expectWire(wire, WIRE.bytes, where)
      key = reader.text()
    } else if (number === 2) value = readValue(reader, wire, type, where) ?? value
    else throw new ProtobufError(415, `unknown field ${number} in an entry of ${where}`)
  }
  return [key, value]
}

function zeroOf(type: string): unknown {
  if (type === 'e') return []
  if (type === 'b') return false
  return type === 'i' || type === 'l' || type === 'x' ? 0 : ''
}

/** One item, or several where numbers are packed. */
function readItems(reader: WireReader, wire: number, type: string, where: string): unknown[] {
  const isNumber = type === 'i' || type === 'l' || type === 'b'
  if (!isNumber || wire !== WIRE.bytes) return [readValue(reader, wire, type, where) ?? zeroOf(type)]
  const packed = new WireReader(reader.bytes())
  const items: unknown[] = []
  while (!packed.done) items.push(readScalar(packed, WIRE.varint, type, where))
  return items
}

function readValue(reader: WireReader, wire: number, type: string, where: string): unknown {
  if (!isMessage(type)) return readScalar(reader, wire, type, where)
  expectWire(wire, WIRE.bytes, where)
  const object: JsonObject = {}
  readMessage(reader.bytes(), type, object)
  return object
}

/** Letters: s text, b boolean, i int32, l int64, y bytes; the rest are small messages that JSON writes as scalars. */
function readScalar(reader: WireReader, wire: number, type: string, where: string): unknown {
  const isNumber = type === 'b' || type === 'i' || type === 'l'
  expectWire(wire, isNumber ? WIRE.varint : WIRE.bytes, where)
  switch (type) {
    case 'b':
      return reader.varint() !== 0n
    case 'i':
      return Number(BigInt.asIntN(32, reader.varint()))
    case 'l':
      return Number(BigInt.asIntN(64, reader.varint()))
    case 's':
      return reader.text()
    case 'y':
      return Buffer.from(reader.bytes()).toString('base64')
    default:
      return readWrapped(new WireReader(reader.bytes()), type, where)
  }
}

/** Messages of Kubernetes that are one value in JSON: times, quantities, int-or-string, lists as map values. */
function readWrapped(reader: WireReader, type: string, where: string): unknown {
  const numbers: bigint[] = []
  const texts: { number: number; text: string }[] = []
  while (!reader.done) {
    const { number, wire } = reader.tag()
    if (number > 3) throw new ProtobufError(415, `unknown field ${number} in ${where}`)
    if (wire === WIRE.varint) numbers[number] = reader.varint()
    else {
      expectWire(wire, WIRE.bytes, where)
      texts.push({ number, text: reader.text() })
    }
  }
  const text = texts.at(-1)?.text ?? ''
  switch (type) {
    case 't':
    case 'u':
      return timeText(numbers, type === 'u', where)
    case 'x':
      return numbers[1] === 1n
        ? (texts.findLast((one) => one.number === 3)?.text ?? '')
        : Number(BigInt.asIntN(32, numbers[2] ?? 0n))
    case 'e':
      return texts.map((one) => one.text)
    case 'r':
      return rawJson(text, where)
    default:
      return text
  }
}

function timeText(numbers: readonly (bigint | undefined)[], micro: boolean, where: string): string | undefined {
  // An empty message is Go's zero time, which JSON writes as null.
  if (numbers.length === 0) return undefined
  const seconds = BigInt.asIntN(64, numbers[1] ?? 0n)
  const nanos = BigInt.asIntN(32, numbers[2] ?? 0n)
  if (seconds < SECONDS_MIN || seconds > SECONDS_MAX || nanos < 0n || nanos >= 1_000_000_000n)
    throw new ProtobufError(400, `${where} is not a time`)
  const whole = new Date(Number(seconds) * 1000).toISOString().slice(0, 19)
  return micro ? `${whole}.${String(nanos / 1000n).padStart(6, '0')}Z` : `${whole}Z`
}

function rawJson(text: string, where: string): unknown {
  try {
    return text === '' ? undefined : (JSON.parse(text) as unknown)
  } catch {
    throw new ProtobufError(400, `${where} holds text that is not JSON`)
  }
}

function expectWire(actual: number, expected: number, where: string): void {
  if (actual !== expected) throw new ProtobufError(400, `${where} has wire type ${actual}, not ${expected}`)
}
