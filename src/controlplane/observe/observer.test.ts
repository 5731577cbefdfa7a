import { afterEach, describe, expect, it } from 'vitest'
import { KubeError } from '../../kube/client.ts'
import {
  CLUSTER_PEERS,
  CONFIG_MAPS,
  ENDPOINT_SLICES,
  LEASES,
  type Pod,
  PODS,
  type Service,
  SERVICES,
} from '../../kube/kinds.ts'
import { MemoryClient } from '../../kube/testing/memory-client.ts'
import { OBJECTS, SYSTEM_NAMESPACE } from '../../model/names.ts'
import { formatBundle } from '../../pki/bundle.ts'
import { testMesh } from '../../pki/testing/mesh.ts'
import { systemClock } from '../../runtime/clock.ts'
import { createLog } from '../../runtime/log.ts'
import { seededRandom } from '../../runtime/random.ts'
import type { Snapshot } from './facts.ts'
import { Observer } from './observer.ts'
import { readSlice } from './read.ts'

const pki = testMesh({ clusters: ['east'], mesh: 'demo' })
const mesh = { mesh: 'demo', cluster: 'east', trustDomain: 'east.demo', domain: 'cluster.local' }
const service = (name: string): Service => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name, namespace: 'shop' },
  spec: { ports: [{ name: 'http', port: 80 }] },
})
const pod = (ready: boolean, phase: 'Running' | 'Failed' = 'Running'): Pod => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'a', namespace: 'shop' },
  spec: { containers: [{ name: 'app' }], nodeName: 'n1' },
  status: { phase, podIP: '10.0.0.1', conditions: [{ type: 'Ready', status: ready ? 'True' : 'False' }] },
})
const trustObject = (roots: string) => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name: OBJECTS.trust, namespace: SYSTEM_NAMESPACE },
  data: { 'intermediate.pem': pki.cluster('east').authority.certificatePem, 'bundle.json': roots },
})
const roots = formatBundle(new Map([['east.demo', [pki.root.certificatePem]]]))

const setStatus = (client: MemoryClient, changed: Pod): Promise<Pod> =>
  client.replace(PODS, changed, { subresource: 'status' })

class World {
  readonly client = new MemoryClient()
  readonly snapshots: Snapshot[] = []
  readonly observer = new Observer({
    client: this.client,
    mesh,
    clock: systemClock,
    random: seededRandom(1),
    log: createLog('test', 'silent'),
    coalesceMs: 1,
    onSnapshot: (snapshot) => this.snapshots.push(snapshot),
  })

  get latest(): Snapshot {
    const latest = this.snapshots.at(-1)
    if (latest === undefined) throw new Error('no snapshot yet')
    return latest
  }
}

let world: World
const start = async (): Promise<World> => {
  world = new World()
  return world
}
afterEach(() => world.observer.stop())

describe('Observer', () => {
  it('has no snapshot until every kind was listed, then one that is whole', async () => {
    const { client, observer, snapshots } = await start()
    await client.create(SERVICES, service('a'))
    let release: () => void = () => {}
    const held = new Promise<void>((resolve) => {
      release = resolve
    })
    client.hook = ({ verb, plural }) => (verb === 'list' && plural === 'clusterpeers' ? held : undefined)
    const started = observer.start()
    await expect.poll(() => client.requests.some(({ plural }) => plural === 'clusterpeers')).toBe(true)
    expect(snapshots).toEqual([])
    release()
    await started
    expect(world.latest.services.size).toBe(1)
  })

  it('follows changes, and keeps the identity of tables that did not change', async () => {
    const { client, observer } = await start()
    await client.create(SERVICES, service('a'))
    await client.create(PODS, pod(false))
    await observer.start()
    const before = world.latest
    await setStatus(client, pod(true))
    await expect.poll(() => world.latest.pods.get('shop/a')?.ready).toBe(true)
    expect(world.latest.services).toBe(before.services)
    expect(world.latest.pods).not.toBe(before.pods)
  })

  it('makes no snapshot of a change that no fact shows', async () => {
    const { client, observer, snapshots } = await start()
    await client.create(PODS, pod(true))
    await observer.start()
    const count = snapshots.length
    const noted = { ...pod(true), metadata: { name: 'a', namespace: 'shop', annotations: { note: 'x' } } }
    await client.replace(PODS, noted)
    await client.create(SERVICES, service('marker'))
    await expect.poll(() => world.latest.services.size).toBe(1)
    expect(snapshots).toHaveLength(count + 1)
  })

  it('drops a pod that ended: its address may be another one now', async () => {
    const { client, observer } = await start()
    await client.create(PODS, pod(true))
    await observer.start()
    expect(world.latest.pods.size).toBe(1)
    await setStatus(client, pod(false, 'Failed'))
    await expect.poll(() => world.latest.pods.size).toBe(0)
  })

  it('keeps what it knows while the API server is away, and catches up', async () => {
    const { client, observer } = await start()
    await client.create(SERVICES, service('a'))
    await observer.start()
    client.hook = () => {
      throw new KubeError(0, 'Unreachable', 'gone')
    }
    client.dropWatches(new KubeError(0, 'Unreachable', 'gone'))
    expect(observer.snapshot?.services.size).toBe(1)
    client.hook = undefined
    await client.create(SERVICES, service('b'))
    await expect.poll(() => world.latest.services.size, { timeout: 5_000 }).toBe(2)
  })

  it('takes trust when federation writes it, and never loses it again', async () => {
    const { client, observer } = await start()
    await observer.start()
    expect(world.latest.trust).toBeUndefined()
    await client.create(CONFIG_MAPS, trustObject(roots))
    await expect.poll(() => world.latest.trust?.roots['east.demo']?.length).toBe(1)
    await client.replace(CONFIG_MAPS, trustObject('{}'))
    await client.remove(CONFIG_MAPS, { name: OBJECTS.trust, namespace: SYSTEM_NAMESPACE })
    await client.create(SERVICES, service('marker'))
    await expect.poll(() => world.latest.services.size).toBe(1)
    expect(observer.trust?.validation.roots['east.demo']).toHaveLength(1)
  })

  it('knows the federation leader, and its renewals are no news', async () => {
    const { client, observer, snapshots } = await start()
    const name = OBJECTS.federationLease
    const lease = (holderIdentity: string, renewTime: string) => ({
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      metadata: { name, namespace: SYSTEM_NAMESPACE },
      spec: { holderIdentity, renewTime },
    })
    const patch = (holderIdentity: string, renewTime: string) =>
      client.patch(
        LEASES,
        { name, namespace: SYSTEM_NAMESPACE },
        { spec: { holderIdentity, renewTime } },
        { type: 'merge' },
      )
    await client.create(LEASES, lease('federation-1', '2026-01-01T00:00:00.000000Z'))
    await observer.start()
    expect(world.latest.federationLeader).toBe('federation-1')
    const count = snapshots.length
    await patch('federation-1', '2026-01-01T00:00:01.000000Z')
    await patch('federation-2', '2026-01-01T00:00:02.000000Z')
    await expect.poll(() => world.latest.federationLeader).toBe('federation-2')
    expect(snapshots).toHaveLength(count + 1)
  })

  it('sees a peer whose data path is lost', async () => {
    const { client, observer } = await start()
    await observer.start()
    await client.create(CLUSTER_PEERS, {
      apiVersion: 'isthmus.dev/v1alpha1',
      kind: 'ClusterPeer',
      metadata: { name: 'west' },
      spec: { mesh: 'demo', trustDomain: 'west.demo', gateways: ['203.0.113.1:15443', 'nonsense'] },
    })
    const lost = { status: { data: { state: 'Lost' } } }
    await client.patch(CLUSTER_PEERS, { name: 'west' }, lost, { type: 'merge', subresource: 'status' })
    await expect
      .poll(() => world.latest.peers.get('west'))
      .toEqual({
        cluster: 'west',
        trustDomain: 'west.demo',
        gateways: [{ host: '203.0.113.1', port: 15443 }],
        dataLost: true,
      })
  })
})

describe('readSlice', () => {
  const imported = (facts: string) => ({
    apiVersion: 'discovery.k8s.io/v1',
    kind: ENDPOINT_SLICES.kind,
    metadata: {
      name: 's',
      namespace: 'shop',
      labels: {
        'multicluster.kubernetes.io/service-name': 'a',
        'endpointslice.kubernetes.io/managed-by': 'federation.isthmus.dev',
      },
      annotations: { 'isthmus.dev/facts': facts },
    },
    addressType: 'IPv4' as const,
    endpoints: null,
  })
  const good = { cluster: 'west', identities: [], cloud: '', region: 'r', zone: 'z', ready: 1, total: 1 }

  it('takes facts that are whole', () => {
    expect(readSlice(imported(JSON.stringify(good)))?.imported).toEqual(good)
  })

  it.each([
    ['no JSON', '{'],
    ['a negative count', JSON.stringify({ ...good, ready: -1 })],
    ['an identity that is none', JSON.stringify({ ...good, identities: ['spiffe://west@east/ns/a/sa/b'] })],
    ['a cluster that is no name', JSON.stringify({ ...good, cluster: '../x' })],
    ['null', 'null'],
  ])('refuses a slice with %s as facts', (_what, facts) => {
    expect(readSlice(imported(facts))).toBeUndefined()
  })
})
