/**
 * Routing as plain data: which virtual host, which route, and what becomes of the request. Part of config.ts, which
 * exports it; shaped after envoy.config.route.v3. Durations are whole milliseconds.
 */
import type { Metadata } from './cluster.ts'
import type { HashPolicy, MirrorPolicy, RoutedFilters } from './filters.ts'
import type { DescriptorRule } from './rate-limit.ts'
import type { Upgrade } from './upgrade.ts'

export interface RouteTable {
  readonly name: string
  readonly hosts: readonly VirtualHost[]
  /** On the wire only: `hosts` is empty, and so many travel by themselves. What a proxy compiles has it never. */
  readonly split?: { readonly hosts: number }
  /** Domains are compared without the port the client wrote. Absent: `a.b:80` and `a.b` are two names, as in Envoy. */
  readonly ignorePort?: true
  readonly headers?: HeaderMutations
  /** The order of levels is turned round: what the innermost level sets is what remains. */
  readonly mostSpecificHeadersWin?: true
  readonly filters?: RoutedFilters
}

export interface VirtualHost {
  readonly name: string
  /**
   * Lower case, with the port if the client writes one. Exact, then the longest `*.suffix`, then the longest
   * `prefix.*`, then `*`; a wildcard stands for at least one character. No domain is in a table twice.
   */
  readonly domains: readonly string[]
  /** First match wins. */
  readonly routes: readonly Route[]
  readonly headers?: HeaderMutations
  readonly filters?: RoutedFilters
  /** For routes without their own. */
  readonly descriptors?: readonly DescriptorRule[]
  /** For routes without their own. */
  readonly retry?: RetryPolicy
  /** Which attempt it is goes along as `x-envoy-attempt-count`: to the endpoint, to the client. */
  readonly attemptCount?: { readonly request?: true; readonly response?: true }
}

/** What is done with the request: forwarded, redirected or answered. */
export type Route = RouteCommon & (ForwardAction | RedirectAction | DirectAction)

export interface RouteCommon {
  readonly name?: string
  readonly match: RouteMatch
  /** What the route says to the filter `envoy.filters.http.rbac`, in its simplest form. A refusal of a `connect` route answers 404, so that nothing is disclosed. */
  readonly allow?: PrincipalRule
  readonly headers?: HeaderMutations
  readonly filters?: RoutedFilters
}

export interface ForwardAction {
  /** One, or the one that a header names, or several with the total of their weights above 0. */
  readonly cluster: string | ClusterByHeader | readonly WeightedCluster[]
  /** With several: a header's value, a number, stands for the draw. */
  readonly drawHeader?: string
  /** Answered where the cluster is not known. Absent: 503. */
  readonly unknownClusterStatus?: 404 | 500
  /** Values that an endpoint of the cluster's subsets must have. */
  readonly subset?: Metadata
  /** Counts by the limits for such requests. Absent: the usual ones. */
  readonly priority?: 'high'
  /** From the complete request to the complete answer; 0: no limit. */
  readonly timeoutMs: number
  /** Neither side sent a byte; 0: no limit. Absent: five minutes, Envoy's. */
  readonly idleTimeoutMs?: number
  /** From the request's first byte to the answer's last; 0: no limit. */
  readonly durationMaxMs?: number
  /** The client's `grpc-timeout`, up to `maxMs` (0: whatever it says) and less `offsetMs`, stands for the duration. */
  readonly grpcTimeout?: { readonly maxMs: number; readonly offsetMs?: number }
  readonly retry?: RetryPolicy
  readonly rewritePath?: PathRewrite
  readonly rewriteHost?: HostRewrite
  /** The host before it was rewritten goes along as `x-forwarded-host`. */
  readonly forwardedHost?: true
  readonly mirrors?: readonly MirrorPolicy[]
  readonly hash?: readonly HashPolicy[]
  /** What rate limits count the request as. */
  readonly descriptors?: readonly DescriptorRule[]
  /** Those of the virtual host count as well. */
  readonly hostDescriptors?: true
  /** Beside those of the listener, and stronger. */
  readonly upgrades?: readonly Upgrade[]
}

/** `header`: its name, lower case. */
export interface ClusterByHeader {
  readonly header: string
}

export interface WeightedCluster {
  readonly name: string | ClusterByHeader
  readonly weight: number
  /** Beside the route's; where both name a key, this one's value counts. */
  readonly subset?: Metadata
  readonly rewriteHost?: Extract<HostRewrite, { readonly kind: 'literal' }>
  /** Come before those of the route. */
  readonly headers?: HeaderMutations
  readonly filters?: RoutedFilters
}

/** `prefix` replaces what the route matched, all of the path where that was no prefix. The query stays. */
export type PathRewrite = { readonly kind: 'prefix'; readonly prefix: string } | RegexRewrite

/** Every match in the text; `\1` in the substitution is the first group. */
export interface RegexRewrite {
  readonly kind: 'regex'
  readonly regex: string
  readonly substitution: string
}

/** `header`: its value, if it is there. `path`: what the regex makes of the path. `endpoint`: its host name, if it has one. */
export type HostRewrite =
  | { readonly kind: 'endpoint' }
  | { readonly kind: 'literal'; readonly host: string }
  | { readonly kind: 'header'; readonly name: string }
  | { readonly kind: 'path'; readonly regex: string; readonly substitution: string }

/** What is absent stays as the client wrote it. */
export interface RedirectAction {
  readonly redirect: {
    readonly status: 301 | 302 | 303 | 307 | 308
    readonly scheme?: string
    readonly host?: string
    readonly port?: number
    /** A query in it replaces the request's. */
    readonly path?: { readonly kind: 'path'; readonly path: string } | PathRewrite
    readonly stripQuery?: true
  }
}

export interface DirectAction {
  readonly direct: { readonly status: number; readonly body: string }
}

/** At one level removals come first, and levels from the inside out: cluster, route, virtual host, table. */
export interface HeaderMutations {
  readonly addRequest?: readonly HeaderChange[]
  readonly removeRequest?: readonly string[]
  readonly addResponse?: readonly HeaderChange[]
  readonly removeResponse?: readonly string[]
}

export interface HeaderChange {
  readonly name: string
  /** Text with `%REQ(name)%`, `%PROTOCOL%`, `%DOWNSTREAM_PEER_URI_SAN%`; `%%` is a percent sign. */
  readonly value: string
  readonly action: 'append' | 'add-if-absent' | 'overwrite' | 'overwrite-if-exists'
  /** Otherwise a value that comes out empty changes nothing. */
  readonly keepEmpty?: true
}

/** All conditions hold. `connect` matches CONNECT requests only, the others every other method. */
export type RouteMatch = PathMatch & MatchConditions

/** Of the normalised path without query. A separated prefix ends at a slash or at the path's end; a regex matches all. */
export type PathMatch =
  | { readonly kind: 'prefix'; readonly prefix: string }
  | { readonly kind: 'separated-prefix'; readonly prefix: string }
  | { readonly kind: 'path'; readonly path: string }
  | { readonly kind: 'regex'; readonly regex: string }
  | { readonly kind: 'connect' }

export interface MatchConditions {
  /** Of path and prefixes; a regex says it itself. */
  readonly ignoreCase?: true
  readonly headers?: readonly HeaderMatch[]
  readonly query?: readonly QueryMatch[]
}

/** `regex`: RE2 syntax, and it matches the whole text. */
export interface StringMatch {
  readonly kind: 'exact' | 'prefix' | 'suffix' | 'contains' | 'regex'
  readonly value: string
  /** Not with `regex`. */
  readonly ignoreCase?: true
}

export interface HeaderMatch {
  /** Lower case; `:method`, `:path`, `:authority` and `:scheme` too. Several values are joined by a comma. */
  readonly name: string
  readonly is: StringMatch | IntegerRange | { readonly kind: 'present'; readonly present: boolean }
  /** A header that is absent matches no value, inverted or not, unless it counts as empty. */
  readonly invert?: true
  readonly missingIsEmpty?: true
}

/** `from` is in it, `to` is not. */
export interface IntegerRange {
  readonly kind: 'range'
  readonly from: number
  readonly to: number
}

/** The first parameter of the name, as written, without decoding. */
export interface QueryMatch {
  readonly name: string
  readonly is: StringMatch | { readonly kind: 'present'; readonly present: boolean }
}

/** An empty list admits no one. */
export interface PrincipalRule {
  /** Trust domains of which any workload is admitted. */
  readonly trustDomains: readonly string[]
  /** Exact SPIFFE ids. */
  readonly ids: readonly string[]
}

/**
 * Envoy's words. `5xx`, `gateway-error` and `reset` retry whatever the method: who writes them says that it is safe.
 * `reset-before-request` is ours to judge: only requests that may be sent twice (RFC 9110 9.2.2).
 */
export const RETRY_CONDITIONS = [
  '5xx',
  'gateway-error',
  'reset',
  'reset-before-request',
  'connect-failure',
  'retriable-4xx',
  'refused-stream',
  'retriable-status-codes',
  'retriable-headers',
  'envoy-ratelimited',
  'cancelled',
  'deadline-exceeded',
  'internal',
  'resource-exhausted',
  'unavailable',
] as const

export interface RetryPolicy {
  readonly on: readonly (typeof RETRY_CONDITIONS)[number][]
  readonly retriesMax: number
  /** From the complete request to the answer's head, for each attempt. */
  readonly perTryTimeoutMs?: number
  /** For `retriable-status-codes`. */
  readonly statusCodes?: readonly number[]
  /** For `retriable-headers`: one of them in the answer is enough. */
  readonly responseHeaders?: readonly HeaderMatch[]
  /** Only requests with one of them are retried. */
  readonly requestHeaders?: readonly HeaderMatch[]
  /** Before the n-th retry a random wait below base × 2ⁿ⁻¹, at most the maximum. Absent: elsewhere at once. */
  readonly backOff?: { readonly baseMs: number; readonly maxMs: number }
  /** The answer says when: the first of these fields that it has, unless that is later than `maxMs`. */
  readonly resetHeaders?: {
    readonly headers: readonly { readonly name: string; readonly format: 'seconds' | 'unix-timestamp' }[]
    readonly maxMs: number
  }
  /** Endpoints that a retry does not go to while there is another: by their metadata (`envoy.lb`). */
  readonly omitHosts?: readonly Metadata[]
}

/**
 * How a request's path is made one before anything reads it: router, policies and the endpoint see the same. Dot
 * segments, `\` and needless escapes are always resolved (RFC 3986 6.2.2); this is what remains to choose.
 */
export interface PathPolicy {
  /** Of generic listeners only: dot segments and needless escapes stay, as in an Envoy that is told nothing. */
  readonly normalize?: false
  readonly mergeSlashes: boolean
  /** `%2f` and `%5c`: two readers may disagree about them, so the default refuses. */
  readonly escapedSlashes: 'reject' | 'keep' | 'unescape' | 'redirect'
}

export const DEFAULT_PATHS: PathPolicy = { mergeSlashes: false, escapedSlashes: 'reject' }
