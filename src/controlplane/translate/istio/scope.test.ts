/** What a change of Istio's objects rebuilds, and what it leaves alone. What is built stands in test/golden. */
import { describe, expect, it } from 'vitest'
import { parseAllDocuments } from 'yaml'
import type { KubeObject } from '../../../kube/object.ts'
import type { ProxyConfig, VirtualHost } from '../../../model/config.ts'
import type { Snapshot } from '../../observe/facts.ts'
import { snapshotOf } from '../../testing/snapshot-of.ts'
import { Translator } from '../translator.ts'

const mesh = { mesh: 'demo', cluster: 'east', trustDomain: 'east.demo', domain: 'cluster.local' }

const objectsOf = (yaml: string): KubeObject[] =>
  parseAllDocuments(yaml).map((document) => document.toJS() as KubeObject)

const service = (name: string, namespace = 'shop'): KubeObject =>
  ({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace },
    spec: { ports: [{ name: 'http', port: 80 }] },
  }) as KubeObject

const pod = (name: string, namespace: string, labels: object): KubeObject =>
  ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace, labels },
    spec: { containers: [{ name: 'app' }] },
    status: { podIP: `10.0.0.${name.length}` },
  }) as KubeObject

const world = snapshotOf({
  mesh,
  roots: { 'east.demo': ['pem'] },
  objects: [
    service('reviews'),
    service('ratings'),
    service('ledger', 'bank'),
    pod('web', 'shop', { tier: 'web' }),
    pod('batch', 'shop', { tier: 'batch' }),
    pod('other', 'bank', {}),
  ],
})

/** The same facts for everything else, as the observer has them. */
function withRules(yaml: string): Snapshot {
  const { virtualServices, destinationRules } = snapshotOf({ mesh, objects: objectsOf(yaml) }).networking
  const networking = { ...world.networking, virtualServices, destinationRules }
  return { ...world, version: world.version + 1, networking }
}

function translate(translator: Translator, snapshot: Snapshot, key = 'shop/web'): ProxyConfig {
  const found = snapshot.pods.get(key)
  const config = found && translator.translate(snapshot, { role: 'sidecar', pod: found })
  if (config === undefined) throw new Error(`nothing for ${key}`)
  return config
}

const virtualHost = ({ routes }: ProxyConfig, name: string): VirtualHost | undefined =>
  routes.get('outbound')?.hosts.find((host) => host.name === `${name}:80`)

const REVIEWS = 'reviews.shop.svc.cluster.local'
const RATINGS = 'ratings.shop.svc.cluster.local'
const LEDGER = 'ledger.bank.svc.cluster.local'

const lead = (status: number): string => `
kind: VirtualService
metadata: { name: reviews, namespace: shop }
spec: { hosts: [reviews], http: [{ directResponse: { status: ${status} } }] }
`

const newTranslator = (): Translator => new Translator({ endpointIdKey: Buffer.from('k') })

describe('a VirtualService that changes', () => {
  it('changes the virtual hosts of its own hosts, and nothing else', () => {
    const translator = newTranslator()
    const first = translate(translator, withRules(lead(201)))
    const second = translate(translator, withRules(lead(202)))
    expect(virtualHost(second, REVIEWS)).not.toEqual(virtualHost(first, REVIEWS))
    expect(virtualHost(second, RATINGS)).toBe(virtualHost(first, RATINGS))
    expect(virtualHost(second, LEDGER)).toBe(virtualHost(first, LEDGER))
    expect(second.endpoints).toBe(first.endpoints)
    expect(second.clusters).toBe(first.clusters)
    expect(second.listeners).toBe(first.listeners)
  })

  it('leaves callers alone that do not see it', () => {
    const translator = newTranslator()
    const hidden = (status: number): string =>
      lead(status).replace('hosts: [reviews]', 'hosts: [reviews], exportTo: [.]')
    const first = translate(translator, withRules(hidden(201)), 'bank/other')
    const second = translate(translator, withRules(hidden(202)), 'bank/other')
    expect(second.routes).toBe(first.routes)
  })
})

describe('a DestinationRule that changes', () => {
  const rule = (connections: number): string => `
kind: DestinationRule
metadata: { name: reviews, namespace: shop }
spec: { host: reviews, trafficPolicy: { connectionPool: { tcp: { maxConnections: ${connections} } } } }
`

  it('changes the clusters of its host, and no virtual host of others', () => {
    const translator = newTranslator()
    const first = translate(translator, withRules(rule(1)))
    const second = translate(translator, withRules(rule(2)))
    const cluster = (host: string): string => `outbound|80||${host}`
    expect(second.clusters.get(cluster(REVIEWS))).not.toEqual(first.clusters.get(cluster(REVIEWS)))
    expect(second.clusters.get(cluster(RATINGS))).toBe(first.clusters.get(cluster(RATINGS)))
    expect(virtualHost(second, RATINGS)).toBe(virtualHost(first, RATINGS))
  })
})

describe('a Service or ServiceEntry that comes', () => {
  it('leaves what is there for others as it was', () => {
    const translator = newTranslator()
    const before = withRules(lead(201))
    const first = translate(translator, before)
    const more = snapshotOf({
      mesh,
      objects: [
        service('new'),
        ...objectsOf(`
kind: ServiceEntry
metadata: { name: api, namespace: shop }
spec: { hosts: [api.example.com], resolution: DNS, ports: [{ number: 80, name: http, protocol: HTTP }] }
`),
      ],
    })
    const second = translate(translator, {
      ...before,
      version: 9,
      services: new Map([...before.services, ...more.services]),
      networking: { ...before.networking, serviceEntries: more.networking.serviceEntries },
    })
    expect(second.clusters.size).toBe(first.clusters.size + 2)
    for (const [name, cluster] of first.clusters) expect(second.clusters.get(name), name).toBe(cluster)
    for (const [name, found] of first.endpoints) expect(second.endpoints.get(name), name).toBe(found)
    for (const name of [REVIEWS, RATINGS, LEDGER]) expect(virtualHost(second, name)).toBe(virtualHost(first, name))
  })
})

describe('callers', () => {
  it('of one namespace share everything while no rule asks for their labels', () => {
    const translator = newTranslator()
    const snapshot = withRules(lead(201))
    const [web, batch] = [translate(translator, snapshot), translate(translator, snapshot, 'shop/batch')]
    expect(batch.routes).toBe(web.routes)
    expect(batch.endpoints).toBe(web.endpoints)
  })

  it('of other namespaces share the virtual hosts that say the same to them', () => {
    const translator = newTranslator()
    const snapshot = withRules(lead(201))
    const other = translate(translator, snapshot, 'bank/other')
    const third = { ...snapshot.pods.get('bank/other'), namespace: 'third', name: 'x' }
    const config = translator.translate(snapshot, { role: 'sidecar', pod: third as never })
    if (config === undefined) throw new Error('nothing')
    expect(virtualHost(config, REVIEWS)).toBe(virtualHost(other, REVIEWS))
  })

  it('are told apart by the labels that a rule asks for', () => {
    const translator = newTranslator()
    const snapshot = withRules(`
kind: VirtualService
metadata: { name: reviews, namespace: shop }
spec:
  hosts: [reviews]
  http:
    - { match: [{ sourceLabels: { tier: web } }], directResponse: { status: 201 } }
    - { directResponse: { status: 202 } }
`)
    const directs = (key: string): unknown[] =>
      (virtualHost(translate(translator, snapshot, key), REVIEWS)?.routes ?? []).map(
        (route) => 'direct' in route && route.direct.status,
      )
    expect(directs('shop/web')).toEqual([201])
    expect(directs('shop/batch')).toEqual([202])
  })
})

describe('a name that a VirtualService and a service share', () => {
  it('stands in the table once', () => {
    const snapshot = withRules(lead(201).replace('[reviews]', '[reviews.shop, api.example.com]'))
    const domains = translate(newTranslator(), snapshot, 'bank/other')
      .routes.get('outbound')
      ?.hosts.flatMap((host) => host.domains)
    expect(new Set(domains).size).toBe(domains?.length)
    expect(domains).toContain('api.example.com:*')
  })
})
