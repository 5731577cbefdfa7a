/**
 * The join exchange on the wire: one request, one answer, each a JSON object behind four bytes of length, inside TLS 1.3
 * with ALPN `isthmus-join`. Bounded in size and time; nothing else is ever read from the connection.
 */
import type { TLSSocket } from 'node:tls'
import { isLabel, isSubdomain } from '../../src/model/identity.ts'
import type { Clock } from '../../src/runtime/clock.ts'
import { CATALOGUE, type ErrorCode } from '../../src/runtime/catalogue.ts'
import { MeshError } from '../../src/runtime/errors.ts'
import { parseHostPort } from '../../src/runtime/network.ts'
import type { Member } from './message.ts'

export const JOIN_ALPN = 'isthmus-join'
export const JOIN_TIMEOUT_MS = 10_000
const FRAME_BYTES_MAX = 256 * 1024 // a bundle of 100 clusters is 80 KiB
const GATEWAYS_MAX = 16

export interface JoinRequest {
  readonly version: 1
  readonly mesh: string
  readonly cluster: string
  readonly tokenId: string
  readonly csrPem: string
  /** base64 HMAC, see `joinProof`. */
  readonly proof: string
  /** The joiner's gateways, `host:port`. */
  readonly gateways: readonly string[]
}

export interface JoinGrant {
  readonly ok: true
  readonly intermediatePem: string
  readonly rootPem: string
  /** Trust domain → PEM roots, as in ConfigMap isthmus-trust. */
  readonly bundle: Readonly<Record<string, readonly string[]>>
  /** Everyone, the issuer first; the joiner itself too. */
  readonly members: readonly Member[]
}

export interface JoinRefusal {
  readonly ok: false
  readonly code: ErrorCode
  readonly message: string
}

export type JoinAnswer = JoinGrant | JoinRefusal

export function writeFrame(socket: TLSSocket, value: JoinRequest | JoinAnswer): void {
  const body = Buffer.from(JSON.stringify(value))
  const length = Buffer.alloc(4)
  length.writeUInt32BE(body.length)
  socket.write(Buffer.concat([length, body]))
}

/** The one object the other end sends; rejects with JOIN_MALFORMED, or JOIN_UNREACHABLE when it never comes. */
export function readFrame(socket: TLSSocket, clock: Clock): Promise<Record<string, unknown>> {
  return new Promise((resolve, reject) => {
    let received = Buffer.alloc(0)
    const finish = (outcome: Record<string, unknown> | MeshError): void => {
      cancel()
      socket.removeListener('data', onData)
      if (outcome instanceof MeshError) reject(outcome)
      else resolve(outcome)
    }
    const cancel = clock.after(JOIN_TIMEOUT_MS, () => finish(unreachable('no answer within 10 s')))
    const onData = (chunk: Buffer): void => {
      received = Buffer.concat([received, chunk])
      if (received.length < 4) return
      const length = received.readUInt32BE(0)
      if (length > FRAME_BYTES_MAX) return finish(malformed(`a message of ${length} bytes`))
      if (received.length < 4 + length) return
      finish(parseObject(received.subarray(4, 4 + length)))
    }
    socket.on('data', onData)
    socket.once('error', (error) => finish(unreachable(error.message)))
    socket.once('close', () => finish(unreachable('the connection closed')))
  })
}

const malformed = (what: string): MeshError =>
  new MeshError('JOIN_MALFORMED', `the join message is not usable: ${what}`)
const unreachable = (what: string): MeshError => new MeshError('JOIN_UNREACHABLE', what)

function parseObject(bytes: Buffer): Record<string, unknown> | MeshError {
  try {
    const value: unknown = JSON.parse(bytes.toString('utf8'))
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>
  } catch {
    // answered below
  }
  return malformed('it is not a JSON object')
}

export function parseJoinRequest(value: Record<string, unknown>): JoinRequest {
  const text = (key: string): string => (typeof value[key] === 'string' ? value[key] : '')
  const gateways = value['gateways']
  if (value['version'] !== 1) throw malformed(`version ${JSON.stringify(value['version'] ?? null)}`)
  if (!isSubdomain(text('mesh')) || !isLabel(text('cluster'))) throw malformed('mesh or cluster is not a name')
  if (!/^[0-9a-f]{16}$/.test(text('tokenId'))) throw malformed('the token id')
  if (!isGateways(gateways)) throw malformed('the gateways')
  return {
    version: 1,
    mesh: text('mesh'),
    cluster: text('cluster'),
    tokenId: text('tokenId'),
    csrPem: text('csrPem'),
    proof: text('proof'),
    gateways,
  }
}

/** Trusted as far as the issuer is, whose identity was checked; still read with care, because it is written down. */
export function parseJoinAnswer(value: Record<string, unknown>): JoinAnswer {
  if (value['ok'] === false) {
    const { code, message } = value
    const known = typeof code === 'string' && Object.hasOwn(CATALOGUE, code)
    return { ok: false, code: known ? (code as ErrorCode) : 'JOIN_MALFORMED', message: String(message).slice(0, 500) }
  }
  const { intermediatePem, rootPem, bundle, members } = value
  if (typeof intermediatePem !== 'string' || typeof rootPem !== 'string') throw malformed('it brings no certificates')
  if (typeof bundle !== 'object' || bundle === null || !Array.isArray(members)) throw malformed('bundle or members')
  return {
    ok: true,
    intermediatePem,
    rootPem,
    bundle: bundle as JoinGrant['bundle'],
    members: members.map(parseMember),
  }
}

function parseMember(value: unknown): Member {
  const { cluster, trustDomain, gateways, signer } = value as Partial<Member>
  if (!isLabel(cluster) || !isSubdomain(trustDomain) || !isGateways(gateways)) throw malformed('a member')
  return { cluster, trustDomain, gateways, signer: signer === true }
}

export function isGateways(value: unknown): value is readonly string[] {
  return (
    Array.isArray(value) &&
    value.length <= GATEWAYS_MAX &&
    value.every((each) => typeof each === 'string' && each.length <= 260 && parseHostPort(each) !== undefined)
  )
}
