/**
 * A JSON Web Key Set (RFC 7517) as signatures are checked with it. A key is tried only where its type, its `alg` and
 * its `kid` admit the token's, so a public key never serves as an HMAC secret.
 */
import type { CryptoKey, JWK } from 'jose'
import { type Jwt, JWT_FAILURES, type JwtFailure } from './jwt-token.ts'

/** Nobody rotates through more; each is tried for a token without `kid`. */
const KEYS_MAX = 100

type Imported = CryptoKey | Uint8Array

/** Loaded by the first token: most proxies check none, and 46 modules cost each of them over a MiB. */
const jose = (): Promise<typeof import('jose')> => import('jose')

interface Key {
  readonly jwk: JWK
  readonly imported: Map<string, Promise<Imported>>
}

/** What a key of the type can check. */
const FAMILIES: Readonly<Record<string, (jwk: JWK, alg: string) => boolean>> = {
  RSA: (_jwk, alg) => alg.startsWith('RS') || alg.startsWith('PS'),
  EC: ({ crv }, alg) => CURVES.get(alg) === crv,
  OKP: ({ crv }, alg) => alg === 'EdDSA' && crv === 'Ed25519',
  oct: (_jwk, alg) => alg.startsWith('HS'),
}
const CURVES: ReadonlyMap<string, string> = new Map([
  ['ES256', 'P-256'],
  ['ES384', 'P-384'],
  ['ES512', 'P-521'],
])

export class KeySet {
  readonly #keys: readonly Key[]

  constructor(keys: readonly JWK[]) {
    this.#keys = keys.map((jwk) => ({ jwk, imported: new Map() }))
  }

  /** Undefined: it is no key set, or has no key that could check a signature. */
  static parse(text: string): KeySet | undefined {
    let found: unknown
    try {
      found = (JSON.parse(text) as { readonly keys?: unknown } | null)?.keys
    } catch {
      return undefined
    }
    if (!Array.isArray(found) || found.length > KEYS_MAX) return undefined
    const keys = found.filter((key): key is JWK => isKey(key))
    return keys.length === 0 ? undefined : new KeySet(keys)
  }

  /** Undefined: one of the keys made the signature. */
  async verify(jwt: Jwt): Promise<JwtFailure | undefined> {
    const candidates = this.#keys.filter(({ jwk }) => fits(jwk, jwt))
    if (candidates.length === 0) return JWT_FAILURES.noMatch
    for (const key of candidates) {
      // oxlint-disable-next-line no-await-in-loop -- the first that fits ends it, and nearly always there is one
      if (await isSignedBy(key, jwt)) return undefined
    }
    return JWT_FAILURES.signature
  }
}

function isKey(key: unknown): key is JWK {
  if (typeof key !== 'object' || key === null) return false
  const { kty, use, kid, alg } = key as Readonly<Record<string, unknown>>
  const isText = (value: unknown): boolean => value === undefined || typeof value === 'string'
  return typeof kty === 'string' && Object.hasOwn(FAMILIES, kty) && isText(kid) && isText(alg) && use !== 'enc'
}

function fits(jwk: JWK, { kid, alg }: Jwt): boolean {
  if (kid !== '' && jwk.kid !== undefined && jwk.kid !== '' && jwk.kid !== kid) return false
  if (jwk.alg !== undefined && jwk.alg !== alg) return false
  return FAMILIES[jwk.kty ?? '']?.(jwk, alg) === true
}

async function isSignedBy({ jwk, imported }: Key, { text, alg }: Jwt): Promise<boolean> {
  try {
    let key = imported.get(alg)
    if (key === undefined) {
      key = jose().then(({ importJWK }) => importJWK(jwk, alg))
      imported.set(alg, key)
    }
    const { compactVerify } = await jose()
    await compactVerify(text, await key, { algorithms: [alg] })
    return true
  } catch {
    // A key that cannot be read, or a signature that is another's: the token is not believed either way.
    return false
  }
}
