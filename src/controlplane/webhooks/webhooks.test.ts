import { request as httpsRequest } from 'node:https'
import { connect as tlsConnect } from 'node:tls'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { AdmissionRequest } from '../../kube/kinds/admission.ts'
import { VALIDATING_WEBHOOKS } from '../../kube/kinds/admission.ts'
import type { KubeObject } from '../../kube/object.ts'
import { loopMs } from '../../kube/testing/loop-time.ts'
import { MemoryClient } from '../../kube/testing/memory-client.ts'
import { breakerPolicy as policy } from '../../kube/advice/testing/objects.ts'
import { INJECT_PATHS, VALIDATE_PATH, webhookConfigurations } from '../../kube/webhooks.ts'
import { createServingCa } from '../../pki/issue.ts'
import { parsePrivateKey } from '../../pki/keys.ts'
import { ManualClock, systemClock } from '../../runtime/clock.ts'
import { createLog } from '../../runtime/log.ts'
import { systemRandom } from '../../runtime/random.ts'
import { ServingCertificate } from '../identity/serving.ts'
import { WebhookConfigurations } from './configurations.ts'
import { serveWebhooks, type WebhookServer } from './server.ts'
import { validateReview } from './validate.ts'

const log = createLog('test', 'fatal')
const mesh = { mesh: 'test.mesh', cluster: 'east', trustDomain: 'east.test.mesh', domain: 'cluster.local' }

const request = (object: KubeObject, more: Partial<AdmissionRequest> = {}): AdmissionRequest => ({
  uid: 'u1',
  kind: { group: 'isthmus.dev', version: 'v1alpha1', kind: object.kind },
  resource: { group: 'isthmus.dev', version: 'v1alpha1', resource: 'circuitbreakerpolicies' },
  operation: 'CREATE',
  userInfo: {},
  object,
  ...more,
})

describe('validateReview', () => {
  it('admits what is sound', () => {
    expect(validateReview(request(policy({})))).toEqual({ uid: 'u1', allowed: true })
  })

  it('refuses with code, field and way out of every error', () => {
    const { allowed, status } = validateReview(request(policy({ slowPercent: 1, openFor: '2h' })))
    expect(allowed).toBe(false)
    expect(status).toMatchObject({ code: 422, reason: 'Invalid' })
    expect(status?.message).toMatch(/^\[FIELD_INVALID\] spec\.slowPercent: .+; \[FIELD_INVALID\] spec\.openFor: /)
  })

  it('admits what is stored and does nothing, with a warning', () => {
    const filter = {
      apiVersion: 'networking.istio.io/v1alpha3',
      kind: 'EnvoyFilter',
      metadata: { name: 'a' },
      spec: {},
    }
    expect(validateReview(request(filter))).toEqual({
      uid: 'u1',
      allowed: true,
      warnings: ['[KIND_UNSUPPORTED] EnvoyFilter objects are stored and have no effect in this mesh'],
    })
  })

  it("admits kinds that only somebody else's definitions serve, with a warning", () => {
    const theirs = { apiVersion: 'gateway.networking.k8s.io/v1', kind: 'NotYetKnown', metadata: { name: 'a' } }
    expect(validateReview(request(theirs))).toMatchObject({
      allowed: true,
      warnings: [expect.stringContaining('[KIND_UNKNOWN]')],
    })
  })

  it('never stands in the way of an update that leaves the spec alone, nor of an end', () => {
    const bad = policy({ openFor: '2h' })
    const labelled = policy({ openFor: '2h' }, { labels: { a: 'b' } })
    expect(validateReview(request(labelled, { operation: 'UPDATE', oldObject: bad })).allowed).toBe(true)
    const other = policy({ openFor: '3h' })
    expect(validateReview(request(other, { operation: 'UPDATE', oldObject: bad })).allowed).toBe(false)
    const ending = policy({ openFor: '3h' }, { deletionTimestamp: '2026-01-01T00:00:00Z' })
    expect(validateReview(request(ending, { operation: 'UPDATE', oldObject: bad })).allowed).toBe(true)
    expect(validateReview({ ...request(bad), operation: 'DELETE', object: null }).allowed).toBe(true)
  })

  it('never holds the event loop, whatever the object', () => {
    const hostile = [
      policy({ targetRefs: Array.from({ length: 100_000 }, () => ({ kind: 'Service', name: 'a' })) }),
      policy({ window: '1'.repeat(500_000) }),
      policy({
        targetRefs: Array.from({ length: 4_000 }, (_, at) => ({ kind: 'Nothing', name: `${'a-'.repeat(100)}${at}` })),
      }),
      policy(Object.fromEntries(Array.from({ length: 9_000 }, (_, at) => [`unknown${at}`, {}]))),
    ]
    for (const object of hostile) {
      expect(validateReview(request(object)).allowed).toBe(false)
      expect(loopMs(() => validateReview(request(object)))).toBeLessThan(50)
    }
  })
})

describe('a renewed certificate', () => {
  it('leaves TLS 1.3 the least that is spoken', async () => {
    const days = 20 * 24 * 3_600_000
    const clock = new ManualClock(Date.now() - days)
    const ca = createServingCa({ cluster: 'east', mesh: 'test.mesh', nowMs: clock.now() })
    const authority = { certificatePem: ca.certificatePem, key: parsePrivateKey(ca.keyPem) }
    const serving = new ServingCertificate({ authority, names: ['hooks.test'], clock })
    const inject = { mesh, image: 'isthmus:1' }
    const server = await serveWebhooks({ host: '127.0.0.1', port: 0, serving, inject, log })
    const shake = (maxVersion: 'TLSv1.2' | 'TLSv1.3'): Promise<string> =>
      new Promise((resolve) => {
        const options = {
          host: '127.0.0.1',
          port: server.port,
          ca: ca.certificatePem,
          servername: 'hooks.test',
          maxVersion,
        }
        const socket = tlsConnect(options, () => {
          resolve(socket.getPeerX509Certificate()?.serialNumber ?? 'none')
          socket.destroy()
        })
        socket.on('error', () => resolve('refused'))
      })
    const first = await shake('TLSv1.3')
    expect(await shake('TLSv1.2')).toBe('refused')
    clock.advance(days)
    const second = await shake('TLSv1.3')
    expect(['refused', 'none', first]).not.toContain(second)
    expect(await shake('TLSv1.2')).toBe('refused')
    await server.close()
    serving.close()
  })
})

describe('serveWebhooks', () => {
  const ca = createServingCa({ cluster: 'east', mesh: 'test.mesh', nowMs: Date.now() })
  let serving: ServingCertificate
  let server: WebhookServer

  beforeAll(async () => {
    const authority = { certificatePem: ca.certificatePem, key: parsePrivateKey(ca.keyPem) }
    serving = new ServingCertificate({ authority, names: ['hooks.test'], clock: systemClock })
    server = await serveWebhooks({ host: '127.0.0.1', port: 0, serving, inject: { mesh, image: 'isthmus:1' }, log })
  })
  afterAll(async () => {
    await server.close()
    serving.close()
  })

  interface Said {
    readonly code: number | undefined
    readonly text: string
  }

  const post = (path: string, body: string): Promise<Said> =>
    new Promise((resolve, reject) => {
      const options = {
        method: 'POST',
        ca: ca.certificatePem,
        servername: 'hooks.test',
        agent: false as const,
        headers: { 'content-type': 'application/json' },
      }
      const asked = httpsRequest(`https://127.0.0.1:${server.port}${path}`, options, (response) => {
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
        response.on('end', () => resolve({ code: response.statusCode, text: Buffer.concat(chunks).toString() }))
      })
      asked.on('error', reject)
      asked.end(body)
    })

  const review = (path: string, asked: AdmissionRequest | object): Promise<Said> =>
    post(path, JSON.stringify({ apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', request: asked }))

  it('answers reviews over TLS with its own certificate', async () => {
    const { code, text } = await review(VALIDATE_PATH, request(policy({ openFor: '2h' })))
    expect(code).toBe(200)
    expect(JSON.parse(text)).toMatchObject({ kind: 'AdmissionReview', response: { uid: 'u1', allowed: false } })
  })

  it('names __proto__ as the unknown field it is', async () => {
    const body = JSON.stringify(policy({})).replace('"spec":{', '"spec":{"__proto__":{"window":"1s"},')
    const { text } = await review(
      VALIDATE_PATH,
      JSON.parse(JSON.stringify(request(policy({}))).replace('"object":', `"object":${body},"ignored":`)) as object,
    )
    expect(text).toContain('spec.__proto__')
  })

  it.each([
    ['no JSON', '{'],
    ['no review', '{}'],
    ['no request', '{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}'],
    [
      'an object that is none',
      '{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"a","kind":{},"object":{"kind":1}}}',
    ],
  ])('answers 400 to %s', async (_what, body) => {
    expect((await post(VALIDATE_PATH, body)).code).toBe(400)
  })

  it('refuses bodies beyond its limit', async () => {
    expect((await post(VALIDATE_PATH, `"${'x'.repeat(5_000_000)}"`)).code).toBe(413)
  })

  it('injects as nodes of local clusters do, captured, and never where the pod says no', async () => {
    const pod = (labels: object): KubeObject =>
      ({
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name: 'p', labels },
        spec: { containers: [{ name: 'app' }] },
      }) as KubeObject
    const asked = (labels: object): AdmissionRequest => ({
      ...request(pod(labels)),
      kind: { group: '', version: 'v1', kind: 'Pod' },
      namespace: 'shop',
    })
    const { text } = await review(INJECT_PATHS.namespace, asked({}))
    const { patch } = (JSON.parse(text) as { response: { patch: string } }).response
    const [operation] = JSON.parse(Buffer.from(patch, 'base64').toString()) as {
      value: { containers: { name: string; image?: string }[]; initContainers: { name: string }[] }
    }[]
    expect(operation?.value.containers.map(({ name }) => name)).toEqual(['app', 'isthmus-proxy'])
    expect(operation?.value.containers[1]?.image).toBe('isthmus:1')
    expect(operation?.value.initContainers.map(({ name }) => name)).toEqual(['isthmus-init'])
    const no = await review(INJECT_PATHS.namespace, asked({ 'sidecar.istio.io/inject': 'false' }))
    expect(JSON.parse(no.text)).toMatchObject({ response: { allowed: true } })
    expect(no.text).not.toContain('patch')
    expect((await review(INJECT_PATHS.pod, asked({ 'sidecar.istio.io/inject': 'true' }))).text).toContain('patch')
  })
})

describe('WebhookConfigurations', () => {
  it('closes what install wrote open, and puts right what others write', async () => {
    const client = new MemoryClient()
    const { validating } = webhookConfigurations()
    expect(validating.webhooks?.map(({ failurePolicy }) => failurePolicy)).toEqual(['Ignore', 'Ignore'])
    await client.create(VALIDATING_WEBHOOKS, validating)
    const kept = new WebhookConfigurations({ client, clock: systemClock, random: systemRandom, log, caPem: 'PEM' })
    kept.start()
    const isRight = async (): Promise<unknown> => {
      const found = await client.get(VALIDATING_WEBHOOKS, 'isthmus')
      return found?.webhooks?.map(({ failurePolicy, clientConfig }) => [failurePolicy, clientConfig.caBundle])
    }
    const right = [
      ['Fail', 'UEVN'],
      ['Ignore', 'UEVN'],
    ]
    await expect.poll(isRight).toEqual(right)
    await client.patch(VALIDATING_WEBHOOKS, { name: 'isthmus' }, validating, { type: 'merge' })
    await expect.poll(isRight).toEqual(right)
    await kept.stop()
  })

  it('makes none where there is none', async () => {
    const client = new MemoryClient()
    const kept = new WebhookConfigurations({ client, clock: systemClock, random: systemRandom, log, caPem: 'PEM' })
    kept.start()
    await expect.poll(() => client.requests.filter(({ verb }) => verb === 'watch').length).toBe(2)
    await kept.stop()
    expect(client.requests.some(({ verb }) => verb === 'create' || verb === 'replace')).toBe(false)
  })
})
