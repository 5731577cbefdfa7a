/** Buffering of whole requests. */
import { create } from '@bufbuild/protobuf'
import { BufferPerRouteSchema, BufferSchema } from '#gen/envoy/extensions/filters/http/buffer/v3/buffer_pb.js'
import { present, refuse, require, type Shape, within } from '../shape.ts'
import { type FilterCodec, messageCodec } from './message-codec.ts'

const BUFFER_SHAPE: Shape = { max_request_bytes: true }

export const bufferCodec: FilterCodec<'buffer'> = {
  listed: messageCodec(BufferSchema, {
    shape: BUFFER_SHAPE,
    decode: (path, { maxRequestBytes }) => ({ bytesMax: decodeBytes(path, maxRequestBytes) }),
    encode: ({ bytesMax }) => create(BufferSchema, { maxRequestBytes: bytesMax }),
  }),
  routed: messageCodec(BufferPerRouteSchema, {
    shape: { disabled: true, buffer: BUFFER_SHAPE },
    decode: (path, { override }) => {
      if (override.case === 'buffer') {
        return { kind: 'limit', bytesMax: decodeBytes(within(path, 'buffer'), override.value.maxRequestBytes) }
      }
      return override.case === 'disabled' && override.value
        ? { kind: 'disabled' }
        : refuse(path, 'needs disabled or buffer')
    },
    encode: (routed) =>
      create(BufferPerRouteSchema, {
        override:
          routed.kind === 'disabled'
            ? { case: 'disabled', value: true }
            : { case: 'buffer', value: create(BufferSchema, { maxRequestBytes: routed.bytesMax }) },
      }),
  }),
}

function decodeBytes(path: string, bytes: number | undefined): number {
  const bytesMax = present(within(path, 'max_request_bytes'), bytes)
  require(within(path, 'max_request_bytes'), bytesMax > 0, 'must be above 0')
  return bytesMax
}
