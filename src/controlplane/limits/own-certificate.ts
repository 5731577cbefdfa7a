/**
 * The control plane's certificate as a workload of its mesh, by which proxies know its rate limit server. It signs it
 * itself, as the cluster's authority; there is none before federation has made it one, and none of another mesh's roots.
 */
import { constants } from 'node:crypto'
import type { SecureContextOptions } from 'node:tls'
import { formatSpiffeId, type SpiffeId } from '../../model/identity.ts'
import { SYSTEM_ACCOUNTS, SYSTEM_NAMESPACE } from '../../model/names.ts'
import { WORKLOAD_TTL_MS } from '../../pki/issue.ts'
import { generateKey, privateKeyPem } from '../../pki/keys.ts'
import type { Cancel, Clock } from '../../runtime/clock.ts'
import type { Log } from '../../runtime/log.ts'
import type { Signer } from '../identity/signer.ts'
import type { ClusterTrust } from '../observe/trust.ts'

export const controlPlaneId = (trustDomain: string): SpiffeId => ({
  trustDomain,
  namespace: SYSTEM_NAMESPACE,
  serviceAccount: SYSTEM_ACCOUNTS.controlPlane,
})

export interface OwnCertificateOptions {
  readonly signer: Signer
  readonly trustDomain: string
  readonly clock: Clock
  readonly log: Log
  /** Each time that it changed. */
  readonly onChange: (context: SecureContextOptions) => void
}

const RETRY_MS = 60_000

export class OwnCertificate {
  readonly #options: OwnCertificateOptions
  #trust: ClusterTrust | undefined
  #timer: Cancel | undefined

  constructor(options: OwnCertificateOptions) {
    this.#options = options
  }

  /** Told of every snapshot; only another trust makes another certificate. */
  follow(trust: ClusterTrust | undefined): void {
    if (trust === undefined || trust === this.#trust) return
    this.#trust = trust
    this.#renew()
  }

  close(): void {
    this.#timer?.()
  }

  #renew(): void {
    const { signer, trustDomain, clock, log, onChange } = this.#options
    this.#timer?.()
    const id = controlPlaneId(trustDomain)
    const { publicKey, privateKey } = generateKey()
    const signed = signer.sign({ id, publicKey, ttlMs: WORKLOAD_TTL_MS, nowMs: clock.now() })
    // Half a lifetime is far below the longest wait of a timer.
    this.#timer = clock.after(signed.ok ? WORKLOAD_TTL_MS / 2 : RETRY_MS, () => this.#renew())
    if (!signed.ok) {
      log.warn({ reason: signed.reason }, `no certificate for ${formatSpiffeId(id)} yet`)
      return
    }
    onChange({
      key: privateKeyPem(privateKey),
      cert: signed.chain.join('\n'),
      ca: [...(this.#trust?.validation.roots[trustDomain] ?? [])],
      // No resumption: a resumed client would skip the identity check (design, Identity and trust).
      minVersion: 'TLSv1.3',
      maxVersion: 'TLSv1.3',
      secureOptions: constants.SSL_OP_NO_TICKET,
    })
  }
}
