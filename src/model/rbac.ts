/** Who may do what: Envoy's RBAC as plain data. Part of config.ts, which exports it. */
import type { HeaderMatch, StringMatch } from './route.ts'

/** Absent rules admit everyone. */
export interface RbacPolicy {
  readonly rules?: RbacRules
  /** Judged and counted, and nothing else comes of it. */
  readonly shadow?: RbacRules
  /** In the names of counters; of a chain's filter only. */
  readonly statPrefix?: string
  readonly shadowStatPrefix?: string
}

/** `allow` admits what a policy matches and nothing else, `deny` the opposite; `log` admits all and names the policy. */
export interface RbacRules {
  readonly action: 'allow' | 'deny' | 'log'
  readonly policies: Readonly<Record<string, AccessPolicy>>
}

/** Any of the permissions and any of the principals. */
export interface AccessPolicy {
  readonly permissions: readonly Permission[]
  readonly principals: readonly Principal[]
}

export type RuleTree<Leaf> =
  | Leaf
  | { readonly kind: 'and' | 'or'; readonly of: readonly RuleTree<Leaf>[] }
  | { readonly kind: 'not'; readonly of: RuleTree<Leaf> }
  | { readonly kind: 'any' }
  | { readonly kind: 'header'; readonly header: HeaderMatch }
  /** The normal path without query. */
  | { readonly kind: 'path'; readonly path: StringMatch }
  | { readonly kind: 'metadata'; readonly metadata: MetadataMatch }

/** Of what filters before this one said about the request, such as a token's claims. */
export interface MetadataMatch {
  readonly namespace: string
  readonly path: readonly string[]
  readonly value: ValueMatch
  readonly invert?: true
}

export type ValueMatch =
  | { readonly kind: 'null' }
  | { readonly kind: 'number'; readonly exact: number }
  /** `from` is in it, `to` is not. */
  | { readonly kind: 'range'; readonly from: number; readonly to: number }
  | { readonly kind: 'string'; readonly is: StringMatch }
  | { readonly kind: 'bool'; readonly value: boolean }
  | { readonly kind: 'present'; readonly present: boolean }
  /** A list of which one fits. */
  | { readonly kind: 'one-of'; readonly value: ValueMatch }
  | { readonly kind: 'or'; readonly of: readonly ValueMatch[] }

/** Where the connection arrived, and the server name of its handshake (empty without TLS). `to` is not in the range. */
export type DestinationLeaf =
  | { readonly kind: 'destination-ip'; readonly address: string; readonly prefixLength: number }
  | { readonly kind: 'destination-port'; readonly from: number; readonly to: number }
  | { readonly kind: 'server-name'; readonly name: StringMatch }

export type Permission = RuleTree<DestinationLeaf>
export type Principal = RuleTree<PeerLeaf>

/**
 * `peer`: who proved an identity, by its URI. `source-ip`: the other end of the connection, whatever headers say; as a
 * relay before us named it in the PROXY protocol, unless `direct`. `forwarded`: as proxies before us say in
 * `x-forwarded-for`, as far as the chain believes them.
 */
export type PeerLeaf =
  | { readonly kind: 'peer'; readonly name?: StringMatch }
  | {
      readonly kind: 'source-ip'
      readonly address: string
      readonly prefixLength: number
      readonly direct?: true
      readonly forwarded?: true
    }
