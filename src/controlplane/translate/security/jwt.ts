/**
 * RequestAuthentication to the JWT filter of one pod's chains: a bad token is refused with 401, a missing one is not.
 * Keys of servers in the mesh are fetched by the proxies, through the mesh (so that the way there is mTLS and bounded as
 * any other). Those of others the control plane fetches (issuer-keys); until they are in `keySets` every token of theirs
 * is refused.
 */
import type { JwtPolicy, JwtProvider, JwtRequirement, ListedFilter } from '../../../model/config.ts'
import { istioDurationMs } from '../../../kube/durations.ts'
import { clusterName } from '../../../model/sni.ts'
import type { JwtRuleSpec, RequestAuthenticationFacts } from '../../observe/facts-security.ts'
import { nobodysKeys } from './nobodys-key.ts'
import { PAYLOAD } from './tokens.ts'

export const JWT_FILTER = 'envoy.filters.http.jwt_authn'
/** Istio's: these lists are written as text by nearly everyone. */
const SPACED_CLAIMS = ['scope', 'permission']
const FETCH_TIMEOUT_MS = 5_000
const CACHE_MS = 20 * 60_000
const FAILED_REFETCH_MS = 10_000
const CLOCK_SKEW_S = 60 // Envoy's default

export interface KeyTables {
  /** Hosts of the mesh, as a route table names them. */
  readonly isHost: (host: string, port: number) => boolean
  /** Key sets that the control plane fetched; undefined: not yet. */
  readonly fetched: (uri: string) => string | undefined
}

/** Undefined: no tokens are looked at. */
export function jwtFilter(
  policies: readonly RequestAuthenticationFacts[],
  tables: KeyTables,
): ListedFilter | undefined {
  const rules = policies.flatMap((policy) => policy.rules)
  if (rules.length === 0) return undefined
  const providers = rules.map((rule, index) => [`origins-${index}`, providerOf(rule, tables)] as const)
  const names = providers.map(([name]) => name)
  const config: JwtPolicy = {
    providers: Object.fromEntries(providers),
    rules: [{ match: { kind: 'prefix', prefix: '/' }, requires: requirementOf(names) }],
    bypassPreflight: true,
  }
  return { name: JWT_FILTER, kind: 'jwt', config }
}

/**
 * A token of any of them, or nothing that any of them would read. The latter alone would refuse what two of them look
 * for in one place, where a token is only one's.
 */
function requirementOf(names: readonly string[]): JwtRequirement {
  const each = names.map((name): JwtRequirement => ({ kind: 'provider', name }))
  const lenient = each.map((one): JwtRequirement => ({ kind: 'any', of: [one, { kind: 'allow-missing' }] }))
  const [only] = lenient
  if (lenient.length === 1 && only !== undefined) return only
  return { kind: 'any', of: [...each, { kind: 'all', of: lenient }] }
}

function providerOf(rule: JwtRuleSpec, tables: KeyTables): JwtProvider {
  const { issuer, audiences = [], fromHeaders = [], fromParams = [], fromCookies = [] } = rule
  const { outputPayloadToHeader: payloadHeader, outputClaimToHeaders: claims = [], spaceDelimitedClaims = [] } = rule
  return {
    keys: keysOf(rule, tables),
    issuer,
    audiences,
    clockSkewS: CLOCK_SKEW_S,
    ...(rule.forwardOriginalToken === true && { forward: true as const }),
    ...(fromHeaders.length > 0 && {
      fromHeaders: fromHeaders.map(({ name, prefix = '' }) => ({ name: name.toLowerCase(), prefix })),
    }),
    ...(fromParams.length > 0 && { fromParams }),
    ...(fromCookies.length > 0 && { fromCookies }),
    ...(payloadHeader !== undefined && payloadHeader !== '' && { payloadHeader: payloadHeader.toLowerCase() }),
    ...(claims.length > 0 && {
      claimHeaders: claims.map(({ header, claim }) => ({ header: header.toLowerCase(), claim })),
    }),
    payloadMetadata: PAYLOAD,
    spacedClaims: [...new Set([...SPACED_CLAIMS, ...spaceDelimitedClaims])],
  }
}

function keysOf(rule: JwtRuleSpec, { isHost, fetched }: KeyTables): JwtProvider['keys'] {
  const { jwks, timeout } = rule
  if (jwks !== undefined && jwks !== '') return { kind: 'local', source: { text: jwks } }
  const uri = keyAddressOf(rule)
  // An OpenID configuration only says where the keys are: a proxy does not follow it.
  const place = uri === rule.jwksUri ? meshPlaceOf(uri) : undefined
  if (place !== undefined && isHost(place.host, place.port)) {
    const timeoutMs = Math.round((timeout === undefined ? undefined : istioDurationMs(timeout)) ?? FETCH_TIMEOUT_MS)
    const cluster = clusterName('outbound', place.port, place.host)
    return {
      kind: 'remote',
      target: { uri, cluster, timeoutMs },
      cacheMs: CACHE_MS,
      ahead: { failedRefetchMs: FAILED_REFETCH_MS },
    }
  }
  return { kind: 'local', source: { text: fetched(uri) ?? nobodysKeys() } }
}

/** Where a rule's keys are: named, or to be found through the issuer's OpenID configuration. */
export const keyAddressOf = ({ issuer, jwksUri }: JwtRuleSpec): string =>
  jwksUri === undefined || jwksUri === '' ? `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration` : jwksUri

/** Plaintext to a name of the mesh is mTLS on the wire; https would be the application's own, end to end. */
function meshPlaceOf(uri: string): { readonly host: string; readonly port: number } | undefined {
  if (!URL.canParse(uri)) return undefined
  const { protocol, hostname: host, port } = new URL(uri)
  return protocol === 'http:' ? { host, port: port === '' ? 80 : Number(port) } : undefined
}
