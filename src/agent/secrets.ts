/**
 * What the agent holds for others, as one configuration that consists of secrets: the pod's certificate with its key,
 * and the bundle that the control plane sends. Whoever serves it asks for `config`; whoever wants to know of news
 * registers. Not where the certificate comes from (pki/workload-identity.ts) nor the bundle (bundle.ts).
 */
import {
  type GenericSecret,
  HiddenText,
  OWN_CERTIFICATE,
  type ProxyConfig,
  type Secret,
  TRUST_BUNDLE,
  type ValidationContext,
} from '../model/config.ts'

/** As pki/workload-identity.ts has it. */
export interface HeldCertificate {
  readonly keyPem: string
  readonly chainPem: string
}

const NOTHING: ReadonlyMap<string, never> = new Map<string, never>()

export class HeldSecrets {
  #certificate: HeldCertificate | undefined
  #bundle: ValidationContext | undefined
  #config: ProxyConfig = configOf([])
  #version = 0
  readonly #listeners = new Set<() => void>()

  get certificate(): HeldCertificate | undefined {
    return this.#certificate
  }

  get bundle(): ValidationContext | undefined {
    return this.#bundle
  }

  /** The same object while nothing changed. */
  get config(): { readonly config: ProxyConfig; readonly version: string } {
    return { config: this.#config, version: String(this.#version) }
  }

  setCertificate(certificate: HeldCertificate): void {
    this.#certificate = certificate
    this.#changed()
  }

  /** Trust domains that are revoked are in it no more: whoever verifies with it cannot be told by other means. */
  setBundle(bundle: ValidationContext): void {
    const roots = Object.entries(bundle.roots).filter(([domain]) => !bundle.revokedTrustDomains.includes(domain))
    // A bundle that trusts nobody is a mistake on the way, and never shrinks what is trusted to nothing.
    if (roots.length === 0) return
    this.#bundle = { ...bundle, name: TRUST_BUNDLE, roots: Object.fromEntries(roots) }
    this.#changed()
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  #changed(): void {
    const secrets: Secret[] = []
    if (this.#certificate !== undefined) secrets.push(certificateSecret(this.#certificate))
    if (this.#bundle !== undefined) secrets.push(this.#bundle)
    this.#config = configOf(secrets)
    this.#version += 1
    for (const listener of this.#listeners) listener()
  }
}

function certificateSecret({ keyPem, chainPem }: HeldCertificate): GenericSecret {
  return {
    kind: 'certificate',
    name: OWN_CERTIFICATE,
    pair: { chain: { text: chainPem }, key: { hidden: new HiddenText(keyPem) } },
  }
}

function configOf(secrets: readonly Secret[]): ProxyConfig {
  return {
    listeners: NOTHING,
    routes: NOTHING,
    clusters: NOTHING,
    endpoints: NOTHING,
    secrets: new Map(secrets.map((secret) => [secret.name, secret])),
  }
}
