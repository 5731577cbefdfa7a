/**
 * The control plane's own TLS certificate for its Service names, from the cluster's serving CA, renewed at half-life
 * without closing the port. No peer trusts that CA; workloads get its root through ConfigMaps (serving-root.ts).
 */
import type { experimental } from '@grpc/grpc-js'
import { SYSTEM_ACCOUNTS, SYSTEM_NAMESPACE } from '../../model/names.ts'
import { type Authority, issueServing } from '../../pki/issue.ts'
import { generateKey, privateKeyPem } from '../../pki/keys.ts'
import type { Cancel, Clock } from '../../runtime/clock.ts'

type Update = experimental.IdentityCertificateUpdate
type Listener = experimental.IdentityCertificateUpdateListener

const SERVING_TTL_MS = 30 * 24 * 3_600_000
/** Timers beyond 2^31 ms fire at once; half of 30 days is 1.3 × 10^9. */
const RENEW_AFTER_MS = SERVING_TTL_MS / 2

export function servingNames(domain: string): readonly string[] {
  const service = `${SYSTEM_ACCOUNTS.controlPlane}.${SYSTEM_NAMESPACE}`
  return [`${service}.svc`, `${service}.svc.${domain}`, service]
}

/** What grpc-js asks for its server's certificate. */
export class ServingCertificate implements experimental.CertificateProvider {
  readonly #issue: () => Update
  readonly #clock: Clock
  readonly #listeners = new Set<Listener>()
  #current: Update
  #timer: Cancel

  constructor(options: { authority: Authority; names: readonly string[]; clock: Clock }) {
    const { authority, names, clock } = options
    this.#clock = clock
    this.#issue = () => {
      const { publicKey, privateKey } = generateKey()
      const certificate = issueServing({ authority, publicKey, dns: names, nowMs: clock.now(), ttlMs: SERVING_TTL_MS })
      return { certificate: Buffer.from(certificate), privateKey: Buffer.from(privateKeyPem(privateKey)) }
    }
    this.#current = this.#issue()
    this.#timer = this.#schedule()
  }

  close(): void {
    this.#timer()
  }

  addIdentityCertificateListener(listener: Listener): void {
    this.#listeners.add(listener)
    // grpc-js puts its own watcher in place after this call returns: an answer given now would be lost, and with it
    // every handshake until the next renewal.
    queueMicrotask(() => {
      if (this.#listeners.has(listener)) listener(this.#current)
    })
  }

  removeIdentityCertificateListener(listener: Listener): void {
    this.#listeners.delete(listener)
  }

  /** Clients show tokens, not certificates. */
  addCaCertificateListener(): void {}

  removeCaCertificateListener(): void {}

  #schedule(): Cancel {
    return this.#clock.after(RENEW_AFTER_MS, () => {
      this.#current = this.#issue()
      for (const listener of this.#listeners) listener(this.#current)
      this.#timer = this.#schedule()
    })
  }
}
