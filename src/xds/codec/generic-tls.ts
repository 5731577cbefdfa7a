/**
 * TLS of generic listeners and clusters: DownstreamTlsContext, UpstreamTlsContext and the secrets they name. The
 * mesh's own contexts, stricter, are tls.ts's.
 */
import { create } from '@bufbuild/protobuf'
import { anyPack } from '@bufbuild/protobuf/wkt'
import { type DataSource as DataSourceMessage, type TransportSocket } from '#gen/envoy/config/core/v3/base_pb.js'
import {
  type CertificateValidationContext,
  CertificateValidationContextSchema,
  type SubjectAltNameMatcher,
  SubjectAltNameMatcher_SanType as SanType,
  SubjectAltNameMatcherSchema,
  type TlsCertificate,
  TlsCertificateSchema,
  type TlsParameters,
  TlsParameters_TlsProtocol as TlsProtocol,
} from '#gen/envoy/extensions/transport_sockets/tls/v3/common_pb.js'
import type { SdsSecretConfig } from '#gen/envoy/extensions/transport_sockets/tls/v3/secret_pb.js'
import {
  type CommonTlsContext,
  CommonTlsContextSchema,
  type DownstreamTlsContext,
  DownstreamTlsContextSchema,
  UpstreamTlsContextSchema,
} from '#gen/envoy/extensions/transport_sockets/tls/v3/tls_pb.js'
import {
  type CertificateSource,
  type ClientTls,
  type DataSource,
  type HiddenSource,
  HiddenText,
  type KeyPair,
  type NameMatch,
  type PeerValidation,
  type ServerTls,
  type TlsCommon,
  type TlsVersion,
  type ValidationSource,
} from '../../model/config.ts'
import { decodeString, encodeString, STRING_SHAPE } from './matchers.ts'
import { present, refuse, require, type Shape, unpackShaped, within } from './shape.ts'
import { configOf, decodeSds as decodeAdsSecret, encodeSds, SDS_SHAPE, socketOf } from './tls.ts'

export const SOURCE_SHAPE: Shape = {
  filename: true,
  inline_bytes: true,
  inline_string: true,
  environment_variable: true,
}
export const CERTIFICATE_SHAPE: Shape = {
  certificate_chain: SOURCE_SHAPE,
  private_key: SOURCE_SHAPE,
  password: SOURCE_SHAPE,
}
export const VALIDATION_SHAPE: Shape = {
  trusted_ca: SOURCE_SHAPE,
  verify_certificate_hash: true,
  verify_certificate_spki: true,
  match_typed_subject_alt_names: { san_type: true, matcher: STRING_SHAPE },
}
const COMMON_SHAPE: Shape = {
  tls_params: {
    tls_minimum_protocol_version: true,
    tls_maximum_protocol_version: true,
    cipher_suites: true,
    ecdh_curves: true,
  },
  alpn_protocols: true,
  tls_certificates: CERTIFICATE_SHAPE,
  tls_certificate_sds_secret_configs: SDS_SHAPE,
  validation_context: VALIDATION_SHAPE,
  validation_context_sds_secret_config: SDS_SHAPE,
  combined_validation_context: {
    default_validation_context: VALIDATION_SHAPE,
    validation_context_sds_secret_config: SDS_SHAPE,
  },
}
export const GENERIC_DOWNSTREAM_TLS_SHAPE: Shape = {
  common_tls_context: COMMON_SHAPE,
  require_client_certificate: true,
  disable_stateless_session_resumption: true,
  disable_stateful_session_resumption: true,
}
export const GENERIC_UPSTREAM_TLS_SHAPE: Shape = { common_tls_context: COMMON_SHAPE, sni: true }

const VERSIONS: Readonly<Record<TlsVersion, TlsProtocol>> = {
  'TLSv1.2': TlsProtocol.TLSv1_2,
  'TLSv1.3': TlsProtocol.TLSv1_3,
}
const SAN_TYPES: Readonly<Record<NameMatch['type'], SanType>> = {
  dns: SanType.DNS,
  uri: SanType.URI,
  email: SanType.EMAIL,
  ip: SanType.IP_ADDRESS,
}

export function encodeServerTls(tls: ServerTls): TransportSocket {
  const context = create(DownstreamTlsContextSchema, {
    commonTlsContext: encodeCommon(tls),
    ...(tls.requireClient && { requireClientCertificate: true }),
    ...(tls.noTickets === true && {
      sessionTicketKeysType: { case: 'disableStatelessSessionResumption' as const, value: true },
    }),
  })
  return socketOf(anyPack(DownstreamTlsContextSchema, context))
}

export function encodeClientTls(tls: ClientTls): TransportSocket {
  const context = create(UpstreamTlsContextSchema, { commonTlsContext: encodeCommon(tls), sni: tls.sni })
  return socketOf(anyPack(UpstreamTlsContextSchema, context))
}

export function decodeServerTls(path: string, socket: TransportSocket): ServerTls {
  const at = within(path, 'typed_config')
  const context = unpackShaped(DownstreamTlsContextSchema, configOf(socket), GENERIC_DOWNSTREAM_TLS_SHAPE, at)
  const common = decodeCommon(within(at, 'common_tls_context'), context.commonTlsContext, 'TLSv1.3')
  const hasCertificate = common.certificates.length > 0
  require(within(at, 'common_tls_context.tls_certificates'), hasCertificate, 'is required')
  return {
    ...common,
    requireClient: context.requireClientCertificate === true,
    ...(hasNoTickets(within(at, 'session_ticket_keys'), context) && { noTickets: true }),
  }
}

function hasNoTickets(path: string, { sessionTicketKeysType: type }: DownstreamTlsContext): boolean {
  if (type.case === undefined) return false
  return type.case === 'disableStatelessSessionResumption' ? type.value : refuse(path, 'is not supported')
}

export function decodeClientTls(path: string, socket: TransportSocket): ClientTls {
  const at = within(path, 'typed_config')
  const context = unpackShaped(UpstreamTlsContextSchema, configOf(socket), GENERIC_UPSTREAM_TLS_SHAPE, at)
  return { ...decodeCommon(within(at, 'common_tls_context'), context.commonTlsContext, 'TLSv1.3'), sni: context.sni }
}

function encodeCommon(tls: TlsCommon): CommonTlsContext {
  const certificates = tls.certificates.filter((source): source is KeyPair => 'chain' in source)
  const named = tls.certificates.flatMap((source) => ('sds' in source ? [encodeSds(source.sds)] : []))
  const { validation } = tls
  return create(CommonTlsContextSchema, {
    tlsParams: {
      tlsMinimumProtocolVersion: VERSIONS[tls.minVersion],
      tlsMaximumProtocolVersion: VERSIONS[tls.maxVersion],
      cipherSuites: [...(tls.ciphers ?? [])],
      ecdhCurves: [...(tls.curves ?? [])],
    },
    alpnProtocols: [...tls.alpn],
    tlsCertificates: certificates.map(encodeCertificate),
    tlsCertificateSdsSecretConfigs: named,
    ...(validation !== undefined && { validationContextType: encodeValidationSource(validation) }),
  })
}

function encodeValidationSource(source: ValidationSource): CommonTlsContext['validationContextType'] {
  const { sds, ...own } = source
  const value = encodeValidation(own)
  if (sds === undefined) return { case: 'validationContext', value }
  const combined = create(CommonTlsContextSchema, {
    validationContextType: {
      case: 'combinedValidationContext',
      value: { defaultValidationContext: value, validationContextSdsSecretConfig: encodeSds(sds) },
    },
  })
  return combined.validationContextType
}

function decodeCommon(path: string, message: CommonTlsContext | undefined, latest: TlsVersion): TlsCommon {
  const { tlsParams, alpnProtocols = [], tlsCertificates = [], tlsCertificateSdsSecretConfigs = [] } = message ?? {}
  const pairsPath = within(path, 'tls_certificates')
  const sdsPath = within(path, 'tls_certificate_sds_secret_configs')
  const certificates: CertificateSource[] = [
    ...tlsCertificates.map((pair, index) => decodeCertificate(`${pairsPath}[${index}]`, pair)),
    ...tlsCertificateSdsSecretConfigs.map((sds, index) => ({ sds: decodeSds(`${sdsPath}[${index}]`, sds) })),
  ]
  const validation = message && decodeValidationSource(path, message.validationContextType)
  const params = within(path, 'tls_params')
  return {
    certificates,
    ...(validation !== undefined && { validation }),
    ...decodeVersions(params, tlsParams, latest),
    ...decodeAlgorithms(params, tlsParams),
    alpn: alpnProtocols,
  }
}

function decodeVersions(
  path: string,
  params: TlsParameters | undefined,
  latest: TlsVersion,
): Pick<TlsCommon, 'minVersion' | 'maxVersion'> {
  const of = (field: string, value: TlsProtocol, usual: TlsVersion): TlsVersion => {
    if (value === TlsProtocol.TLS_AUTO) return usual
    const found = (Object.keys(VERSIONS) as TlsVersion[]).find((version) => VERSIONS[version] === value)
    return found ?? refuse(within(path, field), 'below TLS 1.2 is not supported')
  }
  const minVersion = of(
    'tls_minimum_protocol_version',
    params?.tlsMinimumProtocolVersion ?? TlsProtocol.TLS_AUTO,
    'TLSv1.2',
  )
  const maxVersion = of(
    'tls_maximum_protocol_version',
    params?.tlsMaximumProtocolVersion ?? TlsProtocol.TLS_AUTO,
    latest,
  )
  require(within(path, 'tls_maximum_protocol_version'), minVersion <= maxVersion, 'is below the minimum')
  return { minVersion, maxVersion }
}

function decodeAlgorithms(path: string, params: TlsParameters | undefined): Pick<TlsCommon, 'ciphers' | 'curves'> {
  const { cipherSuites = [], ecdhCurves = [] } = params ?? {}
  for (const suite of cipherSuites) {
    require(within(path, 'cipher_suites'), /^[A-Z0-9-]{1,64}$/.test(suite), `${suite} is not the name of one suite`)
  }
  for (const curve of ecdhCurves) {
    require(within(path, 'ecdh_curves'), CURVES.has(curve), `${curve}: there are ${[...CURVES].join(', ')}`)
  }
  return {
    ...(cipherSuites.length > 0 && { ciphers: cipherSuites }),
    ...(ecdhCurves.length > 0 && { curves: ecdhCurves }),
  }
}

const CURVES: ReadonlySet<string> = new Set(['X25519', 'P-256', 'P-384', 'P-521'])

function decodeValidationSource(
  path: string,
  type: CommonTlsContext['validationContextType'],
): ValidationSource | undefined {
  switch (type.case) {
    case undefined:
      return undefined
    case 'validationContext':
      return decodeValidation(within(path, 'validation_context'), type.value)
    case 'validationContextSdsSecretConfig':
      return { sds: decodeSds(within(path, 'validation_context_sds_secret_config'), type.value) }
    case 'combinedValidationContext': {
      const at = within(path, 'combined_validation_context')
      const { defaultValidationContext: own, validationContextSdsSecretConfig: sds } = type.value
      return {
        ...(own !== undefined && decodeValidation(within(at, 'default_validation_context'), own, true)),
        sds: decodeSds(within(at, 'validation_context_sds_secret_config'), sds),
      }
    }
    default:
      return refuse(path, 'this kind of validation context is not supported')
  }
}

export function encodeCertificate({ chain, key, password }: KeyPair): TlsCertificate {
  return create(TlsCertificateSchema, {
    certificateChain: { specifier: encodeSource(chain) },
    privateKey: { specifier: encodeSource(revealed(key)) },
    ...(password !== undefined && { password: { specifier: encodeSource(revealed(password)) } }),
  })
}

export function decodeCertificate(path: string, message: TlsCertificate): KeyPair {
  const { certificateChain, privateKey, password } = message
  return {
    chain: decodeSource(within(path, 'certificate_chain'), certificateChain),
    key: hidden(decodeSource(within(path, 'private_key'), privateKey)),
    ...(password !== undefined && { password: hidden(decodeSource(within(path, 'password'), password)) }),
  }
}

export const hidden = (source: DataSource): HiddenSource =>
  'text' in source ? { hidden: new HiddenText(source.text) } : source
export const revealed = (source: HiddenSource): DataSource =>
  'hidden' in source ? { text: source.hidden.reveal() } : source

export function encodeValidation({ trustedCa, names, hashes, keys }: PeerValidation): CertificateValidationContext {
  return create(CertificateValidationContextSchema, {
    ...(trustedCa !== undefined && { trustedCa: { specifier: encodeSource(trustedCa) } }),
    matchTypedSubjectAltNames: (names ?? []).map(({ type, is }) =>
      create(SubjectAltNameMatcherSchema, { sanType: SAN_TYPES[type], matcher: encodeString(is) }),
    ),
    verifyCertificateHash: [...(hashes ?? [])],
    verifyCertificateSpki: [...(keys ?? [])],
  })
}

export function decodeValidation(
  path: string,
  message: CertificateValidationContext,
  hasAnchors = message.trustedCa !== undefined,
): PeerValidation {
  const { trustedCa, verifyCertificateHash, verifyCertificateSpki: keys } = message
  const hashesPath = within(path, 'verify_certificate_hash')
  const hashes = verifyCertificateHash.map((hash) => hash.replaceAll(':', '').toLowerCase())
  for (const hash of hashes) require(hashesPath, /^[0-9a-f]{64}$/.test(hash), 'is not SHA-256 in hex')
  for (const key of keys) {
    require(within(path, 'verify_certificate_spki'), /^[A-Za-z0-9+/]{43}=$/.test(key), 'is not SHA-256 in base64')
  }
  const namesPath = within(path, 'match_typed_subject_alt_names')
  const names = message.matchTypedSubjectAltNames.map((name, index) => decodeName(`${namesPath}[${index}]`, name))
  // Names that anyone may write into a certificate of their own making are no proof.
  require(namesPath, names.length === 0 || hasAnchors, 'needs trusted_ca')
  return {
    ...(trustedCa !== undefined && { trustedCa: decodeSource(within(path, 'trusted_ca'), trustedCa) }),
    ...(names.length > 0 && { names }),
    ...(hashes.length > 0 && { hashes }),
    ...(keys.length > 0 && { keys }),
  }
}

function decodeName(path: string, { sanType, matcher }: SubjectAltNameMatcher): NameMatch {
  const type = (Object.keys(SAN_TYPES) as NameMatch['type'][]).find((name) => SAN_TYPES[name] === sanType)
  if (type === undefined) return refuse(within(path, 'san_type'), 'must be EMAIL, DNS, URI or IP_ADDRESS')
  return { type, is: decodeString(within(path, 'matcher'), matcher) }
}

/** Without a source it is one of the bootstrap's own. */
function decodeSds(path: string, secret: SdsSecretConfig | undefined): string {
  if (secret?.sdsConfig !== undefined) return decodeAdsSecret(path, secret)
  const name = secret?.name ?? ''
  require(within(path, 'name'), name !== '', 'is required')
  return name
}

export function encodeSource(source: DataSource): DataSourceMessage['specifier'] {
  if ('file' in source) return { case: 'filename', value: source.file }
  return 'env' in source
    ? { case: 'environmentVariable', value: source.env }
    : { case: 'inlineString', value: source.text }
}

export function decodeSource(path: string, message: DataSourceMessage | undefined): DataSource {
  const { specifier } = present(path, message)
  switch (specifier.case) {
    case 'filename':
      return { file: specifier.value }
    case 'environmentVariable':
      return { env: specifier.value }
    case 'inlineString':
      return { text: specifier.value }
    case 'inlineBytes':
      return { text: Buffer.from(specifier.value).toString('utf8') }
    case undefined:
      return refuse(path, 'is required')
    default:
      return specifier satisfies never
  }
}
