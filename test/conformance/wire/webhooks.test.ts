import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { serverCertificate } from '../../harness/certificate.ts'
import { freshNamespace, startWorld, type Json, type World } from './world.ts'

/** A webhook that answers as the script says, and remembers what it was asked. */
type Answer = (request: Json, path: string) => object | undefined

let world: World
let server: Server
let ca = ''
let url = ''
let answer: Answer = () => ({ allowed: true })
let asked: Json[] = []
let namespace = ''

beforeAll(async () => {
  world = await startWorld()
  const certificate = serverCertificate('localhost')
  ca = Buffer.from(certificate.ca).toString('base64')
  server = createServer({ key: certificate.key, cert: certificate.cert }, (request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const review: Json = JSON.parse(Buffer.concat(chunks).toString())
      asked.push({ path: request.url, ...review.request })
      const said = answer(review.request, request.url ?? '')
      // undefined: never answers.
      if (said === undefined) return
      response.setHeader('content-type', 'application/json')
      response.end(
        JSON.stringify({
          apiVersion: review.apiVersion,
          kind: review.kind,
          response: { uid: review.request.uid, ...said },
        }),
      )
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  url = `https://localhost:${(server.address() as AddressInfo).port}`
  namespace = await freshNamespace(world, 'hooked')
}, 90_000)

afterAll(async () => {
  server.closeAllConnections()
  server.close()
  await world.close()
})

const CONFIGURATIONS = '/apis/admissionregistration.k8s.io/v1'
const installed: string[] = []

afterEach(async () => {
  for (const path of installed.splice(0)) await world.ask('DELETE', path)
  answer = () => ({ allowed: true })
  asked = []
})

type Kind = 'validating' | 'mutating'

/** Returns when the server asks it: a real one learns of a configuration a moment later. */
async function install(kind: Kind, ...hooks: object[]): Promise<void> {
  const path = `${CONFIGURATIONS}/${kind}webhookconfigurations`
  const name = `w${installed.length}`
  const webhooks = hooks.map((hook, index) =>
    Object.assign(
      {
        name: `h${index}.${kind}.test.dev`,
        clientConfig: { url: `${url}/${kind}${index}`, caBundle: ca },
        sideEffects: 'None',
        admissionReviewVersions: ['v1'],
        rules: [
          {
            operations: ['CREATE', 'UPDATE'],
            apiGroups: [''],
            apiVersions: ['v1'],
            resources: ['configmaps'],
            scope: '*',
          },
        ],
        namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'hooked' } },
      },
      hook,
    ),
  )
  const made = await world.ask('POST', path, { body: { metadata: { name }, webhooks } })
  expect(made.code, made.text).toBe(201)
  installed.push(`${path}/${name}`)
}

let names = 0
const create = (fields: object = {}, query = ''): ReturnType<World['ask']> =>
  world.ask('POST', `${namespace}/configmaps${query}`, {
    body: {
      metadata: { name: `m${(names += 1)}`, ...('labels' in fields ? { labels: (fields as Json).labels } : {}) },
      data: { a: '1' },
    },
  })

const patch = (operations: object[]): Json => ({
  allowed: true,
  patchType: 'JSONPatch',
  patch: Buffer.from(JSON.stringify(operations)).toString('base64'),
})

describe('a validating webhook', () => {
  it('is asked with the object, the user and the operation', async () => {
    await install('validating', {})
    const made = await create()
    expect(made.code).toBe(201)
    expect(asked).toHaveLength(1)
    expect(asked[0]).toMatchObject({
      operation: 'CREATE',
      namespace: 'hooked',
      name: made.json.metadata.name,
      kind: { group: '', version: 'v1', kind: 'ConfigMap' },
      resource: { group: '', version: 'v1', resource: 'configmaps' },
      object: { apiVersion: 'v1', kind: 'ConfigMap', data: { a: '1' } },
      oldObject: null,
      dryRun: false,
    })
    expect(asked[0].userInfo.groups).toContain('system:masters')
    expect(asked[0].path).toContain('timeout=10s')
  })

  it('refuses with its own words, code and reason, and nothing is stored', async () => {
    await install('validating', {})
    answer = () => ({ allowed: false, status: { code: 422, reason: 'Invalid', message: 'data.a must not be 1' } })
    const refused = await create()
    expect(refused.json).toMatchObject({
      code: 422,
      reason: 'Invalid',
      message: 'admission webhook "h0.validating.test.dev" denied the request: data.a must not be 1',
    })
    expect((await world.ask('GET', `${namespace}/configmaps/m${names}`)).code).toBe(404)
  })

  it('warns', async () => {
    await install('validating', {})
    answer = () => ({ allowed: true, warnings: ['it is old'] })
    expect((await create()).headers['warning']).toBe('299 - "it is old"')
  })

  it('sees old and new on updates, and deletions when it asks for them', async () => {
    const made = await create()
    const path = `${namespace}/configmaps/${made.json.metadata.name}`
    await install('validating', {
      rules: [{ operations: ['UPDATE', 'DELETE'], apiGroups: [''], apiVersions: ['*'], resources: ['*'] }],
    })
    await world.ask('PATCH', path, { body: { data: { a: '2' } }, type: 'application/merge-patch+json' })
    expect(asked[0]).toMatchObject({
      operation: 'UPDATE',
      object: { data: { a: '2' } },
      oldObject: { data: { a: '1' } },
    })
    answer = () => ({ allowed: false })
    const refused = await world.ask('DELETE', path)
    expect(refused.json).toMatchObject({ code: 403, message: expect.stringContaining('denied the request') })
    expect(asked[1]).toMatchObject({ operation: 'DELETE', object: null, oldObject: { data: { a: '2' } } })
    expect((await world.ask('GET', path)).code).toBe(200)
  })

  it('is asked only where selectors, rules and conditions match', async () => {
    await install(
      'validating',
      { objectSelector: { matchLabels: { watched: 'yes' } } },
      {
        matchConditions: [
          { name: 'labelled', expression: "has(object.metadata.labels) && object.metadata.labels.watched == 'no'" },
        ],
      },
      { namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'another' } } },
      { rules: [{ operations: ['CREATE'], apiGroups: ['apps'], apiVersions: ['v1'], resources: ['*'] }] },
    )
    await create({ labels: { watched: 'yes' } })
    await create({ labels: { watched: 'no' } })
    await create()
    expect(asked.map(({ path }) => path.split('?')[0])).toEqual(['/validating0', '/validating1'])
  })

  it('that does not answer refuses, or is passed over, as its policy says', async () => {
    answer = () => undefined
    await install('validating', { timeoutSeconds: 1 })
    const refused = await create()
    expect(refused.code).toBe(500)
    expect(refused.json.message).toContain('failed calling webhook "h0.validating.test.dev"')
    const [path = ''] = installed.splice(0)
    await world.ask('DELETE', path)
    await install('validating', { timeoutSeconds: 1, failurePolicy: 'Ignore' })
    expect((await create()).code).toBe(201)
  })

  it('is not believed with another certificate', async () => {
    const other = Buffer.from(serverCertificate('localhost').ca).toString('base64')
    await install('validating', { clientConfig: { url: `${url}/x`, caBundle: other } })
    expect((await create()).code).toBe(500)
    expect(asked).toEqual([])
  })

  it('takes part in dry runs', async () => {
    await install('validating', {})
    expect((await create({}, '?dryRun=All')).code).toBe(201)
    expect(asked[0].dryRun).toBe(true)
    expect((await world.ask('GET', `${namespace}/configmaps/m${names}`)).code).toBe(404)
  })
})

describe('a mutating webhook', () => {
  it('changes the object before it is validated and stored', async () => {
    await install('mutating', {})
    await install('validating', {})
    answer = (_request, path) =>
      path.startsWith('/mutating') ? patch([{ op: 'add', path: '/data/b', value: '2' }]) : { allowed: true }
    const made = await create()
    expect(made.json.data).toEqual({ a: '1', b: '2' })
    expect(asked[1]).toMatchObject({
      path: expect.stringContaining('/validating0'),
      object: { data: { a: '1', b: '2' } },
    })
  })

  it('cannot make an object that is not valid', async () => {
    await install('mutating', {})
    answer = () => patch([{ op: 'add', path: '/data/b', value: 3 }])
    expect((await create()).code).toBeGreaterThanOrEqual(400)
  })

  it('is asked again, if it wants, when a later one changed the object', async () => {
    await install('mutating', { reinvocationPolicy: 'IfNeeded' }, {})
    answer = (request, path) => {
      if (path.startsWith('/mutating1')) return patch([{ op: 'add', path: '/data/late', value: 'x' }])
      return patch([{ op: 'add', path: '/data/seen', value: Object.keys(request.object.data).toSorted().join() }])
    }
    const made = await create()
    expect(asked.map(({ path }) => path.split('?')[0])).toEqual(['/mutating0', '/mutating1', '/mutating0'])
    expect(made.json.data).toEqual({ a: '1', late: 'x', seen: 'a,late,seen' })
  })

  it('sees one of several writers at a time: none is lost', async () => {
    const made = await create()
    const path = `${namespace}/configmaps/${made.json.metadata.name}`
    await install('mutating', {})
    const writes = ['b', 'c', 'd'].map((key) =>
      world.ask('PATCH', path, { body: { data: { [key]: key } }, type: 'application/merge-patch+json' }),
    )
    expect((await Promise.all(writes)).map(({ code }) => code)).toEqual([200, 200, 200])
    expect((await world.ask('GET', path)).json.data).toEqual({ a: '1', b: 'b', c: 'c', d: 'd' })
  })
})
