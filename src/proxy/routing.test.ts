import { afterEach, describe, expect, it } from 'vitest'
import type { PathPolicy, Route, RouteMatch, RouteTable } from '../model/config.ts'
import { routed } from '../../gateways/testing/routed.ts'
import { ask, World } from '../../gateways/testing/world.ts'

let world: World
afterEach(() => world.close())

const to = (cluster: string, match: RouteMatch): Route => ({ match, cluster, timeoutMs: 5_000 })
const ALL: RouteMatch = { kind: 'prefix', prefix: '/' }
/** Requests that match go to `a`, all others to `b`. */
const split = (match: RouteMatch): RouteTable => ({
  name: 'outbound',
  hosts: [{ name: 'all', domains: ['*'], routes: [to('a', match), to('b', ALL)] }],
})

describe('virtual hosts', () => {
  it('are found exact, then by the longest suffix, then by the longest prefix, then by *', async () => {
    world = new World()
    const domains = ['api.a.test', '*.a.test', '*.b.a.test', 'api.*', 'api.x.*', '*', 'with.port:81', '*.up.test:82']
    const { caller, apply } = await routed(world, { table: split(ALL) })
    const winner = async (host: string): Promise<string[]> => {
      const hit: string[] = []
      for (const domain of domains) {
        const hosts = domains.map((one) => ({
          name: one,
          domains: [one],
          routes: [to(one === domain ? 'a' : 'b', ALL)],
        }))
        apply({ name: 'outbound', hosts })
        if ((await ask(caller, `http://${host}/`)).body.toString() === 'a') hit.push(domain)
      }
      return hit
    }
    expect(await winner('api.a.test')).toEqual(['api.a.test'])
    expect(await winner('API.A.test')).toEqual(['api.a.test'])
    expect(await winner('x.a.test')).toEqual(['*.a.test'])
    expect(await winner('x.b.a.test')).toEqual(['*.b.a.test'])
    expect(await winner('api.other')).toEqual(['api.*'])
    expect(await winner('api.x.y')).toEqual(['api.x.*'])
    expect(await winner('.a.test')).toEqual(['*'])
    expect(await winner('with.port:81')).toEqual(['with.port:81'])
    expect(await winner('with.port')).toEqual(['*'])
    expect(await winner('x.up.test:82')).toEqual(['*.up.test:82'])
    expect(await winner('api.a.test:8080')).toEqual(['api.*'])
  })

  it('ignore the port where the table says so', async () => {
    world = new World()
    const hosts = [
      { name: 'one', domains: ['api.test'], routes: [to('a', ALL)] },
      { name: 'rest', domains: ['*'], routes: [to('b', ALL)] },
    ]
    const { caller, apply } = await routed(world, { table: { name: 'outbound', hosts } })
    expect((await ask(caller, 'http://api.test:8443/')).body.toString()).toBe('b')
    apply({ name: 'outbound', hosts, ignorePort: true })
    expect((await ask(caller, 'http://api.test:8443/')).body.toString()).toBe('a')
  })
})

interface Case {
  readonly match: RouteMatch
  readonly hits: readonly [path: string, headers?: Record<string, string>, method?: string][]
  readonly misses: readonly [path: string, headers?: Record<string, string>, method?: string][]
}

const header = (is: NonNullable<RouteMatch['headers']>[number]): RouteMatch => ({ ...ALL, headers: [is] })
const CASES: Readonly<Record<string, Case>> = {
  'an exact path': {
    match: { kind: 'path', path: '/a' },
    hits: [['/a'], ['/a?x=1']],
    misses: [['/a/'], ['/A'], ['/ab']],
  },
  'a path without case': {
    match: { kind: 'path', path: '/Api', ignoreCase: true },
    hits: [['/api'], ['/API']],
    misses: [['/api/']],
  },
  'a prefix': { match: { kind: 'prefix', prefix: '/api' }, hits: [['/api'], ['/apiary']], misses: [['/Api'], ['/']] },
  'a separated prefix': {
    match: { kind: 'separated-prefix', prefix: '/api' },
    hits: [['/api'], ['/api/x'], ['/api?x=1']],
    misses: [['/apiary'], ['/ap']],
  },
  'a regex, of the whole path': {
    match: { kind: 'regex', regex: '/v[0-9]+/users' },
    hits: [['/v12/users'], ['/v1/users?q=/x']],
    misses: [['/v1/users/7'], ['/x/v1/users']],
  },
  'a method': {
    match: header({ name: ':method', is: { kind: 'exact', value: 'POST' } }),
    hits: [['/', {}, 'POST']],
    misses: [['/', {}, 'GET']],
  },
  'a header exactly, in case and without': {
    match: {
      ...ALL,
      headers: [
        { name: 'x-a', is: { kind: 'exact', value: 'One' } },
        { name: 'x-b', is: { kind: 'exact', value: 'two', ignoreCase: true } },
      ],
    },
    hits: [['/', { 'x-a': 'One', 'x-b': 'TWO' }]],
    misses: [['/', { 'x-a': 'one', 'x-b': 'two' }], ['/', { 'x-a': 'One' }], ['/']],
  },
  'a header’s prefix': {
    match: header({ name: 'x-a', is: { kind: 'prefix', value: 'ab' } }),
    hits: [['/', { 'x-a': 'abc' }]],
    misses: [['/', { 'x-a': 'bab' }]],
  },
  'a header’s suffix': {
    match: header({ name: 'x-a', is: { kind: 'suffix', value: 'ab' } }),
    hits: [['/', { 'x-a': 'cab' }]],
    misses: [['/', { 'x-a': 'abc' }]],
  },
  'what a header contains': {
    match: header({ name: 'x-a', is: { kind: 'contains', value: 'ab' } }),
    hits: [['/', { 'x-a': 'xabx' }]],
    misses: [['/', { 'x-a': 'a-b' }]],
  },
  'a header by regex': {
    match: header({ name: 'x-a', is: { kind: 'regex', value: '[a-c]+' } }),
    hits: [['/', { 'x-a': 'abc' }]],
    misses: [['/', { 'x-a': 'abcd' }], ['/']],
  },
  'a header in a range': {
    match: header({ name: 'x-n', is: { kind: 'range', from: -2, to: 10 } }),
    hits: [
      ['/', { 'x-n': '-2' }],
      ['/', { 'x-n': '9' }],
    ],
    misses: [['/', { 'x-n': '10' }], ['/', { 'x-n': '9.5' }], ['/']],
  },
  'a header that is there': {
    match: header({ name: 'x-a', is: { kind: 'present', present: true } }),
    hits: [['/', { 'x-a': '' }]],
    misses: [['/']],
  },
  'a header that is not there': {
    match: header({ name: 'x-a', is: { kind: 'present', present: false } }),
    hits: [['/']],
    misses: [['/', { 'x-a': '1' }]],
  },
  'another value, which an absent header is not': {
    match: header({ name: 'x-a', is: { kind: 'exact', value: 'no' }, invert: true }),
    hits: [['/', { 'x-a': 'yes' }]],
    misses: [['/', { 'x-a': 'no' }], ['/']],
  },
  'another value, an absent header being empty': {
    match: header({ name: 'x-a', is: { kind: 'exact', value: 'no' }, invert: true, missingIsEmpty: true }),
    hits: [['/', { 'x-a': 'yes' }], ['/']],
    misses: [['/', { 'x-a': 'no' }]],
  },
  'query parameters': {
    match: {
      ...ALL,
      query: [
        { name: 'a', is: { kind: 'exact', value: '1' } },
        { name: 'b', is: { kind: 'present', present: true } },
      ],
    },
    hits: [['/?a=1&b'], ['/?b=x&a=1&a=2']],
    misses: [['/?a=1'], ['/?a=2&a=1&b'], ['/?aa=1&b'], ['/a=1&b']],
  },
}

describe('a route', () => {
  it.each(Object.entries(CASES))('matches %s', async (_name, { match, hits, misses }) => {
    world = new World()
    const { caller } = await routed(world, { table: split(match) })
    for (const [expected, requests] of [['a', hits] as const, ['b', misses] as const]) {
      for (const [path, headers = {}, method = 'GET'] of requests) {
        const answer = await ask(caller, `http://shop.test${path}`, { headers, method })
        expect(`${path} ${JSON.stringify(headers)}: ${answer.body.toString()}`).toContain(`: ${expected}`)
      }
    }
  })
})

describe('the path', () => {
  const table: RouteTable = {
    name: 'outbound',
    hosts: [
      { name: 'all', domains: ['*'], routes: [to('a', { kind: 'separated-prefix', prefix: '/admin' }), to('b', ALL)] },
    ],
  }
  const through = async (paths: PathPolicy | undefined, path: string): Promise<string> => {
    world = new World()
    const { caller, seen } = await routed(world, { table, http: paths === undefined ? {} : { paths } })
    const answer = await ask(caller, `http://shop.test${path}`)
    return seen[0] === undefined
      ? `${answer.status} ${answer.headers.location ?? ''}`.trim()
      : `${seen[0].app} ${seen[0].url}`
  }

  it.each([
    ['/x/../admin', 'a /admin'],
    ['/./admin/x', 'a /admin/x'],
    ['/%61dmin', 'a /admin'],
    ['/x/%2e%2E/admin', 'a /admin'],
    ['/x\\..\\admin', 'a /admin'],
    ['/../../admin', 'a /admin'],
    ['/admin/..', 'b /'],
    ['//admin', 'b //admin'],
    ['/admin?a=/../b', 'a /admin?a=/../b'],
    ['/x%zz', 'b /x%zz'],
    ['/x%20y', 'b /x%20y'],
    ['/x%2fadmin', '400'],
    ['/x%5Cadmin', '400'],
    ['/x%00', '400'],
  ])('%s is read as %s', async (path, result) => {
    expect(await through(undefined, path)).toBe(result)
  })

  it.each([
    [{ mergeSlashes: true, escapedSlashes: 'reject' }, '///admin//x', 'a /admin/x'],
    [{ mergeSlashes: false, escapedSlashes: 'keep' }, '/x%2Fadmin/.', 'b /x%2Fadmin/'],
    [{ mergeSlashes: false, escapedSlashes: 'unescape' }, '/x/..%2fadmin', 'a /admin'],
    [{ mergeSlashes: false, escapedSlashes: 'redirect' }, '/x/..%2fadmin?q', '307 /admin?q'],
  ] as const)('with %j: %s is %s', async (paths, path, result) => {
    expect(await through(paths, path)).toBe(result)
  })
})
