/**
 * A key set as its issuer publishes it, to one that proxies may be given: public signature keys that OpenSSL can read, and
 * of each only what is public. Secrets of HMAC do not stand in public documents, so they are never taken from one: who
 * could read it could sign. Pure.
 */
import { createPublicKey } from 'node:crypto'

const KEYS_MAX = 100
const CURVES: ReadonlySet<unknown> = new Set(['P-256', 'P-384', 'P-521', 'Ed25519'])
/** RFC 7517 4, RFC 7518 6.2.1 and 6.3.1, RFC 8037 2. */
const KEPT = ['kty', 'kid', 'alg', 'n', 'e', 'crv', 'x', 'y'] as const

/** Throws in words that go on after the document's address. */
export function keySetOf(document: unknown): string {
  const { keys } = isRecord(document) ? document : {}
  if (!Array.isArray(keys)) throw new Error('is no JSON Web Key Set')
  if (keys.length > KEYS_MAX) throw new Error(`has more than ${KEYS_MAX} keys`)
  const usable = keys.map(publicPart).filter((key) => key !== undefined)
  if (usable.length === 0) throw new Error('has no public key for signatures')
  return JSON.stringify({ keys: usable })
}

function publicPart(key: unknown): Readonly<Record<string, string>> | undefined {
  if (!isRecord(key)) return undefined
  const { kty, use = 'sig', crv } = key
  if (use !== 'sig' || !['RSA', 'EC', 'OKP'].includes(String(kty))) return undefined
  if (kty !== 'RSA' && !CURVES.has(crv)) return undefined
  const kept = KEPT.flatMap((name) => (typeof key[name] === 'string' ? [[name, key[name]] as const] : []))
  const found = Object.fromEntries(kept)
  try {
    createPublicKey({ key: found, format: 'jwk' })
  } catch {
    return undefined
  }
  return found
}

/** Where an OpenID configuration says that the issuer's keys are (OpenID Connect Discovery 1.0, 4.2 and 4.3). */
export function keysAddressIn(document: unknown, issuer: string): string {
  const { issuer: named, jwks_uri: uri } = isRecord(document) ? document : {}
  if (typeof named !== 'string' || bare(named) !== bare(issuer))
    throw new Error('is the configuration of another issuer')
  if (typeof uri !== 'string') throw new Error('names no jwks_uri')
  return uri
}

/** Both forms are in use, and mean the same place. */
const bare = (issuer: string): string => issuer.replace(/\/$/, '')

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
