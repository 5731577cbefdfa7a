/**
 * The bundle compiled: which roots TLS trusts, and whose leaf passes. Decisions use the leaf's signed content. Roots
 * of foreign trust domains are never anchors (a foreign root in the pool could mint our names); a peer whose roots are
 * not also ours is refused until it comes with a cross-certificate.
 */
import { createSecureContext, type SecureContextOptions } from 'node:tls'
import type { ValidationContext } from '../model/config.ts'
import type { OwnCertificate, Peer, PeerVerdict } from './identity.ts'
import type { ClientCredentials } from './upstream/dial.ts'

/** src/pki/verify.ts's `verifyLeaf`; brought by state.ts. */
export type LeafReader = (
  der: Buffer | undefined,
  expectations: {
    ids?: readonly string[]
    revokedTrustDomains?: readonly string[]
    revokedIssuers?: readonly string[]
    nowMs?: number
  },
) => { ok: true; leaf: Peer } | { ok: false; refusal: string; detail: string }

export interface Trust {
  readonly anchors: readonly string[]
  /** `ids` absent: any identity of a trusted domain. */
  judge(der: Buffer | undefined, ids?: readonly string[]): PeerVerdict
  /** For connections that were judged under an earlier bundle. */
  trusts(peer: Peer): boolean
}

/** Undefined: the bundle has no root for our own trust domain, so nothing can be verified. */
export function compileTrust(
  context: ValidationContext,
  ownTrustDomain: string,
  tools: { readLeaf: LeafReader; now: () => number },
): Trust | undefined {
  const anchors = Object.hasOwn(context.roots, ownTrustDomain) ? context.roots[ownTrustDomain] : undefined
  if (anchors === undefined || anchors.length === 0) return undefined
  const vouched = new Set<string>()
  for (const [trustDomain, roots] of Object.entries(context.roots)) {
    if (roots.some((root) => anchors.includes(root))) vouched.add(trustDomain)
  }
  const { revokedTrustDomains, revokedIssuers } = context
  const trusts = (peer: Peer): boolean =>
    vouched.has(peer.id.trustDomain) &&
    !revokedTrustDomains.includes(peer.id.trustDomain) &&
    !revokedIssuers.includes(peer.issuerKeyId)
  return {
    anchors,
    trusts,
    judge(der, ids) {
      const expectations = { revokedTrustDomains, revokedIssuers, nowMs: tools.now() }
      const read = tools.readLeaf(der, ids === undefined ? expectations : { ...expectations, ids })
      if (!read.ok) return read
      if (trusts(read.leaf)) return { ok: true, peer: read.leaf }
      return { ok: false, refusal: 'not-trusted', detail: `the bundle has no root for ${read.leaf.id.trustDomain}` }
    },
  }
}

/** TLS 1.3 on both sides of every connection of the mesh, without tickets: resumption would skip the check above. */
export function tlsOptions(own: OwnCertificate, trust: Trust): SecureContextOptions {
  return {
    key: own.keyPem,
    cert: own.chainPem,
    ca: [...trust.anchors],
    minVersion: 'TLSv1.3',
    maxVersion: 'TLSv1.3',
  }
}

export function clientCredentials(own: OwnCertificate, trust: Trust): ClientCredentials {
  return {
    secureContext: createSecureContext(tlsOptions(own, trust)),
    notAfterMs: own.notAfterMs,
    judge: (der, ids) => trust.judge(der, ids),
  }
}
