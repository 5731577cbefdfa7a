/**
 * TLS material of the federation leader: own certificate (src/pki/workload-identity) and the roots that this cluster
 * trusts, as ConfigMap isthmus-trust says. One root per mesh: the pool of every context is the own trust domain's roots,
 * so a root that some bundle names for a peer can never speak for anyone (a foreign root in a shared pool mints our
 * names: docs/decisions/0002). Federating with foreign roots is not built.
 */
import { constants } from 'node:crypto'
import { createSecureContext, type SecureContext, type SecureContextOptions } from 'node:tls'
import { formatSpiffeId } from '../../src/model/identity.ts'
import { SYSTEM_ACCOUNTS, SYSTEM_NAMESPACE } from '../../src/model/names.ts'
import { verifyLeaf, type LeafResult } from '../../src/pki/verify.ts'
import type { WorkloadCertificate } from '../../src/pki/workload-identity.ts'
import { MeshError } from '../../src/runtime/errors.ts'

export interface TrustMaterial {
  certificate(): WorkloadCertificate | undefined
  /** PEM roots of the own trust domain. */
  roots(): readonly string[]
  /** Either of both has changed; returns the unsubscribe function. */
  onChange(listener: () => void): () => void
}

/** TLS 1.3 only, no resumption: a resumed client would skip the identity check (design, Identity and trust). */
export function contextOptions(material: TrustMaterial): SecureContextOptions {
  const certificate = material.certificate()
  if (certificate === undefined) {
    throw new MeshError('CERTIFICATE_UNAVAILABLE', 'the federation controller has no certificate of its own yet')
  }
  return {
    key: certificate.keyPem,
    cert: certificate.chainPem,
    ca: [...material.roots()],
    minVersion: 'TLSv1.3',
    maxVersion: 'TLSv1.3',
    secureOptions: constants.SSL_OP_NO_TICKET,
  }
}

export function clientContext(material: TrustMaterial): SecureContext {
  return createSecureContext(contextOptions(material))
}

/** The one identity that may be at the other end of a peer stream. */
export const federationId = (trustDomain: string): string =>
  formatSpiffeId({ trustDomain, namespace: SYSTEM_NAMESPACE, serviceAccount: SYSTEM_ACCOUNTS.federation })

/** The one identity that a gateway may have. */
export const gatewayId = (trustDomain: string): string =>
  formatSpiffeId({ trustDomain, namespace: SYSTEM_NAMESPACE, serviceAccount: SYSTEM_ACCOUNTS.eastWest })

/** For `checkServerIdentity`: an Error refuses the handshake before a byte of ours is written. */
export function identityError(der: Buffer | undefined, expected: string, nowMs: number): Error | undefined {
  const judged: LeafResult = verifyLeaf(der, { ids: [expected], nowMs })
  return judged.ok ? undefined : new MeshError('PEER_IDENTITY', `expected ${expected}: ${judged.detail}`)
}
