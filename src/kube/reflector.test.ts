/** The mirror against an in-memory API server with a hand-moved clock: no test waits for real time. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ManualClock } from '../runtime/clock.ts'
import { CUSTOM_RESOURCE_DEFINITIONS, type CustomResourceDefinition } from './kinds/apiextensions.ts'
import { KubeError } from './client.ts'
import { CONFIG_MAPS, type ConfigMap } from './kinds.ts'
import { Reflector, type ReflectorOptions } from './reflector.ts'
import { MemoryClient } from './testing/memory-client.ts'

const NAMESPACE = 'shop'

describe('Reflector', () => {
  let clock = new ManualClock()
  let client = new MemoryClient()
  let errors: unknown[] = []
  let retries: number[] = []
  let reflector = newReflector()

  function newReflector(extra: Partial<ReflectorOptions<ConfigMap>> = {}): Reflector<ConfigMap> {
    return new Reflector({
      resource: CONFIG_MAPS,
      ...extra,
      client,
      clock,
      random: { next: () => 1 },
      onError: (error, retryMs) => {
        errors.push(error)
        retries.push(retryMs)
      },
    })
  }

  beforeEach(() => {
    clock = new ManualClock()
    client = new MemoryClient({ clock })
    errors = []
    retries = []
    reflector = newReflector()
  })
  afterEach(() => reflector.stop())

  const put = (name: string, data: Record<string, string> = {}): Promise<ConfigMap> =>
    client.create(CONFIG_MAPS, { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace: NAMESPACE }, data })

  const remove = (name: string): Promise<boolean> => client.remove(CONFIG_MAPS, { name, namespace: NAMESPACE })

  const lists = (): number => client.requests.filter((request) => request.verb === 'list').length
  const watches = (): number => client.requests.filter((request) => request.verb === 'watch').length

  function log(): string[] {
    const seen: string[] = []
    reflector.store.subscribe((change) =>
      seen.push(`${change.key} ${change.old?.data?.['v'] ?? '-'}>${change.new?.data?.['v'] ?? '-'}`),
    )
    return seen
  }

  it('opens no watch when it is stopped while its list is under way', async () => {
    let answer = (): void => {}
    client.hook = ({ verb }) => (verb === 'list' ? new Promise<void>((resolve) => (answer = resolve)) : undefined)
    reflector.start()
    await Promise.resolve()
    const stopped = reflector.stop()
    answer()
    await stopped
    expect(watches()).toBe(0)
  })

  it('lists, then follows the watch with old and new', async () => {
    await put('a', { v: '1' })
    reflector.start()
    await reflector.synced
    const seen = log()
    await settle()
    await put('b', { v: '1' })
    await client.patch(CONFIG_MAPS, { name: 'a', namespace: NAMESPACE }, { data: { v: '2' } }, { type: 'merge' })
    await remove('b')
    expect(seen).toEqual(['shop/a ->1', 'shop/b ->1', 'shop/a 1>2', 'shop/b 1>-'])
    expect(reflector.store.get('a', NAMESPACE)?.data).toEqual({ v: '2' })
  })

  it('survives a server that is away at the start', async () => {
    client.hook = () => {
      throw new KubeError(0, 'Unreachable', 'refused')
    }
    reflector.start()
    for (let attempt = 0; attempt < 8; attempt++) {
      await settle()
      clock.advance(30_000)
    }
    await settle()
    expect(reflector.hasSynced).toBe(false)
    // 0.8 s doubled up to 5 s (jitter pinned to the whole delay).
    expect(retries.slice(0, 5)).toEqual([800, 1600, 3200, 5_000, 5_000])
    client.hook = undefined
    clock.advance(30_000)
    await reflector.synced
  })

  it('goes on from its version after a broken watch, without a list and without loss', async () => {
    reflector.start()
    await reflector.synced
    await settle()
    const seen = log()
    client.dropWatches(new KubeError(500, 'InternalError', 'no'))
    await put('while-away', { v: '1' })
    await settle()
    expect(seen).toEqual([])
    clock.advance(800)
    await settle()
    expect(seen).toEqual(['shop/while-away ->1'])
    expect(lists()).toBe(1)
    expect(errors).toHaveLength(1)
  })

  it('relists after 410 and tells only what differs', async () => {
    for (const name of ['a', 'b', 'c']) await put(name, { v: '1' })
    reflector.start()
    await reflector.synced
    await settle()
    const seen = log()
    seen.length = 0
    client.dropWatches(new KubeError(500, 'InternalError', 'no'))
    await remove('a')
    await put('d', { v: '1' })
    client.compact()
    for (let step = 0; step < 3; step++) {
      await settle()
      clock.advance(5_000)
    }
    await settle()
    expect(lists()).toBe(2)
    expect(seen).toEqual(['shop/a 1>-', 'shop/d ->1'])
  })

  it('forgets its back-off after a healthy minute', async () => {
    reflector.start()
    await reflector.synced
    for (let round = 0; round < 3; round++) {
      await settle()
      client.dropWatches(new KubeError(500, 'InternalError', 'no'))
      await settle()
      clock.advance(10_000)
    }
    await settle()
    clock.advance(61_000)
    client.dropWatches(new KubeError(500, 'InternalError', 'no'))
    await settle()
    expect(retries).toEqual([800, 1600, 3200, 800])
  })

  it('replaces a silent watch, and counts bookmarks as life', async () => {
    reflector.start()
    await reflector.synced
    await settle()
    clock.advance(80_000)
    client.bookmark()
    clock.advance(80_000)
    await settle()
    expect(watches()).toBe(1)
    clock.advance(10_000)
    await settle()
    expect(watches()).toBe(2)
    expect(errors).toEqual([])
    expect(lists()).toBe(1)
  })

  it('does not ask in a tight loop when each watch ends at once', async () => {
    reflector.start()
    await reflector.synced
    await settle()
    client.dropWatches()
    await settle()
    expect(watches()).toBe(1)
    clock.advance(800)
    await settle()
    expect(watches()).toBe(2)
  })

  describe('a relist that shrinks by more than half', () => {
    async function relistSeeing(answers: readonly string[][]): Promise<{ seen: string[]; asked: number }> {
      for (const name of ['a', 'b', 'c', 'd']) await put(name, { v: '1' })
      reflector.start()
      await reflector.synced
      await settle()
      const seen = log()
      seen.length = 0
      let asked = 0
      const real = client.list.bind(client)
      client.list = async (...args) => {
        const list = await real(...args)
        const names = answers[Math.min(asked++, answers.length - 1)] ?? []
        return { ...list, items: list.items.filter((item) => names.includes(item.metadata.name ?? '')) }
      }
      client.dropWatches(new KubeError(410, 'Expired', 'old'))
      for (let step = 0; step < 3; step++) {
        await settle()
        clock.advance(1_000)
      }
      await settle()
      return { seen, asked }
    }

    it('is not told when the second list takes it back', async () => {
      const { seen, asked } = await relistSeeing([[], ['a', 'b', 'c', 'd']])
      expect({ seen, asked }).toEqual({ seen: [], asked: 2 })
      expect(reflector.store.size).toBe(4)
    })

    it('is told once the second list says the same', async () => {
      const { seen, asked } = await relistSeeing([['a'], ['a']])
      expect(asked).toBe(2)
      expect(seen).toEqual(['shop/b 1>-', 'shop/c 1>-', 'shop/d 1>-'])
    })

    it('needs no confirmation up to half', async () => {
      const { asked } = await relistSeeing([['a', 'b']])
      expect(asked).toBe(1)
      expect(reflector.store.size).toBe(2)
    })
  })

  const absent = ({ plural }: { readonly plural: string }): void => {
    if (plural === 'configmaps')
      throw new KubeError(404, 'NotFound', 'the server could not find the requested resource')
  }

  it('waits for a kind that is defined and not served yet: its objects are not absent, only unknown', async () => {
    const versions = [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: {} } }]
    const definition = (name: string, served: object[]): CustomResourceDefinition =>
      ({ metadata: { name }, spec: { versions: served } }) as unknown as CustomResourceDefinition
    await client.create(CUSTOM_RESOURCE_DEFINITIONS, definition('configmaps.test.dev', versions))
    client.hook = absent
    reflector = newReflector({ mayBeAbsent: true, resource: { ...CONFIG_MAPS, group: 'test.dev' } })
    reflector.start()
    await expect.poll(() => errors.length).toBeGreaterThan(0)
    expect(reflector.hasSynced).toBe(false)
    client.hook = undefined
    clock.advance(30_000)
    await reflector.synced
    expect(reflector.hasSynced).toBe(true)
  })

  it('waits, too, where it cannot be told', async () => {
    client.hook = (request) => {
      absent(request)
      throw new KubeError(403, 'Forbidden', 'nobody may see definitions')
    }
    reflector = newReflector({ mayBeAbsent: true })
    reflector.start()
    await expect.poll(() => errors.length).toBeGreaterThan(0)
    expect(reflector.hasSynced).toBe(false)
  })

  it('takes a kind that the cluster lacks for one without objects, until it has it', async () => {
    reflector = newReflector({ mayBeAbsent: true })
    client.hook = absent
    reflector.start()
    await reflector.synced
    expect(reflector.store.size).toBe(0)
    expect(errors).toEqual([])
    client.hook = undefined
    await put('a')
    clock.advance(30_000)
    await expect.poll(() => reflector.store.size).toBe(1)
  })

  it('keeps what it knows when stopped, and listeners cannot break it', async () => {
    await put('a')
    reflector.start()
    await reflector.synced
    await settle()
    reflector.store.subscribe(() => {
      throw new Error('a bug')
    })
    const seen = log()
    await put('b', { v: '1' })
    expect(seen).toContain('shop/b ->1')
    expect(errors.length).toBeGreaterThan(0)
    await reflector.stop()
    expect(reflector.store.size).toBe(2)
    await remove('a')
    expect(reflector.store.size).toBe(2)
    expect(client.watchers).toBe(0)
  })
})

/** Lets promise chains run to their next wait. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise(setImmediate)
}
