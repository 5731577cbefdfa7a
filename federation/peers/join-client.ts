/**
 * The joiner's side of the exchange: find the pinned root behind one of the issuer's gateways, verify everything
 * against it, then prove the token. Two connections: the first reads the chain and says nothing; the second trusts only
 * the root whose hash the token pins, so that OpenSSL judges signatures, dates and name constraints.
 */
import { createHash, X509Certificate } from 'node:crypto'
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls'
import { trustDomainOf } from '../../src/model/identity.ts'
import { joinSni } from '../../src/model/sni.ts'
import { JOIN_EXPORTER_BYTES, JOIN_EXPORTER_LABEL, joinProof, type JoinToken } from '../../src/pki/join-token.ts'
import { formatPem, parsePem } from '../../src/pki/pem.ts'
import type { Clock } from '../../src/runtime/clock.ts'
import { MeshError, messageOf } from '../../src/runtime/errors.ts'
import { federationId, identityError } from '../trust/material.ts'
import { JOIN_ALPN, JOIN_TIMEOUT_MS, parseJoinAnswer, readFrame, writeFrame, type JoinGrant } from './join-frame.ts'
import type { GatewayResolver } from './resolver.ts'

export interface JoinAttempt {
  readonly token: JoinToken
  readonly csrPem: string
  /** This cluster's own gateways. */
  readonly gateways: readonly string[]
  readonly resolver: GatewayResolver
  readonly clock: Clock
}

/** Tries the issuer's gateways in turn. A refusal by the issuer ends it; what is only out of reach does not. */
export async function requestJoin(attempt: JoinAttempt): Promise<JoinGrant> {
  let last = new MeshError('JOIN_UNREACHABLE', 'the token names no gateway')
  for (const gateway of attempt.token.gateways) {
    try {
      return await joinThrough(gateway, attempt)
    } catch (error) {
      const { code, message } = MeshError.from(error, 'JOIN_UNREACHABLE', 'the join could not be asked for')
      if (code !== 'JOIN_UNREACHABLE') throw error
      last = new MeshError(code, `gateway ${gateway} of ${attempt.token.issuer}: ${message}`, { cause: error })
    }
  }
  throw last
}

async function joinThrough(gateway: string, attempt: JoinAttempt): Promise<JoinGrant> {
  const { token, clock } = attempt
  const { host, port } = await attempt.resolver.resolve(gateway)
  const target = {
    host,
    port,
    servername: joinSni(token.issuer, token.mesh),
    ALPNProtocols: [JOIN_ALPN],
    minVersion: 'TLSv1.3',
  } as const
  const rootPem = await pinnedRoot(target, attempt)
  const expected = federationId(trustDomainOf(token.issuer, token.mesh))
  const socket = await open(clock, {
    ...target,
    ca: [rootPem],
    checkServerIdentity: (_host, certificate) => identityError(certificate.raw, expected, clock.now()),
  })
  try {
    return await exchange(socket, attempt)
  } finally {
    socket.destroy()
  }
}

async function exchange(socket: TLSSocket, { token, csrPem, gateways, clock }: JoinAttempt): Promise<JoinGrant> {
  const exporter = socket.exportKeyingMaterial(JOIN_EXPORTER_BYTES, JOIN_EXPORTER_LABEL, Buffer.alloc(0))
  const [csrDer] = parsePem('request', csrPem) ?? []
  if (csrDer === undefined) throw new MeshError('JOIN_MALFORMED', 'the certificate request of this cluster is not PEM')
  const { mesh, cluster } = token
  const proof = joinProof(token.secret, { exporter, mesh, cluster, csrDer, gateways }).toString('base64')
  const answer = readFrame(socket, clock)
  writeFrame(socket, { version: 1, mesh, cluster, tokenId: token.id, csrPem, proof, gateways })
  const parsed = parseJoinAnswer(await answer)
  if (!parsed.ok) throw new MeshError(parsed.code, parsed.message)
  assertPinned(parsed.rootPem, token)
  return parsed
}

/** The issuer sends its root in the chain; nothing is trusted here but a hash that the operator carried over. */
async function pinnedRoot(target: ConnectionOptions, { token, clock }: JoinAttempt): Promise<string> {
  // Unverified on purpose: not a byte is written to this connection, and all it yields is compared with the pin.
  const socket = await open(clock, { ...target, rejectUnauthorized: false })
  try {
    let certificate = socket.getPeerCertificate(true)
    for (let depth = 0; depth < 5; depth++) {
      const issuer = certificate.issuerCertificate
      const der: Buffer | undefined = certificate.raw
      if (der !== undefined && sha256(der) === token.rootSha256) return formatPem('certificate', der)
      if (issuer === undefined || issuer === certificate) break
      certificate = issuer
    }
  } finally {
    socket.destroy()
  }
  throw new MeshError('JOIN_ROOT_MISMATCH', `no certificate that ${token.issuer} shows has the pinned hash`)
}

function assertPinned(rootPem: string, token: JoinToken): void {
  const der = parsePem('certificate', rootPem)?.[0]
  if (der === undefined || sha256(new X509Certificate(der).raw) !== token.rootSha256) {
    throw new MeshError('JOIN_ROOT_MISMATCH', 'the issuer answered with another root than the token pins')
  }
}

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex')

function open(clock: Clock, options: ConnectionOptions): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connect(options)
    const cancel = clock.after(JOIN_TIMEOUT_MS, () => {
      socket.destroy()
      reject(new MeshError('JOIN_UNREACHABLE', 'no answer within 10 s'))
    })
    socket.once('error', (error) => {
      cancel()
      // A wrong identity is said as such: no other gateway of the issuer may have it either.
      reject(error instanceof MeshError ? asMismatch(error) : new MeshError('JOIN_UNREACHABLE', reasonOf(error)))
    })
    socket.once('close', () => {
      cancel()
      reject(new MeshError('JOIN_UNREACHABLE', 'the connection closed'))
    })
    socket.once('secureConnect', () => {
      cancel()
      resolve(socket)
    })
  })
}

/** OpenSSL's text for the commonest failure names a source file and nothing that helps. */
function reasonOf(error: Error & { code?: string }): string {
  return error.code === 'ERR_SSL_TLSV1_UNRECOGNIZED_NAME'
    ? 'it takes no joins; its cluster is not the signer, or no federation controller leads there yet'
    : messageOf(error)
}

function asMismatch(error: MeshError): MeshError {
  return new MeshError('JOIN_ROOT_MISMATCH', error.message, { cause: error })
}
