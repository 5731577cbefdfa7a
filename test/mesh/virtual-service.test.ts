/** VirtualServices by their effect on requests. What they are translated to stands in test/golden. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { until } from '../../gateways/testing/until.ts'
import { MeshWorld } from './world.ts'

let mesh: MeshWorld
beforeEach(() => void (mesh = new MeshWorld()))
afterEach(() => mesh.close())

/** Two versions of reviews behind one Service, and a client. */
async function reviews(): Promise<void> {
  await mesh.pod('front')
  await mesh.pod('reviews-v1', { labels: { app: 'reviews', version: 'v1' } })
  await mesh.pod('reviews-v2', { labels: { app: 'reviews', version: 'v2' } })
  mesh.service('reviews')
  await mesh.apply(`
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: reviews }
spec:
  host: reviews
  subsets: [{ name: v1, labels: { version: v1 } }, { name: v2, labels: { version: v2 } }]
`)
}

const rule = (spec: string): string => `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: reviews }
spec:
  hosts: [reviews]
  http:
${spec}
`

const URL = 'http://reviews/'

describe('routing', () => {
  it('gives a canary its share by weight', async () => {
    await reviews()
    await mesh.apply(
      rule(
        '    - route: [{ destination: { host: reviews, subset: v1 }, weight: 90 }, { destination: { host: reviews, subset: v2 }, weight: 10 }]',
      ),
    )
    const found = await mesh.bodies('front', URL, 300)
    expect(found['reviews-v2']).toBeGreaterThan(10)
    expect(found['reviews-v2']).toBeLessThan(60)
    expect((found['reviews-v1'] ?? 0) + (found['reviews-v2'] ?? 0)).toBe(300)
  })

  it('follows a header, a path, a method and a query, in the order of the rules', async () => {
    await reviews()
    await mesh.apply(
      rule(`
    - match: [{ headers: { end-user: { exact: jason } } }, { uri: { prefix: /beta } }, { queryParams: { v: { exact: '2' } } }, { method: { exact: PUT } }]
      route: [{ destination: { host: reviews, subset: v2 } }]
    - route: [{ destination: { host: reviews, subset: v1 } }]`),
    )
    const body = async (path: string, options = {}): Promise<string> =>
      (await mesh.get('front', `http://reviews${path}`, options)).body.toString()
    expect(await body('/')).toBe('reviews-v1')
    expect(await body('/', { headers: { 'end-user': 'jason' } })).toBe('reviews-v2')
    expect(await body('/', { headers: { 'end-user': 'jasons' } })).toBe('reviews-v1')
    expect(await body('/beta/x')).toBe('reviews-v2')
    expect(await body('/?v=2')).toBe('reviews-v2')
    expect(await body('/', { method: 'PUT' })).toBe('reviews-v2')
  })

  it('holds for every name of the service, and ends with the rule', async () => {
    await reviews()
    await mesh.apply(rule('    - directResponse: { status: 418, body: { string: teapot } }'))
    for (const host of ['reviews', 'reviews.shop', 'reviews.shop.svc.cluster.local', 'reviews.shop.svc:80']) {
      expect((await mesh.get('front', `http://${host}/`)).status, host).toBe(418)
    }
    await mesh.remove('VirtualService/reviews')
    expect((await mesh.get('front', URL)).status).toBe(200)
  })

  it('answers 404 where no rule matches, 503 where the destination does not exist', async () => {
    await reviews()
    await mesh.apply(
      rule(`
    - match: [{ uri: { prefix: /gone } }]
      route: [{ destination: { host: nobody } }]
    - match: [{ uri: { prefix: /no-subset } }]
      route: [{ destination: { host: reviews, subset: v9 } }]`),
    )
    expect((await mesh.get('front', 'http://reviews/other')).status).toBe(404)
    expect((await mesh.get('front', 'http://reviews/gone')).status).toBe(503)
    expect((await mesh.get('front', 'http://reviews/no-subset')).status).toBe(503)
  })

  it('leads a name that is no service to one that is', async () => {
    await reviews()
    await mesh.apply(
      rule('    - route: [{ destination: { host: reviews, subset: v1 } }]').replace('[reviews]', '[api.example.com]'),
    )
    expect((await mesh.get('front', 'http://api.example.com/')).body.toString()).toBe('reviews-v1')
    expect((await mesh.get('front', 'http://api.example.com:8443/')).body.toString()).toBe('reviews-v1')
  })
})

describe('what is done to a request', () => {
  it('is rewritten, and its headers changed both ways', async () => {
    await mesh.pod('front')
    const reviewsPod = await mesh.pod('reviews')
    mesh.service('reviews')
    await mesh.apply(
      rule(`
    - match: [{ uri: { prefix: /old/ } }]
      rewrite: { uri: /new/, authority: inner.example }
      headers:
        request: { set: { x-set: a }, add: { x-add: b }, remove: [x-gone] }
        response: { set: { x-out: c } }
      route: [{ destination: { host: reviews } }]
    - match: [{ uri: { prefix: /regex/ } }]
      rewrite: { uriRegexRewrite: { match: '^/regex/(.*)$', rewrite: '/\\1/end' } }
      route: [{ destination: { host: reviews } }]`),
    )
    const { headers } = await mesh.get('front', 'http://reviews/old/a?q=1', {
      headers: { 'x-gone': '1', 'x-set': 'no', 'x-add': 'z' },
    })
    const [request] = reviewsPod.seen
    expect(request?.url).toBe('/new/a?q=1')
    expect(request?.headers).toMatchObject({ host: 'inner.example', 'x-set': 'a', 'x-add': 'z, b' })
    expect(request?.headers['x-gone']).toBeUndefined()
    expect(headers['x-out']).toBe('c')
    await mesh.get('front', 'http://reviews/regex/b')
    expect(reviewsPod.seen[1]?.url).toBe('/b/end')
  })

  it('is redirected', async () => {
    await reviews()
    await mesh.apply(rule('    - redirect: { uri: /there, authority: new.example, redirectCode: 302 }'))
    const { status, headers } = await mesh.get('front', 'http://reviews/here')
    expect([status, headers.location]).toEqual([302, 'http://new.example/there'])
  })

  it('is copied, without its answer counting', async () => {
    await mesh.pod('front')
    await mesh.pod('reviews')
    const shadow = await mesh.pod('shadow', { app: (_request, response) => void response.writeHead(500).end() })
    mesh.service('reviews')
    mesh.service('shadow')
    await mesh.apply(rule('    - { route: [{ destination: { host: reviews } }], mirror: { host: shadow } }'))
    expect(await mesh.bodies('front', URL, 5)).toEqual({ reviews: 5 })
    await until(() => shadow.seen.length === 5)
    expect(shadow.seen[0]?.headers.host).toBe('reviews-shadow')
  })

  it('is copied only in its share', async () => {
    await mesh.pod('front')
    await mesh.pod('reviews')
    const shadow = await mesh.pod('shadow')
    mesh.service('reviews')
    mesh.service('shadow')
    await mesh.apply(
      rule(
        '    - { route: [{ destination: { host: reviews } }], mirror: { host: shadow }, mirrorPercentage: { value: 0 } }',
      ),
    )
    await mesh.bodies('front', URL, 20)
    expect(shadow.seen).toEqual([])
  })

  it('meets faults: refused in its share, or late', async () => {
    await reviews()
    await mesh.apply(
      rule(`
    - match: [{ uri: { prefix: /late } }]
      fault: { delay: { percent: 100, fixedDelay: 300ms } }
      route: [{ destination: { host: reviews } }]
    - fault: { abort: { percentage: { value: 50 }, httpStatus: 555 } }
      route: [{ destination: { host: reviews } }]`),
    )
    const found = await mesh.bodies('front', URL, 100)
    expect(found['555']).toBeGreaterThan(25)
    expect(found['555']).toBeLessThan(75)
    const begun = performance.now()
    expect((await mesh.get('front', 'http://reviews/late')).status).toBe(200)
    expect(performance.now() - begun).toBeGreaterThanOrEqual(290)
  })

  it('is answered by CORS, where a browser asks', async () => {
    await reviews()
    await mesh.apply(
      rule(`
    - corsPolicy: { allowOrigins: [{ exact: 'https://shop.example' }], allowMethods: [GET], allowHeaders: [x-a], maxAge: 1h }
      route: [{ destination: { host: reviews } }]`),
    )
    const headers = { origin: 'https://shop.example', 'access-control-request-method': 'GET' }
    const preflight = await mesh.get('front', URL, { method: 'OPTIONS', headers })
    expect(preflight.status).toBe(200)
    expect(preflight.headers).toMatchObject({
      'access-control-allow-origin': 'https://shop.example',
      'access-control-allow-methods': 'GET',
      'access-control-max-age': '3600',
    })
  })
})

describe('time and trying again', () => {
  it('ends a request at its timeout', async () => {
    await mesh.pod('front')
    await mesh.pod('reviews', { app: () => {} })
    mesh.service('reviews')
    await mesh.apply(rule('    - { timeout: 200ms, route: [{ destination: { host: reviews } }] }'))
    expect((await mesh.get('front', URL)).status).toBe(504)
  })

  it('tries again as told, each attempt within its own time', async () => {
    await mesh.pod('front')
    let calls = 0
    await mesh.pod('reviews', {
      app: (_request, response) => {
        calls += 1
        if (calls === 1) return
        response.writeHead(calls === 2 ? 429 : 200).end('reviews')
      },
    })
    mesh.service('reviews')
    await mesh.apply(
      rule(`
    - retries: { attempts: 3, perTryTimeout: 250ms, retryOn: 'gateway-error,429' }
      route: [{ destination: { host: reviews } }]`),
    )
    expect((await mesh.get('front', URL)).body.toString()).toBe('reviews')
    expect(calls).toBe(3)
  })

  it('does not try again where attempts is 0', async () => {
    await mesh.pod('front')
    const pod = await mesh.pod('reviews', { app: (_request, response) => void response.writeHead(503).end() })
    mesh.service('reviews')
    await mesh.apply(
      rule("    - { retries: { attempts: 2, retryOn: '5xx' }, route: [{ destination: { host: reviews } }] }"),
    )
    expect((await mesh.get('front', URL)).status).toBe(503)
    expect(pod.seen).toHaveLength(3)
    await mesh.apply(rule('    - { retries: { attempts: 0 }, route: [{ destination: { host: reviews } }] }'))
    await mesh.get('front', URL)
    expect(pod.seen).toHaveLength(4)
  })
})

describe('who asks', () => {
  it('matters where a rule says so', async () => {
    await reviews()
    await mesh.pod('batch', { labels: { tier: 'batch' } })
    await mesh.apply(
      rule(`
    - match: [{ sourceLabels: { tier: batch } }]
      route: [{ destination: { host: reviews, subset: v2 } }]
    - route: [{ destination: { host: reviews, subset: v1 } }]`),
    )
    expect(await mesh.bodies('front', URL, 5)).toEqual({ 'reviews-v1': 5 })
    expect(await mesh.bodies('batch', URL, 5)).toEqual({ 'reviews-v2': 5 })
  })
})

describe('delegates', () => {
  it('lead what the root leaves to them', async () => {
    await reviews()
    await mesh.apply(`${rule('    - { match: [{ uri: { prefix: /team } }], delegate: { name: team } }\n    - route: [{ destination: { host: reviews, subset: v1 } }]')}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: team }
spec: { http: [{ route: [{ destination: { host: reviews, subset: v2 } }] }] }
`)
    expect(await mesh.bodies('front', 'http://reviews/team/a', 3)).toEqual({ 'reviews-v2': 3 })
    expect(await mesh.bodies('front', URL, 3)).toEqual({ 'reviews-v1': 3 })
  })
})
