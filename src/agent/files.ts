/**
 * The pod's certificate, key and roots as files, for who reads files: gRPC's file watchers and anything without a client
 * of the Workload API. Each is renamed into place, 0600, on the pod's memory-backed volume. Key and chain are two files,
 * as readers want them: one who reads between the two renames finds a pair that does not match, and reads again.
 */
import { chmod, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { HeldSecrets } from './secrets.ts'

export const FILES = {
  chain: 'cert-chain.pem',
  key: 'key.pem',
  /** Roots of the pod's own trust domain: what a client that knows one pool may trust. */
  roots: 'root-cert.pem',
} as const

const PRIVATE = 0o600

export class SecretFiles {
  readonly #directory: string
  readonly #trustDomain: string
  readonly #written = new Map<string, string>()
  #turn: Promise<void> = Promise.resolve()

  constructor(directory: string, trustDomain: string) {
    this.#directory = directory
    this.#trustDomain = trustDomain
  }

  /** One write after the other; what is the same is not written again. Rejects if the volume cannot be written. */
  write({ certificate, bundle }: HeldSecrets): Promise<void> {
    const wanted = [
      [FILES.key, certificate?.keyPem],
      [FILES.chain, certificate?.chainPem],
      [FILES.roots, bundle?.roots[this.#trustDomain]?.join('')],
    ] as const
    this.#turn = this.#turn.catch(() => {}).then(() => this.#replace(wanted))
    return this.#turn
  }

  async #replace(wanted: readonly (readonly [string, string | undefined])[]): Promise<void> {
    for (const [name, text] of wanted) {
      if (text === undefined || this.#written.get(name) === text) continue
      await replaceFile(join(this.#directory, name), text)
      this.#written.set(name, text)
    }
  }
}

/** Private, and never half of it. */
export async function replaceFile(path: string, text: string): Promise<void> {
  const draft = `${path}.new`
  await writeFile(draft, text, { mode: PRIVATE })
  // `mode` counts only when the file is created: a draft left by a crash keeps its own.
  await chmod(draft, PRIVATE)
  await rename(draft, path)
}
