import { X509Certificate } from 'node:crypto'
import { afterEach, describe, expect, it, vi } from 'vitest'
import {
  CLUSTER_PEERS,
  CONFIG_MAPS,
  ENDPOINT_SLICES,
  SECRETS,
  SERVICE_EXPORTS,
  SERVICE_IMPORTS,
  type ClusterPeer,
  type EndpointSlice,
} from '../src/kube/kinds.ts'
import { OBJECTS, SYSTEM_NAMESPACE } from '../src/model/names.ts'
import { createCsr } from '../src/pki/csr.ts'
import { generateKey } from '../src/pki/keys.ts'
import type { ImportedFacts } from '../src/model/service.ts'
import { isOurSlice } from './exports/import-objects.ts'
import { World, type Cluster } from './testing/world.ts'

let world = new World()
afterEach(async () => {
  await world.close()
  world = new World()
})

const WAIT = { timeout: 8_000, interval: 25 }
const eventually = (check: () => Promise<void> | void): Promise<void> => vi.waitFor(check, WAIT)

interface Imported {
  readonly facts: ImportedFacts
  readonly slice: EndpointSlice
}

async function imported(cluster: Cluster, from?: string): Promise<readonly Imported[]> {
  const { items } = await cluster.client.list(ENDPOINT_SLICES)
  return items
    .filter(isOurSlice)
    .map((slice) => {
      const facts = JSON.parse(slice.metadata.annotations?.['isthmus.dev/facts'] ?? '{}') as ImportedFacts
      return { facts, slice }
    })
    .filter(({ facts }) => from === undefined || facts.cluster === from)
}

const peerOf = (cluster: Cluster, name: string): Promise<ClusterPeer | undefined> =>
  cluster.client.get(CLUSTER_PEERS, name)

async function twoJoined(): Promise<[Cluster, Cluster]> {
  const east = await world.cluster('east', { signer: true })
  const west = await world.cluster('west')
  await joined(east, west)
  return [east, west]
}

async function joined(signer: Cluster, cluster: Cluster): Promise<void> {
  await eventually(() => expect(signer.term?.ports).toBeDefined())
  await cluster.join(await signer.token(cluster.name))
  await connected(signer, cluster)
}

async function connected(a: Cluster, b: Cluster): Promise<void> {
  await eventually(async () => {
    const seenByA = await a.client.get(CLUSTER_PEERS, b.name)
    const seenByB = await b.client.get(CLUSTER_PEERS, a.name)
    expect([seenByA?.status?.sync?.state, seenByB?.status?.sync?.state]).toEqual(['Connected', 'Connected'])
  })
}

describe('federation', () => {
  it('joins a cluster by a token, and both see each other on both signals', async () => {
    const [east, west] = await twoJoined()
    expect(await west.client.get(SECRETS, OBJECTS.join, SYSTEM_NAMESPACE)).toBeUndefined()
    const trust = await west.client.get(CONFIG_MAPS, OBJECTS.trust, SYSTEM_NAMESPACE)
    expect(Object.keys(JSON.parse(trust?.data?.['bundle.json'] ?? '{}') as object).sort()).toEqual([
      'east.demo.mesh',
      'west.demo.mesh',
    ])
    await eventually(async () => {
      const peer = await east.client.get(CLUSTER_PEERS, 'west')
      expect(peer?.status?.data?.state).toBe('Healthy')
      expect((await west.client.get(CLUSTER_PEERS, 'east'))?.status?.data?.state).toBe('Healthy')
    })
  })

  it('shows an export in the peer as import, address and slice, and takes it back on withdrawal', async () => {
    const [east, west] = await twoJoined()
    await west.export('inventory', { ready: 2, total: 3 })
    await eventually(async () => {
      const [first] = await imported(east, 'west')
      expect(first?.facts).toMatchObject({ cloud: 'aws', region: 'west', zone: 'a', ready: 2, total: 3 })
      expect(first?.facts.identities).toEqual(['spiffe://west.demo.mesh/ns/shop/sa/inventory'])
    })
    const serviceImport = await east.client.get(SERVICE_IMPORTS, 'inventory', 'shop')
    const [first] = await imported(east, 'west')
    expect(first?.slice.endpoints?.[0]?.addresses).toEqual(serviceImport?.spec.ips)
    expect(first?.slice.metadata.ownerReferences?.[0]?.uid).toBe(serviceImport?.metadata.uid)
    await eventually(async () => {
      const { status } = (await east.client.get(SERVICE_IMPORTS, 'inventory', 'shop')) ?? {}
      expect(status?.clusters).toEqual([{ cluster: 'west' }])
      const conditions = (await west.client.get(SERVICE_EXPORTS, 'inventory', 'shop'))?.status?.conditions ?? []
      expect(conditions.map(({ type, status }) => `${type}=${status}`)).toEqual([
        'Valid=True',
        'Ready=True',
        'Conflict=False',
      ])
    })

    await west.unexport('inventory')
    await eventually(async () => {
      expect(await imported(east)).toEqual([])
      expect(await east.client.get(SERVICE_IMPORTS, 'inventory', 'shop')).toBeUndefined()
      expect(await west.client.get(SERVICE_IMPORTS, 'inventory', 'shop')).toBeUndefined()
    })
  })

  it('acts at once when readiness leaves or reaches zero, and paces mere counts', async () => {
    const [east, west] = await twoJoined()
    await west.export('inventory', { ready: 3 })
    await eventually(async () => expect((await imported(east))[0]?.facts.ready).toBe(3))
    const startedAt = performance.now()
    await west.scale('inventory', { ready: 0, total: 3 })
    await eventually(async () => {
      const [first] = await imported(east)
      expect(first?.facts.ready).toBe(0)
      expect(first?.slice.endpoints?.[0]?.conditions?.ready).toBe(false)
    })
    expect(performance.now() - startedAt).toBeLessThan(900)
    await west.scale('inventory', { ready: 3 })
    await eventually(async () => expect((await imported(east))[0]?.facts.ready).toBe(3))

    const sliceWrites = (): number =>
      east.client.requests.filter(({ verb, plural }) => verb === 'replace' && plural === 'endpointslices').length
    const before = sliceWrites()
    const burstAt = performance.now()
    for (let step = 0; step < 12; step++) await west.scale('inventory', { ready: 1 + (step % 3), total: 3 })
    await west.scale('inventory', { ready: 2, total: 3 })
    await eventually(async () => expect((await imported(east))[0]?.facts.ready).toBe(2))
    const seconds = (performance.now() - burstAt) / 1_000
    expect(sliceWrites() - before).toBeLessThanOrEqual(Math.ceil(seconds) + 1)
  })

  it('tells a third cluster of a new member through the signer, and everyone when one is removed', async () => {
    const [east, west] = await twoJoined()
    const europe = await world.cluster('europe')
    await joined(east, europe)
    await connected(west, europe)
    await europe.export('catalog', { ready: 1 })
    await eventually(async () => {
      expect((await imported(west, 'europe'))[0]?.facts.region).toBe('europe')
      expect((await imported(east, 'europe'))[0]?.facts.region).toBe('europe')
    })
    await east.client.remove(CLUSTER_PEERS, { name: 'europe' })
    await eventually(async () => {
      expect(await peerOf(west, 'europe')).toBeUndefined()
      expect(await imported(west, 'europe')).toEqual([])
      expect(await imported(east, 'europe')).toEqual([])
      const trust = await west.client.get(CONFIG_MAPS, OBJECTS.trust, SYSTEM_NAMESPACE)
      expect(trust?.data?.['bundle.json']).not.toContain('europe.demo.mesh')
    })
    await connected(east, west)
  })

  it('keeps everything through a long cut of the control stream, shows the age, and catches up', async () => {
    const [east, west] = await twoJoined()
    await west.export('inventory', { ready: 2 })
    await eventually(async () => {
      expect(await imported(east, 'west')).toHaveLength(1)
      expect((await peerOf(east, 'west'))?.status?.data?.state).toBe('Healthy')
    })
    for (const cluster of [east, west]) cluster.splicer.cut('federation')
    await vi.waitFor(
      async () => {
        const status = (await peerOf(east, 'west'))?.status
        expect(status?.sync?.state).toBe('Stale')
        expect(status?.sync?.ageMs).toBeGreaterThan(8_000)
      },
      { timeout: 15_000, interval: 100 },
    )
    expect(await imported(east, 'west')).toHaveLength(1)
    expect((await peerOf(east, 'west'))?.status?.data?.state).toBe('Healthy')

    // What is unexported meanwhile is a statement that waits: it arrives with the next snapshot.
    await west.unexport('inventory')
    for (const cluster of [east, west]) cluster.splicer.heal('federation')
    await connected(east, west)
    await eventually(async () => expect(await imported(east)).toEqual([]))
    expect((await peerOf(east, 'west'))?.status?.conditions?.find(({ type }) => type === 'SnapshotHeld')?.status).toBe(
      'False',
    )
  })

  it('keeps imports when the controller restarts while its peer is out of reach', async () => {
    const [east, west] = await twoJoined()
    await west.export('inventory', { ready: 2 })
    await eventually(async () => expect(await imported(east, 'west')).toHaveLength(1))
    const before = await imported(east, 'west')
    for (const cluster of [east, west]) cluster.splicer.cut('federation', 'gateway')
    await east.restart()
    await eventually(() => expect(east.term?.links.facts('west')?.health.state).toBe('Lost'))
    await eventually(() => expect(east.term?.controller.rounds).toBeGreaterThan(0))
    expect(east.term?.links.exports()).toHaveLength(1)
    expect(await imported(east, 'west')).toEqual(before)
    expect((await peerOf(east, 'west'))?.status?.sync?.state).toBe('Stale')
    for (const cluster of [east, west]) cluster.splicer.heal('federation', 'gateway')
    await connected(east, west)
    await eventually(() => expect(east.term?.links.facts('west')?.health.state).toBe('Healthy'))
    expect(await imported(east, 'west')).toEqual(before)
  })

  it('flips the data signal alone when only the data path is lost, within three seconds, and back', async () => {
    const [east, west] = await twoJoined()
    await west.export('inventory', { ready: 1 })
    const states = async (): Promise<unknown> => {
      const status = (await peerOf(east, 'west'))?.status
      return [status?.sync?.state, status?.data?.state]
    }
    await eventually(async () => expect(await states()).toEqual(['Connected', 'Healthy']))
    const cutAt = performance.now()
    west.splicer.cut('gateway')
    await eventually(async () => expect(await states()).toEqual(['Connected', 'Lost']))
    expect(performance.now() - cutAt).toBeLessThan(3_500)
    expect(await imported(east, 'west')).toHaveLength(1)
    west.splicer.heal('gateway')
    await eventually(async () => expect(await states()).toEqual(['Connected', 'Healthy']))
  })

  it('renews an intermediate through the signer when the control plane has another key', async () => {
    const [, west] = await twoJoined()
    const trust = async (): Promise<string> =>
      (await west.client.get(CONFIG_MAPS, OBJECTS.trust, SYSTEM_NAMESPACE))?.data?.['intermediate.pem'] ?? ''
    const before = await trust()
    const { privateKey } = generateKey()
    const data = { 'csr.pem': createCsr(privateKey, { uri: 'spiffe://west.demo.mesh' }) }
    const target = { name: OBJECTS.caRequest, namespace: SYSTEM_NAMESPACE }
    await west.client.patch(CONFIG_MAPS, target, { data }, { type: 'merge' })
    await eventually(async () => {
      expect(await trust()).not.toBe(before)
      expect(new X509Certificate(await trust()).checkPrivateKey(privateKey)).toBe(true)
    })
  })

  it('writes nothing any more once another leader may have taken over', async () => {
    const [east, west] = await twoJoined()
    await west.export('inventory', { ready: 1 })
    await eventually(async () => expect(await imported(east, 'west')).toHaveLength(1))
    east.leadership.isLeader = false // paused and replaced: its streams are still open
    const before = east.client.requests.length
    await west.scale('inventory', { ready: 0, total: 1 })
    await west.unexport('inventory')
    await eventually(() => expect(east.term?.links.exports()).toEqual([]))
    await eventually(() => expect(east.term?.controller.rounds).toBeGreaterThan(1))
    const writes = east.client.requests
      .slice(before)
      .filter(({ verb }) => ['create', 'replace', 'patch', 'remove'].includes(verb))
    expect(writes).toEqual([])
    expect(await imported(east, 'west')).toHaveLength(1)
  })
})
