/**
 * Whose certificates clients may show on 15012: those of the cluster's own trust domain, as its bundle has it now. Not a
 * decision about who they are (certificate-caller.ts): the handshake says only that a chain ends where it should.
 */
import type { experimental } from '@grpc/grpc-js'

type Listener = experimental.CaCertificateUpdateListener

/** What grpc-js asks for its server's clients. */
export class ClientRoots implements experimental.CertificateProvider {
  readonly #listeners = new Set<Listener>()
  #current: Buffer

  /** `placeholderPem`: what no client has, until there is a bundle; without any the port would stay shut. */
  constructor(placeholderPem: string) {
    this.#current = Buffer.from(placeholderPem)
  }

  set(pems: readonly string[] | undefined): void {
    if (pems === undefined || pems.length === 0) return
    const next = Buffer.from(pems.join(''))
    if (next.equals(this.#current)) return
    this.#current = next
    for (const listener of this.#listeners) listener({ caCertificate: next })
  }

  addCaCertificateListener(listener: Listener): void {
    this.#listeners.add(listener)
    // As in serving.ts: an answer given now would be lost.
    queueMicrotask(() => {
      if (this.#listeners.has(listener)) listener({ caCertificate: this.#current })
    })
  }

  removeCaCertificateListener(listener: Listener): void {
    this.#listeners.delete(listener)
  }

  addIdentityCertificateListener(): void {}

  removeIdentityCertificateListener(): void {}
}
