/** TLS of clusters outside the mesh, compiled: key material read once, the server's judgement prepared. */
import { createHash } from 'node:crypto'
import { createSecureContext } from 'node:tls'
import { type ClientTls, HiddenText } from '../../model/config.ts'
import type { ClientTlsContext } from '../upstream/open-dial.ts'
import { secureOptions } from './server-tls.ts'
import { readMaterial, type SecretOf } from './tls-files.ts'
import { compileJudge } from './tls-peer.ts'

interface Known {
  readonly parts: readonly unknown[]
  readonly context: ClientTlsContext
}

export class ClientTlsContexts {
  /** By what they are made of: equal settings of two configurations are one context. */
  readonly #known = new Map<string, Known>()

  /** Undefined: a secret has not come. Throws TlsFault where key material is not as it should be. */
  compile(tls: ClientTls, secretOf: SecretOf): ClientTlsContext | undefined {
    const parts = secretsOf(tls).map(secretOf)
    const key = tlsKey(tls)
    const known = this.#known.get(key)
    if (known?.parts.every((part, index) => part === parts[index]) === true) return known.context
    const material = readMaterial(tls, secretOf)
    if (material === undefined) return undefined
    const judge = compileJudge(material.anchors)
    const context: ClientTlsContext = {
      secureContext: createSecureContext(secureOptions(tls, material)),
      verifies: material.anchors?.ca !== undefined,
      judge: (socket) => {
        const certificate = socket.getPeerX509Certificate()
        return certificate === undefined ? 'the server showed no certificate' : judge(certificate)
      },
    }
    this.#known.set(key, { parts, context })
    return context
  }

  keepOnly(wanted: readonly ClientTls[]): void {
    const used = new Set(wanted.map(tlsKey))
    for (const key of this.#known.keys()) if (!used.has(key)) this.#known.delete(key)
  }

  /** As last compiled. */
  of(tls: ClientTls): ClientTlsContext | undefined {
    return this.#known.get(tlsKey(tls))?.context
  }
}

function secretsOf({ certificates, validation }: ClientTls): readonly string[] {
  const named = certificates.flatMap((source) => ('sds' in source ? [source.sds] : []))
  return validation?.sds === undefined ? named : [...named, validation.sds]
}

const keys = new WeakMap<ClientTls, string>()

/** Equal for equal settings; keys go into it as hashes. */
export function tlsKey(tls: ClientTls): string {
  const known = keys.get(tls)
  if (known !== undefined) return known
  const key = JSON.stringify(tls, function hashed(this: Readonly<Record<string, unknown>>, name, value: unknown) {
    const own = this[name]
    return own instanceof HiddenText ? createHash('sha256').update(own.reveal()).digest('hex') : value
  })
  keys.set(tls, key)
  return key
}
