/**
 * ServiceAccount tokens: ES256 JWTs bound to an audience, a lifetime and, for projected ones, a pod. The authority
 * knows signatures and claims only; whether ServiceAccount and pod still exist with these uids is for the caller,
 * who finds them in the answer. One algorithm and one key, so there is nothing for a forged header to choose.
 */
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  randomUUID,
  sign,
  verify,
} from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import type { Clock } from '../../../runtime/clock.ts'
import { MeshError } from '../../../runtime/errors.ts'
import { type User, serviceAccountGroups, serviceAccountName } from './user.ts'

/** Real tokens are about 1 KiB; nothing longer is hashed or parsed. */
const TOKEN_CHARS_MAX = 16 * 1024
const POD_NAME = 'authentication.kubernetes.io/pod-name'
const POD_UID = 'authentication.kubernetes.io/pod-uid'
const CREDENTIAL_ID = 'authentication.kubernetes.io/credential-id'

export interface BoundObject {
  readonly name: string
  readonly uid: string
}

export interface TokenSpec {
  readonly namespace: string
  readonly serviceAccount: string
  readonly serviceAccountUid: string
  /** Empty means the API server itself. */
  readonly audiences: readonly string[]
  readonly expirationSeconds: number
  readonly boundPod?: BoundObject
}

export interface VerifiedToken {
  readonly user: User
  /** Those of the asked audiences that the token carries; never empty. */
  readonly audiences: readonly string[]
  readonly namespace: string
  readonly serviceAccount: BoundObject
  readonly pod?: BoundObject
}

export interface TokenAuthority {
  issue(spec: TokenSpec): { readonly token: string; readonly expirationTimestamp: string }
  /** No audiences ask for the API server's own. An error is the text of TokenReview's `status.error`. */
  verify(token: string, audiences?: readonly string[]): VerifiedToken | { readonly error: string }
  /** The document of /openid/v1/jwks. */
  jwks(): { readonly keys: readonly object[] }
}

interface Claims {
  readonly aud: readonly string[]
  readonly exp: number
  readonly nbf: number
  readonly jti: string
  readonly namespace: string
  readonly serviceAccount: BoundObject
  readonly pod?: BoundObject
}

export function createTokenAuthority(options: { keyPath: string; issuer: string; clock: Clock }): TokenAuthority {
  const { issuer, clock } = options
  const key = loadOrCreateKey(options.keyPath)
  const publicKey = createPublicKey(key)
  const jwk = publicKey.export({ format: 'jwk' })
  const kid = createHash('sha256')
    .update(publicKey.export({ type: 'spki', format: 'der' }))
    .digest('base64url')
  const header = encode({ alg: 'ES256', kid })

  return {
    issue(spec) {
      const issuedAt = Math.floor(clock.now() / 1000)
      const expires = issuedAt + spec.expirationSeconds
      const payload = encode({
        aud: spec.audiences.length === 0 ? [issuer] : spec.audiences,
        exp: expires,
        iat: issuedAt,
        iss: issuer,
        jti: randomUUID(),
        'kubernetes.io': {
          namespace: spec.namespace,
          serviceaccount: { name: spec.serviceAccount, uid: spec.serviceAccountUid },
          ...(spec.boundPod === undefined ? {} : { pod: { name: spec.boundPod.name, uid: spec.boundPod.uid } }),
        },
        nbf: issuedAt,
        sub: serviceAccountName(spec.namespace, spec.serviceAccount),
      })
      const signed = `${header}.${payload}`
      const signature = sign('sha256', Buffer.from(signed), { key, dsaEncoding: 'ieee-p1363' })
      const expirationTimestamp = new Date(expires * 1000).toISOString().replace('.000Z', 'Z')
      return { token: `${signed}.${signature.toString('base64url')}`, expirationTimestamp }
    },

    verify(token, audiences = []) {
      const payload = signedPayload(token, kid, publicKey)
      if (typeof payload === 'string') return { error: payload }
      const claims = readClaims(payload, issuer)
      if (typeof claims === 'string') return { error: claims }
      const now = clock.now() / 1000
      if (now >= claims.exp) return { error: 'token has expired' }
      if (now < claims.nbf) return { error: 'token is not valid yet' }
      const asked = audiences.length === 0 ? [issuer] : audiences
      const common = asked.filter((audience) => claims.aud.includes(audience))
      if (common.length === 0) {
        return { error: `token audiences ${quoted(claims.aud)} is invalid for the target audiences ${quoted(asked)}` }
      }
      return verified(claims, common)
    },

    jwks: () => ({ keys: [{ use: 'sig', alg: 'ES256', kid, ...jwk }] }),
  }
}

const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
const quoted = (names: readonly string[]): string => JSON.stringify(names)

/** The payload of a token whose header is exactly ours and whose signature holds, else why not. */
function signedPayload(token: string, kid: string, key: KeyObject): Record<string, unknown> | string {
  if (token.length > TOKEN_CHARS_MAX) return 'token is too long'
  const parts = token.split('.')
  const [head, body, tail] = parts
  if (parts.length !== 3 || head === undefined || body === undefined || tail === undefined) return 'token is not a JWT'
  const header = decode(head)
  if (header === undefined) return 'token is not a JWT'
  if (header['alg'] !== 'ES256' || 'crit' in header) return 'token is not signed with ES256'
  if (header['kid'] !== kid) return 'token is signed by an unknown key'
  const signature = bytes(tail)
  const holds =
    signature?.length === 64 &&
    verify('sha256', Buffer.from(`${head}.${body}`), { key, dsaEncoding: 'ieee-p1363' }, signature)
  if (!holds) return 'token has an invalid signature'
  return decode(body) ?? 'token is not a JWT'
}

/** Strict base64url: Buffer skips what it does not know, so only text that encodes back to itself is accepted. */
function bytes(text: string): Buffer | undefined {
  const decoded = Buffer.from(text, 'base64url')
  return decoded.toString('base64url') === text ? decoded : undefined
}

function decode(text: string): Record<string, unknown> | undefined {
  const decoded = bytes(text)
  if (decoded === undefined) return undefined
  try {
    return record(JSON.parse(decoded.toString('utf8')))
  } catch {
    return undefined
  }
}

const record = (value: unknown): Record<string, unknown> | undefined =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : undefined

/** Our signature makes the claims ours, yet an older version's layout must be refused, not half-read. */
function readClaims(payload: Record<string, unknown>, issuer: string): Claims | string {
  if (payload['iss'] !== issuer) return 'token has another issuer'
  const { aud, exp, nbf, jti, sub } = payload
  const holder = readHolder(record(payload['kubernetes.io']) ?? {})
  if (typeof holder === 'string') return holder
  if (!Array.isArray(aud) || !aud.every((name) => typeof name === 'string')) return 'token has no audiences'
  if (typeof exp !== 'number' || typeof nbf !== 'number' || typeof jti !== 'string') return 'token has no lifetime'
  if (sub !== serviceAccountName(holder.namespace, holder.serviceAccount.name)) return 'token has another subject'
  return { aud, exp, nbf, jti, ...holder }
}

function readHolder(claim: Record<string, unknown>): Pick<Claims, 'namespace' | 'serviceAccount' | 'pod'> | string {
  const namespace = claim['namespace']
  const serviceAccount = bound(claim['serviceaccount'])
  if (typeof namespace !== 'string' || serviceAccount === undefined) return 'token names no ServiceAccount'
  if (claim['pod'] === undefined) return { namespace, serviceAccount }
  const pod = bound(claim['pod'])
  // Dropping a pod that cannot be read would turn a bound token into an unbound one.
  return pod === undefined ? 'token is bound to a malformed pod' : { namespace, serviceAccount, pod }
}

function bound(value: unknown): BoundObject | undefined {
  const object = record(value)
  const name = object?.['name']
  const uid = object?.['uid']
  return typeof name === 'string' && typeof uid === 'string' ? { name, uid } : undefined
}

function verified(claims: Claims, audiences: readonly string[]): VerifiedToken {
  const { namespace, serviceAccount, pod } = claims
  const user = {
    username: serviceAccountName(namespace, serviceAccount.name),
    uid: serviceAccount.uid,
    groups: serviceAccountGroups(namespace),
    extra: {
      [CREDENTIAL_ID]: [`JTI=${claims.jti}`],
      ...(pod === undefined ? {} : { [POD_NAME]: [pod.name], [POD_UID]: [pod.uid] }),
    },
  }
  return { user, audiences, namespace, serviceAccount, ...(pod === undefined ? {} : { pod }) }
}

/** The key outlives the process: tokens in running pods must stay good when the cluster starts again. */
function loadOrCreateKey(path: string): KeyObject {
  const text = readIfThere(path) ?? create(path)
  try {
    const key = createPrivateKey(text)
    if (key.asymmetricKeyDetails?.namedCurve === 'prime256v1') return key
  } catch (cause) {
    throw new MeshError('LOCAL_KEY_UNUSABLE', `${path} holds no private key`, { cause })
  }
  throw new MeshError('LOCAL_KEY_UNUSABLE', `${path} holds a key of another type than EC P-256`)
}

function create(path: string): string {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const text = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  // Written aside and linked: a crash leaves no half key, and of two starters one wins whole.
  const aside = `${path}.${process.pid}`
  writeFileSync(aside, text, { mode: 0o600 })
  try {
    linkSync(aside, path)
    return text
  } catch (error) {
    const winner = readIfThere(path)
    if (winner === undefined) throw error
    return winner
  } finally {
    rmSync(aside, { force: true })
  }
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}
