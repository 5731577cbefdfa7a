/** The PROXY protocol: the listener filter that reads it, and the transport socket that writes it. */
import { create } from '@bufbuild/protobuf'
import { type Any, anyPack } from '@bufbuild/protobuf/wkt'
import { ProxyProtocolConfig_Version as Version } from '#gen/envoy/config/core/v3/proxy_protocol_pb.js'
import type { ListenerFilter } from '#gen/envoy/config/listener/v3/listener_components_pb.js'
import { ProxyProtocolSchema } from '#gen/envoy/extensions/filters/listener/proxy_protocol/v3/proxy_protocol_pb.js'
import type { ProxyProtocol } from '../../model/config.ts'
import { require, type Shape, unpackShaped, within } from './shape.ts'

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
