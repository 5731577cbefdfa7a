/**
 * HTTP filters as plain data. A chain may carry a filter's configuration, and virtual host and route each their own,
 * which replaces it whole. Part of config.ts, which exports it.
 */
import type { RbacPolicy } from './rbac.ts'
import type { HeaderMatch, StringMatch } from './route.ts'

export interface HttpFilters {
  readonly cors?: CorsPolicy
  /** On a route not together with `allow`, which is the same filter in its simplest form. */
  readonly rbac?: RbacPolicy
  readonly rateLimit?: RateLimitPolicy
  readonly fault?: FaultPolicy
}

/**
 * The order in which every request meets them, whatever the order they were written in would be: another order is
 * refused. A preflight carries no credentials, so CORS is first; a fault stands for the service, so it is last.
 */
const IN_ORDER = { cors: true, rbac: true, rateLimit: true, fault: true } satisfies Record<keyof HttpFilters, true>
export const FILTER_ORDER = Object.keys(IN_ORDER) as readonly (keyof HttpFilters)[]

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

export interface RateLimitPolicy {
  /** Absent: 429. */
  readonly status?: number
  readonly bucket: TokenBucket
  /** Of requests that are counted at all, and of those found over the limit that are refused. */
  readonly enabled: Fraction
  readonly enforced: Fraction
  /** Buckets of their own for requests whose descriptor is exactly this. */
  readonly descriptors?: readonly { readonly entries: readonly DescriptorEntry[]; readonly bucket: TokenBucket }[]
  /** A request that met a descriptor's bucket does not take from the common one as well. */
  readonly descriptorsOnly?: true
}

export interface TokenBucket {
  readonly tokensMax: number
  readonly tokensPerFill: number
  readonly fillMs: number
}

export interface DescriptorEntry {
  readonly key: string
  readonly value: string
}

/** One entry of a descriptor; where one cannot be made there is no descriptor. */
export type DescriptorAction =
  | { readonly kind: 'header'; readonly header: string; readonly key: string; readonly optional?: true }
  | { readonly kind: 'generic'; readonly key: string; readonly value: string }
  | { readonly kind: 'remote-address' }

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
