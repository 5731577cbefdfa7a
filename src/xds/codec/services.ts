/**
 * Services that filters ask, as the model has them <-> GrpcService and the plain parts around it. Only `envoy_grpc`:
 * a cluster of the same configuration, never a connection of a library's own.
 */
import { create } from '@bufbuild/protobuf'
import { type GrpcService, GrpcServiceSchema } from '#gen/envoy/config/core/v3/grpc_service_pb.js'
import { ApiVersion } from '#gen/envoy/config/core/v3/config_source_pb.js'
import type { GrpcTarget } from '../../model/config.ts'
import { decodeDuration, encodeDuration } from './common.ts'
import { decodeName } from './header-mutations.ts'
import { present, refuse, require, type Shape, within } from './shape.ts'

export const GRPC_SHAPE: Shape = {
  envoy_grpc: { cluster_name: true, authority: true },
  timeout: true,
  initial_metadata: { key: true, value: true },
}

export function encodeGrpc({ cluster, authority = '', timeoutMs, metadata = [] }: GrpcTarget): GrpcService {
  return create(GrpcServiceSchema, {
    targetSpecifier: { case: 'envoyGrpc', value: { clusterName: cluster, authority } },
    timeout: encodeDuration(timeoutMs),
    initialMetadata: metadata.map(({ name, value }) => ({ key: name, value })),
  })
}

/** `defaultMs`: what the filter does where nothing is said. */
export function decodeGrpc(path: string, message: GrpcService | undefined, defaultMs: number): GrpcTarget {
  const { targetSpecifier: target, timeout, initialMetadata } = present(path, message)
  if (target.case !== 'envoyGrpc') return refuse(within(path, 'envoy_grpc'), 'is required')
  const { clusterName: cluster, authority } = target.value
  const at = within(path, 'envoy_grpc')
  require(within(at, 'cluster_name'), cluster !== '', 'is required')
  require(within(at, 'authority'), /^[A-Za-z0-9._~:[\]|-]*$/.test(authority), 'is no authority')
  const metadata = initialMetadata.map(({ key, value }, index) =>
    decodeField(`${within(path, 'initial_metadata')}[${index}]`, key, value),
  )
  return {
    cluster,
    ...(authority !== '' && { authority }),
    timeoutMs: timeout === undefined ? defaultMs : decodeDuration(within(path, 'timeout'), timeout),
    ...(metadata.length > 0 && { metadata }),
  }
}

/** A field of a request of our own; its value stands for itself. */
export function decodeField(
  path: string,
  key: string,
  value: string,
): { readonly name: string; readonly value: string } {
  const name = decodeName(within(path, 'key'), key)
  require(within(path, 'value'), /^[\t\x20-\x7e]*$/.test(value), 'has a byte that has no place in a header')
  require(within(path, 'value'), !value.includes('%'), 'has a %command%, which is not supported here')
  return { name, value }
}

/** Envoy speaks nothing else any more. */
export function requireV3(path: string, version: ApiVersion): void {
  require(path, version === ApiVersion.V3 || version === ApiVersion.AUTO, 'must be V3')
}
