/**
 * TLS outside the mesh's own rules: what listeners and clusters of a generic configuration terminate and originate.
 * Part of config.ts, which exports it.
 */
import type { StringMatch } from './route.ts'

export type TlsVersion = 'TLSv1.2' | 'TLSv1.3'

/** Where a text is: in the configuration, in a file that is read with it, or in the environment. */
export type DataSource = { readonly text: string } | { readonly file: string } | { readonly env: string }

/** A text that no dump, log or error shows. Copies of it that lost their class are made whole by `reviveHidden`. */
export class HiddenText {
  readonly hiddenBytes: Uint8Array

  constructor(text: string) {
    this.hiddenBytes = new TextEncoder().encode(text)
  }

  reveal(): string {
    return new TextDecoder().decode(this.hiddenBytes)
  }

  toJSON(): string {
    return '[redacted]'
  }
}

/** What a structured clone made of hidden texts becomes hidden again, in place. */
export function reviveHidden(value: unknown): void {
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return
  const fields = value as Record<string, unknown>
  for (const [name, field] of Object.entries(fields)) {
    if (typeof field !== 'object' || field === null) continue
    const { hiddenBytes } = field as { readonly hiddenBytes?: unknown }
    if (hiddenBytes instanceof Uint8Array) fields[name] = new HiddenText(new TextDecoder().decode(hiddenBytes))
    else reviveHidden(field)
  }
}

export type HiddenSource = Exclude<DataSource, { readonly text: string }> | { readonly hidden: HiddenText }

/** PEM. */
export interface KeyPair {
  readonly chain: DataSource
  readonly key: HiddenSource
  readonly password?: HiddenSource
}

/** A certificate that is there, or the name of a secret. */
export type CertificateSource = KeyPair | { readonly sds: string }

export interface TlsCommon {
  readonly certificates: readonly CertificateSource[]
  /** Absent: any certificate passes. */
  readonly validation?: ValidationSource
  readonly minVersion: TlsVersion
  readonly maxVersion: TlsVersion
  /** OpenSSL's names, for TLS 1.2. Absent: Envoy's. */
  readonly ciphers?: readonly string[]
  readonly curves?: readonly string[]
  readonly alpn: readonly string[]
}

export interface ServerTls extends TlsCommon {
  /** Otherwise one is asked for only where `validation` is there, and may be absent. */
  readonly requireClient: boolean
  /** Sessions are never resumed. */
  readonly noTickets?: true
}

export interface ClientTls extends TlsCommon {
  /** Empty: none is sent. */
  readonly sni: string
}

/** With `sds` the secret says what is trusted; what stands beside it holds as well. */
export interface ValidationSource extends PeerValidation {
  readonly sds?: string
}

/** How a peer's certificate is judged; without anything in it any certificate passes. */
export interface PeerValidation {
  /** PEM; absent: the chain is not verified. */
  readonly trustedCa?: DataSource
  /** One of them has to hold. */
  readonly names?: readonly NameMatch[]
  /** SHA-256 of the certificate in hex; one of these or of `keys` has to be it. */
  readonly hashes?: readonly string[]
  /** SHA-256 of the public key in base64. */
  readonly keys?: readonly string[]
}

export interface NameMatch {
  readonly type: 'dns' | 'uri' | 'email' | 'ip'
  readonly is: StringMatch
}

/** What a secret may bring besides the mesh's bundle. */
export type GenericSecret =
  | { readonly kind: 'certificate'; readonly name: string; readonly pair: KeyPair }
  | { readonly kind: 'validation'; readonly name: string; readonly validation: PeerValidation }
  /** A password, or a key that is not a certificate's. */
  | { readonly kind: 'text'; readonly name: string; readonly text: HiddenSource }
