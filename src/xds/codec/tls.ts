/**
 * TLS contexts. Both sides are TLS 1.3 and nothing else (Envoy's client default ends at 1.2), present a certificate
 * that only the proxy has, and never resume: a resumed session would skip the identity check. Certificates are named,
 * never carried.
 */
import { create, type MessageInitShape } from '@bufbuild/protobuf'
import { type Any, anyPack } from '@bufbuild/protobuf/wkt'
import { type TransportSocket, TransportSocketSchema } from '#gen/envoy/config/core/v3/base_pb.js'
import { RawBufferSchema } from '#gen/envoy/extensions/transport_sockets/raw_buffer/v3/raw_buffer_pb.js'
import {
  SubjectAltNameMatcher_SanType as SanType,
  type TlsParameters,
  TlsParameters_TlsProtocol as TlsProtocol,
} from '#gen/envoy/extensions/transport_sockets/tls/v3/common_pb.js'
import {
  type SdsSecretConfig,
  SdsSecretConfigSchema,
} from '#gen/envoy/extensions/transport_sockets/tls/v3/secret_pb.js'
import {
  type CommonTlsContext,
  type CommonTlsContextSchema,
  DownstreamTlsContextSchema,
  UpstreamTlsContextSchema,
} from '#gen/envoy/extensions/transport_sockets/tls/v3/tls_pb.js'
import type { DownstreamTls, UpstreamTls } from '../../model/config.ts'
import { ADS_SHAPE, encodeAds, encodeAgentSource, requireAds } from './common.ts'
import { present, refuse, require, type Shape, unpackShaped, within } from './shape.ts'

export const TLS_SOCKET = 'envoy.transport_sockets.tls'
const RAW_BUFFER_SOCKET = 'envoy.transport_sockets.raw_buffer'

/**
 * Stands for an empty list of identities: Envoy takes a context without matchers as "anyone", so that list must never
 * reach the wire empty. No certificate carries this name; `.invalid` is reserved (RFC 2606 section 2).
 */
const NO_ONE = 'spiffe://no-one.invalid'

export const SDS_SHAPE: Shape = { name: true, sds_config: ADS_SHAPE }
const COMMON_SHAPE: Shape = {
  tls_params: { tls_minimum_protocol_version: true, tls_maximum_protocol_version: true },
  alpn_protocols: true,
  tls_certificate_sds_secret_configs: SDS_SHAPE,
}
export const DOWNSTREAM_TLS_SHAPE: Shape = {
  common_tls_context: { ...COMMON_SHAPE, validation_context_sds_secret_config: SDS_SHAPE },
  require_client_certificate: true,
  disable_stateless_session_resumption: true,
  disable_stateful_session_resumption: true,
}
export const UPSTREAM_TLS_SHAPE: Shape = {
  common_tls_context: {
    ...COMMON_SHAPE,
    combined_validation_context: {
      default_validation_context: { match_typed_subject_alt_names: { san_type: true, matcher: { exact: true } } },
      validation_context_sds_secret_config: SDS_SHAPE,
    },
  },
  sni: true,
  max_session_keys: true,
}

export function encodeDownstreamTls(tls: DownstreamTls): TransportSocket {
  const context = create(DownstreamTlsContextSchema, {
    commonTlsContext: {
      ...encodeCommon(tls),
      validationContextType: validationOf(tls),
    },
    requireClientCertificate: true,
    sessionTicketKeysType: { case: 'disableStatelessSessionResumption', value: true },
    disableStatefulSessionResumption: true,
  })
  return socketOf(anyPack(DownstreamTlsContextSchema, context))
}

type ValidationInit = MessageInitShape<typeof CommonTlsContextSchema>['validationContextType']

function validationOf(tls: DownstreamTls): NonNullable<ValidationInit> {
  const secret = sdsOf(tls, tls.validation)
  if (tls.admits === undefined) return { case: 'validationContextSdsSecretConfig', value: secret }
  const { trustDomains, ids } = tls.admits
  const names = [
    ...trustDomains.map((domain) => ({ case: 'prefix' as const, value: `spiffe://${domain}/` })),
    // Without any matcher anyone would be admitted.
    ...(trustDomains.length + ids.length === 0 ? [NO_ONE] : ids).map((id) => ({ case: 'exact' as const, value: id })),
  ]
  const matchTypedSubjectAltNames = names.map((matchPattern) => ({ sanType: SanType.URI, matcher: { matchPattern } }))
  return {
    case: 'combinedValidationContext',
    value: { defaultValidationContext: { matchTypedSubjectAltNames }, validationContextSdsSecretConfig: secret },
  }
}

export function decodeDownstreamTls(path: string, socket: TransportSocket): DownstreamTls {
  const at = within(path, 'typed_config')
  const context = unpackShaped(DownstreamTlsContextSchema, configOf(socket), DOWNSTREAM_TLS_SHAPE, at)
  const common = present(within(at, 'common_tls_context'), context.commonTlsContext)
  const validation = common.validationContextType
  if (validation.case !== 'validationContextSdsSecretConfig') {
    return refuse(within(at, 'common_tls_context.validation_context_sds_secret_config'), 'is required')
  }
  require(within(at, 'require_client_certificate'), context.requireClientCertificate === true, 'must be true')
  const isResumptionOff =
    context.disableStatefulSessionResumption &&
    context.sessionTicketKeysType.case === 'disableStatelessSessionResumption' &&
    context.sessionTicketKeysType.value
  require(within(at, 'disable_stateless_session_resumption'), isResumptionOff, 'resumption must be disabled')
  return {
    ...decodeCommon(within(at, 'common_tls_context'), common),
    validation: decodeSds(within(at, 'common_tls_context.validation_context_sds_secret_config'), validation.value),
  }
}

export function encodeUpstreamTls(tls: UpstreamTls): TransportSocket {
  const identities = tls.identities.length === 0 ? [NO_ONE] : tls.identities
  const context = create(UpstreamTlsContextSchema, {
    commonTlsContext: {
      ...encodeCommon(tls),
      validationContextType: {
        case: 'combinedValidationContext',
        value: {
          defaultValidationContext: {
            matchTypedSubjectAltNames: identities.map((id) => ({
              sanType: SanType.URI,
              matcher: { matchPattern: { case: 'exact' as const, value: id } },
            })),
          },
          validationContextSdsSecretConfig: sdsOf(tls, tls.validation),
        },
      },
    },
    sni: tls.sni,
    maxSessionKeys: 0,
  })
  return socketOf(anyPack(UpstreamTlsContextSchema, context))
}

export function decodeUpstreamTls(path: string, socket: TransportSocket): UpstreamTls {
  const at = within(path, 'typed_config')
  const context = unpackShaped(UpstreamTlsContextSchema, configOf(socket), UPSTREAM_TLS_SHAPE, at)
  const common = present(within(at, 'common_tls_context'), context.commonTlsContext)
  const commonPath = within(at, 'common_tls_context')
  const validation = common.validationContextType
  if (validation.case !== 'combinedValidationContext') {
    return refuse(within(commonPath, 'combined_validation_context'), 'is required')
  }
  require(within(at, 'max_session_keys'), context.maxSessionKeys === 0, 'must be 0: resumption must be disabled')
  const combinedPath = within(commonPath, 'combined_validation_context')
  const matchersPath = within(combinedPath, 'default_validation_context.match_typed_subject_alt_names')
  const matchers = validation.value.defaultValidationContext?.matchTypedSubjectAltNames ?? []
  require(matchersPath, matchers.length > 0, 'is required: without it any identity would be accepted')
  const identities = matchers.map((entry, index) => {
    const pattern = entry.matcher?.matchPattern
    require(`${matchersPath}[${index}].san_type`, entry.sanType === SanType.URI, 'must be URI')
    if (pattern?.case !== 'exact') return refuse(`${matchersPath}[${index}].matcher`, 'must be exact')
    return pattern.value
  })
  const sdsPath = within(combinedPath, 'validation_context_sds_secret_config')
  return {
    ...decodeCommon(commonPath, common),
    validation: decodeSds(sdsPath, validation.value.validationContextSdsSecretConfig),
    sni: context.sni,
    identities: identities.filter((id) => id !== NO_ONE),
  }
}

type CommonTls = Pick<DownstreamTls, 'certificate' | 'alpn' | 'secrets'>

function encodeCommon(tls: CommonTls): Pick<CommonTlsContext, 'alpnProtocols' | 'tlsCertificateSdsSecretConfigs'> & {
  tlsParams: Pick<TlsParameters, 'tlsMinimumProtocolVersion' | 'tlsMaximumProtocolVersion'>
} {
  return {
    tlsParams: {
      tlsMinimumProtocolVersion: TlsProtocol.TLSv1_3,
      tlsMaximumProtocolVersion: TlsProtocol.TLSv1_3,
    },
    alpnProtocols: [...tls.alpn],
    tlsCertificateSdsSecretConfigs: [sdsOf(tls, tls.certificate)],
  }
}

function decodeCommon(path: string, common: CommonTlsContext): CommonTls {
  const versions = common.tlsParams
  require(within(path, 'tls_params'), versions?.tlsMinimumProtocolVersion === TlsProtocol.TLSv1_3 &&
    versions.tlsMaximumProtocolVersion === TlsProtocol.TLSv1_3, 'must set TLSv1_3 as minimum and maximum')
  const at = within(path, 'tls_certificate_sds_secret_configs')
  require(at, common.tlsCertificateSdsSecretConfigs.length === 1, 'must name exactly one certificate')
  return { certificate: decodeSds(`${at}[0]`, common.tlsCertificateSdsSecretConfigs[0]), alpn: common.alpnProtocols }
}

export function encodeSds(name: string): SdsSecretConfig {
  return create(SdsSecretConfigSchema, { name, sdsConfig: encodeAds() })
}

/** An Envoy asks its agent for what is the pod's own, and the stream for all else. */
function sdsOf({ secrets }: Pick<CommonTls, 'secrets'>, name: string): SdsSecretConfig {
  if (secrets === undefined) return encodeSds(name)
  return create(SdsSecretConfigSchema, { name, sdsConfig: encodeAgentSource() })
}

export function decodeSds(path: string, secret: SdsSecretConfig | undefined): string {
  const { name, sdsConfig } = present(path, secret)
  requireAds(within(path, 'sds_config'), sdsConfig)
  return name
}

export function socketOf(value: Any): TransportSocket {
  return create(TransportSocketSchema, { name: TLS_SOCKET, configType: { case: 'typedConfig', value } })
}

export function rawBuffer(): TransportSocket {
  const value = anyPack(RawBufferSchema, create(RawBufferSchema))
  return create(TransportSocketSchema, { name: RAW_BUFFER_SOCKET, configType: { case: 'typedConfig', value } })
}

export function configOf(socket: TransportSocket): Any | undefined {
  return socket.configType.case === 'typedConfig' ? socket.configType.value : undefined
}
