/**
 * TLS outside the mesh's own rules: what listeners and clusters of a generic configuration terminate and originate.
 * Part of config.ts, which exports it.
 */

export type TlsVersion = 'TLSv1.2' | 'TLSv1.3'

/** PEM, from the configuration itself or from a file that was read with it. */
export interface KeyPair {
  readonly chainPem: string
  readonly keyPem: string
}

/** A certificate that is there, or the name of a secret that will come. */
export type CertificateSource = KeyPair | { readonly sds: string }

export interface TlsCommon {
  readonly certificates: readonly CertificateSource[]
  readonly minVersion: TlsVersion
  readonly maxVersion: TlsVersion
  /** OpenSSL names, for TLS 1.2. Absent: the library's own choice. */
  readonly ciphers?: readonly string[]
  readonly alpn: readonly string[]
}

export interface ServerTls extends TlsCommon {
  /** Absent: no client certificate is asked for. */
  readonly client?: { readonly required: boolean; readonly validation: PeerValidation }
}

/** How a peer's certificate is judged; without anything in it any certificate passes. */
export interface PeerValidation {
  /** PEM; absent: the chain is not verified. */
  readonly trustedCa?: string
  readonly names?: readonly NameMatch[]
}

export interface NameMatch {
  readonly type: 'dns' | 'uri' | 'email' | 'ip'
  readonly match: { readonly kind: 'exact' | 'prefix' | 'suffix' | 'contains' | 'regex'; readonly value: string }
}
