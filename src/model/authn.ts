/**
 * Who is calling, by tokens, passwords and keys: Envoy's authentication filters as plain data. Part of config.ts, which
 * exports it. Secrets travel only where a configuration file carries them; nothing here is ever logged.
 */
import type { RouteMatch, StringMatch } from './route.ts'
import type { DataSource, HiddenSource, HiddenText } from './tls.ts'

/** Where a service of someone else's answers, and the cluster that leads there. */
export interface HttpTarget {
  readonly uri: string
  readonly cluster: string
  readonly timeoutMs: number
}

export interface JwtPolicy {
  readonly providers: Readonly<Record<string, JwtProvider>>
  /** The first that matches decides; none, and the request needs no token. */
  readonly rules: readonly JwtRule[]
  /** Requirements that rules and routes refer to. */
  readonly requirements?: Readonly<Record<string, JwtRequirement>>
  readonly bypassPreflight?: true
  /** Refusals say nothing but their status. */
  readonly stripFailure?: true
}

export interface JwtRule {
  readonly match: RouteMatch
  /** Absent: no token is needed here. A name is one of the policy's requirements. */
  readonly requires?: JwtRequirement | { readonly kind: 'named'; readonly name: string }
}

export type JwtRequirement =
  | { readonly kind: 'provider'; readonly name: string; readonly audiences?: readonly string[] }
  | { readonly kind: 'any' | 'all'; readonly of: readonly JwtRequirement[] }
  | { readonly kind: 'allow-missing' }
  | { readonly kind: 'allow-missing-or-failed' }

/** What a route says instead of the rules. */
export type JwtRouted = { readonly kind: 'disabled' } | { readonly kind: 'named'; readonly name: string }

export interface JwtProvider {
  readonly keys: { readonly kind: 'local'; readonly source: DataSource } | ({ readonly kind: 'remote' } & RemoteKeys)
  /** Absent: any. */
  readonly issuer?: string
  /** One of the token's has to be among them. Empty: any. */
  readonly audiences: readonly string[]
  readonly subjects?: StringMatch
  readonly requireExpiration?: true
  readonly lifetimeMaxS?: number
  readonly clockSkewS: number
  /** The token goes on to the endpoint. */
  readonly forward?: true
  /** None of the three: the usual header and the parameter `access_token`. */
  readonly fromHeaders?: readonly { readonly name: string; readonly prefix: string }[]
  readonly fromParams?: readonly string[]
  readonly fromCookies?: readonly string[]
  readonly payloadHeader?: string
  readonly padPayload?: true
  readonly claimHeaders?: readonly { readonly header: string; readonly claim: string }[]
  /** Keys of dynamic metadata for the payload, the header, and why a token failed. */
  readonly payloadMetadata?: string
  readonly headerMetadata?: string
  readonly failureMetadata?: string
  /** Claims of the payload in metadata that become lists. */
  readonly spacedClaims?: readonly string[]
  /** Routes may depend on what claims put into headers. */
  readonly reroute?: true
  /** How many tokens found good are remembered. */
  readonly cacheSize?: number
}

export interface RemoteKeys {
  readonly target: HttpTarget
  readonly cacheMs: number
  /** Fetched at once and again before they are needed, not with the first request. */
  readonly ahead?: { readonly failedRefetchMs: number }
}

export interface ApiKey {
  readonly key: HiddenText
  readonly client: string
}

/** The first of the sources that has a key gives it. */
export type ApiKeySource = { readonly kind: 'header' | 'query' | 'cookie'; readonly name: string }

/** What is absent at a route is the chain's. */
export interface ApiKeyPolicy {
  readonly keys?: readonly ApiKey[]
  readonly sources?: readonly ApiKeySource[]
  readonly forward?: {
    /** Who it was goes to the endpoint under this name. */
    readonly clientHeader?: string
    /** The key does not. */
    readonly hidesKey?: true
  }
}

export interface ApiKeyRouted extends ApiKeyPolicy {
  /** Absent: every client that is known. */
  readonly clients?: readonly string[]
}

/** Users with the SHA-1 of their passwords, as htpasswd writes them: `name:{SHA}…`, one to a line. */
export interface BasicAuthPolicy {
  readonly users: HiddenSource
  /** Who it was goes to the endpoint under this name. */
  readonly userHeader?: string
}

export interface BasicAuthRouted {
  readonly users: HiddenSource
}
