/**
 * HTTP filters as plain data: a chain lists filters in the order requests meet them, and the levels of a route table may
 * say something to each by its name. Part of config.ts, which exports it. A kind of filter is a row in both tables of
 * types here, a codec in xds/codec/http-filters/ and a compiler in proxy/filter-kinds.ts.
 */
import type { ApiKeyPolicy, ApiKeyRouted, BasicAuthPolicy, BasicAuthRouted, JwtPolicy, JwtRouted } from './authn.ts'
import type { ExtAuthzPolicy, ExtAuthzRoute } from './ext-authz.ts'
import type { OAuth2Policy } from './oauth2.ts'
import type { GlobalRateLimit, GlobalRateLimitRoute, RateLimitPolicy } from './rate-limit.ts'
import type { RbacPolicy } from './rbac.ts'
import type { HeaderMatch, HeaderMutations, StringMatch } from './route.ts'

/** What a chain's own list says, by kind. Nothing: it is listed so that routes may configure it. */
export interface ListedConfigs {
  readonly cors: Readonly<Record<string, never>>
  readonly rbac: RbacPolicy
  readonly rateLimit: { readonly policy?: RateLimitPolicy }
  readonly fault: FaultPolicy
  readonly jwt: JwtPolicy
  readonly basicAuth: BasicAuthPolicy
  readonly apiKey: ApiKeyPolicy
  readonly oauth2: OAuth2Policy
  readonly headerMutation: HeaderMutationPolicy
  readonly buffer: BufferPolicy
  readonly extAuthz: ExtAuthzPolicy
  readonly globalRateLimit: GlobalRateLimit
  readonly grpcWeb: Readonly<Record<string, never>>
}

/** What table, virtual host, route or weighted cluster say; by most kinds the most specific replaces the rest. */
export interface RoutedConfigs {
  readonly cors: CorsPolicy
  readonly rbac: RbacPolicy
  readonly rateLimit: RateLimitPolicy
  readonly fault: FaultPolicy
  readonly jwt: JwtRouted
  readonly basicAuth: BasicAuthRouted
  readonly apiKey: ApiKeyRouted
  readonly headerMutation: readonly HeaderMutations[]
  readonly buffer: BufferRouted
  readonly extAuthz: ExtAuthzRoute
  readonly globalRateLimit: GlobalRateLimitRoute
}

export type FilterKindName = keyof ListedConfigs

export interface ListedFilterOf<Kind extends FilterKindName> {
  /** One filter may be there twice under two names. */
  readonly name: string
  readonly kind: Kind
  readonly config: ListedConfigs[Kind]
  /** Runs only where a table says something to it. */
  readonly disabled?: true
}
export type ListedFilter = { readonly [Kind in FilterKindName]: ListedFilterOf<Kind> }[FilterKindName]

export interface RoutedFilterOf<Kind extends keyof RoutedConfigs> {
  readonly kind: Kind
  readonly config: RoutedConfigs[Kind]
}
/** `off`: does not run here. A configuration also lets run what the chain has disabled. */
export type RoutedFilter =
  | { readonly [Kind in keyof RoutedConfigs]: RoutedFilterOf<Kind> }[keyof RoutedConfigs]
  | { readonly kind: 'off' }

/** By the filter's name in its chain. A name that the chain does not have says nothing, as in Envoy. */
export type RoutedFilters = Readonly<Record<string, RoutedFilter>>

/** Names that this mesh's own configurations use. */
export const FILTER_NAMES = {
  cors: 'envoy.filters.http.cors',
  rbac: 'envoy.filters.http.rbac',
  rateLimit: 'envoy.filters.http.local_ratelimit',
  fault: 'envoy.filters.http.fault',
} as const

/**
 * A chain that lists no filters has these, so that a route table can gain or lose a policy without touching its
 * listener. A preflight carries no credentials, so CORS is first; a fault stands for the service, so it is last.
 */
export const DEFAULT_FILTERS: readonly ListedFilter[] = [
  { name: FILTER_NAMES.cors, kind: 'cors', config: {} },
  { name: FILTER_NAMES.rbac, kind: 'rbac', config: {} },
  { name: FILTER_NAMES.rateLimit, kind: 'rateLimit', config: {} },
  { name: FILTER_NAMES.fault, kind: 'fault', config: {} },
]

export interface Fraction {
  readonly numerator: number
  readonly denominator: 100 | 10_000 | 1_000_000
}

export interface CorsPolicy {
  /** An exact `*` admits any origin. */
  readonly origins: readonly StringMatch[]
  /** Values of the answer's fields, as written. */
  readonly methods?: string
  readonly headers?: string
  readonly expose?: string
  readonly maxAge?: string
  readonly credentials?: true
}

export interface FaultPolicy {
  readonly delay?: { readonly ms: number; readonly share: Fraction }
  /** Answered instead of forwarded, after the delay. */
  readonly abort?: { readonly status: number; readonly share: Fraction }
  /** Only requests that match all. */
  readonly headers?: readonly HeaderMatch[]
}

/** In the order they are made; those of levels come after, the least specific last unless told otherwise. */
export interface HeaderMutationPolicy {
  readonly changes: readonly HeaderMutations[]
  readonly mostSpecificWins?: true
}

/** Requests wait for the whole of their body; a longer one is refused. */
export interface BufferPolicy {
  readonly bytesMax: number
}

export type BufferRouted = { readonly kind: 'disabled' } | { readonly kind: 'limit'; readonly bytesMax: number }

/** A copy whose answer is dropped. */
export interface MirrorPolicy {
  readonly cluster: string
  readonly share: Fraction
  /** Otherwise `-shadow` is added to the host, as in Envoy. */
  readonly keepHost?: true
}

/** What the balancer's rings go by; a terminal one that finds something is the last. */
export type HashPolicy = HashSource & { readonly terminal?: true }
export type HashSource =
  | { readonly kind: 'header'; readonly name: string }
  | { readonly kind: 'cookie'; readonly name: string }
  | { readonly kind: 'query'; readonly name: string }
  | { readonly kind: 'source-ip' }
