/**
 * The aggregated discovery service as gRPC methods, for server and client alike. Requests and answers are protobuf-es
 * messages, except that the server hands over finished bytes: what many proxies get is serialised once.
 */
import type { MethodDefinition } from '@grpc/grpc-js'
import { fromBinary, toBinary } from '@bufbuild/protobuf'
import {
  type DeltaDiscoveryRequest,
  DeltaDiscoveryRequestSchema,
  type DeltaDiscoveryResponse,
  DeltaDiscoveryResponseSchema,
  type DiscoveryRequest,
  DiscoveryRequestSchema,
  type DiscoveryResponse,
  DiscoveryResponseSchema,
} from '#gen/envoy/service/discovery/v3/discovery_pb.js'

const SERVICE = '/envoy.service.discovery.v3.AggregatedDiscoveryService'

const encodeRequest = (request: DeltaDiscoveryRequest): Buffer =>
  Buffer.from(toBinary(DeltaDiscoveryRequestSchema, request))
const decodeResponse = (bytes: Buffer): DeltaDiscoveryResponse => fromBinary(DeltaDiscoveryResponseSchema, bytes)

const bytesAsTheyAre = (bytes: Buffer): Buffer => bytes

/** Server side: the response is already bytes; requests are read when their turn comes (turns.ts). */
export const DELTA_SERVER: MethodDefinition<Buffer, Buffer> = {
  path: `${SERVICE}/DeltaAggregatedResources`,
  requestStream: true,
  responseStream: true,
  requestSerialize: bytesAsTheyAre,
  requestDeserialize: bytesAsTheyAre,
  responseSerialize: bytesAsTheyAre,
  responseDeserialize: bytesAsTheyAre,
}

/** State of the world, for gRPC's clients and whoever else speaks no delta. */
export const STATE_OF_THE_WORLD: MethodDefinition<Buffer, Buffer> = {
  path: `${SERVICE}/StreamAggregatedResources`,
  requestStream: true,
  responseStream: true,
  requestSerialize: bytesAsTheyAre,
  requestDeserialize: bytesAsTheyAre,
  responseSerialize: bytesAsTheyAre,
  responseDeserialize: bytesAsTheyAre,
}

const SECRETS = '/envoy.service.secret.v3.SecretDiscoveryService'

/** The secret discovery service alone: the same messages under methods of its own. */
export const SECRET_METHODS = {
  delta: { ...DELTA_SERVER, path: `${SECRETS}/DeltaSecrets` },
  stateOfTheWorld: { ...STATE_OF_THE_WORLD, path: `${SECRETS}/StreamSecrets` },
} as const satisfies Record<string, MethodDefinition<Buffer, Buffer>>

/** Client side of the same method. */
export const DELTA_CLIENT = {
  path: DELTA_SERVER.path,
  serialize: encodeRequest,
  deserialize: decodeResponse,
} as const

/** Client side of the older method, for servers that speak no delta. */
export const SOTW_CLIENT = {
  path: STATE_OF_THE_WORLD.path,
  serialize: (request: DiscoveryRequest): Buffer => Buffer.from(toBinary(DiscoveryRequestSchema, request)),
  deserialize: (bytes: Buffer): DiscoveryResponse => fromBinary(DiscoveryResponseSchema, bytes),
} as const
