/** gRPC-Web: there is nothing to configure. */
import { create } from '@bufbuild/protobuf'
import { GrpcWebSchema } from '#gen/envoy/extensions/filters/http/grpc_web/v3/grpc_web_pb.js'
import { type FilterCodec, messageCodec } from './message-codec.ts'

export const grpcWebCodec: FilterCodec<'grpcWeb'> = {
  listed: messageCodec(GrpcWebSchema, { shape: {}, decode: () => ({}), encode: () => create(GrpcWebSchema) }),
  routed: undefined,
}
