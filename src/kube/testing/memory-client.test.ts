/** The in-memory client is trusted by other folders' tests: each rule here is one a real API server has. */
import { describe, expect, it } from 'vitest'
import { ManualClock } from '../../runtime/clock.ts'
import { KubeError } from '../client.ts'
import { CONFIG_MAPS, LEASES, PODS, SECRETS, SERVICE_EXPORTS, SERVICE_IMPORTS, type ConfigMap } from '../kinds.ts'
import type { KubeObject, WatchEvent } from '../object.ts'
import { MemoryClient } from './memory-client.ts'

const configMap = (name: string, data: Record<string, string> = {}): ConfigMap => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name, namespace: 'shop' },
  data,
})

async function failure(promise: Promise<unknown>): Promise<KubeError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  if (!(error instanceof KubeError)) throw new Error(`expected a KubeError, got ${JSON.stringify(error)}`)
  return error
}

function watching(client: MemoryClient, resourceVersion: string, labelSelector?: string) {
  const events: WatchEvent<ConfigMap>[] = []
  const abort = new AbortController()
  const ended = client.watch(
    CONFIG_MAPS,
    {
      resourceVersion,
      timeoutSeconds: 300,
      signal: abort.signal,
      ...(labelSelector === undefined ? {} : { labelSelector }),
    },
    (event) => events.push(event),
  )
  ended.catch(() => {})
  return { events, abort, ended, seen: () => events.map((event) => `${event.type} ${event.object.metadata.name}`) }
}

describe('MemoryClient writes', () => {
  it('stamps what a server stamps, and refuses a second object of the name', async () => {
    const client = new MemoryClient({ clock: new ManualClock(Date.UTC(2026, 0, 1)) })
    const created = await client.create(CONFIG_MAPS, configMap('a'))
    expect(created.metadata).toMatchObject({ creationTimestamp: '2026-01-01T00:00:00Z', generation: 1 })
    expect(created.metadata.uid).toMatch(/^[0-9a-f-]{36}$/)
    expect(await failure(client.create(CONFIG_MAPS, configMap('a')))).toMatchObject({
      code: 409,
      reason: 'AlreadyExists',
    })
    expect(await failure(client.create(CONFIG_MAPS, created))).toMatchObject({ code: 500 })
    expect(await client.get(CONFIG_MAPS, 'b', 'shop')).toBeUndefined()
  })

  it('answers a stale resourceVersion with a conflict', async () => {
    const client = new MemoryClient()
    const created = await client.create(CONFIG_MAPS, configMap('a'))
    await client.replace(CONFIG_MAPS, { ...created, data: { k: '1' } })
    const stale = await failure(client.replace(CONFIG_MAPS, { ...created, data: { k: '2' } }))
    expect(stale).toMatchObject({ code: 409, reason: 'Conflict' })
  })

  it('wants a resourceVersion for Leases and custom resources', async () => {
    const client = new MemoryClient()
    const lease = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata: { name: 'l', namespace: 'shop' } }
    await client.create(LEASES, lease)
    expect(await failure(client.replace(LEASES, lease))).toMatchObject({ code: 422 })
  })

  it('keeps the version of an object that a write does not change', async () => {
    const client = new MemoryClient()
    const created = await client.create(CONFIG_MAPS, configMap('a', { k: '1' }))
    const same = await client.patch(
      CONFIG_MAPS,
      { name: 'a', namespace: 'shop' },
      { data: { k: '1' } },
      { type: 'merge' },
    )
    expect(same.metadata.resourceVersion).toBe(created.metadata.resourceVersion)
  })

  it('separates status from the rest', async () => {
    const client = new MemoryClient()
    const pod = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'p', namespace: 'shop' },
      spec: { containers: [] },
      status: { phase: 'Running' as const },
    }
    const created = await client.create(PODS, pod)
    expect(created.status).toBeUndefined()
    const target = { name: 'p', namespace: 'shop' }
    const status = { status: { phase: 'Running' }, spec: { nodeName: 'n' } }
    const running = await client.patch(PODS, target, status, { type: 'merge', subresource: 'status' })
    expect(running).toMatchObject({
      status: { phase: 'Running' },
      spec: { containers: [] },
      metadata: { generation: 1 },
    })
    expect(running.spec.nodeName).toBeUndefined()
    const kept = await client.patch(
      PODS,
      target,
      { status: { phase: 'Failed' }, spec: { nodeName: 'n' } },
      { type: 'merge' },
    )
    expect(kept).toMatchObject({ status: { phase: 'Running' }, metadata: { generation: 2 } })
  })

  it('waits for finalizers, and then collects what was owned', async () => {
    const client = new MemoryClient()
    const importOf = { apiVersion: 'multicluster.x-k8s.io/v1beta1', kind: 'ServiceImport' }
    const owner = await client.create(SERVICE_IMPORTS, {
      ...importOf,
      metadata: { name: 'i', namespace: 'shop', finalizers: ['x/y'] },
      spec: { type: 'ClusterSetIP', ports: [] },
    })
    const owned = configMap('owned')
    owned.metadata.ownerReferences = [{ ...importOf, name: 'i', uid: owner.metadata.uid ?? '' }]
    await client.create(CONFIG_MAPS, owned)
    expect(await client.remove(SERVICE_IMPORTS, { name: 'i', namespace: 'shop' })).toBe(true)
    expect((await client.get(SERVICE_IMPORTS, 'i', 'shop'))?.metadata.deletionTimestamp).toBeDefined()
    const target = { name: 'i', namespace: 'shop' }
    await client.patch(SERVICE_IMPORTS, target, { metadata: { finalizers: null } }, { type: 'merge' })
    expect(await client.get(SERVICE_IMPORTS, 'i', 'shop')).toBeUndefined()
    expect(await client.get(CONFIG_MAPS, 'owned', 'shop')).toBeUndefined()
    expect(await client.remove(SERVICE_IMPORTS, target)).toBe(false)
  })

  it('folds stringData, applies JSON patches, dry-runs', async () => {
    const client = new MemoryClient()
    const secret = {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 's', namespace: 'shop' },
      stringData: { a: 'b' },
    }
    expect((await client.create(SECRETS, secret)).data).toEqual({ a: 'Yg==' })
    const target = { name: 's', namespace: 'shop' }
    const test = [{ op: 'test', path: '/data/a', value: 'other' }]
    expect(await failure(client.patch(SECRETS, target, test, { type: 'json' }))).toMatchObject({ code: 422 })
    const add = [
      { op: 'add', path: '/metadata/labels', value: { 'a/b': 'c' } },
      { op: 'remove', path: '/metadata/labels/a~1b' },
    ]
    expect((await client.patch(SECRETS, target, add, { type: 'json', dryRun: true })).metadata.labels).toEqual({})
    expect((await client.get(SECRETS, 's', 'shop'))?.metadata.labels).toBeUndefined()
  })

  it('serves one object in two versions', async () => {
    const client = new MemoryClient()
    const metadata = { name: 'e', namespace: 'shop' }
    await client.create(SERVICE_EXPORTS, { apiVersion: 'x', kind: 'ServiceExport', metadata })
    const old = await client.get<KubeObject>({ ...SERVICE_EXPORTS, version: 'v1alpha1' }, 'e', 'shop')
    expect(old?.apiVersion).toBe('multicluster.x-k8s.io/v1alpha1')
  })
})

describe('MemoryClient watch', () => {
  it('replays from the version and follows selector transitions', async () => {
    const client = new MemoryClient()
    const { metadata } = await client.list(CONFIG_MAPS)
    await client.create(CONFIG_MAPS, configMap('a'))
    const { seen } = watching(client, metadata.resourceVersion, 'tier=web')
    const target = { name: 'a', namespace: 'shop' }
    await client.patch(CONFIG_MAPS, target, { metadata: { labels: { tier: 'web' } } }, { type: 'merge' })
    await client.patch(CONFIG_MAPS, target, { data: { k: 'v' } }, { type: 'merge' })
    await client.patch(CONFIG_MAPS, target, { metadata: { labels: { tier: null } } }, { type: 'merge' })
    expect(seen()).toEqual(['ADDED a', 'MODIFIED a', 'DELETED a'])
    client.close()
  })

  it('gives a deletion its own version, and bookmarks on demand', async () => {
    const client = new MemoryClient()
    await client.create(CONFIG_MAPS, configMap('a'))
    const { events } = watching(client, '0')
    await client.remove(CONFIG_MAPS, { name: 'a', namespace: 'shop' })
    client.bookmark()
    expect(events.map((event) => event.type)).toEqual(['ADDED', 'DELETED', 'BOOKMARK'])
    expect(events[1]?.object.metadata.resourceVersion).toBe(String(client.version))
    client.close()
  })

  it('ends by timeout, abort, fault and compaction as a server’s does', async () => {
    const clock = new ManualClock()
    const client = new MemoryClient({ clock })
    await client.create(CONFIG_MAPS, configMap('a'))
    const timed = watching(client, '0')
    await new Promise(setImmediate)
    clock.advance(300_000)
    await timed.ended
    expect(timed.events.at(-1)?.type).toBe('BOOKMARK')
    const aborted = watching(client, '0')
    aborted.abort.abort()
    expect(await failure(aborted.ended)).toMatchObject({ reason: 'Aborted' })
    const dropped = watching(client, '0')
    await new Promise(setImmediate)
    client.dropWatches(new KubeError(500, 'InternalError', 'no'))
    expect(await failure(dropped.ended)).toMatchObject({ code: 500 })
    client.compact()
    expect(await failure(watching(client, '1').ended)).toMatchObject({ code: 410 })
    expect(client.watchers).toBe(0)
  })

  it('fails requests as the hook says', async () => {
    const client = new MemoryClient()
    client.hook = ({ verb }) => {
      if (verb === 'list') throw new KubeError(503, 'ServiceUnavailable', 'no')
    }
    expect(await failure(client.list(PODS))).toMatchObject({ code: 503 })
    expect(client.requests).toEqual([{ verb: 'list', plural: 'pods' }])
  })
})
