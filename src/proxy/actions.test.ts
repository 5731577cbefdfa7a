import { afterEach, describe, expect, it } from 'vitest'
import type {
  ForwardAction,
  HeaderMutations,
  PathRewrite,
  RedirectAction,
  Route,
  RouteMatch,
  RouteTable,
} from '../model/config.ts'
import { routed } from '../../gateways/testing/routed.ts'
import { ask, until, World } from '../../gateways/testing/world.ts'

let world: World
afterEach(() => world.close())

const ALL: RouteMatch = { kind: 'prefix', prefix: '/' }
const tableOf = (...routes: Route[]): RouteTable => ({
  name: 'outbound',
  hosts: [{ name: 'all', domains: ['*'], routes }],
})
const forward = (more: Partial<ForwardAction>, match: RouteMatch = ALL): RouteTable =>
  tableOf({ match, cluster: 'a', timeoutMs: 5_000, ...more })

describe('weighted clusters', () => {
  it('share requests by weight, and a weight of 0 gets none', async () => {
    world = new World()
    const cluster = [
      { name: 'none', weight: 0 },
      { name: 'a', weight: 3, headers: { addRequest: [{ name: 'x-way', value: 'a', action: 'append' as const }] } },
      { name: 'b', weight: 1 },
    ]
    const { caller, seen } = await routed(world, { table: forward({ cluster }) })
    for (let index = 0; index < 200; index++) expect((await ask(caller, 'http://shop.test/')).status).toBe(200)
    const toA = seen.filter(({ app }) => app === 'a')
    // The draws come from a seeded generator: three quarters, give or take.
    expect(toA.length).toBeGreaterThan(130)
    expect(toA.length).toBeLessThan(170)
    expect(toA.every(({ headers }) => headers['x-way'] === 'a')).toBe(true)
    expect(seen.some(({ app, headers }) => app === 'b' && 'x-way' in headers)).toBe(false)
  })
})

describe('direct responses', () => {
  it('answer without an endpoint, and HEAD without the body', async () => {
    world = new World()
    const table = tableOf({ match: ALL, direct: { status: 418, body: 'no coffee' } })
    const { caller, seen } = await routed(world, { table })
    const answer = await ask(caller, 'http://shop.test/')
    expect([answer.status, answer.body.toString(), answer.headers['content-type']]).toEqual([
      418,
      'no coffee',
      'text/plain',
    ])
    const head = await ask(caller, 'http://shop.test/', { method: 'HEAD' })
    expect([head.status, head.headers['content-length'], head.body.length]).toEqual([418, '9', 0])
    expect((await ask(caller, 'http://shop.test/', { method: 'POST', body: Buffer.alloc(100_000) })).status).toBe(418)
    expect(seen).toEqual([])
    await until(() => caller.records.length === 3)
    expect(caller.records[0]).toMatchObject({ status: 418, flags: '-', attempts: 0 })
  })
})

describe('redirects', () => {
  type Redirect = RedirectAction['redirect']
  it.each<[Partial<Redirect>, string, string, RouteMatch?]>([
    [{}, 'http://shop.test/a?q', 'http://shop.test/a?q'],
    [{ scheme: 'https' }, 'http://shop.test:80/a', 'https://shop.test/a'],
    [{ scheme: 'https' }, 'http://shop.test:8080/a', 'https://shop.test:8080/a'],
    [{ host: 'other.test' }, 'http://shop.test:8080/a', 'http://other.test/a'],
    [{ port: 8443, scheme: 'https' }, 'http://shop.test:80/a', 'https://shop.test:8443/a'],
    [{ path: { kind: 'path', path: '/new' } }, 'http://shop.test/a?q=1', 'http://shop.test/new?q=1'],
    [{ path: { kind: 'path', path: '/new?x' } }, 'http://shop.test/a?q=1', 'http://shop.test/new?x'],
    [{ path: { kind: 'path', path: '/new' }, stripQuery: true }, 'http://shop.test/a?q=1', 'http://shop.test/new'],
    [
      { path: { kind: 'prefix', prefix: '/v2' } },
      'http://shop.test/v1/x?q',
      'http://shop.test/v2/x?q',
      { kind: 'prefix', prefix: '/v1' },
    ],
    [
      { path: { kind: 'regex', regex: '/(\\w+)/(\\w+)', substitution: '/\\2/\\1' } },
      'http://shop.test/a/b?q',
      'http://shop.test/b/a?q',
    ],
    [{ stripQuery: true }, 'http://shop.test/a?q=1', 'http://shop.test/a'],
  ])('%j of %s lead to %s', async (redirect, url, location, match = ALL) => {
    world = new World()
    const table = tableOf({ match, redirect: { status: 308, ...redirect } })
    const { caller, seen } = await routed(world, { table })
    const answer = await ask(caller, url)
    expect([answer.status, answer.headers.location, seen.length]).toEqual([308, location, 0])
  })
})

describe('rewrites', () => {
  it.each<[PathRewrite, RouteMatch, string, string]>([
    [{ kind: 'prefix', prefix: '/' }, { kind: 'prefix', prefix: '/api/' }, '/api/x?q=1', '/x?q=1'],
    [
      { kind: 'prefix', prefix: '/v2' },
      { kind: 'separated-prefix', prefix: '/API', ignoreCase: true },
      '/api/x',
      '/v2/x',
    ],
    [{ kind: 'prefix', prefix: '/new' }, { kind: 'path', path: '/old' }, '/old?q', '/new?q'],
    [{ kind: 'prefix', prefix: '/new' }, { kind: 'regex', regex: '/o.*' }, '/old/x?q', '/new?q'],
    [{ kind: 'regex', regex: '/v([0-9])/(\\w+)', substitution: '/\\2/\\1' }, ALL, '/v1/users?v2', '/users/1?v2'],
    [{ kind: 'regex', regex: 'o', substitution: '0' }, ALL, '/foo/bo', '/f00/b0'],
  ])('of the path: %j', async (rewritePath, match, path, result) => {
    world = new World()
    const { caller, seen } = await routed(world, { table: forward({ rewritePath }, match) })
    expect((await ask(caller, `http://shop.test${path}`)).status).toBe(200)
    expect([seen[0]?.url, seen[0]?.headers['x-envoy-original-path']]).toEqual([result, path])
    await until(() => caller.records.length === 1)
    expect(caller.records[0]).toMatchObject({ path, authority: 'shop.test' })
  })

  it('of the host: literal, from a header, from the path', async () => {
    world = new World()
    const { caller, seen, apply } = await routed(world, {
      table: forward({ rewriteHost: { kind: 'literal', host: 'in.test:81' }, forwardedHost: true }),
    })
    await ask(caller, 'http://shop.test/')
    expect([seen[0]?.headers.host, seen[0]?.headers['x-forwarded-host']]).toEqual(['in.test:81', 'shop.test'])
    apply(forward({ rewriteHost: { kind: 'header', name: 'x-to' } }))
    await ask(caller, 'http://shop.test/', { headers: { 'x-to': 'to.test' } })
    await ask(caller, 'http://shop.test/')
    await ask(caller, 'http://shop.test/', { headers: { 'x-to': 'no host at all' } })
    expect(seen.slice(1).map(({ headers }) => headers.host)).toEqual(['to.test', 'shop.test', 'shop.test'])
    apply(forward({ rewriteHost: { kind: 'path', regex: '^/(\\w+)/.*$', substitution: '\\1.test' } }))
    await ask(caller, 'http://shop.test/blue/x?/red/')
    expect(seen.at(-1)?.headers.host).toBe('blue.test')
  })
})

describe('header changes', () => {
  const add = (
    name: string,
    value: string,
    action: 'append' | 'overwrite' | 'add-if-absent' | 'overwrite-if-exists' = 'append',
  ) => ({ name, value, action })

  it('append, overwrite and remove on requests and responses, with values of the request', async () => {
    world = new World()
    const headers: HeaderMutations = {
      removeRequest: ['x-gone'],
      addRequest: [
        add('x-list', 'two'),
        add('x-set', 'new', 'overwrite'),
        add('x-default', 'd', 'add-if-absent'),
        add('x-other', 'd', 'add-if-absent'),
        add('x-if', 'changed', 'overwrite-if-exists'),
        add('x-not', 'made', 'overwrite-if-exists'),
        add('x-from', '100%% %REQ(X-List)% %PROTOCOL%'),
        add('x-empty', '%REQ(x-absent)%'),
        { ...add('x-kept', '%REQ(x-absent)%'), keepEmpty: true },
      ],
      removeResponse: ['server'],
      addResponse: [add('x-answer', 'yes'), add('x-echo', '%REQ(x-set)%', 'overwrite')],
    }
    const answer = (
      _seen: unknown,
      response: { setHeader(name: string, value: string): unknown; end(): unknown },
    ): void => {
      response.setHeader('server', 'node')
      response.setHeader('x-echo', 'old')
      response.end()
    }
    const { caller, seen } = await routed(world, {
      table: tableOf({ match: ALL, cluster: 'a', timeoutMs: 0, headers }),
      answer,
    })
    const sent = { 'x-gone': '1', 'x-list': 'one', 'x-set': 'old', 'x-default': 'mine', 'x-if': 'there' }
    const got = await ask(caller, 'http://shop.test/', { headers: sent })
    expect(seen[0]?.headers).toMatchObject({
      'x-list': 'one, two',
      'x-set': 'new',
      'x-default': 'mine',
      'x-other': 'd',
      'x-if': 'changed',
      'x-from': '100% one HTTP/1.1',
      'x-kept': '',
    })
    for (const name of ['x-gone', 'x-not', 'x-empty']) expect(seen[0]?.headers).not.toHaveProperty(name)
    expect([got.headers['x-answer'], got.headers['x-echo'], got.headers['server']]).toEqual(['yes', 'new', undefined])
  })

  it('come from cluster, route, virtual host and table in that order, or the other way round', async () => {
    world = new World()
    const level = (name: string): HeaderMutations => ({
      addRequest: [add('x-levels', name), add('x-last', name, 'overwrite')],
      addResponse: [add('x-levels', name)],
    })
    const table: RouteTable = {
      name: 'outbound',
      headers: level('table'),
      hosts: [
        {
          name: 'all',
          domains: ['*'],
          headers: level('host'),
          routes: [
            { match: { kind: 'path', path: '/direct' }, direct: { status: 200, body: '' }, headers: level('direct') },
            {
              match: ALL,
              cluster: [{ name: 'a', weight: 1, headers: level('cluster') }],
              timeoutMs: 0,
              headers: level('route'),
            },
          ],
        },
      ],
    }
    const { caller, seen, apply } = await routed(world, { table })
    const first = await ask(caller, 'http://shop.test/')
    expect(seen[0]?.headers['x-levels']).toBe('cluster, route, host, table')
    expect(first.headers['x-levels']).toBe('cluster, route, host, table')
    expect(seen[0]?.headers['x-last']).toBe('table')
    expect((await ask(caller, 'http://shop.test/direct')).headers['x-levels']).toBe('direct, host, table')
    apply({ ...table, mostSpecificHeadersWin: true })
    await ask(caller, 'http://shop.test/')
    expect(seen[1]?.headers['x-levels']).toBe('table, host, route, cluster')
    expect(seen[1]?.headers['x-last']).toBe('cluster')
  })
})
