/** google.protobuf.Struct as plain JSON data, on the wire format of protobuf.ts: what services say and are told freely. */
import type { Metadata, MetadataValue } from '../../model/config.ts'
import { ProtoFault, type ProtoReader, ProtoWriter } from './protobuf.ts'

/** Deeper nesting is nobody's metadata. */
const DEPTH_MAX = 32

export function writeStruct(fields: Metadata): ProtoWriter {
  const struct = new ProtoWriter()
  for (const [key, value] of Object.entries(fields)) {
    struct.message(1, new ProtoWriter().string(1, key).message(2, writeValue(value)))
  }
  return struct
}

/** A member of a oneof is written even where it is empty. */
function writeValue(value: MetadataValue): ProtoWriter {
  const writer = new ProtoWriter()
  if (value === null) return writer.oneof(1, 0)
  if (typeof value === 'number') return writer.double(2, value)
  if (typeof value === 'string') return writer.bytes(3, Buffer.from(value))
  if (typeof value === 'boolean') return writer.oneof(4, value ? 1 : 0)
  if (!Array.isArray(value)) return writer.message(5, writeStruct(value as Metadata))
  const list = new ProtoWriter()
  for (const item of value as readonly MetadataValue[]) list.message(1, writeValue(item))
  return writer.message(6, list)
}

export function readStruct(reader: ProtoReader, depth = 0): Metadata {
  if (depth > DEPTH_MAX) throw new ProtoFault('a struct nests too deep')
  const entries: [string, MetadataValue][] = []
  while (reader.next()) if (reader.field === 1) entries.push(readEntry(reader.message(), depth))
  // Not by assignment: a key may be `__proto__`.
  return Object.fromEntries(entries)
}

function readEntry(reader: ProtoReader, depth: number): [string, MetadataValue] {
  let key = ''
  let value: MetadataValue = null
  while (reader.next()) {
    if (reader.field === 1) key = reader.string()
    else if (reader.field === 2) value = readValue(reader.message(), depth)
  }
  return [key, value]
}

function readValue(reader: ProtoReader, depth: number): MetadataValue {
  let value: MetadataValue = null
  while (reader.next()) {
    if (reader.field === 1) value = null
    else if (reader.field === 2) value = reader.double()
    else if (reader.field === 3) value = reader.string()
    else if (reader.field === 4) value = reader.bool()
    else if (reader.field === 5) value = readStruct(reader.message(), depth + 1)
    else if (reader.field === 6) value = readList(reader.message(), depth + 1)
  }
  return value
}

function readList(reader: ProtoReader, depth: number): MetadataValue[] {
  if (depth > DEPTH_MAX) throw new ProtoFault('a list nests too deep')
  const values: MetadataValue[] = []
  while (reader.next()) if (reader.field === 1) values.push(readValue(reader.message(), depth))
  return values
}
