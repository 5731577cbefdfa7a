/**
 * Secret <-> Secret. The mesh's: trust anchors per trust domain as Envoy's SPIFFE validator has them, never one pool
 * (a foreign root in a shared pool could mint our names). Envoy has no revocation by issuer key, so that set travels in
 * the resource's metadata. Any other is for generic listeners and clusters; a proxy of the mesh refuses it.
 */
import { create, type JsonObject } from '@bufbuild/protobuf'
import { anyPack } from '@bufbuild/protobuf/wkt'
import { type Secret, SecretSchema } from '#gen/envoy/extensions/transport_sockets/tls/v3/secret_pb.js'
import { SPIFFECertValidatorConfigSchema } from '#gen/envoy/extensions/transport_sockets/tls/v3/tls_spiffe_validator_config_pb.js'
import { isSubdomain } from '../../model/identity.ts'
import type { GenericSecret, Secret as AnySecret, ValidationContext } from '../../model/config.ts'
import { FieldReader } from './common.ts'
import {
  CERTIFICATE_SHAPE,
  decodeCertificate,
  decodeSource,
  decodeValidation,
  encodeCertificate,
  encodeSource,
  encodeValidation,
  hidden,
  revealed,
  VALIDATION_SHAPE,
} from './generic-tls.ts'
import { checkShape, refuse, require, type Shape, unpackShaped, within } from './shape.ts'

const SPIFFE_VALIDATOR = 'envoy.tls.cert_validator.spiffe'
export const REVOCATIONS_METADATA = 'isthmus.revocations'
const PEM = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----\n?/g

/** Of a file, where identities are not the mesh's. */
export const FILE_SECRET_SHAPE: Shape = {
  name: true,
  tls_certificate: CERTIFICATE_SHAPE,
  generic_secret: { secret: { filename: true, inline_bytes: true, inline_string: true, environment_variable: true } },
  validation_context: VALIDATION_SHAPE,
}
export const SECRET_SHAPE: Shape = {
  ...FILE_SECRET_SHAPE,
  validation_context: { ...VALIDATION_SHAPE, custom_validator_config: { name: true, typed_config: true } },
}
const BUNDLE_SHAPE: Shape = {
  name: true,
  validation_context: { custom_validator_config: { name: true, typed_config: true } },
}
const SPIFFE_SHAPE: Shape = { trust_domains: { name: true, trust_bundle: { inline_string: true } } }

export function encodeSecret(secret: AnySecret): Secret {
  if (secret.kind !== undefined) return encodeGeneric(secret)
  return encodeBundle(secret)
}

function encodeGeneric(secret: GenericSecret): Secret {
  const { name } = secret
  if (secret.kind === 'text') {
    const value = { secret: { specifier: encodeSource(revealed(secret.text)) } }
    return create(SecretSchema, { name, type: { case: 'genericSecret', value } })
  }
  const type =
    secret.kind === 'certificate'
      ? { case: 'tlsCertificate' as const, value: encodeCertificate(secret.pair) }
      : { case: 'validationContext' as const, value: encodeValidation(secret.validation) }
  return create(SecretSchema, { name, type })
}

function encodeBundle(context: ValidationContext): Secret {
  const config = create(SPIFFECertValidatorConfigSchema, {
    trustDomains: Object.entries(context.roots).map(([name, roots]) => ({
      name,
      trustBundle: { specifier: { case: 'inlineString' as const, value: roots.join('') } },
    })),
  })
  return create(SecretSchema, {
    name: context.name,
    type: {
      case: 'validationContext',
      value: {
        customValidatorConfig: {
          name: SPIFFE_VALIDATOR,
          typedConfig: anyPack(SPIFFECertValidatorConfigSchema, config),
        },
      },
    },
  })
}

/** Absent when nothing is revoked. */
export function encodeRevocations(context: AnySecret): JsonObject | undefined {
  if (context.kind !== undefined) return undefined
  if (context.revokedTrustDomains.length + context.revokedIssuers.length === 0) return undefined
  return { trust_domains: [...context.revokedTrustDomains], issuers: [...context.revokedIssuers] }
}

export function decodeSecret(path: string, message: Secret, revocations: unknown): AnySecret {
  const { name, type } = message
  if (type.case === 'tlsCertificate') {
    return { kind: 'certificate', name, pair: decodeCertificate(within(path, 'tls_certificate'), type.value) }
  }
  if (type.case === 'genericSecret') {
    const text = decodeSource(within(path, 'generic_secret.secret'), type.value.secret)
    return { kind: 'text', name, text: hidden(text) }
  }
  if (type.case !== 'validationContext') {
    return refuse(path, 'must be a tls_certificate, a validation_context or a generic_secret')
  }
  const extension = type.value.customValidatorConfig
  if (extension === undefined) {
    const validation = decodeValidation(within(path, 'validation_context'), type.value)
    return { kind: 'validation', name, validation }
  }
  return decodeBundle(path, message, revocations)
}

function decodeBundle(path: string, message: Secret, revocations: unknown): ValidationContext {
  // Anything beside the validator would be a second opinion on whom to trust.
  checkShape(SecretSchema, message, BUNDLE_SHAPE, path)
  const extension = message.type.case === 'validationContext' ? message.type.value.customValidatorConfig : undefined
  const at = within(path, 'validation_context.custom_validator_config')
  require(within(at, 'name'), extension?.name === SPIFFE_VALIDATOR, `must be ${SPIFFE_VALIDATOR}`)
  const configPath = within(at, 'typed_config')
  const config = unpackShaped(SPIFFECertValidatorConfigSchema, extension?.typedConfig, SPIFFE_SHAPE, configPath)
  const roots = new Map<string, readonly string[]>()
  for (const [index, domain] of config.trustDomains.entries()) {
    const domainPath = `${configPath}.trust_domains[${index}]`
    require(within(domainPath, 'name'), isSubdomain(domain.name), `${domain.name} is not a trust domain`)
    require(within(domainPath, 'name'), !roots.has(domain.name), `${domain.name} is there twice`)
    const source = domain.trustBundle?.specifier
    const pem = source?.case === 'inlineString' ? source.value : ''
    roots.set(domain.name, splitPem(within(domainPath, 'trust_bundle.inline_string'), pem))
  }
  const reader = new FieldReader(`metadata.filter_metadata["${REVOCATIONS_METADATA}"]`, revocations)
  const revokedTrustDomains = reader.strings('trust_domains')
  const revokedIssuers = reader.strings('issuers')
  reader.end()
  return { name: message.name, roots: Object.fromEntries(roots), revokedTrustDomains, revokedIssuers }
}

/** Only framing is checked; whoever builds the trust store parses the certificates. */
function splitPem(path: string, pem: string): readonly string[] {
  const blocks = pem.match(PEM) ?? []
  require(path, blocks.length > 0 && blocks.join('') === pem, 'must be PEM certificates and nothing else')
  return blocks.map((block) => (block.endsWith('\n') ? block : `${block}\n`))
}
