import { afterEach, describe, expect, it } from 'vitest'
import type { ForwardAction, Fraction, LoadAssignment, RateLimitPolicy, RouteTable } from '../../model/config.ts'
import { systemClock } from '../../runtime/clock.ts'
import { type Filters, listing, saying } from '../../../gateways/testing/filters.ts'
import { routed } from '../../../gateways/testing/routed.ts'
import { ask, freshIp, until, World } from '../../../gateways/testing/world.ts'
import { Bucket } from './buckets.ts'

let world: World
afterEach(() => world.close())

const ALWAYS: Fraction = { numerator: 100, denominator: 100 }
const HALF: Fraction = { numerator: 500_000, denominator: 1_000_000 }
const tableOf = (filters: Filters, more: Partial<ForwardAction> = {}, host: Filters = {}): RouteTable => ({
  name: 'outbound',
  hosts: [
    {
      name: 'all',
      domains: ['*'],
      filters: saying(host),
      routes: [
        { match: { kind: 'prefix', prefix: '/' }, cluster: 'a', timeoutMs: 5_000, filters: saying(filters), ...more },
      ],
    },
  ],
})

describe('faults', () => {
  it('delay, then abort, for requests that match', async () => {
    world = new World()
    const fault = {
      delay: { ms: 200, share: ALWAYS },
      abort: { status: 418, share: ALWAYS },
      headers: [{ name: 'x-fault', is: { kind: 'present' as const, present: true } }],
    }
    const { caller, seen } = await routed(world, { table: tableOf({ fault }) })
    expect((await ask(caller, 'http://shop.test/')).status).toBe(200)
    const startedAt = systemClock.monotonic()
    const headers = { 'x-fault': '1' }
    const answer = await ask(caller, 'http://shop.test/', { headers, method: 'POST', body: Buffer.from('x') })
    expect([answer.status, answer.body.toString()]).toEqual([418, 'fault filter abort'])
    expect(systemClock.monotonic() - startedAt).toBeGreaterThanOrEqual(199)
    expect(seen.length).toBe(1)
    await until(() => caller.records.length === 2)
    expect(caller.records[1]).toMatchObject({ flags: 'FI', attempts: 0 })
  })

  it('only delay, with the body kept, and take their share', async () => {
    world = new World()
    const { caller, seen, apply } = await routed(world, {
      table: tableOf({ fault: { delay: { ms: 100, share: ALWAYS } } }),
      answer: (_seen, response, request) => void request.pipe(response),
    })
    const echoed = await ask(caller, 'http://shop.test/', { method: 'POST', body: Buffer.from('kept') })
    expect(echoed.body.toString()).toBe('kept')
    apply(tableOf({ fault: { abort: { status: 500, share: HALF } } }))
    for (let index = 0; index < 100; index++) await ask(caller, 'http://shop.test/')
    expect(seen.length).toBeGreaterThan(30)
    expect(seen.length).toBeLessThan(70)
  })

  it('of a route replace those of its virtual host and of the chain', async () => {
    world = new World()
    const abort = (status: number): Filters => ({ fault: { abort: { status, share: ALWAYS } } })
    const { caller, apply } = await routed(world, { table: tableOf({}), http: { filters: listing(abort(501)) } })
    const status = async (): Promise<number> => (await ask(caller, 'http://shop.test/')).status
    expect(await status()).toBe(501)
    apply(tableOf({}, {}, abort(502)))
    expect(await status()).toBe(502)
    apply(tableOf(abort(503), {}, abort(502)))
    expect(await status()).toBe(503)
    apply(tableOf({ fault: {} }, {}, abort(502)))
    expect(await status()).toBe(200)
  })
})

describe('CORS', () => {
  const cors = {
    origins: [{ kind: 'suffix' as const, value: '.shop.test' }],
    methods: 'GET, PUT',
    headers: 'x-a',
    expose: 'x-b',
    maxAge: '600',
    credentials: true as const,
  }
  const preflight = { 'access-control-request-method': 'PUT' }

  it('answers preflights of admitted origins and marks their answers', async () => {
    world = new World()
    const { caller, seen } = await routed(world, { table: tableOf({ cors }) })
    const headers = { origin: 'https://www.shop.test', ...preflight }
    const allowed = await ask(caller, 'http://shop.test/', { method: 'OPTIONS', headers })
    expect(allowed.status).toBe(200)
    expect(allowed.headers).toMatchObject({
      'access-control-allow-origin': 'https://www.shop.test',
      'access-control-allow-credentials': 'true',
      'access-control-allow-methods': 'GET, PUT',
      'access-control-allow-headers': 'x-a',
      'access-control-max-age': '600',
    })
    expect(seen).toEqual([])
    const simple = await ask(caller, 'http://shop.test/', { headers: { origin: 'https://www.shop.test' } })
    expect(simple.headers).toMatchObject({
      'access-control-allow-origin': 'https://www.shop.test',
      'access-control-expose-headers': 'x-b',
    })
    expect(simple.headers['access-control-allow-methods']).toBeUndefined()
  })

  it('says nothing to others and lets the service decide', async () => {
    world = new World()
    const { caller, seen } = await routed(world, { table: tableOf({ cors }) })
    for (const headers of [{ origin: 'https://evil.test', ...preflight }, preflight, {}]) {
      const answer = await ask(caller, 'http://shop.test/', { method: 'OPTIONS', headers: { ...headers } })
      expect(Object.keys(answer.headers).filter((name) => name.startsWith('access-control'))).toEqual([])
    }
    expect(seen.length).toBe(3)
  })
})

describe('local rate limits', () => {
  const bucket = { tokensMax: 3, tokensPerFill: 1, fillMs: 60_000 }
  const policy: RateLimitPolicy = { bucket, enabled: ALWAYS, enforced: ALWAYS }
  const statuses = async (
    caller: Parameters<typeof ask>[0],
    count: number,
    headers: Record<string, string> = {},
  ): Promise<number[]> => {
    const got: number[] = []
    for (let index = 0; index < count; index++) got.push((await ask(caller, 'http://shop.test/', { headers })).status)
    return got
  }

  it('refuse what is over the bucket, with 429 or the status given', async () => {
    world = new World()
    const { caller, seen, apply } = await routed(world, { table: tableOf({ rateLimit: policy }) })
    expect(await statuses(caller, 5)).toEqual([200, 200, 200, 429, 429])
    expect(seen.length).toBe(3)
    const refused = await ask(caller, 'http://shop.test/')
    expect(refused.headers['isthmus-error']).toBe('RATE_LIMITED')
    await until(() => caller.records.length === 6)
    expect(caller.records[5]).toMatchObject({ flags: 'RL' })
    apply(tableOf({ rateLimit: { ...policy, status: 503 } }))
    expect(await statuses(caller, 4)).toEqual([200, 200, 200, 503])
  })

  it('count without refusing, and refuse their share', async () => {
    world = new World()
    const none: Fraction = { numerator: 0, denominator: 100 }
    const { caller, apply } = await routed(world, { table: tableOf({ rateLimit: { ...policy, enforced: none } }) })
    expect(await statuses(caller, 5)).toEqual([200, 200, 200, 200, 200])
    apply(tableOf({ rateLimit: { ...policy, enabled: none } }))
    expect(await statuses(caller, 5)).toEqual([200, 200, 200, 200, 200])
  })

  it('have buckets of their own for descriptors: a header, a key, the client', async () => {
    world = new World()
    const one = { tokensMax: 1, tokensPerFill: 1, fillMs: 60_000 }
    const entries = [
      { key: 'plan', value: 'free' },
      { key: 'generic_key', value: 'api' },
    ]
    const descriptors = [
      {
        actions: [
          { kind: 'header' as const, header: 'x-plan', key: 'plan' },
          { kind: 'generic' as const, key: 'generic_key', value: 'api' },
        ],
      },
      { actions: [{ kind: 'remote-address' as const }] },
    ]
    const limited = { ...policy, descriptors: [{ entries, bucket: one }], descriptorsOnly: true as const }
    const { caller, apply } = await routed(world, { table: tableOf({ rateLimit: limited }, { descriptors }) })
    expect(await statuses(caller, 3, { 'x-plan': 'free' })).toEqual([200, 429, 429])
    // Others share the common bucket, of which the descriptor's requests took nothing.
    expect(await statuses(caller, 4, { 'x-plan': 'gold' })).toEqual([200, 200, 200, 429])
    const client = [{ entries: [{ key: 'remote_address', value: '127.0.0.1' }], bucket: one }]
    apply(tableOf({ rateLimit: { ...policy, descriptors: client } }, { descriptors }))
    expect(await statuses(caller, 2)).toEqual([200, 429])
  })

  it('go on where they were when something else of the configuration changes', async () => {
    world = new World()
    const table = tableOf({ rateLimit: policy })
    const { caller, apply } = await routed(world, { table })
    expect(await statuses(caller, 2)).toEqual([200, 200])
    apply({ ...tableOf({ rateLimit: { ...policy } }), headers: { removeRequest: ['x-other'] } })
    expect(await statuses(caller, 2)).toEqual([200, 429])
    apply(table)
    expect(await statuses(caller, 1)).toEqual([429])
    // Another limit is another bucket.
    apply(tableOf({ rateLimit: { ...policy, bucket: { ...bucket, tokensMax: 1 } } }))
    expect(await statuses(caller, 2)).toEqual([200, 429])
  })

  it('Bucket fills with time and never beyond its size', () => {
    const filled = new Bucket({ tokensMax: 2, tokensPerFill: 1, fillMs: 100 })
    expect([filled.take(0), filled.take(0), filled.take(0)]).toEqual([true, true, false])
    expect([filled.take(99), filled.take(100), filled.take(100)]).toEqual([false, true, false])
    expect([filled.take(10_000), filled.take(10_000), filled.take(10_000)]).toEqual([true, true, false])
  })
})

describe('mirrors', () => {
  it('copy requests and bodies, drop the answers, and hold up nothing', async () => {
    world = new World()
    const mirrors = [{ cluster: 'b', share: ALWAYS }]
    const bodies: string[] = []
    const { caller, seen, apply } = await routed(world, {
      table: tableOf({}, { mirrors }),
      answer: ({ app }, response, request) => {
        request.on('data', (chunk: Buffer) => bodies.push(`${app} ${chunk.toString()}`))
        request.on('end', () => (app === 'b' ? response.writeHead(500).end('no') : response.end('yes')))
      },
    })
    const answer = await ask(caller, 'http://shop.test:81/x', { method: 'POST', body: Buffer.from('copied') })
    expect([answer.status, answer.body.toString()]).toEqual([200, 'yes'])
    await until(() => seen.length === 2 && bodies.length === 2)
    expect(bodies.toSorted()).toEqual(['a copied', 'b copied'])
    expect(seen.find(({ app }) => app === 'b')).toMatchObject({ url: '/x', headers: { host: 'shop.test-shadow:81' } })
    apply(
      tableOf(
        {},
        {
          mirrors: [
            { cluster: 'b', share: HALF, keepHost: true },
            { cluster: 'gone', share: ALWAYS },
          ],
        },
      ),
    )
    for (let index = 0; index < 60; index++) expect((await ask(caller, 'http://shop.test/')).status).toBe(200)
    await until(() => seen.filter(({ app }) => app === 'a').length === 61)
    const copies = seen.filter(({ app }) => app === 'b').slice(1)
    expect(copies.length).toBeGreaterThan(15)
    expect(copies.length).toBeLessThan(45)
    expect(copies.every(({ headers }) => headers.host === 'shop.test')).toBe(true)
  })
})

describe('hash policies', () => {
  it('keep a header, cookie, query parameter or client with one endpoint', async () => {
    world = new World()
    const workload = { cluster: 'east', namespace: 'shop', workload: 'x' }
    const addresses = Array.from({ length: 6 }, () => freshIp())
    for (const ip of addresses) await world.app(ip, (_request, response) => response.end(ip))
    const endpoints = addresses.map((address) => ({
      address,
      port: 8080,
      health: 'healthy' as const,
      weight: 1,
      transport: 'plain' as const,
      workload,
    }))
    const localities: LoadAssignment['localities'] = [
      { locality: { cloud: '', region: 'r', zone: 'z' }, priority: 0, weight: 1, endpoints },
    ]
    const ring = { cluster: 'ring', localities }
    const { caller, apply } = await routed(world, {
      table: tableOf({}, { cluster: 'ring' }),
      clusters: { ring },
      lb: { ring: 'ring-hash' },
    })
    const places = async (
      hash: ForwardAction['hash'],
      count: number,
      make: (index: number) => [string, Record<string, string>],
    ): Promise<Set<string>> => {
      apply(tableOf({}, { cluster: 'ring', ...(hash !== undefined && { hash }) }))
      const found = new Set<string>()
      for (let index = 0; index < count; index++) {
        const [path, headers] = make(index)
        found.add((await ask(caller, `http://shop.test${path}`, { headers })).body.toString())
      }
      return found
    }
    const header = [{ kind: 'header' as const, name: 'x-user' }]
    expect((await places(header, 10, () => ['/', { 'x-user': 'ann' }])).size).toBe(1)
    expect((await places(header, 40, (index) => ['/', { 'x-user': `u${index}` }])).size).toBeGreaterThan(3)
    const cookie = [{ kind: 'cookie' as const, name: 'id' }]
    expect((await places(cookie, 10, (index) => ['/', { cookie: `a=${index}; id=7` }])).size).toBe(1)
    const query = [{ kind: 'query' as const, name: 'q' }]
    expect((await places(query, 10, (index) => [`/?x=${index}&q=1`, {}])).size).toBe(1)
    expect((await places([{ kind: 'source-ip' as const }], 10, () => ['/', {}])).size).toBe(1)
    const terminal = [{ ...header[0], kind: 'header' as const, name: 'x-user', terminal: true as const }, ...query]
    expect((await places(terminal, 10, (index) => [`/?q=${index}`, { 'x-user': 'ann' }])).size).toBe(1)
    expect(
      (await places([...header, ...query], 40, (index) => [`/?q=${index}`, { 'x-user': 'ann' }])).size,
    ).toBeGreaterThan(3)
  })
})
