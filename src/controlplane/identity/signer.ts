/**
 * Signs workload certificates with the cluster's intermediate, for as long as federation has provided one that belongs
 * to our key. Knows nothing of callers: certificate-service.ts decides who gets what.
 */
import { type KeyObject, X509Certificate } from 'node:crypto'
import type { SpiffeId } from '../../model/identity.ts'
import { OBJECTS } from '../../model/names.ts'
import { issueWorkload, WORKLOAD_TTL_MS } from '../../pki/issue.ts'
import type { ClusterTrust } from '../observe/trust.ts'

export type Signed =
  | { readonly ok: true; readonly chain: readonly string[]; readonly serial: string; readonly notAfter: string }
  | { readonly ok: false; readonly reason: string }

export class Signer {
  readonly #caKey: KeyObject
  readonly #trust: () => ClusterTrust | undefined

  constructor(options: { caKey: KeyObject; trust: () => ClusterTrust | undefined }) {
    this.#caKey = options.caKey
    this.#trust = options.trust
  }

  /** The chain is leaf, intermediate. `ttlMs` beyond 24 h is cut to it: what is stolen ends soon. */
  sign(request: { id: SpiffeId; publicKey: KeyObject; ttlMs: number; nowMs: number }): Signed {
    const trust = this.#trust()
    const key = this.#caKey
    if (trust === undefined) {
      return refused(`ConfigMap ${OBJECTS.trust} is not there: this cluster has not joined a mesh yet`)
    }
    const { intermediatePem } = trust
    const intermediate = new X509Certificate(intermediatePem)
    if (!intermediate.checkPrivateKey(key)) {
      return refused(`the intermediate in ConfigMap ${OBJECTS.trust} was signed for another CA key`)
    }
    if (intermediate.validToDate.getTime() <= request.nowMs) {
      return refused(`the intermediate in ConfigMap ${OBJECTS.trust} expired on ${intermediate.validTo}`)
    }
    const leaf = issueWorkload({
      authority: { certificatePem: intermediatePem, key },
      publicKey: request.publicKey,
      id: request.id,
      nowMs: request.nowMs,
      ttlMs: Math.min(request.ttlMs, WORKLOAD_TTL_MS),
    })
    const { serialNumber, validTo } = new X509Certificate(leaf)
    return { ok: true, chain: [leaf, intermediatePem], serial: serialNumber, notAfter: validTo }
  }
}

function refused(reason: string): Signed {
  return { ok: false, reason }
}
