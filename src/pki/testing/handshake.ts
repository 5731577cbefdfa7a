/**
 * One mutual TLS 1.3 connection between two test credentials, each side judging the other exactly as the mesh does:
 * OpenSSL first, then verifyLeaf, and only then a first byte. Tells who refused whom and what arrived. Tests only.
 */
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { connect, createServer, type SecureContextOptions, type TLSSocket } from 'node:tls'
import { verifyLeaf, type LeafExpectations, type LeafRefusal } from '../verify.ts'
import type { TestCredential } from './mesh.ts'

export interface HandshakeParty {
  /** Absent: shows no certificate (clients only). */
  readonly credential?: TestCredential
  readonly roots: readonly string[]
  readonly expects: LeafExpectations
}

export interface HandshakeOutcome {
  /** What each side thinks of the other; `tls` when OpenSSL refused. */
  readonly server: 'accepted' | 'tls' | LeafRefusal
  readonly client: 'accepted' | 'tls' | LeafRefusal
  readonly bytesAtServer: number
  readonly bytesAtClient: number
}

interface Side {
  verdict: 'accepted' | 'tls' | LeafRefusal
  bytes: number
}

const GREETING = 'application data'

export async function handshake(parties: {
  server: HandshakeParty
  client: HandshakeParty
}): Promise<HandshakeOutcome> {
  const at = { server: { verdict: 'tls', bytes: 0 } as Side, client: { verdict: 'tls', bytes: 0 } as Side }
  const server = createServer({ ...contextOf(parties.server), requestCert: true, rejectUnauthorized: true })
  server.on('secureConnection', (socket) => judge(socket, parties.server, at.server))
  server.on('tlsClientError', () => {})
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const socket = connect({
    ...contextOf(parties.client),
    host: '127.0.0.1',
    port: (server.address() as AddressInfo).port,
    servername: 'gateway.west.demo.mesh',
    // Names are judged by verifyLeaf: DNS names mean nothing inside the mesh.
    checkServerIdentity: () => undefined,
  })
  socket.on('secureConnect', () => judge(socket, parties.client, at.client))
  // Either side ends the connection once it refused, or once both greetings went through.
  await new Promise((resolve) => {
    socket.on('error', () => {})
    socket.on('close', resolve)
  })
  server.close()
  await once(server, 'close')
  return {
    server: at.server.verdict,
    client: at.client.verdict,
    bytesAtServer: at.server.bytes,
    bytesAtClient: at.client.bytes,
  }
}

function contextOf({ credential, roots }: HandshakeParty): SecureContextOptions {
  const own = credential === undefined ? {} : { key: credential.keyPem, cert: credential.chain.join('') }
  return { ...own, ca: [...roots], minVersion: 'TLSv1.3', maxVersion: 'TLSv1.3' }
}

function judge(socket: TLSSocket, party: HandshakeParty, side: Side): void {
  socket.on('error', () => {})
  const result = verifyLeaf(socket.getPeerX509Certificate()?.raw, party.expects)
  side.verdict = result.ok ? 'accepted' : result.refusal
  if (!result.ok) {
    socket.destroy()
    return
  }
  socket.on('data', (chunk) => {
    side.bytes += chunk.length
    if (side.bytes === GREETING.length) socket.end()
  })
  socket.write(GREETING)
}
