import { X509Certificate } from 'node:crypto'
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, createServer, type TLSSocket } from 'node:tls'
import { afterAll, describe, expect, it } from 'vitest'
import { ManualClock, systemClock } from '../../../runtime/clock.ts'
import {
  type CertificateAndKey,
  createClusterCa,
  issueClientCertificate,
  issueServerCertificate,
  loadOrCreateClusterCa,
  userOfCertificate,
} from './certificates.ts'
import type { User } from './user.ts'

const directory = mkdtempSync(join(tmpdir(), 'certificates-'))
afterAll(() => rmSync(directory, { recursive: true }))

const clock = systemClock
const ca = createClusterCa({ commonName: 'isthmus local east', clock })
const server = issueServerCertificate(
  ca,
  { ips: ['127.0.0.1', '::1'], dnsNames: ['localhost', 'kubernetes.default.svc'] },
  clock,
)

/** One handshake over a real socket; what the server made of the client. */
function handshake(
  client: CertificateAndKey | undefined,
  servername = 'localhost',
): Promise<User | 'anonymous' | 'unauthorized'> {
  return new Promise((resolve, reject) => {
    const listener = createServer({
      key: server.key,
      cert: server.certificate,
      ca: ca.certificate,
      requestCert: true,
      rejectUnauthorized: false,
    })
    listener.on('secureConnection', (socket: TLSSocket) => {
      const user = userOfCertificate(socket.getPeerCertificate())
      resolve(user === undefined ? 'anonymous' : socket.authorized ? user : 'unauthorized')
      socket.destroy()
      listener.close()
    })
    listener.listen(0, '127.0.0.1', () => {
      const { port } = listener.address() as AddressInfo
      const credentials = client === undefined ? {} : { key: client.key, cert: client.certificate }
      connect({ host: '127.0.0.1', port, servername, ca: ca.certificate, ...credentials }).on('error', (error) => {
        listener.close()
        reject(error)
      })
    })
  })
}

describe('certificates', () => {
  it('carry user and groups through a TLS handshake', async () => {
    const admin = issueClientCertificate(
      ca,
      { commonName: 'kubernetes-admin', organizations: ['system:masters', 'ops'] },
      clock,
    )
    expect(await handshake(admin)).toEqual({
      username: 'kubernetes-admin',
      groups: ['system:masters', 'ops', 'system:authenticated'],
    })
    const single = issueClientCertificate(ca, { commonName: 'jane', organizations: ['dev'] }, clock)
    expect(await handshake(single)).toEqual({ username: 'jane', groups: ['dev', 'system:authenticated'] })
    expect(await handshake(undefined)).toBe('anonymous')
  })

  it('of another CA are not authorized, also under the same name', async () => {
    const impostor = createClusterCa({ commonName: 'isthmus local east', clock })
    const admin = issueClientCertificate(
      impostor,
      { commonName: 'kubernetes-admin', organizations: ['system:masters'] },
      clock,
    )
    expect(await handshake(admin)).toBe('unauthorized')
  })

  it('serve the names and addresses asked for, and no others', async () => {
    const leaf = new X509Certificate(server.certificate)
    expect(leaf.subjectAltName).toBe(
      'DNS:localhost, DNS:kubernetes.default.svc, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1',
    )
    await expect(handshake(undefined, 'other.example')).rejects.toThrow(/altnames/)
  })

  it('a client certificate does not serve, a server certificate does not authenticate', async () => {
    expect(new X509Certificate(server.certificate).keyUsage).toEqual(['1.3.6.1.5.5.7.3.1'])
    expect(await handshake(server)).toBe('unauthorized')
  })

  it('form a chain that OpenSSL verifies, from a CA of ten years', () => {
    const root = new X509Certificate(ca.certificate)
    const leaf = new X509Certificate(server.certificate)
    expect(root.ca).toBe(true)
    expect(leaf.ca).toBe(false)
    expect(leaf.verify(root.publicKey) && leaf.checkIssued(root)).toBe(true)
    expect(Math.round((root.validToDate.getTime() - root.validFromDate.getTime()) / 86_400_000)).toBe(3_650)
  })

  it('write years from 2050 with four digits', () => {
    const later = new ManualClock(Date.parse('2045-01-01T00:00:00Z'))
    const root = new X509Certificate(createClusterCa({ commonName: 'x', clock: later }).certificate)
    expect(root.validToDate.toISOString()).toBe('2054-12-29T23:55:00.000Z')
  })

  it('the CA is kept in one private file and refused when damaged', () => {
    const path = join(directory, 'state', 'ca.pem')
    const first = loadOrCreateClusterCa({ path, commonName: 'x', clock })
    expect(loadOrCreateClusterCa({ path, commonName: 'x', clock })).toEqual(first)
    expect(statSync(path).mode & 0o777).toBe(0o600)
    writeFileSync(path, 'nonsense')
    expect(() => loadOrCreateClusterCa({ path, commonName: 'x', clock })).toThrow(/holds no certificate/)
    writeFileSync(path, first.certificate + ca.key)
    expect(() => loadOrCreateClusterCa({ path, commonName: 'x', clock })).toThrow(/key of another/)
  })

  it('userOfCertificate refuses a missing or ambiguous name', () => {
    expect(userOfCertificate({})).toBeUndefined()
    expect(userOfCertificate(null)).toBeUndefined()
    for (const CN of [undefined, '', ['a', 'system:admin']]) {
      expect(userOfCertificate({ subject: { CN, O: 'system:masters' } } as never)).toBeUndefined()
    }
  })
})
