import { describe, expect, it } from 'vitest'
import { ManualClock } from '../runtime/clock.ts'
import { KubeError } from './client.ts'
import { LEASES, type Lease } from './kinds.ts'
import { LeaseLock } from './lease-lock.ts'
import { MemoryClient } from './testing/memory-client.ts'

const NAME = 'isthmus-federation'
const NAMESPACE = 'isthmus-system'

async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise(setImmediate)
}

class World {
  readonly clock = new ManualClock(Date.UTC(2026, 0, 1))
  readonly client = new MemoryClient({ clock: this.clock })

  lock(identity: string, client: MemoryClient = this.client, clock: ManualClock = this.clock): LeaseLock {
    return new LeaseLock({ client, namespace: NAMESPACE, name: NAME, identity, clock, random: { next: () => 0 } })
  }

  async pass(seconds: number): Promise<void> {
    for (let step = 0; step < seconds * 2; step++) {
      this.clock.advance(500)
      await settle()
    }
  }

  async lease(): Promise<Lease> {
    const lease = await this.client.get(LEASES, NAME, NAMESPACE)
    if (lease === undefined) throw new Error('no lease')
    return lease
  }
}

describe('LeaseLock', () => {
  it('takes a free lease and writes MicroTime', async () => {
    const world = new World()
    const a = world.lock('a').start()
    await settle()
    expect({ isLeader: a.isLeader, epoch: a.epoch }).toEqual({ isLeader: true, epoch: 1 })
    expect((await world.lease()).spec).toMatchObject({
      holderIdentity: 'a',
      leaseDurationSeconds: 15,
      renewTime: '2026-01-01T00:00:00.000000Z',
    })
    await a.stop()
  })

  it('has one leader, and a new epoch only with a new one', async () => {
    const world = new World()
    const a = world.lock('a').start()
    await settle()
    const b = world.lock('b').start()
    await world.pass(60)
    expect([a.isLeader, b.isLeader, a.epoch]).toEqual([true, false, 1])
    await a.stop()
    await world.pass(3)
    expect([a.isLeader, b.isLeader, b.epoch]).toEqual([false, true, 2])
    await b.stop()
  })

  it('hands over only after the record stood still for its duration, and never overlaps', async () => {
    const world = new World()
    // a's server connection fails; b has its own.
    const away = new MemoryClient({ clock: world.clock })
    let cut = false
    for (const verb of ['get', 'create', 'replace'] as const) {
      away[verb] = ((...args: Parameters<MemoryClient['get']>) =>
        cut
          ? Promise.reject(new KubeError(0, 'Unreachable', 'cut'))
          : (world.client[verb] as (...given: unknown[]) => Promise<unknown>)(...args)) as never
    }
    const a = world.lock('a', away).start()
    await settle()
    const b = world.lock('b').start()
    const seen: string[] = []
    a.onChange(({ isLeader }) => seen.push(`a ${isLeader}`))
    b.onChange(({ isLeader, epoch }) => seen.push(`b ${isLeader} ${epoch}`))
    await world.pass(4)
    cut = true
    let cutMs = 0
    while (!b.isLeader) {
      await world.pass(0.5)
      cutMs += 500
      expect(a.isLeader && b.isLeader).toBe(false)
    }
    expect(seen).toEqual(['a false', 'b true 2'])
    expect(cutMs).toBeGreaterThan(12_000)
    expect(cutMs).toBeLessThan(20_000)
    cut = false
    await world.pass(5)
    expect(a.isLeader).toBe(false)
    await a.stop()
    await b.stop()
  })

  it('knows by its clock that it was frozen, before any timer ran', async () => {
    const world = new World()
    let monotonic = 0
    const clock = new ManualClock()
    clock.monotonic = () => monotonic
    const a = world.lock('a', world.client, clock).start()
    await settle()
    expect(a.isLeader).toBe(true)
    monotonic = 9_999
    expect(a.isLeader).toBe(true)
    monotonic = 10_000
    expect(a.isLeader).toBe(false)
    await a.stop()
  })

  it('gives up on a request that hangs', async () => {
    const world = new World()
    const a = world.lock('a').start()
    await settle()
    world.client.hook = () => new Promise<void>(() => {})
    await world.pass(11)
    expect(a.isLeader).toBe(false)
    world.client.hook = undefined
    await world.pass(10)
    expect([a.isLeader, a.epoch]).toEqual([true, 2])
    await a.stop()
  })

  it('raises the epoch when a restarted process finds its own name', async () => {
    const world = new World()
    const a = world.lock('a').start()
    await settle()
    const again = world.lock('a').start()
    await settle()
    expect([again.isLeader, again.epoch]).toEqual([true, 2])
    await world.pass(3)
    void a.stop()
    await again.stop()
  })

  it('releases when it stops, after telling its own', async () => {
    const world = new World()
    const a = world.lock('a').start()
    await settle()
    let holderWhenTold: unknown
    a.onChange(() => {
      holderWhenTold = 'still a'
    })
    await a.stop()
    expect(holderWhenTold).toBe('still a')
    expect((await world.lease()).spec?.holderIdentity).toBe('')
  })

  it('refuses timings with which two could lead', () => {
    const options = { client: new MemoryClient(), namespace: NAMESPACE, name: NAME, identity: 'a' }
    expect(() => new LeaseLock({ ...options, renewDeadlineMs: 15_000 })).toThrow(RangeError)
    expect(() => new LeaseLock({ ...options, retryPeriodMs: 9_000 })).toThrow(RangeError)
  })
})
