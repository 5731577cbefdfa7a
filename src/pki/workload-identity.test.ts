/** The renewal loop against a signer in memory, and the gRPC question against a real server with TLS. */
import { X509Certificate } from 'node:crypto'
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as grpc from '@grpc/grpc-js'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ManualClock, systemClock } from '../runtime/clock.ts'
import type { MeshError } from '../runtime/errors.ts'
import { requestCertificate } from './certificate-client.ts'
import {
  CREATE_CERTIFICATE_PATH,
  decodeCertificateRequest,
  decodeCertificateResponse,
  encodeCertificateRequest,
  encodeCertificateResponse,
  type CertificateRequest,
  type CertificateResponse,
} from './certificate-messages.ts'
import { parseCsr } from './csr.ts'
import { issueServing, WORKLOAD_TTL_MS } from './issue.ts'
import { generateKey, privateKeyPem } from './keys.ts'
import { testMesh } from './testing/mesh.ts'
import { WorkloadIdentity, type WorkloadCertificate } from './workload-identity.ts'

const startMs = Date.UTC(2026, 10, 21)
const id = { trustDomain: 'east.demo.mesh', namespace: 'shop', serviceAccount: 'checkout' }
const mesh = testMesh({ clusters: ['east'], nowMs: startMs })

function signed(csrPem: string, nowMs: number, as = id): readonly string[] {
  const parsed = parseCsr(csrPem)
  if (!parsed.ok) throw new Error(parsed.reason)
  return mesh.cluster('east').workload(as, { publicKey: parsed.csr.publicKey, nowMs }).chain
}

describe('WorkloadIdentity', () => {
  let directory = ''
  let clock = new ManualClock(startMs)
  let failures: MeshError[] = []
  const asked: string[] = []
  let request: (csrPem: string) => Promise<readonly string[]> = () => Promise.reject(new Error('not set'))

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'isthmus-identity-'))
    clock = new ManualClock(startMs)
    failures = []
    asked.length = 0
    request = (csr) => Promise.resolve(signed(csr, clock.now()))
  })
  afterEach(() => rm(directory, { recursive: true }))

  function identity(): WorkloadIdentity {
    return new WorkloadIdentity({
      id,
      directory,
      clock,
      random: { next: () => 0.5 },
      request: (csr) => {
        asked.push(csr)
        return request(csr)
      },
      onFailure: (error) => failures.push(error),
    })
  }

  async function started(one = identity()): Promise<{ one: WorkloadIdentity; first: WorkloadCertificate }> {
    const starting = one.start()
    // The first attempt is a timer of 0 ms, set once the directory was looked at.
    while (asked.length === 0) {
      clock.advance(0)
      await new Promise(setImmediate)
    }
    return { one, first: await starting }
  }

  const changed = (one: WorkloadIdentity): Promise<WorkloadCertificate> =>
    new Promise((resolve) => {
      const off = one.onChange((certificate) => {
        off()
        resolve(certificate)
      })
    })

  it('gets a certificate for its own key and keeps both in one private file', async () => {
    const { one, first } = await started()
    expect(new X509Certificate(first.chainPem).subjectAltName).toBe('URI:spiffe://east.demo.mesh/ns/shop/sa/checkout')
    const file = join(directory, 'identity.pem')
    expect((await stat(file)).mode & 0o777).toBe(0o600)
    expect(await readFile(file, 'utf8')).toBe(first.keyPem + first.chainPem)
    one.stop()
  })

  it('serves at once after a restart, without asking', async () => {
    const { one, first } = await started()
    one.stop()
    asked.length = 0
    request = () => Promise.reject(new Error('the control plane is away'))
    const again = identity()
    expect(await again.start()).toEqual(first)
    expect(asked).toHaveLength(0)
    again.stop()
  })

  it('renews at half-life with a new key', async () => {
    const { one, first } = await started()
    const half = (first.notAfterMs - first.notBeforeMs) / 2 - (clock.now() - first.notBeforeMs)
    const renewal = changed(one)
    clock.advance(half - 1)
    expect(asked).toHaveLength(1)
    clock.advance(1)
    const second = await renewal
    expect(second.keyPem).not.toBe(first.keyPem)
    expect(second.notAfterMs).toBe(clock.now() + WORKLOAD_TTL_MS)
    expect(one.current()).toBe(second)
    one.stop()
  })

  it('keeps trying with back-off, and keeps what it has meanwhile', async () => {
    const { one, first } = await started()
    request = () => Promise.reject(new Error('away'))
    for (let minute = 0; minute < 13 * 60; minute++) {
      clock.advance(60_000)
      await new Promise(setImmediate)
    }
    expect(failures.length).toBeGreaterThan(20)
    expect(one.current()).toBe(first)
    request = (csr) => Promise.resolve(signed(csr, clock.now()))
    const renewal = changed(one)
    clock.advance(30_000)
    expect((await renewal).notAfterMs).toBeGreaterThan(first.notAfterMs)
    one.stop()
  })

  it.each([
    ['another identity', (csr: string) => signed(csr, startMs, { ...id, serviceAccount: 'admin' }), /who is expected/],
    ['another key', () => signed(otherCsr(), startMs), /another key/],
    ['no issuer', (csr: string) => signed(csr, startMs).slice(0, 1), /without its issuer/],
    ['an expired one', (csr: string) => signed(csr, startMs - 2 * WORKLOAD_TTL_MS), /valid until/],
  ])('refuses an answer with %s', async (_name, answer, reason) => {
    request = (csr) => Promise.resolve(answer(csr))
    const one = identity()
    const starting = one.start()
    while (failures.length === 0) {
      clock.advance(0)
      await new Promise(setImmediate)
    }
    expect(failures[0]?.message).toMatch(reason)
    expect(one.current()).toBeUndefined()
    one.stop()
    await expect(starting).rejects.toThrow(/stopped/)
  })

  it('asks anew when its file is damaged or expired', async () => {
    const { one } = await started()
    one.stop()
    await writeFile(join(directory, 'identity.pem'), 'nonsense')
    asked.length = 0
    const damaged = await started()
    damaged.one.stop()
    expect(failures[0]?.message).toMatch(/identity.pem is not used/)
    clock.advance(2 * WORKLOAD_TTL_MS)
    asked.length = 0
    const expired = await started()
    expect(expired.first.notAfterMs).toBeGreaterThan(clock.now())
    expired.one.stop()
  })
})

function otherCsr(): string {
  return mesh.cluster('east').csr(id)
}

describe('certificate messages', () => {
  it('survive the round trip and skip unknown fields', () => {
    const request = { csr: 'PEM', validitySeconds: 86_400 }
    expect(decodeCertificateRequest(encodeCertificateRequest(request))).toEqual(request)
    const withMetadata = Buffer.concat([Buffer.from([0x1a, 2, 1, 2]), encodeCertificateRequest(request)])
    expect(decodeCertificateRequest(withMetadata)).toEqual(request)
    const response = { chain: ['a', 'b'] }
    expect(decodeCertificateResponse(encodeCertificateResponse(response))).toEqual(response)
  })
})

describe('requestCertificate', () => {
  const serverName = 'isthmus-control-plane.isthmus-system.svc'
  let server = new grpc.Server()
  let port = 0
  let respond: grpc.handleUnaryCall<CertificateRequest, CertificateResponse> = () => {}

  beforeEach(async () => {
    const key = generateKey()
    const { serving } = mesh.cluster('east')
    const pem = issueServing({
      authority: serving,
      publicKey: key.publicKey,
      dns: [serverName],
      nowMs: systemClock.now(),
    })
    server = new grpc.Server()
    server.addService(
      {
        create: {
          path: CREATE_CERTIFICATE_PATH,
          requestStream: false,
          responseStream: false,
          requestSerialize: encodeCertificateRequest,
          requestDeserialize: decodeCertificateRequest,
          responseSerialize: encodeCertificateResponse,
          responseDeserialize: decodeCertificateResponse,
        },
      },
      { create: ((call, callback) => respond(call, callback)) as typeof respond },
    )
    const credentials = grpc.ServerCredentials.createSsl(null, [
      { private_key: Buffer.from(privateKeyPem(key.privateKey)), cert_chain: Buffer.from(pem) },
    ])
    port = await new Promise<number>((resolve, reject) => {
      server.bindAsync('127.0.0.1:0', credentials, (error, bound) => (error === null ? resolve(bound) : reject(error)))
    })
  })
  afterEach(() => server.forceShutdown())

  const ask = (host = serverName): Promise<readonly string[]> =>
    requestCertificate({
      address: `${host}:${port}`,
      lookup: (_host, _options, callback) => callback(null, '127.0.0.1', 4),
      servingRootPem: mesh.cluster('east').serving.certificatePem,
      token: 'the-token\n',
      csrPem: mesh.cluster('east').csr(id),
      ttlSeconds: 3600,
    })

  it('shows the token, sends the request and returns the chain', async () => {
    let seen: unknown
    respond = (call, callback) => {
      seen = { token: call.metadata.get('authorization'), ttl: call.request.validitySeconds }
      callback(null, { chain: [signed(call.request.csr, startMs).join('')] })
    }
    expect(await ask()).toHaveLength(2)
    expect(seen).toEqual({ token: ['Bearer the-token'], ttl: 3600 })
  })

  it('tells a refusal from an absence', async () => {
    respond = (_call, callback) => callback({ code: grpc.status.PERMISSION_DENIED, details: 'not your pod' })
    await expect(ask()).rejects.toMatchObject({
      code: 'CERTIFICATE_REFUSED',
      message: expect.stringMatching(/not your pod/),
    })
    respond = (_call, callback) => callback({ code: grpc.status.UNAVAILABLE, details: 'no intermediate yet' })
    await expect(ask()).rejects.toMatchObject({
      code: 'CERTIFICATE_UNAVAILABLE',
      message: expect.stringMatching(/no intermediate yet/),
    })
  })

  it('sends nothing to a server of another name', async () => {
    let called = false
    respond = () => {
      called = true
    }
    await expect(ask('other.isthmus-system.svc')).rejects.toMatchObject({ code: 'CERTIFICATE_UNAVAILABLE' })
    expect(called).toBe(false)
  })
})
