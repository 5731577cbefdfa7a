/**
 * Who is calling, by the certificate of the connection instead of a token: an identity of this cluster, and a pod that has
 * it. A certificate names a ServiceAccount and no pod; so the pod is the one that the node id names, and it must be known
 * here with that very ServiceAccount. Good for configuration only: certificates are given for tokens.
 */
import { isLabel } from '../../model/identity.ts'
import { verifyLeaf } from '../../pki/verify.ts'
import type { PodFacts } from '../observe/facts.ts'
import type { CallerResult } from './authenticator.ts'

export interface CertificateFacts {
  /** Of the leaf, whose chain the handshake has verified. */
  readonly der: Buffer
  /** As the node id has it. */
  readonly claimed: { readonly namespace: string; readonly pod: string } | undefined
  readonly trustDomain: string
  readonly revokedIssuers: readonly string[]
  readonly nowMs: number
  readonly findPod: (namespace: string, name: string) => PodFacts | undefined
}

export function callerOfCertificate(facts: CertificateFacts): CallerResult {
  const { der, claimed, trustDomain, revokedIssuers, nowMs, findPod } = facts
  const judged = verifyLeaf(der, { trustDomains: [trustDomain], revokedIssuers, nowMs })
  if (!judged.ok) return { ok: false, code: 'unauthenticated', reason: `the certificate is refused: ${judged.detail}` }
  const { namespace, serviceAccount } = judged.leaf.id
  const found = claimed?.namespace === namespace && isLabel(namespace) ? findPod(namespace, claimed.pod) : undefined
  if (found === undefined || found.serviceAccount !== serviceAccount) {
    const reason = `the node id names no pod of ${namespace} that runs as ${serviceAccount}`
    return { ok: false, code: 'permission-denied', reason }
  }
  return { ok: true, caller: { namespace, serviceAccount, pod: found.name, podUid: found.uid } }
}
