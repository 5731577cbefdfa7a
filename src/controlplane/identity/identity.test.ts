/** Keys, callers and certificates against an API server in memory. */
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { connect } from 'node:tls'
import { experimental, Server } from '@grpc/grpc-js'
import { beforeEach, describe, expect, it } from 'vitest'
import { KubeError, type RawRequest } from '../../kube/client.ts'
import { CONFIG_MAPS, type Pod, SECRETS, type TokenReview } from '../../kube/kinds.ts'
import { MemoryClient } from '../../kube/testing/memory-client.ts'
import { OBJECTS, SYSTEM_NAMESPACE } from '../../model/names.ts'
import { createCsr, parseCsr } from '../../pki/csr.ts'
import { issueIntermediate } from '../../pki/issue.ts'
import { generateKey, privateKeyPem } from '../../pki/keys.ts'
import { testMesh } from '../../pki/testing/mesh.ts'
import { ManualClock, systemClock } from '../../runtime/clock.ts'
import { createLog } from '../../runtime/log.ts'
import { seededRandom } from '../../runtime/random.ts'
import { Authenticator } from './authenticator.ts'
import { registerCertificateService } from './certificate-service.ts'
import { loadClusterKeys } from './keys.ts'
import { ServingCertificate } from './serving.ts'
import { ServingRoot } from './serving-root.ts'
import { Signer } from './signer.ts'

const nowMs = systemClock.now()
const pki = testMesh({ clusters: ['east'], mesh: 'demo', nowMs })
const mesh = { mesh: 'demo', cluster: 'east', trustDomain: 'east.demo', domain: 'cluster.local' }
const log = createLog('test', 'silent')
const validation = { name: 'ROOTCA', roots: {}, revokedTrustDomains: [], revokedIssuers: [] }

describe('loadClusterKeys', () => {
  it('gives two replicas that start together the same keys', async () => {
    const client = new MemoryClient()
    const [one, two] = await Promise.all([loadClusterKeys(client, mesh, nowMs), loadClusterKeys(client, mesh, nowMs)])
    expect(privateKeyPem(one.caKey)).toBe(privateKeyPem(two.caKey))
    expect(one.servingCa.certificatePem).toBe(two.servingCa.certificatePem)
    const again = await loadClusterKeys(client, mesh, nowMs)
    expect(privateKeyPem(again.caKey)).toBe(privateKeyPem(one.caKey))
  })

  it('asks for an intermediate of its trust domain for exactly its key', async () => {
    const client = new MemoryClient()
    const { caKey } = await loadClusterKeys(client, mesh, nowMs)
    const request = await client.get(CONFIG_MAPS, OBJECTS.caRequest, SYSTEM_NAMESPACE)
    const parsed = parseCsr(request?.data?.['csr.pem'] ?? '')
    expect(parsed).toMatchObject({ ok: true, csr: { uris: ['spiffe://east.demo'] } })
    const version = request?.metadata.resourceVersion
    await loadClusterKeys(client, mesh, nowMs)
    const after = await client.get(CONFIG_MAPS, OBJECTS.caRequest, SYSTEM_NAMESPACE)
    expect(after?.metadata.resourceVersion, 'a good request is left alone').toBe(version)
    expect(caKey.asymmetricKeyType).toBe('ec')
  })

  it('replaces a request for another key', async () => {
    const client = new MemoryClient()
    const stale = createCsr(generateKey().privateKey, { uri: 'spiffe://east.demo' })
    const metadata = { name: OBJECTS.caRequest, namespace: SYSTEM_NAMESPACE }
    await client.create(CONFIG_MAPS, { apiVersion: 'v1', kind: 'ConfigMap', metadata, data: { 'csr.pem': stale } })
    await loadClusterKeys(client, mesh, nowMs)
    const request = await client.get(CONFIG_MAPS, OBJECTS.caRequest, SYSTEM_NAMESPACE)
    expect(request?.data?.['csr.pem']).not.toBe(stale)
  })

  it('never replaces a key that it cannot read', async () => {
    const client = new MemoryClient()
    const metadata = { name: OBJECTS.caKey, namespace: SYSTEM_NAMESPACE }
    await client.create(SECRETS, { apiVersion: 'v1', kind: 'Secret', metadata, data: { other: '' } })
    await expect(loadClusterKeys(client, mesh, nowMs)).rejects.toThrow(/has no key.pem/)
  })
})

const pod = (uid = 'uid-1', serviceAccountName = 'checkout'): Pod => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'checkout-1', namespace: 'shop', uid },
  spec: { containers: [{ name: 'app' }], serviceAccountName },
})

const reviewOf = (overrides: Partial<TokenReview['status'] & object> = {}): TokenReview['status'] & object => ({
  authenticated: true,
  audiences: ['isthmus-ca'],
  user: {
    username: 'system:serviceaccount:shop:checkout',
    extra: {
      'authentication.kubernetes.io/pod-name': ['checkout-1'],
      'authentication.kubernetes.io/pod-uid': ['uid-1'],
    },
  },
  ...overrides,
})

class Callers {
  status: TokenReview['status'] & object = reviewOf()
  isAway = false
  asked: TokenReview['spec'] | undefined
  readonly clock = new ManualClock(nowMs)
  readonly client = new MemoryClient({
    raw: (request: RawRequest) => {
      if (this.isAway) throw new KubeError(0, 'Unreachable', 'no route')
      this.asked = (request.body as TokenReview).spec
      return { ...(request.body as TokenReview), status: this.status }
    },
  })
  readonly authenticator = new Authenticator({ client: this.client, clock: this.clock, findPod: () => undefined })
}

const BEARER = ['Bearer abc.def']

describe('Authenticator', () => {
  let callers: Callers
  beforeEach(() => {
    callers = new Callers()
    // The store makes uids of its own; the API server's answer is what counts here.
    callers.client.get = (async () => pod()) as unknown as typeof callers.client.get
  })

  it('accepts a token for our audience that is bound to a live pod', async () => {
    expect(await callers.authenticator.authenticate(BEARER)).toEqual({
      ok: true,
      caller: { namespace: 'shop', serviceAccount: 'checkout', pod: 'checkout-1', podUid: 'uid-1' },
    })
    expect(callers.asked).toEqual({ token: 'abc.def', audiences: ['isthmus-ca'] })
  })

  it.each([
    ['not authenticated', { authenticated: false }, 'unauthenticated'],
    ['for another audience', { audiences: ['https://kubernetes.default.svc'] }, 'unauthenticated'],
    ['answered without audiences', { audiences: undefined }, 'unauthenticated'],
    ['of a person', { user: { username: 'admin' } }, 'permission-denied'],
    ['of an odd name', { user: { username: 'system:serviceaccount:shop:a:b' } }, 'permission-denied'],
    ['not bound to a pod', { user: { username: 'system:serviceaccount:shop:checkout' } }, 'permission-denied'],
  ])('refuses a token that is %s', async (_what, overrides, code) => {
    callers.status = reviewOf(overrides as Partial<TokenReview['status'] & object>)
    expect(await callers.authenticator.authenticate(BEARER)).toMatchObject({ ok: false, code })
  })

  it.each([
    ['is gone', undefined],
    ['has another uid', pod('uid-2')],
    ['has another ServiceAccount', pod('uid-1', 'other')],
  ])('refuses a token whose pod %s', async (_what, found) => {
    callers.client.get = (async () => found) as unknown as typeof callers.client.get
    expect(await callers.authenticator.authenticate(BEARER)).toMatchObject({ ok: false, code: 'permission-denied' })
  })

  it.each([[[]], [['Bearer a', 'Bearer b']], [['Basic abc']], [['Bearer ']], [[`Bearer ${'a'.repeat(20_000)}`]]])(
    'refuses a malformed header without asking',
    async (header) => {
      expect(await callers.authenticator.authenticate(header)).toMatchObject({ ok: false, code: 'unauthenticated' })
      expect(callers.asked).toBeUndefined()
    },
  )

  it('lets a proxy back in for an hour while the API server is away, and never for a certificate', async () => {
    await callers.authenticator.authenticate(BEARER)
    callers.isAway = true
    expect(await callers.authenticator.authenticateOrRecall(BEARER)).toMatchObject({ ok: true })
    expect(await callers.authenticator.authenticateOrRecall(['Bearer other'])).toMatchObject({ code: 'unavailable' })
    expect(await callers.authenticator.authenticate(BEARER)).toMatchObject({ ok: false, code: 'unavailable' })
    callers.clock.advance(3_600_001)
    expect(await callers.authenticator.authenticateOrRecall(BEARER)).toMatchObject({ ok: false, code: 'unavailable' })
  })
})

interface Answer {
  readonly code?: number
  readonly details?: string
  readonly chain?: readonly string[]
}

describe('certificate service', () => {
  const caKey = pki.cluster('east').authority.key
  let intermediatePem: string | undefined

  async function ask(csr: string, validitySeconds = 0): Promise<Answer> {
    const callers = new Callers()
    callers.client.get = (async () => pod()) as unknown as typeof callers.client.get
    let handler: ((call: unknown, respond: (error: unknown, value?: unknown) => void) => void) | undefined
    const server = {
      addService: (_service: unknown, handlers: Record<string, unknown>) => {
        handler = handlers['createCertificate'] as typeof handler
      },
    }
    registerCertificateService(server, {
      authenticator: callers.authenticator,
      signer: new Signer({
        caKey,
        trust: () => (intermediatePem === undefined ? undefined : { intermediatePem, validation }),
      }),
      trustDomain: 'east.demo',
      clock: systemClock,
      log,
      onAnswer: () => {},
    })
    return new Promise((resolve) => {
      const call = { metadata: { get: () => BEARER }, request: { csr, validitySeconds } }
      handler?.(call, (error, value) => resolve((error ?? value) as Answer))
    })
  }

  const key = generateKey()
  const csrFor = (uri: string): string => createCsr(key.privateKey, { uri })
  const own = 'spiffe://east.demo/ns/shop/sa/checkout'
  beforeEach(() => {
    intermediatePem = pki.cluster('east').authority.certificatePem
  })

  it('signs the identity of the token, leaf first, with one URI name', async () => {
    const { chain = [] } = await ask(csrFor(own))
    const [leaf = '', intermediate = ''] = chain
    expect(chain).toHaveLength(2)
    const certificate = new X509Certificate(leaf)
    expect(certificate.subjectAltName).toBe(`URI:${own}`)
    expect(certificate.verify(new X509Certificate(intermediate).publicKey)).toBe(true)
    expect(certificate.checkPrivateKey(createPrivateKey(privateKeyPem(key.privateKey)))).toBe(true)
  })

  it('cuts the time asked for to 24 h', async () => {
    const { chain: [leaf = ''] = [] } = await ask(csrFor(own), 10 * 86_400)
    const lives = new X509Certificate(leaf).validToDate.getTime() - systemClock.now()
    expect(lives).toBeLessThanOrEqual(86_400_000)
    const { chain: [short = ''] = [] } = await ask(csrFor(own), 600)
    expect(new X509Certificate(short).validToDate.getTime() - systemClock.now()).toBeLessThanOrEqual(600_000)
  })

  it.each([
    ['another ServiceAccount', 'spiffe://east.demo/ns/shop/sa/other'],
    ['another namespace', 'spiffe://east.demo/ns/bank/sa/checkout'],
    ['another trust domain', 'spiffe://west.demo/ns/shop/sa/checkout'],
  ])('refuses to sign %s', async (_what, uri) => {
    expect(await ask(csrFor(uri))).toMatchObject({ code: 7, details: `the CSR must ask for exactly ${own}` })
  })

  it('refuses DNS names beside the identity, and what is no CSR', async () => {
    expect(await ask(createCsr(key.privateKey, { uri: own, dns: ['east.demo'] }))).toMatchObject({ code: 7 })
    expect(await ask('-----BEGIN NONSENSE-----')).toMatchObject({ code: 3 })
  })

  it('answers UNAVAILABLE with the reason before the cluster has joined a mesh', async () => {
    intermediatePem = undefined
    const answer = await ask(csrFor(own))
    expect(answer).toMatchObject({ code: 14 })
    expect(answer.details).toContain('has not joined a mesh yet')
  })

  it('answers UNAVAILABLE when the intermediate belongs to another key, or has expired', async () => {
    const { root } = pki
    const { publicKey } = generateKey()
    intermediatePem = issueIntermediate({ root, publicKey, trustDomain: 'east.demo', nowMs })
    expect(await ask(csrFor(own))).toMatchObject({ code: 14, details: expect.stringContaining('another CA key') })
  })
})

describe('ServingRoot', () => {
  it('writes the root into every namespace, mends a changed copy, and survives a write that fails', async () => {
    const client = new MemoryClient()
    const metadata = { name: OBJECTS.servingRoot, namespace: 'b' }
    await client.create(CONFIG_MAPS, { apiVersion: 'v1', kind: 'ConfigMap', metadata, data: { 'ca.crt': 'old' } })
    let failures = 1
    client.hook = ({ verb }) => {
      if (verb === 'create' && failures-- > 0) throw new KubeError(500, 'InternalError', 'try again')
    }
    const clock = new ManualClock(nowMs)
    const root = new ServingRoot({ client, rootPem: 'pem', clock, random: seededRandom(1), log })
    root.reconcile(['a', 'b'])
    await root.idle()
    clock.advance(1_000)
    await root.idle()
    for (const namespace of ['a', 'b']) {
      const copy = await client.get(CONFIG_MAPS, OBJECTS.servingRoot, namespace)
      expect(copy?.data).toEqual({ 'ca.crt': 'pem' })
    }
    await client.remove(CONFIG_MAPS, { name: OBJECTS.servingRoot, namespace: 'a' })
    clock.advance(600_000)
    await root.idle()
    expect(await client.get(CONFIG_MAPS, OBJECTS.servingRoot, 'a')).toBeDefined()
    await root.stop()
  })
})

describe('ServingCertificate', () => {
  const HALF_LIFE_MS = 15 * 86_400_000
  // Half a life ago, so that the renewed one is valid in the real present of the handshake.
  const startMs = nowMs - HALF_LIFE_MS
  const authority = testMesh({ clusters: ['east'], nowMs: startMs }).cluster('east').serving

  it('opens a port that clients of the serving root accept, and renews it at half-life', async () => {
    const clock = new ManualClock(startMs)
    const serving = new ServingCertificate({ authority, names: ['a.b.svc'], clock })
    const grpc = new Server()
    const serverCredentials = experimental.createCertificateProviderServerCredentials(serving, null, false)
    const port = await new Promise<number>((resolve, reject) => {
      const bound = (error: Error | null, found: number): void => (error === null ? resolve(found) : reject(error))
      grpc.bindAsync('127.0.0.1:0', serverCredentials, bound)
    })
    const shown = (): Promise<string> =>
      new Promise((resolve, reject) => {
        const options = { host: '127.0.0.1', port, servername: 'a.b.svc', ca: authority.certificatePem }
        const socket = connect({ ...options, ALPNProtocols: ['h2'] }, () => {
          resolve(socket.getPeerX509Certificate()?.serialNumber ?? '')
          socket.destroy()
        })
        socket.on('error', reject)
      })
    const first = await shown()
    expect(first).not.toBe('')
    clock.advance(HALF_LIFE_MS)
    expect(await shown()).not.toBe(first)
    serving.close()
    grpc.forceShutdown()
  })
})
