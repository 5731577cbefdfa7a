/**
 * One-time join tokens: what an operator carries from the signer cluster to a joining one, and what the signer keeps
 * of it in a Secret. Shared by the CLI (issues) and the federation controller (redeems, joins). The token pins the root
 * and holds a secret that is proven, never sent. Not the exchange itself: that is federation/peers/join-*.
 */
import { createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import { isLabel, isSubdomain } from '../model/identity.ts'
import { OBJECTS, SYSTEM_NAMESPACE } from '../model/names.ts'
import { MeshError } from '../runtime/errors.ts'
import { parseHostPort } from '../runtime/network.ts'

const PREFIX = 'isthmus-join-1.' // the version stands in front, so that an older program can say what it cannot read
const TOKEN_BYTES_MAX = 16 * 1024
const GATEWAYS_MAX = 16
const SECRET_BYTES = 32
const CHECKSUM_CHARS = 11 // 8 bytes of SHA-256: notices a cut or mistyped paste, protects nothing
export const JOIN_TOKEN_TTL_MS = 10 * 60_000
/** RFC 5705 exporter label: binds the proof to one TLS session, so that it cannot be replayed in another. */
export const JOIN_EXPORTER_LABEL = 'EXPORTER-isthmus-join-1'
export const JOIN_EXPORTER_BYTES = 32

export interface JoinToken {
  readonly mesh: string
  /** The signer cluster that issued it. */
  readonly issuer: string
  /** The only cluster that may use it. */
  readonly cluster: string
  /** The issuer's gateways, `host:port`. */
  readonly gateways: readonly string[]
  /** SHA-256 (hex) of the root certificate's DER. */
  readonly rootSha256: string
  readonly id: string
  /** base64url of 32 random bytes. */
  readonly secret: string
  /** RFC 3339. */
  readonly expiresAt: string
  /** SHA-256 (hex) of the joiner's SubjectPublicKeyInfo, when the operator bound the token to a key. */
  readonly keySha256?: string
}

/** What the issuer remembers; `redeemed` is written once, by compare-and-swap. */
export interface JoinTokenRecord extends Omit<JoinToken, 'gateways' | 'rootSha256'> {
  readonly redeemed?: JoinRedemption
}

export interface JoinRedemption {
  readonly keySha256: string
  /** RFC 3339. */
  readonly at: string
  /** The certificate that was answered: a retry with the same key gets this one again. */
  readonly intermediatePem: string
}

export interface JoinTokenRequest {
  readonly mesh: string
  readonly issuer: string
  readonly cluster: string
  readonly gateways: readonly string[]
  /** DER of the root certificate to pin (`new X509Certificate(pem).raw`). */
  readonly rootDer: Uint8Array
  readonly nowMs: number
  readonly ttlMs?: number
  readonly keySha256?: string
}

/** `text` is for the joiner, `record` for the Secret `joinTokensSecret` makes of it. */
export function createJoinToken(request: JoinTokenRequest): {
  text: string
  token: JoinToken
  record: JoinTokenRecord
} {
  const token: JoinToken = {
    mesh: request.mesh,
    issuer: request.issuer,
    cluster: request.cluster,
    gateways: request.gateways,
    rootSha256: createHash('sha256').update(request.rootDer).digest('hex'),
    id: randomBytes(8).toString('hex'),
    secret: randomBytes(SECRET_BYTES).toString('base64url'),
    expiresAt: new Date(request.nowMs + (request.ttlMs ?? JOIN_TOKEN_TTL_MS)).toISOString(),
    ...(request.keySha256 === undefined ? {} : { keySha256: request.keySha256 }),
  }
  const flaw = flawOf(token)
  if (flaw !== undefined) throw new MeshError('JOIN_TOKEN_MALFORMED', `cannot issue a join token: ${flaw}`)
  const { gateways: _gateways, rootSha256: _root, ...record } = token
  return { text: encode(token), token, record }
}

/** Throws JOIN_TOKEN_MALFORMED; whether it is still good is `checkJoinToken`'s question. */
export function parseJoinToken(text: string): JoinToken {
  const trimmed = text.trim()
  if (trimmed.length > TOKEN_BYTES_MAX || !trimmed.startsWith(PREFIX)) {
    throw new MeshError('JOIN_TOKEN_MALFORMED', `the join token does not start with ${PREFIX} or is too long`)
  }
  const [body = '', checksum] = trimmed.slice(PREFIX.length).split('.')
  if (checksum !== checksumOf(body)) {
    throw new MeshError('JOIN_TOKEN_MALFORMED', 'the join token was cut or altered on the way (its checksum differs)')
  }
  const token = decodeJson(body)
  const flaw = flawOf(token)
  if (flaw !== undefined) throw new MeshError('JOIN_TOKEN_MALFORMED', `the join token is not usable: ${flaw}`)
  return token as JoinToken
}

/** The joiner's own check before it dials; the issuer decides again from its record. */
export function checkJoinToken(token: JoinToken, own: { mesh: string; cluster: string; nowMs: number }): void {
  const { mesh, issuer, cluster, expiresAt } = token
  if (mesh !== own.mesh) {
    throw new MeshError('JOIN_OTHER_MESH', `the token is for mesh ${mesh}, this cluster was installed for ${own.mesh}`)
  }
  if (cluster !== own.cluster) {
    throw new MeshError('JOIN_OTHER_CLUSTER', `the token is for cluster ${cluster}, this one is ${own.cluster}`)
  }
  if (issuer === own.cluster) {
    throw new MeshError('JOIN_OTHER_CLUSTER', `the token was issued by this very cluster (${issuer})`)
  }
  if (Date.parse(expiresAt) <= own.nowMs) {
    throw new MeshError('JOIN_TOKEN_EXPIRED', `the token of ${issuer} expired at ${expiresAt}`)
  }
}

/** HMAC over everything the issuer acts on; every part is length-prefixed, so that no two inputs read the same. */
export function joinProof(secret: string, claim: JoinClaim): Buffer {
  const hmac = createHmac('sha256', Buffer.from(secret, 'base64url'))
  const parts = [JOIN_EXPORTER_LABEL, claim.exporter, claim.mesh, claim.cluster, claim.csrDer, ...claim.gateways]
  for (const part of parts) {
    const bytes = typeof part === 'string' ? Buffer.from(part) : part
    const length = Buffer.alloc(4)
    length.writeUInt32BE(bytes.length)
    hmac.update(length).update(bytes)
  }
  return hmac.digest()
}

export interface JoinClaim {
  readonly exporter: Uint8Array
  readonly mesh: string
  readonly cluster: string
  readonly csrDer: Uint8Array
  readonly gateways: readonly string[]
}

export function proofMatches(expected: Uint8Array, given: Uint8Array): boolean {
  return expected.length === given.length && timingSafeEqual(expected, given)
}

/** A Secret as the API server takes it: every token issued here, one key per id, so that RBAC can name it. */
export interface JoinTokensSecret {
  apiVersion: 'v1'
  kind: 'Secret'
  metadata: { name: string; namespace: string }
  type: string
  data: Record<string, string>
}

/** For the first token; later ones are a merge patch `{ data: joinRecordData(record) }` of the same Secret. */
export function joinTokensSecret(record: JoinTokenRecord): JoinTokensSecret {
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: OBJECTS.joinTokens, namespace: SYSTEM_NAMESPACE },
    type: 'isthmus.dev/join-tokens',
    data: joinRecordData(record),
  }
}

export function joinRecordData(record: JoinTokenRecord): Record<string, string> {
  return { [record.id]: Buffer.from(JSON.stringify(record)).toString('base64') }
}

/** undefined when the Secret does not know the id. */
export function parseJoinRecord(
  data: Readonly<Record<string, string>> | undefined,
  id: string,
): JoinTokenRecord | undefined {
  const text = data !== undefined && Object.hasOwn(data, id) ? data[id] : undefined
  if (text === undefined) return undefined
  const record = parseObject(Buffer.from(text, 'base64').toString('utf8'))
  return record === undefined || recordFlaw(record) !== undefined ? undefined : (record as unknown as JoinTokenRecord)
}

function encode(token: JoinToken): string {
  const body = Buffer.from(JSON.stringify(token)).toString('base64url')
  return `${PREFIX}${body}.${checksumOf(body)}`
}

function checksumOf(body: string): string {
  return createHash('sha256').update(body).digest('base64url').slice(0, CHECKSUM_CHARS)
}

function decodeJson(body: string): Partial<JoinToken> {
  return parseObject(Buffer.from(body, 'base64url').toString('utf8')) ?? {}
}

function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined
  } catch {
    return undefined // the caller names the flaw
  }
}

function flawOf(token: Partial<JoinToken>): string | undefined {
  if (typeof token.rootSha256 !== 'string' || !/^[0-9a-f]{64}$/.test(token.rootSha256)) return 'no root to pin'
  const { gateways } = token
  if (!Array.isArray(gateways) || gateways.length === 0) return 'it names no gateway of the issuer'
  if (gateways.length > GATEWAYS_MAX) return `it names more than ${GATEWAYS_MAX} gateways`
  const wrong = gateways.find((gateway) => typeof gateway !== 'string' || parseHostPort(gateway) === undefined)
  if (wrong !== undefined) return `gateway ${JSON.stringify(wrong)} is not host:port`
  return recordFlaw({ ...token })
}

function recordFlaw(record: Record<string, unknown>): string | undefined {
  const text = (key: string): string => (typeof record[key] === 'string' ? record[key] : '')
  if (!isSubdomain(text('mesh'))) return 'its mesh is not a DNS name'
  if (!isLabel(text('issuer'))) return 'its issuer is not a cluster name'
  if (!isLabel(text('cluster'))) return 'its cluster is not a cluster name'
  if (!/^[0-9a-f]{16}$/.test(text('id'))) return 'its id is malformed'
  if (Buffer.from(text('secret'), 'base64url').length !== SECRET_BYTES) return 'its secret is malformed'
  if (Number.isNaN(Date.parse(text('expiresAt')))) return 'its expiry is not a time'
  const key = record['keySha256']
  if (key !== undefined && !/^[0-9a-f]{64}$/.test(text('keySha256'))) return 'its key pin is malformed'
  return undefined
}
