/**
 * ValidationContext <-> Secret: trust anchors per trust domain as Envoy's SPIFFE validator has them, never one pool
 * (a foreign root in a shared pool could mint our names). Envoy has no revocation by issuer key, so that set travels in
 * the resource's metadata. A certificate or key in a Secret is refused: those never travel.
 */
import { create, type JsonObject } from '@bufbuild/protobuf'
import { anyPack } from '@bufbuild/protobuf/wkt'
import { type Secret, SecretSchema } from '#gen/envoy/extensions/transport_sockets/tls/v3/secret_pb.js'
import { SPIFFECertValidatorConfigSchema } from '#gen/envoy/extensions/transport_sockets/tls/v3/tls_spiffe_validator_config_pb.js'
import { isSubdomain } from '../../model/identity.ts'
import type { ValidationContext } from '../../model/config.ts'
import { FieldReader } from './common.ts'
import { refuse, require, type Shape, unpackShaped, within } from './shape.ts'

const SPIFFE_VALIDATOR = 'envoy.tls.cert_validator.spiffe'
export const REVOCATIONS_METADATA = 'isthmus.revocations'
const PEM = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----\n?/g

export const SECRET_SHAPE: Shape = {
  name: true,
  validation_context: { custom_validator_config: { name: true, typed_config: true } },
}
const SPIFFE_SHAPE: Shape = { trust_domains: { name: true, trust_bundle: { inline_string: true } } }

export function encodeSecret(context: ValidationContext): Secret {
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
export function encodeRevocations(context: ValidationContext): JsonObject | undefined {
  if (context.revokedTrustDomains.length + context.revokedIssuers.length === 0) return undefined
  return { trust_domains: [...context.revokedTrustDomains], issuers: [...context.revokedIssuers] }
}

export function decodeSecret(path: string, message: Secret, revocations: unknown): ValidationContext {
  if (message.type.case !== 'validationContext') return refuse(within(path, 'validation_context'), 'is required')
  const extension = message.type.value.customValidatorConfig
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
