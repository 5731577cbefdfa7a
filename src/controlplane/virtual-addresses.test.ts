import * as fc from 'fast-check'
import { afterEach, describe, expect, it } from 'vitest'
import { SERVICE_ENTRIES, type ServiceEntry } from '../kube/kinds/networking.ts'
import { MemoryClient } from '../kube/testing/memory-client.ts'
import { systemClock } from '../runtime/clock.ts'
import { createLog } from '../runtime/log.ts'
import { systemRandom } from '../runtime/random.ts'
import { AddressStatus } from './address-status.ts'
import type { ServiceEntryFacts } from './observe/facts.ts'
import { Observer } from './observe/observer.ts'
import { readServiceEntry } from './observe/read-networking.ts'
import { allocate, hostsToAllocate, isVirtualAddress } from './virtual-addresses.ts'

const entry = (name: string, more: Partial<ServiceEntryFacts> = {}, spec: object = {}): ServiceEntryFacts => ({
  namespace: 'shop',
  name,
  createdAt: '2026-01-01T00:00:00Z',
  spec: { hosts: [`${name}.example.com`], resolution: 'DNS', ...spec },
  ...more,
})
const table = (...entries: ServiceEntryFacts[]): ReadonlyMap<string, ServiceEntryFacts> =>
  new Map(entries.map((one) => [`${one.namespace}/${one.name}`, one]))

describe('allocate', () => {
  it('gives each host one address of each family, and always the same', () => {
    const found = allocate(table(entry('a'), entry('b'))).get('shop/a')
    expect(found).toEqual([
      { value: expect.stringMatching(/^240\.240\./), host: 'a.example.com' },
      { value: expect.stringMatching(/^2001:2::/), host: 'a.example.com' },
    ])
    expect(allocate(table(entry('b'), entry('a'))).get('shop/a')).toEqual(found)
    expect(allocate(table(entry('a'))).get('shop/a')).toEqual(found)
  })

  it('keeps what is written down, whatever comes and goes', () => {
    const allocated = [{ value: '240.240.3.7', host: 'a.example.com' }]
    const found = allocate(table(entry('a', { allocated }), entry('b'))).get('shop/a')
    expect(found?.[0]).toEqual(allocated[0])
  })

  it('lets the older keep an address that two claim', () => {
    const claim = (host: string): { value: string; host: string }[] => [{ value: '240.240.3.7', host }]
    const older = entry('z', { allocated: claim('z.example.com'), createdAt: '2025-01-01T00:00:00Z' })
    const found = allocate(table(entry('a', { allocated: claim('a.example.com') }), older))
    expect(found.get('shop/z')?.[0]?.value).toBe('240.240.3.7')
    expect(found.get('shop/a')?.[0]?.value).not.toBe('240.240.3.7')
  })

  it.each<[string, Partial<ServiceEntryFacts>, object]>([
    ['a pattern', {}, { hosts: ['*.example.com'] }],
    ['no resolution', {}, { resolution: 'NONE' }],
    ['an address of its own', {}, { addresses: ['10.1.2.3'] }],
    ['who does not want one', { allocates: false }, {}],
    ['an address as its name', {}, { hosts: ['10.1.2.3'] }],
  ])('gives none to %s', (_what, more, spec) => {
    expect(hostsToAllocate(entry('a', more, spec))).toEqual([])
    expect(allocate(table(entry('a', more, spec))).size).toBe(0)
  })

  it('never gives one address twice, nor one outside its ranges, and comes to rest', () => {
    const names = fc.uniqueArray(fc.integer({ min: 0, max: 500 }), { maxLength: 60 })
    const claims = fc.array(fc.constantFrom('240.240.0.1', '240.240.0.2', '10.0.0.1', '2001:2::1', '240.240.0.01', 'x'))
    fc.assert(
      fc.property(names, claims, (numbers, values) => {
        const entries = numbers.map((number, index) => {
          const value = values[index]
          const name = `n${number}`
          return entry(name, value === undefined ? {} : { allocated: [{ value, host: `${name}.example.com` }] })
        })
        const found = allocate(table(...entries))
        const all = [...found.values()].flatMap((list) => list.map(({ value }) => value))
        expect(new Set(all).size).toBe(all.length)
        expect(all.every(isVirtualAddress)).toBe(true)
        const settled = entries.map((one) => entry(one.name, { allocated: found.get(`shop/${one.name}`) ?? [] }))
        expect(allocate(table(...settled))).toEqual(found)
      }),
      { numRuns: 100 },
    )
  })
})

const log = createLog('test', 'fatal')
const mesh = { mesh: 'test.mesh', cluster: 'east', trustDomain: 'east.test.mesh', domain: 'cluster.local' }
const parts: { stop(): Promise<void> }[] = []
afterEach(async () => {
  for (const part of parts.splice(0)) await part.stop()
})

async function replica(client: MemoryClient): Promise<void> {
  const common = { client, clock: systemClock, random: systemRandom, log }
  const addresses = new AddressStatus(common)
  const observer = new Observer({ ...common, mesh, onSnapshot: (snapshot) => addresses.set(snapshot) })
  parts.push(observer, addresses)
  await observer.start()
}

const object = (name: string, spec: object = {}): ServiceEntry => ({
  apiVersion: 'networking.istio.io/v1',
  kind: 'ServiceEntry',
  metadata: { name, namespace: 'shop' },
  spec: { hosts: [`${name}.example.com`], resolution: 'DNS', ...spec },
})
const writtenIn = async (client: MemoryClient, name: string): Promise<unknown[]> =>
  (await client.get(SERVICE_ENTRIES, name, 'shop'))?.status?.addresses ?? []

describe('AddressStatus', () => {
  it('writes them down once, with two replicas, and takes back what is no longer asked for', async () => {
    const client = new MemoryClient()
    await client.create(SERVICE_ENTRIES, object('api'))
    await replica(client)
    await replica(client)
    await expect.poll(() => writtenIn(client, 'api')).toHaveLength(2)
    const first = await writtenIn(client, 'api')
    await client.create(SERVICE_ENTRIES, object('other'))
    await expect.poll(() => writtenIn(client, 'other')).toHaveLength(2)
    expect(await writtenIn(client, 'api')).toEqual(first)
    await client.patch(
      SERVICE_ENTRIES,
      { name: 'api', namespace: 'shop' },
      { spec: { addresses: ['10.1.2.3'] } },
      { type: 'merge' },
    )
    await expect.poll(() => writtenIn(client, 'api')).toEqual([])
  })
})

describe('readServiceEntry', () => {
  it('believes no address outside the ranges: a status must not take over a service', () => {
    const status = {
      addresses: [
        { value: '10.96.0.1', host: 'api.example.com' },
        { value: '240.240.9.9', host: 'API.example.com' },
      ],
    }
    expect(readServiceEntry({ ...object('api'), status })?.allocated).toEqual([
      { value: '240.240.9.9', host: 'api.example.com' },
    ])
  })
})
