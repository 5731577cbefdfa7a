/** The PROXY protocol: the listener filter that reads it, and the transport socket that writes it. */
import { create } from '@bufbuild/protobuf'
import { type Any, anyPack } from '@bufbuild/protobuf/wkt'
import { type TransportSocket, TransportSocketSchema } from '#gen/envoy/config/core/v3/base_pb.js'
import { ProxyProtocolConfig_Version as Version } from '#gen/envoy/config/core/v3/proxy_protocol_pb.js'
import type { ListenerFilter } from '#gen/envoy/config/listener/v3/listener_components_pb.js'
import { ProxyProtocolSchema } from '#gen/envoy/extensions/filters/listener/proxy_protocol/v3/proxy_protocol_pb.js'
import { ProxyProtocolUpstreamTransportSchema } from '#gen/envoy/extensions/transport_sockets/proxy_protocol/v3/upstream_proxy_protocol_pb.js'
import type { ProxyProtocol } from '../../model/config.ts'
import { present, require, type Shape, typeOf, unpackShaped, within } from './shape.ts'

/** Extensions (TLVs) are passed over: rules that make metadata of them are not supported. */
export const PROXY_PROTOCOL_SHAPE: Shape = { allow_requests_without_proxy_protocol: true, disallowed_versions: true }

const VERSIONS = { v1: Version.V1, v2: Version.V2 } as const

export function encodeProxyProtocol({ optional, disallowed = [] }: ProxyProtocol): Any {
  const message = create(ProxyProtocolSchema, {
    allowRequestsWithoutProxyProtocol: optional === true,
    disallowedVersions: disallowed.map((version) => VERSIONS[version]),
  })
  return anyPack(ProxyProtocolSchema, message)
}

export const UPSTREAM_PROXY_SHAPE: Shape = {
  config: { version: true },
  transport_socket: { name: true, typed_config: true },
}

/** Around another socket, which begins after the header. */
export function encodeProxyHeader(version: 'v1' | 'v2', transportSocket: TransportSocket): TransportSocket {
  const message = create(ProxyProtocolUpstreamTransportSchema, {
    config: { version: VERSIONS[version] },
    transportSocket,
  })
  const value = anyPack(ProxyProtocolUpstreamTransportSchema, message)
  const name = 'envoy.transport_sockets.upstream_proxy_protocol'
  return create(TransportSocketSchema, { name, configType: { case: 'typedConfig', value } })
}

export interface HeaderedSocket {
  readonly version: 'v1' | 'v2'
  readonly inner: TransportSocket
}

/** Undefined: it is another socket. */
export function decodeProxyHeader(path: string, socket: TransportSocket): HeaderedSocket | undefined {
  const config = socket.configType.case === 'typedConfig' ? socket.configType.value : undefined
  if (typeOf(config) !== ProxyProtocolUpstreamTransportSchema.typeName) return undefined
  const at = within(path, 'typed_config')
  const message = unpackShaped(ProxyProtocolUpstreamTransportSchema, config, UPSTREAM_PROXY_SHAPE, at)
  const version = message.config?.version === Version.V2 ? 'v2' : 'v1'
  return { version, inner: present(within(at, 'transport_socket'), message.transportSocket) }
}

export function decodeProxyProtocol(path: string, filter: ListenerFilter): ProxyProtocol {
  const config = filter.configType.case === 'typedConfig' ? filter.configType.value : undefined
  const message = unpackShaped(ProxyProtocolSchema, config, PROXY_PROTOCOL_SHAPE, path)
  const disallowed = message.disallowedVersions.map((version) => (version === Version.V1 ? 'v1' : 'v2'))
  require(within(path, 'disallowed_versions'), new Set(disallowed).size < 2, 'leave no version')
  return {
    ...(message.allowRequestsWithoutProxyProtocol && { optional: true }),
    ...(disallowed.length > 0 && { disallowed }),
  }
}
