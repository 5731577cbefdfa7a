/** What must not be rebuilt: the promises behind "only what changed". What is built stands in test/golden. */
import { describe, expect, it } from 'vitest'
import type { ProxyConfig } from '../../model/config.ts'
import type { ImportedFacts } from '../../model/service.ts'
import {
  NO_GATEWAY_API,
  NO_NETWORKING,
  NO_SECURITY,
  type PodFacts,
  type ServiceFacts,
  type SliceFacts,
  type Snapshot,
} from '../observe/facts.ts'
import { endpointId } from './east-west.ts'
import { Memo } from './memo.ts'
import { Translator } from './translator.ts'

const pod = (name: string, ip: string, extra: Partial<PodFacts> = {}): PodFacts => ({
  namespace: 'shop',
  name,
  uid: `uid-${name}`,
  ip,
  serviceAccount: 'checkout',
  node: 'n1',
  workload: 'checkout',
  hasSidecar: true,
  captured: false,
  ready: true,
  labels: { app: 'checkout' },
  ports: {},
  ...extra,
})
const service: ServiceFacts = {
  namespace: 'shop',
  name: 'checkout',
  ports: [{ name: 'http', port: 80, targetPort: 8080 }],
  selector: { app: 'checkout' },
  localFailover: true,
  addresses: [],
}
const slice = (state: 'ready' | 'not-ready'): SliceFacts => ({
  namespace: 'shop',
  service: 'checkout',
  ports: { http: 8080 },
  endpoints: [{ address: '10.0.0.2', pod: 'checkout-1', node: 'n1', zone: 'a', state }],
})
const facts: ImportedFacts = {
  cluster: 'west',
  identities: ['spiffe://west.demo/ns/shop/sa/checkout'],
  cloud: 'aws',
  region: 'us-west-2',
  zone: 'a',
  ready: 2,
  total: 2,
}

function world(): Snapshot {
  return {
    version: 1,
    mesh: { mesh: 'demo', cluster: 'east', trustDomain: 'east.demo', domain: 'cluster.local' },
    services: new Map([['shop/checkout', service]]),
    pods: new Map([
      ['shop/checkout-1', pod('checkout-1', '10.0.0.2')],
      ['shop/front', pod('front', '10.0.0.3', { labels: {} })],
    ]),
    slices: new Map([
      ['shop/checkout-abc', slice('ready')],
      [
        'shop/imported',
        { namespace: 'shop', service: 'checkout', ports: { http: 80 }, endpoints: [], imported: facts },
      ],
    ]),
    security: NO_SECURITY,
    nodes: new Map([['n1', { cloud: 'aws', region: 'us-east-1', zone: 'a' }]]),
    namespaces: new Map([['shop', {}]]),
    exports: new Map([['shop/checkout', { namespace: 'shop', name: 'checkout' }]]),
    networking: NO_NETWORKING,
    gatewayApi: NO_GATEWAY_API,
    imports: new Map([
      ['shop/checkout', { namespace: 'shop', name: 'checkout', ports: [{ name: 'http', port: 80 }], addresses: [] }],
    ]),
    peers: new Map([
      [
        'west',
        {
          cluster: 'west',
          trustDomain: 'west.demo',
          gateways: [{ host: '203.0.113.1', port: 15443 }],
          dataLost: false,
        },
      ],
    ]),
    trust: { name: 'ROOTCA', roots: { 'east.demo': ['pem'] }, revokedTrustDomains: [], revokedIssuers: [] },
    breakers: new Map(),
    federationLeader: '',
  }
}

const proxies = new Translator({ endpointIdKey: Buffer.from('k') })
function translate(translator: Translator, snapshot: Snapshot, name = 'front'): ProxyConfig {
  const found = snapshot.pods.get(`shop/${name}`)
  const config = found === undefined ? undefined : translator.translate(snapshot, { role: 'sidecar', pod: found })
  if (config === undefined) throw new Error(`nothing for ${name}`)
  return config
}

const LOCAL = 'outbound|80||checkout.shop.svc.cluster.local'

describe('Translator', () => {
  it('rebuilds one assignment and no route, cluster or listener when a pod becomes unready', () => {
    const translator = new Translator({ endpointIdKey: Buffer.from('k') })
    const before = world()
    const first = translate(translator, before)
    const unready = pod('checkout-1', '10.0.0.2', { ready: false })
    const after = {
      ...before,
      version: 2,
      pods: new Map(before.pods).set('shop/checkout-1', unready),
      slices: new Map(before.slices).set('shop/checkout-abc', slice('not-ready')),
    }
    const second = translate(translator, after)
    expect(second.routes).toBe(first.routes)
    expect(second.clusters).toBe(first.clusters)
    expect(second.listeners).toBe(first.listeners)
    expect(second.secrets).toBe(first.secrets)
    expect(second.endpoints.get(LOCAL)).not.toBe(first.endpoints.get(LOCAL))
    expect(second.endpoints.get(LOCAL)?.localities.map(({ locality }) => locality.region)).toEqual(['us-west-2'])
  })

  it('leaves everything of a sidecar alone when a pod that no service selects changes', () => {
    const translator = new Translator({ endpointIdKey: Buffer.from('k') })
    const before = world()
    const first = translate(translator, before, 'checkout-1')
    const other = pod('job', '10.0.0.9', { labels: {} })
    const second = translate(
      translator,
      { ...before, version: 2, pods: new Map(before.pods).set('shop/job', other) },
      'checkout-1',
    )
    for (const table of ['listeners', 'routes', 'clusters', 'endpoints', 'secrets'] as const) {
      expect(second[table], table).toBe(first[table])
    }
  })

  it('gives proxies in one place and namespace the same tables', () => {
    const snapshot = world()
    const front = translate(proxies, snapshot)
    const checkout = translate(proxies, snapshot, 'checkout-1')
    expect(checkout.endpoints).toBe(front.endpoints)
    expect(checkout.routes).toBe(front.routes)
    expect(checkout.clusters.get(LOCAL)).toBe(front.clusters.get(LOCAL))
  })

  it('marks the endpoints of a lost peer and rebuilds nothing else', () => {
    const translator = new Translator({ endpointIdKey: Buffer.from('k') })
    const before = world()
    const first = translate(translator, before)
    const [west] = before.peers.values()
    if (west === undefined) throw new Error('no peer')
    const lost = { ...before, version: 2, peers: new Map([['west', { ...west, dataLost: true }]]) }
    const second = translate(translator, lost)
    expect(second.clusters).toBe(first.clusters)
    expect(second.routes).toBe(first.routes)
    const health = second.endpoints.get(LOCAL)?.localities.map(({ endpoints }) => endpoints[0]?.health)
    expect(health).toEqual(['healthy', 'unhealthy'])
  })

  it('waits for trust and for the address of the pod', () => {
    const snapshot = world()
    const front = pod('front', '')
    expect(proxies.translate(snapshot, { role: 'sidecar', pod: front })).toBeUndefined()
    const outside = { ...snapshot, trust: undefined }
    expect(proxies.translate(outside, { role: 'sidecar', pod: pod('front', '10.0.0.3') })).toBeUndefined()
  })
})

describe('endpointId', () => {
  it('is 26 characters of base32, stable, and another for every pod and key', () => {
    const id = endpointId(Buffer.from('k'), 'uid')
    expect(id).toMatch(/^[a-z2-7]{26}$/)
    expect(endpointId(Buffer.from('k'), 'uid')).toBe(id)
    expect(endpointId(Buffer.from('k'), 'uie')).not.toBe(id)
    expect(endpointId(Buffer.from('l'), 'uid')).not.toBe(id)
  })
})

describe('Memo', () => {
  it('builds again only when an input is another object', () => {
    const memo = new Memo<object>()
    const input = {}
    const first = memo.get('a', [input], () => ({}))
    expect(memo.get('a', [input], () => ({}))).toBe(first)
    expect(memo.get('a', [{}], () => ({}))).not.toBe(first)
  })

  it('keeps what is in use however much that is, after a few rounds', () => {
    const memo = new Memo<number>()
    let built = 0
    for (let round = 0; round < 10; round += 1) {
      built = 0
      for (let index = 0; index < 20_000; index += 1) memo.get(String(index), [], () => (built += 1))
    }
    expect(built).toBe(0)
  })

  it('forgets keys that are asked for no more', () => {
    const memo = new Memo<number>()
    for (let round = 0; round < 20; round += 1) {
      for (let index = 0; index < 500; index += 1) memo.get(`${round}-${index}`, [], () => index)
    }
    expect(memo.size).toBeLessThan(3_000)
  })
})
