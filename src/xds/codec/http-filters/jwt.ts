/** JWT authentication: providers, rules, requirements. */
import { create, type MessageInitShape } from '@bufbuild/protobuf'
import {
  type JwtAuthentication,
  JwtAuthenticationSchema,
  type JwtProvider as ProviderMessage,
  JwtProviderSchema,
  type JwtRequirement as RequirementMessage,
  JwtRequirementSchema,
  type PerRouteConfig,
  PerRouteConfigSchema,
  type RemoteJwks,
  RemoteJwksSchema,
  type RequirementRule,
  RequirementRuleSchema,
} from '#gen/envoy/extensions/filters/http/jwt_authn/v3/config_pb.js'
import type { JwtPolicy, JwtProvider, JwtRequirement, JwtRouted, JwtRule, RemoteKeys } from '../../../model/config.ts'
import { decodeDuration, encodeDuration } from '../common.ts'
import { decodeSource, encodeSource } from '../generic-tls.ts'
import { decodeTarget, encodeTarget, TARGET_SHAPE } from '../http-target.ts'
import { decodeName } from '../header-mutations.ts'
import { decodeString, encodeString, STRING_SHAPE } from '../matchers.ts'
import { decodeMatch, encodeMatch, MATCH_SHAPE } from '../route-match.ts'
import { refuse, require, type Shape, within } from '../shape.ts'
import { type FilterCodec, messageCodec } from './message-codec.ts'

const CLOCK_SKEW_S = 60 // Envoy's
const CACHE_MS = 600_000 // Envoy's
const FAILED_REFETCH_MS = 1_000 // Envoy's
/** Requirements nest; this deep no one writes them, and a shape has to end. */
const DEPTH_MAX = 8

const PROVIDER_SHAPE: Shape = {
  issuer: true,
  audiences: true,
  subjects: STRING_SHAPE,
  require_expiration: true,
  max_lifetime: true,
  remote_jwks: { http_uri: TARGET_SHAPE, cache_duration: true, async_fetch: { failed_refetch_duration: true } },
  local_jwks: { filename: true, inline_bytes: true, inline_string: true, environment_variable: true },
  forward: true,
  from_headers: { name: true, value_prefix: true },
  from_params: true,
  from_cookies: true,
  forward_payload_header: true,
  pad_forward_payload_header: true,
  payload_in_metadata: true,
  normalize_payload_in_metadata: { space_delimited_claims: true },
  header_in_metadata: true,
  failed_status_in_metadata: true,
  clock_skew_seconds: true,
  jwt_cache_config: { jwt_cache_size: true },
  claim_to_headers: { header_name: true, claim_name: true },
  clear_route_cache: true,
}

const SIMPLE_REQUIREMENT: Shape = {
  provider_name: true,
  provider_and_audiences: { provider_name: true, audiences: true },
  allow_missing_or_failed: {},
  allow_missing: {},
}

function requirementShape(depth: number): Shape {
  if (depth === 0) return SIMPLE_REQUIREMENT
  const nested: Shape = { requirements: requirementShape(depth - 1) }
  return { ...SIMPLE_REQUIREMENT, requires_any: nested, requires_all: nested }
}

const REQUIREMENT_SHAPE = requirementShape(DEPTH_MAX)
const POLICY_SHAPE: Shape = {
  providers: PROVIDER_SHAPE,
  rules: { match: MATCH_SHAPE, requires: REQUIREMENT_SHAPE, requirement_name: true },
  requirement_map: REQUIREMENT_SHAPE,
  bypass_cors_preflight: true,
  strip_failure_response: true,
}

export const jwtCodec: FilterCodec<'jwt'> = {
  listed: messageCodec(JwtAuthenticationSchema, { shape: POLICY_SHAPE, decode: decodePolicy, encode: encodePolicy }),
  routed: messageCodec(PerRouteConfigSchema, {
    shape: { disabled: true, requirement_name: true },
    decode: decodeRouted,
    encode: encodeRouted,
  }),
}

function encodePolicy(policy: JwtPolicy): JwtAuthentication {
  return create(JwtAuthenticationSchema, {
    providers: mapped(policy.providers, encodeProvider),
    rules: policy.rules.map(encodeRule),
    requirementMap: mapped(policy.requirements ?? {}, encodeRequirement),
    bypassCorsPreflight: policy.bypassPreflight === true,
    stripFailureResponse: policy.stripFailure === true,
  })
}

function decodePolicy(path: string, message: JwtAuthentication): JwtPolicy {
  const providers = Object.fromEntries(
    Object.entries(message.providers).map(([name, one]) => [name, decodeProvider(`${path}.providers["${name}"]`, one)]),
  )
  const known = new Set(Object.keys(providers))
  const requirements = Object.fromEntries(
    Object.entries(message.requirementMap).map(([name, one]) => [
      name,
      decodeRequirement(`${path}.requirement_map["${name}"]`, one, known),
    ]),
  )
  const rules = message.rules.map((rule, index) =>
    decodeRule(`${path}.rules[${index}]`, rule, { known, named: new Set(Object.keys(requirements)) }),
  )
  return {
    providers,
    rules,
    ...(Object.keys(requirements).length > 0 && { requirements }),
    ...(message.bypassCorsPreflight && { bypassPreflight: true }),
    ...(message.stripFailureResponse && { stripFailure: true }),
  }
}

const mapped = <From, To>(record: Readonly<Record<string, From>>, change: (value: From) => To): Record<string, To> =>
  Object.fromEntries(Object.entries(record).map(([key, value]) => [key, change(value)]))

function encodeRule({ match, requires }: JwtRule): RequirementRule {
  return create(RequirementRuleSchema, {
    match: encodeMatch(match),
    ...(requires !== undefined && {
      requirementType:
        requires.kind === 'named'
          ? { case: 'requirementName', value: requires.name }
          : { case: 'requires', value: encodeRequirement(requires) },
    }),
  })
}

interface Names {
  readonly known: ReadonlySet<string>
  readonly named: ReadonlySet<string>
}

function decodeRule(path: string, message: RequirementRule, { known, named }: Names): JwtRule {
  const { requirementType: type } = message
  const match = decodeMatch(within(path, 'match'), message.match)
  if (type.case === 'requires')
    return { match, requires: decodeRequirement(within(path, 'requires'), type.value, known) }
  if (type.case !== 'requirementName') return { match }
  require(within(path, 'requirement_name'), named.has(type.value), 'is not in requirement_map')
  return { match, requires: { kind: 'named', name: type.value } }
}

function encodeRequirement(requirement: JwtRequirement): RequirementMessage {
  const requires = (requiresType: RequirementMessage['requiresType']): RequirementMessage =>
    create(JwtRequirementSchema, { requiresType })
  switch (requirement.kind) {
    case 'provider': {
      const { name, audiences } = requirement
      if (audiences === undefined) return requires({ case: 'providerName', value: name })
      const value = { providerName: name, audiences: [...audiences] }
      return create(JwtRequirementSchema, { requiresType: { case: 'providerAndAudiences', value } })
    }
    case 'any':
    case 'all': {
      const value = { requirements: requirement.of.map(encodeRequirement) }
      const type = requirement.kind === 'any' ? 'requiresAny' : 'requiresAll'
      return create(JwtRequirementSchema, { requiresType: { case: type, value } })
    }
    case 'allow-missing':
      return create(JwtRequirementSchema, { requiresType: { case: 'allowMissing', value: {} } })
    case 'allow-missing-or-failed':
      return create(JwtRequirementSchema, { requiresType: { case: 'allowMissingOrFailed', value: {} } })
    default:
      return requirement satisfies never
  }
}

function decodeRequirement(path: string, message: RequirementMessage, known: ReadonlySet<string>): JwtRequirement {
  const { requiresType: type } = message
  const provider = (at: string, name: string): string => {
    require(at, known.has(name), `there is no provider ${name}`)
    return name
  }
  switch (type.case) {
    case 'providerName':
      return { kind: 'provider', name: provider(within(path, 'provider_name'), type.value) }
    case 'providerAndAudiences': {
      const { providerName, audiences } = type.value
      const at = within(path, 'provider_and_audiences')
      return { kind: 'provider', name: provider(within(at, 'provider_name'), providerName), audiences: [...audiences] }
    }
    case 'requiresAny':
    case 'requiresAll': {
      const at = within(path, type.case === 'requiresAny' ? 'requires_any' : 'requires_all')
      const { requirements } = type.value
      require(within(at, 'requirements'), requirements.length >= 2, 'needs two or more')
      const of = requirements.map((one, index) => decodeRequirement(`${at}.requirements[${index}]`, one, known))
      return { kind: type.case === 'requiresAny' ? 'any' : 'all', of }
    }
    case 'allowMissing':
      return { kind: 'allow-missing' }
    case 'allowMissingOrFailed':
      return { kind: 'allow-missing-or-failed' }
    default:
      return refuse(path, 'requires nothing; leave the requirement out instead')
  }
}

function encodeProvider(provider: JwtProvider): ProviderMessage {
  const { keys } = provider
  return create(JwtProviderSchema, {
    jwksSourceSpecifier:
      keys.kind === 'local'
        ? { case: 'localJwks', value: { specifier: encodeSource(keys.source) } }
        : { case: 'remoteJwks', value: encodeRemote(keys) },
    issuer: provider.issuer ?? '',
    audiences: [...provider.audiences],
    ...(provider.subjects !== undefined && { subjects: encodeString(provider.subjects) }),
    requireExpiration: provider.requireExpiration === true,
    ...(provider.lifetimeMaxS !== undefined && { maxLifetime: encodeDuration(provider.lifetimeMaxS * 1000) }),
    clockSkewSeconds: provider.clockSkewS,
    forward: provider.forward === true,
    fromHeaders: (provider.fromHeaders ?? []).map(({ name, prefix }) => ({ name, valuePrefix: prefix })),
    fromParams: [...(provider.fromParams ?? [])],
    fromCookies: [...(provider.fromCookies ?? [])],
    ...encodeResults(provider),
  })
}

function encodeResults(provider: JwtProvider) {
  const { spacedClaims, cacheSize } = provider
  return {
    forwardPayloadHeader: provider.payloadHeader ?? '',
    padForwardPayloadHeader: provider.padPayload === true,
    payloadInMetadata: provider.payloadMetadata ?? '',
    headerInMetadata: provider.headerMetadata ?? '',
    failedStatusInMetadata: provider.failureMetadata ?? '',
    ...(spacedClaims !== undefined && { normalizePayloadInMetadata: { spaceDelimitedClaims: [...spacedClaims] } }),
    ...(cacheSize !== undefined && { jwtCacheConfig: { jwtCacheSize: cacheSize } }),
    claimToHeaders: (provider.claimHeaders ?? []).map(({ header, claim }) => ({
      headerName: header,
      claimName: claim,
    })),
    clearRouteCache: provider.reroute === true,
  } satisfies MessageInitShape<typeof JwtProviderSchema>
}

function decodeProvider(path: string, message: ProviderMessage): JwtProvider {
  const { jwksSourceSpecifier: source, maxLifetime, subjects } = message
  require(path, source.case !== undefined, 'needs local_jwks or remote_jwks')
  const keys: JwtProvider['keys'] =
    source.case === 'localJwks'
      ? { kind: 'local', source: decodeSource(within(path, 'local_jwks'), source.value) }
      : { kind: 'remote', ...decodeRemote(within(path, 'remote_jwks'), source.value) }
  if (keys.kind === 'local' && 'text' in keys.source) requireKeys(within(path, 'local_jwks'), keys.source.text)
  const lifetimeMs = maxLifetime && decodeDuration(within(path, 'max_lifetime'), maxLifetime)
  return {
    keys,
    ...(message.issuer !== '' && { issuer: message.issuer }),
    audiences: [...message.audiences],
    ...(subjects !== undefined && { subjects: decodeString(within(path, 'subjects'), subjects) }),
    ...(message.requireExpiration && { requireExpiration: true }),
    ...(lifetimeMs !== undefined && { lifetimeMaxS: lifetimeMs / 1000 }),
    clockSkewS: message.clockSkewSeconds === 0 ? CLOCK_SKEW_S : message.clockSkewSeconds,
    ...(message.forward && { forward: true }),
    ...decodePlaces(path, message),
    ...decodeResults(path, message),
  }
}

/** Envoy takes any text and then finds no key; a typing error should not lock everyone out later. */
function requireKeys(path: string, text: string): void {
  let keys: unknown
  try {
    keys = (JSON.parse(text) as { readonly keys?: unknown } | null)?.keys
  } catch {
    refuse(path, 'is not JSON')
  }
  require(path, Array.isArray(keys) && keys.length > 0, 'has no keys')
}

function decodePlaces(
  path: string,
  { fromHeaders, fromParams, fromCookies }: ProviderMessage,
): Pick<JwtProvider, 'fromHeaders' | 'fromParams' | 'fromCookies'> {
  const headers = fromHeaders.map(({ name, valuePrefix }, index) => ({
    name: decodeName(`${path}.from_headers[${index}].name`, name),
    prefix: valuePrefix,
  }))
  return {
    ...(headers.length > 0 && { fromHeaders: headers }),
    ...(fromParams.length > 0 && { fromParams: [...fromParams] }),
    ...(fromCookies.length > 0 && { fromCookies: [...fromCookies] }),
  }
}

type Results =
  | 'payloadHeader'
  | 'padPayload'
  | 'claimHeaders'
  | 'payloadMetadata'
  | 'headerMetadata'
  | 'failureMetadata'
  | 'spacedClaims'
  | 'reroute'
  | 'cacheSize'

function decodeResults(path: string, message: ProviderMessage): Pick<JwtProvider, Results> {
  const { forwardPayloadHeader: payloadHeader, normalizePayloadInMetadata: normal, jwtCacheConfig } = message
  const claimHeaders = message.claimToHeaders.map(({ headerName, claimName }, index) => {
    const at = `${path}.claim_to_headers[${index}]`
    require(within(at, 'claim_name'), claimName !== '', 'is required')
    return { header: decodeName(within(at, 'header_name'), headerName), claim: claimName }
  })
  return {
    ...(payloadHeader !== '' && { payloadHeader: decodeName(within(path, 'forward_payload_header'), payloadHeader) }),
    ...(message.padForwardPayloadHeader && { padPayload: true }),
    ...(claimHeaders.length > 0 && { claimHeaders }),
    ...(message.payloadInMetadata !== '' && { payloadMetadata: message.payloadInMetadata }),
    ...(message.headerInMetadata !== '' && { headerMetadata: message.headerInMetadata }),
    ...(message.failedStatusInMetadata !== '' && { failureMetadata: message.failedStatusInMetadata }),
    ...(normal !== undefined && { spacedClaims: [...normal.spaceDelimitedClaims] }),
    ...(message.clearRouteCache && { reroute: true }),
    ...(jwtCacheConfig !== undefined && { cacheSize: jwtCacheConfig.jwtCacheSize }),
  }
}

function encodeRemote({ target, cacheMs, ahead }: RemoteKeys): RemoteJwks {
  return create(RemoteJwksSchema, {
    httpUri: encodeTarget(target),
    cacheDuration: encodeDuration(cacheMs),
    ...(ahead !== undefined && { asyncFetch: { failedRefetchDuration: encodeDuration(ahead.failedRefetchMs) } }),
  })
}

function decodeRemote(path: string, { httpUri, cacheDuration, asyncFetch }: RemoteJwks): RemoteKeys {
  const refetch = asyncFetch?.failedRefetchDuration
  const at = within(path, 'async_fetch.failed_refetch_duration')
  const failedRefetchMs = refetch === undefined ? FAILED_REFETCH_MS : decodeDuration(at, refetch)
  const cacheMs = cacheDuration && decodeDuration(within(path, 'cache_duration'), cacheDuration)
  require(within(path, 'cache_duration'), cacheMs === undefined || cacheMs > 0, 'must be above 0')
  require(at, failedRefetchMs > 0, 'must be above 0')
  return {
    target: decodeTarget(within(path, 'http_uri'), httpUri),
    cacheMs: cacheMs ?? CACHE_MS,
    ...(asyncFetch !== undefined && { ahead: { failedRefetchMs } }),
  }
}

function encodeRouted(routed: JwtRouted): PerRouteConfig {
  return create(PerRouteConfigSchema, {
    requirementSpecifier:
      routed.kind === 'disabled' ? { case: 'disabled', value: true } : { case: 'requirementName', value: routed.name },
  })
}

function decodeRouted(path: string, { requirementSpecifier: said }: PerRouteConfig): JwtRouted {
  if (said.case === 'disabled') {
    require(within(path, 'disabled'), said.value, 'must be true')
    return { kind: 'disabled' }
  }
  if (said.case !== 'requirementName') return refuse(path, 'needs disabled or requirement_name')
  require(within(path, 'requirement_name'), said.value !== '', 'is required')
  return { kind: 'named', name: said.value }
}
