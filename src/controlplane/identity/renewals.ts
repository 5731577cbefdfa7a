/** grpc-js's certificate source, for servers that are not its own: the first certificate, and each that follows. */
import type { experimental } from '@grpc/grpc-js'
import type { ServingCertificate } from './serving.ts'

type Update = NonNullable<experimental.IdentityCertificateUpdate>

export type CertificateSource = Pick<
  ServingCertificate,
  'addIdentityCertificateListener' | 'removeIdentityCertificateListener'
>

export class Renewals {
  readonly first: Promise<Update>
  readonly #serving: CertificateSource
  #follow: ((update: Update) => void) | undefined
  readonly #listener: experimental.IdentityCertificateUpdateListener

  constructor(serving: CertificateSource) {
    this.#serving = serving
    let resolve: (update: Update) => void = () => {}
    this.first = new Promise((settle) => {
      resolve = settle
    })
    this.#listener = (update) => {
      if (update === null) return
      resolve(update)
      this.#follow?.(update)
    }
    serving.addIdentityCertificateListener(this.#listener)
  }

  follow(renewed: (update: Update) => void): void {
    this.#follow = renewed
  }

  close(): void {
    this.#serving.removeIdentityCertificateListener(this.#listener)
  }
}
