/**
 * What the conformance suite of the Gateway API asserts of a mesh (reference gateway-api, section 4), with documents and
 * code of our own: each case by the Service's address, and by its name where that says as much.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { type Asked, type Client, CONSUMER_NAMESPACE, type Echo, EchoWorld } from './echo-world.ts'

let mesh: EchoWorld
beforeAll(async () => void (mesh = await EchoWorld.start()))
afterAll(() => mesh.close())
afterEach(() => void mesh.arrivals.splice(0))

type Rule = readonly [match: object | object[] | undefined, to: string | object[], more?: object]

/** JSON is YAML. */
function route(
  rules: readonly Rule[],
  options: { readonly parent?: object; readonly name?: string; readonly namespace?: string } = {},
): string {
  const { parent = { name: 'echo', port: 80 }, name = 'route', namespace } = options
  return `---\n${JSON.stringify({
    apiVersion: 'gateway.networking.k8s.io/v1',
    kind: 'HTTPRoute',
    metadata: { name, ...(namespace !== undefined && { namespace }) },
    spec: {
      parentRefs: [{ group: '', kind: 'Service', ...parent }],
      rules: rules.map(([match, to, more]) => ({
        ...(match !== undefined && { matches: [match].flat() }),
        ...(to === ''
          ? {}
          : {
              backendRefs:
                typeof to === 'string'
                  ? [{ name: to, port: 80, ...(namespace !== undefined && { namespace: 'mesh' }) }]
                  : to,
            }),
        ...more,
      })),
    },
  })}\n`
}

const prefix = (value: string): object => ({ path: { type: 'PathPrefix', value } })
const query = (name: string, value: string): object => ({ queryParams: [{ name, value }] })
const header = (name: string, value: string): object => ({ headers: [{ name, value }] })
const redirect = (fields: object): object => ({ filters: [{ type: 'RequestRedirect', requestRedirect: fields }] })
const modify = (fields: object): object => ({ type: 'RequestHeaderModifier', requestHeaderModifier: fields })
const rewrite = (path: object): object => ({ type: 'URLRewrite', urlRewrite: { path } })
const set = (...pairs: [string, string][]): object[] => pairs.map(([name, value]) => ({ name, value }))
const ANSWER_SET = {
  filters: [{ type: 'ResponseHeaderModifier', responseHeaderModifier: { set: set(['X-Header-Set', 'set']) } }],
}

type Ask = (from: Client, asked: Asked) => Promise<Echo>
const WAYS: readonly (readonly [string, Ask])[] = [
  ['by address', (from, asked) => mesh.dialed(from, asked)],
  ['by name', (from, asked) => mesh.named(from, asked)],
]

describe.each(WAYS)('%s', (_, ask) => {
  const get = (path: string, headers: Record<string, string> = {}): Promise<Echo> =>
    ask(mesh.client, { to: 'echo', path, headers })

  it('MeshBasic: a Service without routes is reached', async () => {
    await mesh.apply('')
    expect((await get('/')).status).toBe(200)
  })

  it('MeshHTTPRouteSimpleSameNamespace: all of it goes to one backend', async () => {
    await mesh.apply(route([[undefined, 'echo-v1']]))
    expect(await mesh.shares(() => get('/'), 10)).toEqual({ 'echo-v1': 10 })
  })

  it.each([
    ['/', {}, 'echo-v1'],
    ['/example', {}, 'echo-v1'],
    ['/', { version: 'one' }, 'echo-v1'],
    ['/v2', {}, 'echo-v2'],
    ['/v2/example', {}, 'echo-v2'],
    ['/', { version: 'two' }, 'echo-v2'],
    ['/v2/', {}, 'echo-v2'],
    ['/v2example', {}, 'echo-v1'],
    ['/foo/v2/example', {}, 'echo-v1'],
  ])('MeshHTTPRouteMatching: %s %j to %s', async (path, headers, pod) => {
    await mesh.apply(
      route([
        [[prefix('/'), header('version', 'one')], 'echo-v1'],
        [[prefix('/v2'), header('version', 'two')], 'echo-v2'],
      ]),
    )
    expect((await get(path, headers)).pod).toBe(pod)
  })

  it('MeshHTTPRouteRedirectHostAndStatus', async () => {
    await mesh.apply(
      route([
        [prefix('/host'), '', redirect({ hostname: 'example.org' })],
        [prefix('/both'), '', redirect({ hostname: 'example.org', statusCode: 301 })],
      ]),
    )
    expect(await get('/host')).toMatchObject({ status: 302, headers: { location: 'http://example.org/host' } })
    expect(await get('/both')).toMatchObject({ status: 301, headers: { location: 'http://example.org/both' } })
  })

  it.each([303, 307, 308])('MeshHTTPRoute%dRedirect', async (statusCode) => {
    await mesh.apply(route([[prefix('/a'), '', redirect({ hostname: 'example.org', statusCode })]]))
    expect(await get('/a/b')).toMatchObject({ status: statusCode, headers: { location: 'http://example.org/a/b' } })
  })

  const CHANGES: readonly (readonly [string, Record<string, string>, Record<string, string | undefined>])[] = [
    ['/set', { other: 'val' }, { other: 'val', 'x-header-set': 'new' }],
    ['/set', { 'x-header-set': 'old' }, { 'x-header-set': 'new' }],
    ['/add', {}, { 'x-header-add': 'more' }],
    ['/add', { 'x-header-add': 'some' }, { 'x-header-add': 'some,more' }],
    ['/remove', { 'x-header-remove': 'val' }, { 'x-header-remove': undefined }],
    [
      '/several',
      { 'x-set-2': 'a', 'x-add-2': 'b', 'x-remove-2': 'c', other: 'd' },
      {
        'x-set-1': 's1',
        'x-set-2': 's2',
        'x-add-1': 'a1',
        'x-add-2': 'b,a2',
        'x-remove-1': undefined,
        'x-remove-2': undefined,
        other: 'd',
      },
    ],
  ]
  const MODIFIERS: readonly (readonly [string, object])[] = [
    ['/set', modify({ set: set(['X-Header-Set', 'new']) })],
    ['/add', modify({ add: set(['X-Header-Add', 'more']) })],
    ['/remove', modify({ remove: ['X-Header-Remove'] })],
    [
      '/several',
      modify({
        set: set(['X-Set-1', 's1'], ['X-Set-2', 's2']),
        add: set(['X-Add-1', 'a1'], ['X-Add-2', 'a2']),
        remove: ['X-Remove-1', 'X-Remove-2'],
      }),
    ],
  ]
  const spaceless = (seen: Readonly<Record<string, string>>, name: string): string | undefined =>
    seen[name]?.replaceAll(', ', ',')

  it('MeshHTTPRouteRequestHeaderModifier: set, add, remove, several, whatever the case', async () => {
    await mesh.apply(route(MODIFIERS.map(([path, filter]) => [prefix(path), 'echo-v1', { filters: [filter] }])))
    for (const [path, headers, expected] of CHANGES) {
      const { seen, pod } = await get(path, headers)
      expect(pod).toBe('echo-v1')
      for (const [name, value] of Object.entries(expected)) expect(spaceless(seen, name), `${path} ${name}`).toBe(value)
    }
  })

  it('MeshHTTPRouteBackendRequestHeaderModifier: the same, on a backend', async () => {
    await mesh.apply(
      route(MODIFIERS.map(([path, filter]) => [prefix(path), [{ name: 'echo-v1', port: 80, filters: [filter] }]])),
    )
    for (const [path, headers, expected] of CHANGES) {
      const { seen } = await get(path, headers)
      for (const [name, value] of Object.entries(expected)) expect(spaceless(seen, name), `${path} ${name}`).toBe(value)
    }
  })

  it('MeshHTTPRouteWeight: 70 to 30 within 5 % of 500', async () => {
    const to = [
      { name: 'echo-v1', port: 80, weight: 70 },
      { name: 'echo-v2', port: 80, weight: 30 },
      { name: 'gone', port: 80, weight: 0 },
    ]
    await mesh.apply(route([[undefined, to]]))
    const { 'echo-v1': one = 0, 'echo-v2': two = 0, ...rest } = await mesh.shares(() => get('/'), 500)
    expect(rest).toEqual({})
    expect(Math.abs(one / 500 - 0.7)).toBeLessThan(0.05)
    expect(one + two).toBe(500)
  }, 30_000)

  it('MeshTrafficSplit: exact paths, on every port', async () => {
    const exact = (value: string): object => ({ path: { type: 'Exact', value } })
    await mesh.apply(
      route(
        [
          [exact('/v1'), 'echo-v1'],
          [exact('/v2'), 'echo-v2'],
        ],
        { parent: { name: 'echo' } },
      ),
    )
    for (const port of [80, 8_080]) {
      expect((await ask(mesh.client, { to: 'echo', port, path: '/v1' })).pod).toBe('echo-v1')
      expect((await ask(mesh.client, { to: 'echo', port, path: '/v2' })).pod).toBe('echo-v2')
      expect((await ask(mesh.client, { to: 'echo', port, path: '/v2/' })).status).toBe(404)
    }
  })

  it.each([
    ['/?animal=whale', {}, 'echo-v1'],
    ['/?animal=dolphin', {}, 'echo-v2'],
    ['/?animal=whale&other=irrelevant', {}, 'echo-v1'],
    ['/?animal=dolphin&color=yellow', {}, 'echo-v2'],
    ['/?color=blue', {}, 404],
    ['/?animal=dog', {}, 404],
    ['/?animal=whaledolphin', {}, 404],
    ['/', {}, 404],
    ['/path1?animal=whale', {}, 'echo-v1'],
    ['/?animal=whale', { version: 'one' }, 'echo-v2'],
    ['/path3?animal=shark', {}, 'echo-v1'],
    ['/path4?animal=kraken', { version: 'three' }, 'echo-v1'],
    ['/?animal=shark', {}, 404],
    ['/path4?animal=kraken', {}, 404],
    ['/path5?animal=hydra', {}, 'echo-v1'],
  ])('MeshHTTPRouteQueryParamMatching: %s %j to %s', async (path, headers, expected) => {
    await mesh.apply(
      route([
        [query('animal', 'whale'), 'echo-v1'],
        [query('animal', 'dolphin'), 'echo-v2'],
        [{ ...prefix('/path1'), ...query('animal', 'whale') }, 'echo-v1'],
        [{ ...header('version', 'one'), ...query('animal', 'whale') }, 'echo-v2'],
        [
          [
            { ...prefix('/path3'), ...query('animal', 'shark') },
            { ...prefix('/path4'), ...header('version', 'three'), ...query('animal', 'kraken') },
          ],
          'echo-v1',
        ],
        [prefix('/path5'), 'echo-v1'],
        [query('animal', 'hydra'), 'echo-v2'],
      ]),
    )
    const { pod, status } = await get(path, headers)
    expect(status === 200 ? pod : status).toBe(expected)
  })

  it.each([
    [
      '/original/lemon',
      302,
      'http://echo/replacement/lemon',
      { path: { type: 'ReplacePrefixMatch', replacePrefixMatch: '/replacement' } },
    ],
    ['/full/path', 302, 'http://echo/whole', { path: { type: 'ReplaceFullPath', replaceFullPath: '/whole' } }],
    [
      '/host',
      302,
      'http://example.org/new',
      { hostname: 'example.org', path: { type: 'ReplacePrefixMatch', replacePrefixMatch: '/new' } },
    ],
    [
      '/status',
      301,
      'http://echo/new',
      { statusCode: 301, path: { type: 'ReplacePrefixMatch', replacePrefixMatch: '/new' } },
    ],
    [
      '/host-full/a',
      302,
      'http://example.org/new',
      { hostname: 'example.org', path: { type: 'ReplaceFullPath', replaceFullPath: '/new' } },
    ],
    ['/port', 302, 'http://echo:8083/port', { port: 8_083 }],
    ['/port-host', 302, 'http://example.org:8083/port-host', { port: 8_083, hostname: 'example.org' }],
    ['/port-status', 301, 'http://echo:8083/port-status', { port: 8_083, statusCode: 301 }],
    ['/own-port', 302, 'http://echo/own-port', { port: 80 }],
    ['/scheme', 302, 'https://echo/scheme', { scheme: 'https' }],
    ['/scheme-host', 302, 'https://example.org/scheme-host', { scheme: 'https', hostname: 'example.org' }],
    ['/scheme-status', 301, 'https://echo/scheme-status', { scheme: 'https', statusCode: 301 }],
    ['/scheme-port', 302, 'https://echo:8443/scheme-port', { scheme: 'https', port: 8_443 }],
  ])(
    'MeshHTTPRouteRedirectPath, RedirectPort and SchemeRedirect: %s is %d to %s',
    async (path, status, location, fields) => {
      const root = `/${path.split('/')[1] ?? ''}`
      await mesh.apply(route([[prefix(root), '', redirect(fields)]]))
      const { headers, ...answer } = await get(path)
      const name = headers.location?.replace('http://echo.mesh', 'http://echo')
      expect({ status: answer.status, location: name }).toEqual({ status, location })
    },
  )

  it.each([
    ['/prefix/one/two', '/one/two'],
    ['/strip-prefix/three', '/three'],
    ['/strip-prefix', '/'],
    ['/full/one/two', '/one'],
    ['/headers/one?a=b', '/prefix/one?a=b'],
  ])('MeshHTTPRouteRewritePath: %s becomes %s', async (path, expected) => {
    const replace = (value: string): object => rewrite({ type: 'ReplacePrefixMatch', replacePrefixMatch: value })
    const headers = modify({ set: set(['X-Set', 'new']), add: set(['X-Add', 'two']), remove: ['X-Remove'] })
    await mesh.apply(
      route([
        [prefix('/prefix/one'), 'echo-v1', { filters: [replace('/one')] }],
        [prefix('/strip-prefix'), 'echo-v1', { filters: [replace('/')] }],
        [prefix('/full/one'), 'echo-v1', { filters: [rewrite({ type: 'ReplaceFullPath', replaceFullPath: '/one' })] }],
        [prefix('/headers'), 'echo-v1', { filters: [replace('/prefix'), headers] }],
      ]),
    )
    const echo = await get(path, { 'x-set': 'old', 'x-add': 'one', 'x-remove': 'val' })
    expect(echo.path).toBe(expected)
    if (!path.startsWith('/headers')) return
    expect(spaceless(echo.seen, 'x-add')).toBe('one,two')
    expect(echo.seen).toMatchObject({ 'x-set': 'new' })
    expect(echo.seen['x-remove']).toBeUndefined()
  })

  it('MeshHTTPRouteNamedRule: a name changes nothing', async () => {
    await mesh.apply(
      route([
        [prefix('/named'), 'echo-v1', { name: 'named-rule' }],
        [prefix('/unnamed'), 'echo-v2'],
      ]),
    )
    expect((await get('/named')).pod).toBe('echo-v1')
    expect((await get('/unnamed')).pod).toBe('echo-v2')
  })

  it('MeshConsumerRoute: only clients of its namespace meet it', async () => {
    await mesh.apply(
      route([[undefined, 'echo-v1', ANSWER_SET]], {
        parent: { name: 'echo-v1', namespace: 'mesh' },
        namespace: CONSUMER_NAMESPACE,
      }),
    )
    expect((await ask(mesh.consumer, { to: 'echo-v1' })).headers['x-header-set']).toBe('set')
    expect((await ask(mesh.client, { to: 'echo-v1' })).headers['x-header-set']).toBeUndefined()
  })

  it('MeshPorts: a parent with a port means that port', async () => {
    await mesh.apply(
      route([[undefined, 'echo-v1', ANSWER_SET]], { parent: { name: 'echo-v1', port: 80 } }) +
        route([[undefined, 'echo-v2', ANSWER_SET]], { parent: { name: 'echo-v2' }, name: 'all-ports' }),
    )
    const found = async (to: string, port: number): Promise<readonly unknown[]> => {
      const { pod, headers } = await ask(mesh.client, { to, port })
      return [pod, headers['x-header-set']]
    }
    expect(await found('echo-v1', 80)).toEqual(['echo-v1', 'set'])
    expect(await found('echo-v1', 8_080)).toEqual(['echo-v1', undefined])
    expect(await found('echo-v2', 80)).toEqual(['echo-v2', 'set'])
    expect(await found('echo-v2', 8_080)).toEqual(['echo-v2', 'set'])
  })
})

describe('by address alone', () => {
  it('MeshFrontend: requests to the Service are affected, those to its pods are not', async () => {
    await mesh.apply(route([[undefined, 'echo-v2', ANSWER_SET]], { parent: { name: 'echo-v2' } }))
    expect((await mesh.dialed(mesh.client, { to: 'echo-v2' })).headers['x-header-set']).toBe('set')
    const pod = mesh.pods.get('echo-v2') ?? ''
    const direct = await mesh.dialed(mesh.client, { to: pod, port: 8_080 })
    expect(direct.headers['x-header-set']).toBeUndefined()
    // Nor when they name the Service.
    const named = await mesh.dialed(mesh.client, { to: pod, port: 8_080, host: 'echo-v2' })
    expect([named.pod, named.headers['x-header-set']]).toEqual(['echo-v2', undefined])
  })

  it('MeshFrontendHostname: the address decides, not the host', async () => {
    await mesh.apply(route([[undefined, 'echo-v2', ANSWER_SET]], { parent: { name: 'echo-v2' } }))
    const wrong = await mesh.dialed(mesh.client, { to: 'echo-v2', host: 'echo-v1' })
    expect([wrong.pod, wrong.headers['x-header-set']]).toEqual(['echo-v2', 'set'])
    const other = await mesh.dialed(mesh.client, { to: 'echo-v1', host: 'echo-v2' })
    expect([other.pod, other.headers['x-header-set']]).toEqual(['echo-v1', undefined])
  })
})

const grpc = (rules: object[]): string =>
  `---\n${JSON.stringify({
    apiVersion: 'gateway.networking.k8s.io/v1',
    kind: 'GRPCRoute',
    metadata: { name: 'grpc' },
    spec: { parentRefs: [{ group: '', kind: 'Service', name: 'echo', port: 7_070 }], rules },
  })}\n`

describe('GRPCRoute', () => {
  it('MeshGRPCRouteWeight: 70 to 30, nothing to what weighs nothing', async () => {
    const to = [
      ['echo-v1', 70],
      ['echo-v2', 30],
      ['echo-v3', 0],
    ].map(([name, weight]) => ({ name, weight, port: 7_070 }))
    await mesh.apply(grpc([{ backendRefs: to }]))
    const { 'echo-v1': one = 0, ...rest } = await mesh.shares(() => mesh.called(mesh.client, { to: 'echo' }), 300)
    expect(Object.keys(rest)).toEqual(['echo-v2'])
    expect(Math.abs(one / 300 - 0.7)).toBeLessThan(0.08)
  }, 30_000)

  it('MeshGRPCRouteRequestHeaderModifier', async () => {
    const rule = (value: string, filter: object): object => ({
      matches: [{ headers: [{ name: 'x-case', value }] }],
      filters: [filter],
      backendRefs: [{ name: 'echo-v1', port: 7_070 }],
    })
    await mesh.apply(
      grpc([
        rule('set', modify({ set: set(['x-set', 'new']) })),
        rule('add', modify({ add: set(['x-add', 'more']) })),
        rule('remove', modify({ remove: ['x-remove'] })),
      ]),
    )
    const call = (headers: Record<string, string>): ReturnType<EchoWorld['called']> =>
      mesh.called(mesh.client, { to: 'echo', headers })
    expect((await call({ 'x-case': 'set', 'x-set': 'old' })).seen['x-set']).toBe('new')
    expect((await call({ 'x-case': 'add', 'x-add': 'some' })).seen['x-add']).toMatch(/^some, ?more$/)
    expect((await call({ 'x-case': 'remove', 'x-remove': 'a' })).seen['x-remove']).toBeUndefined()
    expect((await call({ 'x-case': 'other' })).code).toBe('12')
  })
})
