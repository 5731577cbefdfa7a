/** Fields of routes by what requests and connections meet, beyond what the conformance suite asks of a mesh. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { until } from '../../gateways/testing/until.ts'
import { clientHello } from '../mesh/client-hello.ts'
import { BYTES_PORT, CONSUMER_NAMESPACE, type Echo, EchoWorld } from './echo-world.ts'

let mesh: EchoWorld
beforeAll(async () => void (mesh = await EchoWorld.start()))
afterAll(() => mesh.close())
afterEach(() => void mesh.arrivals.splice(0))

interface Options {
  readonly kind?: string
  readonly name?: string
  readonly namespace?: string
  readonly createdAt?: string
  readonly parent?: object
  readonly spec?: object
}

function route(rules: readonly object[], options: Options = {}): string {
  const { kind = 'HTTPRoute', name = 'route', namespace, createdAt, parent = { name: 'echo' }, spec } = options
  const metadata = {
    name,
    ...(namespace !== undefined && { namespace }),
    ...(createdAt !== undefined && { creationTimestamp: createdAt }),
  }
  const parentRefs = [{ group: '', kind: 'Service', ...parent }]
  return `---\n${JSON.stringify({ apiVersion: 'gateway.networking.k8s.io/v1', kind, metadata, spec: { parentRefs, rules, ...spec } })}\n`
}

const to = (...names: string[]): object => ({ backendRefs: names.map((name) => ({ name, port: 80 })) })
const at = (value: string): object => ({ matches: [{ path: { value } }] })
const get = (path = '/', headers: Record<string, string> = {}): Promise<Echo> =>
  mesh.dialed(mesh.client, { to: 'echo', path, headers })

describe('matches', () => {
  it('by regular expression, method and header, in the order of precedence and not of rules', async () => {
    await mesh.apply(
      route([
        { matches: [{ path: { value: '/a' } }], ...to('echo-v2') },
        { matches: [{ path: { value: '/a' }, method: 'PUT' }], ...to('echo-v1') },
        { matches: [{ path: { type: 'RegularExpression', value: '/x/[0-9]+' } }], ...to('echo-v1') },
        { matches: [{ path: { value: '/x' } }], ...to('echo-v2') },
        {
          matches: [{ path: { value: '/h' }, headers: [{ name: 'X-V', type: 'RegularExpression', value: 'a|b' }] }],
          ...to('echo-v1'),
        },
        {
          matches: [
            { path: { value: '/h' }, queryParams: [{ name: 'q', type: 'RegularExpression', value: '[0-9]+' }] },
          ],
          ...to('echo-v2'),
        },
      ]),
    )
    const put = await mesh.dialed(mesh.client, { to: 'echo', path: '/a', method: 'PUT' })
    expect([put.pod, (await get('/a')).pod]).toEqual(['echo-v1', 'echo-v2'])
    expect([(await get('/x/1')).pod, (await get('/x/y')).pod]).toEqual(['echo-v1', 'echo-v2'])
    expect([(await get('/h?q=1', { 'x-v': 'b' })).pod, (await get('/h?q=1')).pod]).toEqual(['echo-v1', 'echo-v2'])
    expect((await get('/h?q=a', { 'x-v': 'c' })).status).toBe(404)
  })

  it('of equals the one of the older route, then by name, then of the first rule', async () => {
    const older = { createdAt: '2025-01-01T00:00:00Z', name: 'z' }
    await mesh.apply(route([to('echo-v1')], { name: 'a' }) + route([to('echo-v2')], older))
    expect((await get()).pod).toBe('echo-v2')
    await mesh.apply(route([to('echo-v1')], { name: 'b' }) + route([to('echo-v2')], { name: 'a' }))
    expect((await get()).pod).toBe('echo-v2')
    await mesh.apply(route([to('echo-v1'), to('echo-v2')]))
    expect((await get()).pod).toBe('echo-v1')
  })
})

describe('backends', () => {
  it('answer 500 for the share of those that are none, and 503 without endpoints', async () => {
    await mesh.apply(
      route([
        { ...at('/half'), ...to('echo-v1', 'gone') },
        { ...at('/none'), ...to('gone') },
        { ...at('/port'), backendRefs: [{ name: 'echo-v1', port: 81 }] },
        { ...at('/kind'), backendRefs: [{ group: 'a.org', kind: 'B', name: 'c' }] },
        { ...at('/nothing') },
        { ...at('/zero'), backendRefs: [{ name: 'echo-v1', port: 80, weight: 0 }] },
        { ...at('/empty'), ...to('empty') },
      ]),
    )
    const shares = await mesh.shares(() => get('/half'), 60)
    expect(Object.keys(shares).sort()).toEqual(['500', 'echo-v1'])
    for (const path of ['/none', '/port', '/kind', '/nothing', '/zero'])
      expect((await get(path)).status, path).toBe(500)
    expect((await get('/empty')).status).toBe(503)
  })

  it('of a filter that nothing here runs answer 500, never without it', async () => {
    const extension = { type: 'ExtensionRef', extensionRef: { group: 'a.org', kind: 'B', name: 'c' } }
    const rewrite = { type: 'URLRewrite', urlRewrite: { hostname: 'a.org' } }
    await mesh.apply(
      route([
        { ...at('/rule'), filters: [extension], ...to('echo-v1') },
        { ...at('/backend'), backendRefs: [{ name: 'echo-v1', port: 80, filters: [rewrite] }] },
      ]),
    )
    expect([(await get('/rule')).status, (await get('/backend')).status]).toEqual([500, 500])
    expect(mesh.arrivals).toEqual([])
  })

  it('change headers each for itself', async () => {
    const says = (value: string): object => ({
      type: 'ResponseHeaderModifier',
      responseHeaderModifier: { set: [{ name: 'x-backend', value }] },
    })
    await mesh.apply(
      route([
        {
          backendRefs: [
            { name: 'echo-v1', port: 80, filters: [says('one')] },
            { name: 'echo-v2', port: 80, filters: [says('two')] },
          ],
        },
      ]),
    )
    for (let count = 0; count < 10; count += 1) {
      const { pod, headers } = await get()
      expect(headers['x-backend']).toBe(pod === 'echo-v1' ? 'one' : 'two')
    }
  })
})

describe('filters', () => {
  it('rewrite the host, and take a percent sign as it is', async () => {
    const percent = {
      type: 'RequestHeaderModifier',
      requestHeaderModifier: { set: [{ name: 'x-share', value: '100%REQ' }] },
    }
    await mesh.apply(
      route([{ filters: [{ type: 'URLRewrite', urlRewrite: { hostname: 'other.org' } }, percent], ...to('echo-v1') }]),
    )
    const { host, seen } = await get()
    expect([host, seen['x-share']]).toEqual(['other.org', '100%REQ'])
  })

  it.each([
    ['/foo/bar', '/foo/', '/xyz/', '/xyz/bar'],
    ['/foo', '/foo', '/xyz/', '/xyz'],
    ['/foo/', '/foo', '/xyz', '/xyz/'],
    ['/foo/bar', '/foo', '', '/bar'],
    ['/foo', '/foo', '', '/'],
    ['/foo/', '/foo', '/', '/'],
    ['/a.b/c?d', '/a.b', '/', '/c?d'],
    ['/foo', '/', '/xyz', '/xyz/foo'],
    ['/', '/', '/xyz', '/xyz/'],
  ])('replace the prefix of %s: %s by %j gives %s', async (path, prefix, replacePrefixMatch, expected) => {
    const filters = [{ type: 'URLRewrite', urlRewrite: { path: { type: 'ReplacePrefixMatch', replacePrefixMatch } } }]
    await mesh.apply(route([{ ...at(prefix), filters, ...to('echo-v1') }]))
    expect((await get(path)).path).toBe(expected)
  })

  it('copy requests, all or a share of them, to several backends', async () => {
    const mirror = (name: string, more: object = {}): object => ({
      type: 'RequestMirror',
      requestMirror: { backendRef: { name, port: 80 }, ...more },
    })
    await mesh.apply(
      route([
        { ...at('/all'), filters: [mirror('echo-v2')], ...to('echo-v1') },
        { ...at('/none'), filters: [mirror('echo-v2', { percent: 0 })], ...to('echo-v1') },
        {
          ...at('/some'),
          filters: [mirror('echo-v2', { fraction: { numerator: 1, denominator: 3 } })],
          ...to('echo-v1'),
        },
        { ...at('/gone'), filters: [mirror('gone')], ...to('echo-v1') },
      ]),
    )
    for (const path of ['/none', '/gone']) expect((await get(path)).pod).toBe('echo-v1')
    expect(mesh.arrivals).toEqual(['echo-v1', 'echo-v1'])
    expect((await get('/all')).pod).toBe('echo-v1')
    await until(() => mesh.arrivals.includes('echo-v2'))
    mesh.arrivals.splice(0)
    for (let count = 0; count < 90; count += 1) await get('/some')
    await until(() => mesh.arrivals.filter((pod) => pod === 'echo-v2').length > 8)
    expect(mesh.arrivals.filter((pod) => pod === 'echo-v2').length).toBeLessThan(60)
  })

  it('answer CORS preflights for origins that are allowed', async () => {
    const cors = {
      allowOrigins: ['https://*.example.org', 'https://exact.org'],
      allowMethods: ['GET', 'PUT'],
      allowHeaders: ['x-a'],
      exposeHeaders: ['x-b'],
      allowCredentials: true,
      maxAge: 60,
    }
    await mesh.apply(route([{ filters: [{ type: 'CORS', cors }], ...to('echo-v1') }]))
    const preflight = (origin: string): Promise<Echo> =>
      mesh.dialed(mesh.client, {
        to: 'echo',
        method: 'OPTIONS',
        headers: { origin, 'access-control-request-method': 'PUT' },
      })
    const allowed = await preflight('https://a.b.example.org')
    expect(allowed.headers).toMatchObject({
      'access-control-allow-origin': 'https://a.b.example.org',
      'access-control-allow-methods': 'GET,PUT',
      'access-control-allow-headers': 'x-a',
      'access-control-allow-credentials': 'true',
      'access-control-max-age': '60',
    })
    expect(mesh.arrivals).toEqual([])
    const simple = await get('/', { origin: 'https://exact.org' })
    expect(simple.headers).toMatchObject({
      'access-control-allow-origin': 'https://exact.org',
      'access-control-expose-headers': 'x-b',
    })
    expect((await get('/', { origin: 'https://example.com' })).headers['access-control-allow-origin']).toBeUndefined()
  })
})

describe('time and attempts', () => {
  it('end at the request timeout, at that of one attempt, and never with 0', async () => {
    await mesh.apply(
      route([
        { ...at('/request'), timeouts: { request: '100ms' }, ...to('echo-v1') },
        { ...at('/each'), timeouts: { backendRequest: '100ms' }, ...to('echo-v1') },
        { ...at('/never'), timeouts: { request: '0s' }, ...to('echo-v1') },
      ]),
    )
    const slow = { 'x-want-delay': '400' }
    expect((await get('/request', slow)).status).toBe(504)
    expect((await get('/each', slow)).status).toBe(504)
    expect((await get('/never', slow)).status).toBe(200)
  })

  it('are as many as the rule says, for the codes that it lists', async () => {
    await mesh.apply(
      route([
        { ...at('/twice'), retry: { attempts: 2, codes: [503], backoff: '1ms' }, ...to('echo-v1') },
        { ...at('/other'), retry: { attempts: 2, codes: [502] }, ...to('echo-v1') },
        {
          ...at('/late'),
          retry: { attempts: 1, codes: [504] },
          timeouts: { request: '2s', backendRequest: '100ms' },
          ...to('echo-v1'),
        },
      ]),
    )
    const arrivals = async (path: string, headers: Record<string, string>): Promise<number> => {
      mesh.arrivals.splice(0)
      await get(path, headers)
      return mesh.arrivals.length
    }
    expect(await arrivals('/twice', { 'x-want-status': '503' })).toBe(3)
    expect(await arrivals('/other', { 'x-want-status': '503' })).toBe(1)
    expect(await arrivals('/late', { 'x-want-delay': '400' })).toBe(2)
  })
})

describe('who speaks for a Service', () => {
  const vs = `---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: echo }
spec: { hosts: [echo], http: [{ directResponse: { status: 418 } }] }
`
  it('is its routes, not a VirtualService, port by port', async () => {
    await mesh.apply(vs + route([to('echo-v1')], { parent: { name: 'echo', port: 80 } }))
    expect((await get()).status).toBe(200)
    expect((await mesh.dialed(mesh.client, { to: 'echo', port: 8_080 })).status).toBe(418)
    await mesh.apply(vs)
    expect((await get()).status).toBe(418)
  })

  it('is for a consumer its own namespace alone, and sectionName names a port', async () => {
    const parent = { name: 'echo', namespace: 'mesh', sectionName: 'http' }
    const rules = [{ ...at('/own'), backendRefs: [{ name: 'echo-v2', namespace: 'mesh', port: 80 }] }]
    await mesh.apply(route([to('echo-v1')]) + route(rules, { name: 'theirs', namespace: CONSUMER_NAMESPACE, parent }))
    const asks = (path: string, port = 80): Promise<Echo> => mesh.dialed(mesh.consumer, { to: 'echo', path, port })
    expect((await asks('/own')).pod).toBe('echo-v2')
    expect((await asks('/')).status).toBe(404)
    expect((await asks('/', 8_080)).pod).toBe('echo-v1')
    expect((await get('/own')).pod).toBe('echo-v1')
  })

  it('is a GRPCRoute before an HTTPRoute, and calls that it does not name are UNIMPLEMENTED', async () => {
    const backendRefs = (name: string): object => ({ backendRefs: [{ name, port: 7_070 }] })
    const grpc = route(
      [
        { matches: [{ method: { service: 'a.B', method: 'Exact' } }], ...backendRefs('echo-v1') },
        { matches: [{ method: { service: 'a.B' } }], ...backendRefs('echo-v2') },
        { matches: [{ method: { method: 'Any' } }], ...backendRefs('echo-v1') },
        { matches: [{ method: { type: 'RegularExpression', service: 'x\\.[YZ]' } }], ...backendRefs('echo-v2') },
      ],
      { kind: 'GRPCRoute', name: 'calls' },
    )
    await mesh.apply(route([to('echo-v1')]) + grpc)
    const call = (path: string): ReturnType<EchoWorld['called']> => mesh.called(mesh.client, { to: 'echo', path })
    const pods = []
    for (const path of ['/a.B/Exact', '/a.B/Other', '/c.D/Any', '/x.Y/Z']) pods.push((await call(path)).pod)
    expect(pods).toEqual(['echo-v1', 'echo-v2', 'echo-v1', 'echo-v2'])
    expect(await call('/c.D/Other')).toMatchObject({ status: 200, code: '12' })
    // The GRPCRoute has all ports of requests; an HTTPRoute behind it says nothing.
    expect((await get()).status).toBe(404)
  })
})

describe('bytes', () => {
  const bytes = (name: string, weight = 1): object => ({ name, port: BYTES_PORT, weight })

  it('go where a TCPRoute says, by weight, and nowhere where its backend is none', async () => {
    const tcp = (backendRefs: object[]): string =>
      route([{ backendRefs }], { kind: 'TCPRoute', parent: { name: 'echo', port: BYTES_PORT } })
    await mesh.apply(tcp([bytes('echo-v2')]))
    expect(await mesh.bytes(mesh.client, 'echo')).toBe('echo-v2')
    await mesh.apply(tcp([bytes('echo-v1', 1), bytes('echo-v2', 1)]))
    const found = new Set<string>()
    for (let count = 0; count < 20; count += 1) found.add(await mesh.bytes(mesh.client, 'echo'))
    expect([...found].sort()).toEqual(['echo-v1', 'echo-v2'])
    await mesh.apply(tcp([bytes('gone')]))
    expect(await mesh.bytes(mesh.client, 'echo')).toBe('reset')
  })

  it('of TLS go by the name that is asked for; other names and plain bytes are closed', async () => {
    const tls = (name: string, hostnames: string[], target: string): string =>
      route([{ backendRefs: [bytes(target)] }], {
        kind: 'TLSRoute',
        name,
        parent: { name: 'echo', port: 9_443 },
        spec: { hostnames },
      })
    await mesh.apply(tls('exact', ['a.example.org'], 'echo-v1') + tls('wild', ['*.example.org'], 'echo-v2'))
    const asked = async (name: string): Promise<string> =>
      mesh.bytes(mesh.client, 'echo', { port: 9_443, hello: await clientHello(name) })
    expect([await asked('a.example.org'), await asked('b.example.org')]).toEqual(['echo-v1', 'echo-v2'])
    expect(await asked('other.org')).toBe('reset')
    expect(await mesh.bytes(mesh.client, 'echo', { port: 9_443 })).toBe('reset')
  })
})
