/**
 * What someone on the wire can do to a running mesh: take a cluster's CA as its thief would, mint with it, and dial any
 * port with any certificate, through node:tls and through the real openssl. Tells what came back; judges nothing.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect as connectTcp } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import type { KubeClient } from '../../src/kube/client.ts'
import { CONFIG_MAPS, SECRETS } from '../../src/kube/kinds.ts'
import type { SpiffeId } from '../../src/model/identity.ts'
import { OBJECTS, SYSTEM_NAMESPACE } from '../../src/model/names.ts'
import { issueWorkload, type Authority } from '../../src/pki/issue.ts'
import { generateKey, parsePrivateKey, privateKeyPem } from '../../src/pki/keys.ts'
import { forge, type ForgedFields, type TestCredential } from '../../src/pki/testing/mesh.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { finish, start } from './process.ts'

export interface Thief {
  readonly authority: Authority
  /** A certificate that the cluster's control plane could have issued. */
  workload(id: SpiffeId): TestCredential
  /** One that it would never issue. */
  forge(fields: ForgedFields): TestCredential
}

/** Reads the cluster's CA with the administrator's rights. */
export async function stealAuthority(client: KubeClient): Promise<Thief> {
  const [secret, trust] = await Promise.all([
    client.get(SECRETS, OBJECTS.caKey, SYSTEM_NAMESPACE),
    client.get(CONFIG_MAPS, OBJECTS.trust, SYSTEM_NAMESPACE),
  ])
  const keyPem = Buffer.from(secret?.data?.['key.pem'] ?? '', 'base64').toString()
  const authority = { certificatePem: trust?.data?.['intermediate.pem'] ?? '', key: parsePrivateKey(keyPem) }
  return {
    authority,
    workload: (id) => {
      const { privateKey, publicKey } = generateKey()
      const leaf = issueWorkload({ authority, publicKey, id, nowMs: systemClock.now() })
      return { keyPem: privateKeyPem(privateKey), chain: [leaf, authority.certificatePem] }
    },
    forge: (fields) => forge({ authority, nowMs: systemClock.now(), key: generateKey() }, fields),
  }
}

export interface Call {
  readonly host: string
  readonly port: number
  readonly serverName?: string
  readonly alpn?: string
  /** Absent: none is shown. */
  readonly credential?: TestCredential
  /** Written as soon as the client believes in the handshake. */
  readonly send?: Buffer
}

export interface Answer {
  /** Application bytes. */
  readonly received: Buffer
  /** Whether the server ended the connection; else the waiting ended. */
  readonly closed: boolean
}

export interface Waiting {
  /** Ends the waiting early. */
  readonly until?: (received: Buffer) => boolean
}

const WAIT_MS = 5_000

/** A client that believes any server: the server's judgement is what is asked for. */
export function dial(call: Call, { until = () => false }: Waiting = {}): Promise<Answer> {
  const socket = connectTls({
    host: call.host,
    port: call.port,
    minVersion: 'TLSv1.3',
    rejectUnauthorized: false,
    ...(call.serverName === undefined ? {} : { servername: call.serverName }),
    ...(call.alpn === undefined ? {} : { ALPNProtocols: [call.alpn] }),
    ...(call.credential === undefined ? {} : { key: call.credential.keyPem, cert: call.credential.chain.join('') }),
  })
  socket.on('secureConnect', () => speak(socket, call.send))
  return answerOf(socket, until)
}

/** A server that waits for the client's word hears that none will come. */
function speak(socket: TLSSocket, bytes: Buffer | undefined): void {
  if (bytes === undefined) socket.end()
  else socket.write(bytes)
}

/** Plain TCP to a port that wants TLS. */
export function dialPlain({ host, port, send = Buffer.alloc(0) }: Call): Promise<Answer> {
  const socket = connectTcp({ host, port })
  socket.on('connect', () => socket.write(send))
  return answerOf(socket, () => false)
}

function answerOf(socket: ReturnType<typeof connectTcp>, until: (received: Buffer) => boolean): Promise<Answer> {
  return new Promise((resolve) => {
    let received: Buffer = Buffer.alloc(0)
    const done = (closed: boolean): void => {
      cancel()
      socket.destroy()
      resolve({ received, closed })
    }
    const cancel = systemClock.after(WAIT_MS, () => done(false))
    socket.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk])
      if (until(received)) done(false)
    })
    socket.on('error', () => {})
    socket.on('end', () => done(true))
    socket.on('close', () => done(true))
  })
}

/** The same with `openssl s_client`; its standard output holds application bytes and nothing else. */
export async function dialOpenssl(call: Call, { until = () => false }: Waiting = {}): Promise<Answer> {
  const directory = await mkdtemp(join(tmpdir(), 'isthmus-openssl-'))
  const [leaf = '', ...issuers] = call.credential?.chain ?? []
  const file = async (name: string, content: string): Promise<string> => {
    await writeFile(join(directory, name), content, { mode: 0o600 })
    return join(directory, name)
  }
  const args = ['s_client', '-quiet', '-tls1_3', '-connect', `${call.host}:${call.port}`]
  if (call.serverName !== undefined) args.push('-servername', call.serverName)
  if (call.alpn !== undefined) args.push('-alpn', call.alpn)
  if (call.credential !== undefined) {
    args.push('-cert', await file('leaf.pem', leaf), '-key', await file('key.pem', call.credential.keyPem))
    args.push('-cert_chain', await file('chain.pem', issuers.join('')))
  }
  const child = start('openssl', args)
  let received: Buffer = Buffer.alloc(0)
  let stopped = false
  const stop = (): void => {
    stopped = true
    child.kill()
  }
  const cancel = systemClock.after(WAIT_MS, stop)
  child.stdout.on('data', (chunk: Buffer) => {
    received = Buffer.concat([received, chunk])
    if (until(received)) stop()
  })
  await finish(child, call.send ?? '')
  cancel()
  await rm(directory, { recursive: true, force: true })
  return { received, closed: !stopped }
}
