/**
 * What the data path needs to know about certificates, as plain data and functions: its own, and those of peers. How
 * a certificate is obtained or judged is not here: main.ts brings the source, state.ts the judge (src/pki).
 */
import type { SpiffeId } from '../model/identity.ts'
import type { PrincipalRule } from '../model/config.ts'

/** The proxy's own certificate; PEM, because that is what node:tls takes. */
export interface OwnCertificate {
  readonly id: SpiffeId
  readonly keyPem: string
  /** Leaf first, then the intermediate. */
  readonly chainPem: string
  readonly notAfterMs: number
}

/** src/pki's WorkloadIdentity is one; tests bring certificates of their own making. */
export interface IdentitySource {
  current(): OwnCertificate | undefined
  /** Called at every renewal, not with the present one; returns the unsubscribe function. */
  onChange(listener: (certificate: OwnCertificate) => void): () => void
}

/** A peer whose chain OpenSSL accepted and whose leaf we read. */
export interface Peer {
  readonly id: SpiffeId
  readonly uri: string
  readonly issuerKeyId: string
  readonly notAfterMs: number
}

export type PeerVerdict =
  | { readonly ok: true; readonly peer: Peer }
  | { readonly ok: false; readonly refusal: string; readonly detail: string }

/** `rule` absent: any identity the bundle vouches for. */
export function allows(rule: PrincipalRule | undefined, peer: Peer): boolean {
  return rule === undefined || rule.trustDomains.includes(peer.id.trustDomain) || rule.ids.includes(peer.uri)
}
