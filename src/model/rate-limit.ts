/**
 * Rate limits as plain data: what requests are counted as, limits of one proxy alone, and those a service of its own
 * decides. Part of config.ts, which exports it.
 */
import type { GrpcTarget } from './ext-authz.ts'
import type { Fraction } from './filters.ts'
import type { HeaderChange, HeaderMatch, QueryMatch } from './route.ts'

/** A value in the metadata of a request. */
export interface MetadataPath {
  readonly namespace: string
  readonly path: readonly string[]
}

/** Namespace of metadata that every request has whose caller proved who it is: `uri`, `trust_domain`, `namespace`, `service_account`. */
export const PEER_METADATA = 'isthmus.peer'

/** One descriptor, if all of its entries can be made. */
export interface DescriptorRule {
  readonly actions: readonly DescriptorAction[]
  /** Counted by filters of the same stage only. Absent: 0. */
  readonly stage?: number
  /** Where metadata has a limit of the request's own: `requests_per_unit` and `unit`. For the rate limit service. */
  readonly limit?: MetadataPath
}

/** One entry of a descriptor; where one cannot be made there is no descriptor. */
export type DescriptorAction =
  | { readonly kind: 'header'; readonly header: string; readonly key: string; readonly optional?: true }
  | { readonly kind: 'generic'; readonly key: string; readonly value: string }
  | { readonly kind: 'remote-address' }
  /** The network the client is in, as `10.0.0.0/8`. */
  | { readonly kind: 'masked-address'; readonly bits4: number; readonly bits6: number }
  | { readonly kind: 'destination-cluster' }
  /** `expect` false: where the headers do not match. */
  | {
      readonly kind: 'header-match'
      readonly key: string
      readonly value: string
      readonly expect: boolean
      readonly headers: readonly HeaderMatch[]
    }
  | {
      readonly kind: 'query-match'
      readonly key: string
      readonly value: string
      readonly expect: boolean
      readonly query: readonly QueryMatch[]
    }
  | {
      readonly kind: 'metadata'
      readonly key: string
      readonly from: MetadataPath
      readonly default?: string
      readonly optional?: true
    }

/**
 * Local limits whose filter's name begins so are one limit of the whole proxy: chains that have the same one under the
 * same name take from the same buckets, for many chains may lead to one service. Envoy has buckets for each chain.
 */
export const SHARED_LIMIT = 'isthmus.limit/'

/** Which descriptors count: the route's own or else its virtual host's, both, or the route's alone. */
export type HostDescriptors = 'override' | 'include' | 'ignore'

/** What local and global limits say to clients. */
interface LimitAnswer {
  /** Absent: 429. */
  readonly status?: number
  /** Clients are told how much is left: `x-ratelimit-limit`, `-remaining` and `-reset`. */
  readonly tellsClient?: true
  /** Whole seconds, on refusals: `retry-after`. */
  readonly retryAfter?: true
  /** A gRPC client is told RESOURCE_EXHAUSTED instead of UNAVAILABLE. */
  readonly resourceExhausted?: true
  /** On refusals only. */
  readonly addResponse?: readonly HeaderChange[]
}

export interface RateLimitPolicy extends LimitAnswer {
  /** Absent: `local_rate_limit`. */
  readonly statPrefix?: string
  readonly bucket: TokenBucket
  /** Of requests that are counted at all, and of those found over the limit that are refused. */
  readonly enabled: Fraction
  readonly enforced: Fraction
  /** What requests are counted as here, whatever route and host say. */
  readonly rules?: readonly DescriptorRule[]
  /**
   * Buckets of their own for requests whose descriptor is exactly this. An empty value stands for any, and each that
   * comes has a bucket, while there are no more than `valuesMax`: then the one asked longest ago makes room.
   */
  readonly descriptors?: readonly { readonly entries: readonly DescriptorEntry[]; readonly bucket: TokenBucket }[]
  /** For each descriptor with an empty value; absent: 20. */
  readonly valuesMax?: number
  /** A request that met a descriptor's bucket does not take from the common one as well. */
  readonly descriptorsOnly?: true
  readonly stage?: number
  readonly hostDescriptors?: HostDescriptors
  /** Every connection has buckets of its own. */
  readonly perConnection?: true
  /** To requests that would have been refused, were the limit enforced. */
  readonly addUnenforced?: readonly HeaderChange[]
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

/** envoy.service.ratelimit.v3. */
export interface GlobalRateLimit extends LimitAnswer {
  readonly service: GrpcTarget
  readonly domain: string
  readonly stage?: number
  /** Absent: requests from inside and outside alike. */
  readonly requestType?: 'internal' | 'external'
  /** A service that cannot be asked refuses everyone; otherwise it admits them, as in Envoy. */
  readonly failureModeDeny?: true
  /** Absent: 500. */
  readonly statusOnError?: number
  /** What requests are counted as here, whatever route and host say. */
  readonly rules?: readonly DescriptorRule[]
  /** Of requests found over the limit: how many are refused. Absent: all. */
  readonly enforced?: Fraction
  readonly hidesLimited?: true
  readonly statPrefix?: string
}

export interface GlobalRateLimitRoute {
  readonly hostDescriptors?: HostDescriptors
  readonly domain?: string
}
