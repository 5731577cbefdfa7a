/** One message type of an extension beside what it means in the model; the table of filters is made of these. */
import type { DescMessage, MessageShape } from '@bufbuild/protobuf'
import { anyPack, type Any } from '@bufbuild/protobuf/wkt'
import type { FilterKindName, ListedConfigs, RoutedConfigs } from '../../../model/config.ts'
import { type Shape, unpackShaped } from '../shape.ts'

export interface MessageCodec<Value> {
  readonly typeName: string
  readonly shape: Shape
  decode(path: string, config: Any | undefined): Value
  encode(value: Value): Any
}

export interface MessageParts<Schema extends DescMessage, Value> {
  readonly shape: Shape
  readonly decode: (path: string, message: MessageShape<Schema>) => Value
  readonly encode: (value: Value) => MessageShape<Schema>
}

export function messageCodec<Schema extends DescMessage, Value>(
  schema: Schema,
  { shape, decode, encode }: MessageParts<Schema, Value>,
): MessageCodec<Value> {
  return {
    typeName: schema.typeName,
    shape,
    decode: (path, config) => decode(path, unpackShaped(schema, config, shape, path)),
    encode: (value) => anyPack(schema, encode(value)),
  }
}

/** A filter's message in the chain's list, and the one that routes have for it, if they may say anything. */
export interface FilterCodec<Kind extends FilterKindName> {
  readonly listed: MessageCodec<ListedConfigs[Kind]>
  readonly routed: Kind extends keyof RoutedConfigs ? MessageCodec<RoutedConfigs[Kind]> : undefined
}
