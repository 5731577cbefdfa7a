/** DestinationRules by their effect on requests. What they are translated to stands in test/golden. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { MeshWorld, type PodSpec } from './world.ts'

let mesh: MeshWorld
beforeEach(() => void (mesh = new MeshWorld()))
afterEach(() => mesh.close())

const URL = 'http://reviews/'

async function reviews(count: number, spec: (index: number) => PodSpec = () => ({})): Promise<void> {
  await mesh.pod('front', { labels: { version: 'v0' } })
  for (let index = 1; index <= count; index += 1) {
    const extra = spec(index)
    await mesh.pod(`reviews-${index}`, { ...extra, labels: { app: 'reviews', version: `v${index}`, ...extra.labels } })
  }
  mesh.service('reviews')
}

const rule = (policy: string): string => `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: reviews }
spec:
  host: reviews
  trafficPolicy: ${policy}
`

describe('balancing', () => {
  it('goes in turn where it is told to', async () => {
    await reviews(2)
    await mesh.apply(rule('{ loadBalancer: { simple: ROUND_ROBIN } }'))
    expect(await mesh.bodies('front', URL, 10)).toEqual({ 'reviews-1': 5, 'reviews-2': 5 })
  })

  it.each([
    ['a header', '{ httpHeaderName: x-user }', (user: string) => ({ headers: { 'x-user': user } })],
    ['a cookie', '{ httpCookie: { name: user } }', (user: string) => ({ headers: { cookie: `user=${user}` } })],
    [
      'Maglev',
      '{ httpHeaderName: x-user, maglev: { tableSize: 1009 } }',
      (user: string) => ({ headers: { 'x-user': user } }),
    ],
  ])('keeps a user at one pod by %s, and spreads users', async (_what, hash, options) => {
    await reviews(3)
    await mesh.apply(rule(`{ loadBalancer: { consistentHash: ${hash} } }`))
    const places = new Set<string>()
    for (let user = 0; user < 12; user += 1) {
      const found = Object.keys(await mesh.bodies('front', URL, 3, options(`user-${user}`)))
      expect(found).toHaveLength(1)
      places.add(found[0] ?? '')
    }
    expect(places.size).toBeGreaterThan(1)
  })

  it('keeps a user at one pod by a parameter of the query, and a caller by its address', async () => {
    await reviews(3)
    await mesh.apply(rule('{ loadBalancer: { consistentHash: { httpQueryParameterName: user } } }'))
    expect(Object.keys(await mesh.bodies('front', `${URL}?user=7`, 5))).toHaveLength(1)
    await mesh.apply(rule('{ loadBalancer: { consistentHash: { useSourceIp: true } } }'))
    expect(Object.keys(await mesh.bodies('front', URL, 10))).toHaveLength(1)
  })

  it('shares as told between places', async () => {
    await reviews(2, (index) => ({ node: `n${index}` }))
    const node = (name: string, region: string): string => `
apiVersion: v1
kind: Node
metadata: { name: ${name}, labels: { topology.kubernetes.io/region: ${region}, topology.kubernetes.io/zone: a } }
---`
    await mesh.apply(
      `${node('node', 'us-east')}${node('n1', 'us-east')}${node('n2', 'us-west')}${rule("{ loadBalancer: { simple: ROUND_ROBIN, localityLbSetting: { distribute: [{ from: us-east/*, to: { 'us-east/*': 70, 'us-west/*': 30 } }] } } }")}`,
    )
    const found = await mesh.bodies('front', URL, 200)
    expect(found['reviews-2']).toBeGreaterThan(30)
    expect(found['reviews-2']).toBeLessThan(90)
    await mesh.apply(rule('{}'))
    expect(await mesh.bodies('front', URL, 10)).toEqual({ 'reviews-1': 10 })
  })

  it('follows labels that caller and pod share', async () => {
    await reviews(2, (index) => ({ labels: { stage: index === 2 ? 'blue' : 'green' } }))
    await mesh.apply(rule('{ loadBalancer: { localityLbSetting: { failoverPriority: [stage=blue] } } }'))
    expect(await mesh.bodies('front', URL, 10)).toEqual({ 'reviews-2': 10 })
  })
})

describe('limits', () => {
  it('refuse what goes beyond the pool', async () => {
    let release = (): void => {}
    const held = new Promise<void>((resolve) => (release = resolve))
    await reviews(1, () => ({ app: (_request, response) => void held.then(() => response.end('reviews-1')) }))
    await mesh.apply(rule('{ connectionPool: { http: { http2MaxRequests: 2 } } }'))
    const asked = Array.from({ length: 5 }, () => mesh.get('front', URL))
    const refused = await Promise.race(asked)
    expect(refused.status).toBe(503)
    release()
    const statuses = (await Promise.all(asked)).map(({ status }) => status).toSorted((a, b) => a - b)
    expect(statuses).toEqual([200, 200, 503, 503, 503])
  })

  it('leave a pod alone that keeps failing', async () => {
    await reviews(2, (index) =>
      index === 2 ? { app: (_request, response) => void response.writeHead(500).end() } : {},
    )
    await mesh.apply(
      rule(
        '{ loadBalancer: { simple: ROUND_ROBIN }, outlierDetection: { consecutive5xxErrors: 3, baseEjectionTime: 1m, maxEjectionPercent: 100 } }',
      ),
    )
    expect((await mesh.bodies('front', URL, 20))['500']).toBe(3)
    expect(await mesh.bodies('front', URL, 10)).toEqual({ 'reviews-1': 10 })
  })

  it('leave no more alone than the share that is allowed', async () => {
    await reviews(2, () => ({ app: (_request, response) => void response.writeHead(500).end() }))
    await mesh.apply(rule('{ outlierDetection: { consecutive5xxErrors: 1, maxEjectionPercent: 50 } }'))
    expect(await mesh.bodies('front', URL, 10)).toEqual({ 500: 10 })
  })
})

describe('TLS', () => {
  const seenBy = async (policy: string): Promise<number> => {
    await mesh.apply(rule(policy))
    return (await mesh.get('front', URL)).status
  }

  it('is the mesh’s where the pod has a sidecar, and none where it has none', async () => {
    await reviews(1, () => ({ sidecar: false }))
    expect(await seenBy('{}')).toBe(200)
  })

  it('is insisted on by ISTIO_MUTUAL', async () => {
    await reviews(1, () => ({ sidecar: false }))
    expect(await seenBy('{ tls: { mode: ISTIO_MUTUAL } }')).toBe(503)
    expect(await seenBy('{ tls: { mode: DISABLE } }')).toBe(200)
  })

  it('is accepted only of the names that the rule gives', async () => {
    await reviews(1)
    const tls = (account: string): string =>
      `{ tls: { mode: ISTIO_MUTUAL, subjectAltNames: ['spiffe://east.demo.mesh/ns/shop/sa/${account}'] } }`
    expect(await seenBy(tls('reviews-1'))).toBe(200)
    expect(await seenBy(tls('reviews-1').replace('east.demo.mesh', 'cluster.local'))).toBe(200)
    expect(await seenBy(tls('someone-else'))).toBe(503)
  })
})

describe('a port', () => {
  it('inherits nothing that it may say itself', async () => {
    await reviews(2)
    await mesh.apply(
      rule(
        '{ loadBalancer: { consistentHash: { useSourceIp: true } }, portLevelSettings: [{ port: { number: 80 }, loadBalancer: { simple: ROUND_ROBIN } }] }',
      ),
    )
    expect(await mesh.bodies('front', URL, 10)).toEqual({ 'reviews-1': 5, 'reviews-2': 5 })
  })
})
