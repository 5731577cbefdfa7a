import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { freshNamespace, startWorld, type Json, type World } from './world.ts'

let world: World
beforeAll(async () => void (world = await startWorld()), 90_000)
afterAll(() => world.close())

const MERGE = 'application/merge-patch+json'
const CRDS = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions'

const definition = (plural: string, kind: string, extra: object = {}): object => ({
  metadata: { name: `${plural}.example.dev` },
  spec: {
    group: 'example.dev',
    scope: 'Namespaced',
    names: { plural, kind },
    versions: [
      {
        name: 'v1',
        served: true,
        storage: true,
        subresources: { status: {}, scale: { specReplicasPath: '.spec.size', statusReplicasPath: '.status.size' } },
        additionalPrinterColumns: [
          { name: 'Size', type: 'integer', jsonPath: '.spec.size' },
          { name: 'Ready', type: 'string', jsonPath: '.status.conditions[?(@.type=="Ready")].status' },
        ],
        schema: {
          openAPIV3Schema: {
            type: 'object',
            properties: {
              spec: {
                type: 'object',
                required: ['size'],
                properties: {
                  size: { type: 'integer', minimum: 0 },
                  color: { type: 'string', default: 'red', enum: ['red', 'blue'] },
                },
              },
              status: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
            },
          },
        },
      },
      {
        name: 'v1beta1',
        served: true,
        storage: false,
        deprecated: true,
        schema: { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } },
      },
      {
        name: 'v1alpha1',
        served: false,
        storage: false,
        schema: { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } },
      },
    ],
    ...extra,
  },
})

async function established(plural: string): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt += 1) {
    const { json } = await world.ask('GET', `${CRDS}/${plural}.example.dev`)
    if (
      json.status?.conditions?.some(
        (condition: Json) => condition.type === 'Established' && condition.status === 'True',
      ) === true
    )
      return
  }
  throw new Error(`${plural} was never established`)
}

async function define(plural: string, kind: string): Promise<string> {
  const made = await world.ask('POST', CRDS, { body: definition(plural, kind) })
  expect(made.code, made.text).toBe(201)
  await established(plural)
  await freshNamespace(world, plural)
  return `/apis/example.dev/v1/namespaces/${plural}/${plural}`
}

describe('CustomResourceDefinition', () => {
  it('is in discovery and serves as soon as it is Established', async () => {
    const path = await define('discos', 'Disco')
    const { json } = await world.ask('GET', '/apis/example.dev/v1')
    expect(json.resources.map((resource: Json) => resource.name)).toEqual(
      expect.arrayContaining(['discos', 'discos/scale', 'discos/status']),
    )
    const list = await world.ask('GET', path)
    expect(list.json).toMatchObject({ apiVersion: 'example.dev/v1', kind: 'DiscoList', items: [] })
    const crd = await world.ask('GET', `${CRDS}/discos.example.dev`)
    expect(crd.json.status).toMatchObject({
      storedVersions: ['v1'],
      acceptedNames: { plural: 'discos', singular: 'disco', listKind: 'DiscoList' },
    })
  })

  it('can be applied again, as an upgrade does', async () => {
    await define('upgrades', 'Upgrade')
    const again = await world.ask('PATCH', `${CRDS}/upgrades.example.dev`, {
      type: MERGE,
      body: { ...definition('upgrades', 'Upgrade'), metadata: { labels: { release: 'two' } } },
    })
    expect(again.code, again.text).toBe(200)
    expect(again.json.metadata.labels).toEqual({ release: 'two' })
  })

  it('prunes, defaults and validates', async () => {
    const path = await define('prunes', 'Prune')
    const post = (name: string, spec: object, query = '') =>
      world.ask('POST', `${path}${query}`, {
        body: { apiVersion: 'example.dev/v1', kind: 'Prune', metadata: { name }, spec },
      })
    const made = await post('a', { size: 1, other: true })
    expect(made.json.spec).toEqual({ size: 1, color: 'red' })
    expect(made.headers['warning']).toContain('unknown field \\"spec.other\\"')
    expect((await post('b', { size: 1, other: true }, '?fieldValidation=Strict')).code).toBe(400)
    const wrong = await post('b', { size: -1, color: 'green' })
    expect(wrong.code).toBe(422)
    expect(wrong.json.details.causes.map((cause: Json) => `${cause.reason} ${cause.field}`).sort()).toEqual([
      'FieldValueInvalid spec.size',
      'FieldValueNotSupported spec.color',
    ])
    expect((await post('b', {})).json.details.causes[0]).toMatchObject({
      reason: 'FieldValueRequired',
      field: 'spec.size',
    })
  })

  it('serves each version from one storage, warns of deprecated ones, hides unserved ones', async () => {
    const path = await define('versions', 'Version')
    await world.ask('POST', path, {
      body: { apiVersion: 'example.dev/v1', kind: 'Version', metadata: { name: 'a' }, spec: { size: 1 } },
    })
    const old = await world.ask('GET', path.replace('/v1/', '/v1beta1/') + '/a')
    expect(old.json).toMatchObject({ apiVersion: 'example.dev/v1beta1', spec: { size: 1 } })
    expect(old.headers['warning']).toContain('deprecated')
    expect((await world.ask('GET', path.replace('/v1/', '/v1alpha1/'))).code).toBe(404)
    const events = await world.watch(`${path.replace('/v1/', '/v1beta1/')}?watch=true`, (seen) => seen.length === 1)
    expect(events[0]?.object.apiVersion).toBe('example.dev/v1beta1')
  })

  it('offers status, scale and printer columns; needs a resourceVersion for PUT; knows no strategic merge', async () => {
    const path = await define('subs', 'Sub')
    const made = await world.ask('POST', path, {
      body: {
        apiVersion: 'example.dev/v1',
        kind: 'Sub',
        metadata: { name: 'a' },
        spec: { size: 1 },
        status: { size: 5 },
      },
    })
    expect(made.json.status).toBeUndefined()
    expect(made.json.metadata.generation).toBe(1)
    const status = { status: { size: 1, conditions: [{ type: 'Ready', status: 'True' }] } }
    const written = await world.ask('PATCH', `${path}/a/status`, { type: MERGE, body: status })
    expect(written.json).toMatchObject({ metadata: { generation: 1 }, ...status })
    expect(
      (await world.ask('PATCH', `${path}/a/scale`, { type: MERGE, body: { spec: { replicas: 4 } } })).json,
    ).toMatchObject({ kind: 'Scale', spec: { replicas: 4 }, status: { replicas: 1 } })
    const table = await world.ask('GET', `${path}/a`, { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' })
    expect(table.json.rows[0].cells).toEqual(['a', 4, 'True'])
    const put = { apiVersion: 'example.dev/v1', kind: 'Sub', metadata: { name: 'a' }, spec: { size: 2 } }
    expect(await world.ask('PUT', `${path}/a`, { body: put })).toMatchObject({
      code: 422,
      json: { message: expect.stringContaining('must be specified for an update') },
    })
    expect(
      (await world.ask('PATCH', `${path}/a`, { type: 'application/strategic-merge-patch+json', body: {} })).code,
    ).toBe(415)
  })

  it('takes its instances along when it goes, and ends their watches', async () => {
    const path = await define('goners', 'Goner')
    const body = { apiVersion: 'example.dev/v1', kind: 'Goner', metadata: { name: 'a' }, spec: { size: 1 } }
    await world.ask('POST', path, { body })
    const events = await world.watch(
      `${path}?watch=true`,
      (seen) => seen.at(-1)?.type === 'DELETED',
      () => world.ask('DELETE', `${CRDS}/goners.example.dev`),
    )
    expect(events.map(({ type }) => type)).toEqual(['ADDED', 'DELETED'])
    for (let code = 200; code !== 404;) code = (await world.ask('GET', `${CRDS}/goners.example.dev`)).code
    expect((await world.ask('GET', path)).code).toBe(404)
  })

  it('waits for instances that somebody holds', async () => {
    const path = await define('holds', 'Hold')
    const body = {
      apiVersion: 'example.dev/v1',
      kind: 'Hold',
      metadata: { name: 'a', finalizers: ['example.dev/x'] },
      spec: { size: 1 },
    }
    await world.ask('POST', path, { body })
    await world.ask('DELETE', `${CRDS}/holds.example.dev`)
    const late = await world.ask('POST', path, { body: { ...body, metadata: { name: 'late' } } })
    expect(late.code, 'nothing new while the definition goes').toBe(405)
    await world.watch(`${path}?watch=true`, (seen) =>
      seen.some(({ object }) => object.metadata.deletionTimestamp !== undefined),
    )
    expect((await world.ask('GET', `${CRDS}/holds.example.dev`)).code).toBe(200)
    await world.ask('PATCH', `${path}/a`, { type: MERGE, body: { metadata: { finalizers: null } } })
    for (let code = 200; code !== 404;) code = (await world.ask('GET', `${CRDS}/holds.example.dev`)).code
  })

  it('refuses what is not structural, and changes of its names', async () => {
    const bad = definition('bads', 'Bad') as Json
    bad.spec.versions = [
      { name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: { properties: { spec: {} } } } },
    ]
    expect((await world.ask('POST', CRDS, { body: bad })).code).toBe(422)
    expect(
      (
        await world.ask('POST', CRDS, {
          body: { ...definition('a', 'A'), metadata: { name: 'other.example.dev' } },
        })
      ).code,
    ).toBe(422)
    await define('fixed', 'Fixed')
    const answer = await world.ask('PATCH', `${CRDS}/fixed.example.dev`, {
      type: MERGE,
      body: { spec: { scope: 'Cluster' } },
    })
    expect(answer).toMatchObject({ code: 422, json: { message: expect.stringContaining('field is immutable') } })
  })

  it('evaluates CEL rules on writes, transition rules on updates', async () => {
    const crd = definition('cels', 'Cel') as Json
    const { properties } = crd.spec.versions[0].schema.openAPIV3Schema
    properties.spec['x-kubernetes-validations'] = [
      { rule: 'self.size < 3', messageExpression: "'size is ' + string(self.size)" },
      { rule: '!has(oldSelf.color) || self.color == oldSelf.color', message: 'color is immutable' },
    ]
    expect((await world.ask('POST', CRDS, { body: crd })).code).toBe(201)
    const path = `/apis/example.dev/v1${(await freshNamespace(world, 'cels')).replace('/api/v1', '')}/cels`
    await until(path)
    const body = (size: number): object => ({
      apiVersion: 'example.dev/v1',
      kind: 'Cel',
      metadata: { name: 'a' },
      spec: { size },
    })
    const refused = await world.ask('POST', path, { body: body(3) })
    expect(refused.code).toBe(422)
    expect(refused.json.details.causes).toEqual([
      expect.objectContaining({
        field: 'spec',
        reason: 'FieldValueInvalid',
        message: expect.stringContaining('size is 3'),
      }),
    ])
    expect((await world.ask('POST', path, { body: body(2) })).code).toBe(201)
    const changed = await world.ask('PATCH', `${path}/a`, { body: { spec: { color: 'blue' } }, type: MERGE })
    expect(changed.code).toBe(422)
    expect(changed.json.message).toContain('color is immutable')
  })

  it('refuses CEL rules that do not compile', async () => {
    const crd = definition('unruleds', 'Unruled') as Json
    crd.spec.versions[0].schema.openAPIV3Schema.properties.spec['x-kubernetes-validations'] = [{ rule: 'self.size <' }]
    const made = await world.ask('POST', CRDS, { body: crd })
    expect(made.code).toBe(422)
    expect(made.json.message).toContain('x-kubernetes-validations[0].rule')
  })
})

/** A real server establishes a definition a moment after it is written. */
async function until(path: string): Promise<void> {
  await expect.poll(async () => (await world.ask('GET', path)).code, { timeout: 10_000 }).toBe(200)
}
