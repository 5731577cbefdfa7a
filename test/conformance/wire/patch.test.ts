import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { configMap, EMBEDDED, freshNamespace, startWorld, type World } from './world.ts'

let world: World
beforeAll(async () => void (world = await startWorld()), 90_000)
afterAll(() => world.close())

const TYPES = {
  json: 'application/json-patch+json',
  merge: 'application/merge-patch+json',
  strategic: 'application/strategic-merge-patch+json',
  apply: 'application/apply-patch+yaml',
} as const

const deployment = (name: string): object => ({
  metadata: { name },
  spec: {
    selector: { matchLabels: { app: name } },
    template: { metadata: { labels: { app: name } }, spec: { containers: [{ name: 'c', image: 'a:1' }] } },
  },
})

describe('patch', () => {
  const patch = (path: string, type: keyof typeof TYPES, body: unknown) =>
    world.ask('PATCH', path, { type: TYPES[type], body })

  it('merges, also with a resourceVersion as precondition', async () => {
    const ns = await freshNamespace(world, 'merge')
    const { json } = await world.ask('POST', `${ns}/configmaps`, { body: configMap('m', { data: { a: '1', b: '2' } }) })
    const path = `${ns}/configmaps/m`
    expect((await patch(path, 'merge', { data: { a: null, c: '3' } })).json.data).toEqual({ b: '2', c: '3' })
    expect((await patch(path, 'merge', { metadata: { resourceVersion: json.metadata.resourceVersion } })).code).toBe(
      409,
    )
    expect((await patch(path, 'merge', [])).code).toBe(400)
    expect((await patch(`${ns}/configmaps/none`, 'merge', {})).code).toBe(404)
  })

  it('applies JSON patches; a failing test is 422 and changes nothing', async () => {
    const ns = await freshNamespace(world, 'jsonpatch')
    await world.ask('POST', `${ns}/configmaps`, { body: configMap('j', { data: { a: '1' } }) })
    const path = `${ns}/configmaps/j`
    expect((await patch(path, 'json', [{ op: 'replace', path: '/data/a', value: '2' }])).json.data).toEqual({ a: '2' })
    const failing = [
      { op: 'remove', path: '/data/a' },
      { op: 'test', path: '/data/b', value: '9' },
    ]
    expect((await patch(path, 'json', failing)).code).toBe(422)
    expect((await world.ask('GET', path)).json.data).toEqual({ a: '2' })
    expect((await patch(path, 'json', { op: 'remove' })).code).toBe(400)
  })

  it('merges lists of built-in kinds by key, and leaves a server default alone', async () => {
    const ns = await freshNamespace(world, 'strategic')
    const base = `/apis/apps/v1/namespaces/strategic/deployments`
    const made = await world.ask('POST', base, { body: deployment('d') })
    expect(made.json.spec).toMatchObject({ replicas: 1, strategy: { type: 'RollingUpdate' }, revisionHistoryLimit: 10 })
    const body = {
      spec: {
        template: {
          spec: {
            containers: [
              { name: 'c', image: 'a:2' },
              { name: 'd', image: 'b:1' },
            ],
          },
        },
      },
    }
    const patched = await patch(`${base}/d`, 'strategic', body)
    const containers = patched.json.spec.template.spec.containers
    expect(
      containers.map((container: { name: string; image: string }) => `${container.name} ${container.image}`).sort(),
    ).toEqual(['c a:2', 'd b:1'])
    expect(containers[0].imagePullPolicy).toBe('IfNotPresent')
    expect(patched.json.metadata.generation).toBe(2)
    expect(ns).toBeDefined()
  })

  it('refuses what it does not know, by the right codes', async () => {
    const ns = await freshNamespace(world, 'refusals')
    await world.ask('POST', `${ns}/configmaps`, { body: configMap('r') })
    const path = `${ns}/configmaps/r`
    expect((await world.ask('PATCH', path, { type: 'application/json', body: {} })).code).toBe(415)
    expect((await patch(`${path}?force=true`, 'merge', {})).code).toBe(422)
    expect((await patch(path, 'merge', { metadata: { labels: { 'no good': 'x' } } })).code).toBe(422)
    expect((await patch(`${path}?fieldValidation=Strict`, 'merge', { dada: {} })).code).toBe(400)
    expect((await patch(path, 'merge', { metadata: { name: 'other' } })).code).toBe(400)
  })

  it.runIf(EMBEDDED)('refuses server-side apply whole: nothing is created or changed', async () => {
    const ns = await freshNamespace(world, 'apply')
    const answer = await patch(`${ns}/configmaps/x?fieldManager=me`, 'apply', {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'x' },
    })
    expect(answer).toMatchObject({ code: 415, json: { reason: 'UnsupportedMediaType' } })
    expect(answer.json.message).toContain('server-side apply')
    expect((await world.ask('GET', `${ns}/configmaps/x`)).code).toBe(404)
  })
})

describe('scale and status', () => {
  it('scale answers as Scale and changes only replicas', async () => {
    await freshNamespace(world, 'scale')
    const base = '/apis/apps/v1/namespaces/scale/deployments'
    await world.ask('POST', base, { body: deployment('s') })
    const before = await world.ask('GET', `${base}/s/scale`)
    expect(before.json).toMatchObject({
      kind: 'Scale',
      apiVersion: 'autoscaling/v1',
      spec: { replicas: 1 },
      status: { selector: 'app=s' },
    })
    const scaled = await world.ask('PATCH', `${base}/s/scale`, { type: TYPES.merge, body: { spec: { replicas: 3 } } })
    expect(scaled.json).toMatchObject({ kind: 'Scale', spec: { replicas: 3 } })
    const { json } = await world.ask('GET', `${base}/s`)
    expect(json).toMatchObject({ spec: { replicas: 3 }, metadata: { generation: 2 } })
    expect(
      (await world.ask('PATCH', `${base}/s/scale`, { type: TYPES.merge, body: { spec: { replicas: -1 } } })).code,
    ).toBe(422)
    expect((await world.ask('PUT', `${base}/s/scale`, { body: { ...before.json, spec: { replicas: 2 } } })).code).toBe(
      409,
    )
  })

  it('status is written through its endpoint alone, and counts no generation', async () => {
    await freshNamespace(world, 'status')
    const base = '/apis/apps/v1/namespaces/status/deployments'
    const made = await world.ask('POST', base, { body: { ...deployment('s'), status: { replicas: 9 } } })
    expect(made.json.status?.replicas).toBeUndefined()
    await world.ask('PATCH', `${base}/s`, { type: TYPES.merge, body: { status: { replicas: 9 } } })
    expect((await world.ask('GET', `${base}/s`)).json.status?.replicas).toBeUndefined()
    const body = { status: { observedGeneration: 1, replicas: 1 }, spec: { replicas: 7 } }
    const written = await world.ask('PATCH', `${base}/s/status`, { type: TYPES.merge, body })
    expect(written.json).toMatchObject({ status: { replicas: 1 }, spec: { replicas: 1 }, metadata: { generation: 1 } })
  })
})
