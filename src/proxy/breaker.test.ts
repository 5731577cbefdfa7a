/** The circuit breaker of a service on traffic: through the codec, over sockets, into log, metrics and admin page. */
import type { ServerResponse } from 'node:http'
import { afterEach, describe, expect, it } from 'vitest'
import type { RouteTable, ServiceBreaker } from '../model/config.ts'
import { routed } from '../../gateways/testing/routed.ts'
import { ask, until, World } from '../../gateways/testing/world.ts'
import { adminPages } from './admin.ts'
import type { Proxy } from './proxy.ts'

let world: World
afterEach(() => world.close())

const TABLE: RouteTable = {
  name: 'outbound',
  hosts: [
    {
      name: 'all',
      domains: ['*'],
      routes: [{ match: { kind: 'prefix', prefix: '/' }, cluster: 'a', timeoutMs: 5_000 }],
    },
  ],
}
const BREAKER: ServiceBreaker = { windowMs: 10_000, requestsMin: 10, failurePercent: 50, openMs: 300, rampMs: 0 }
const URL = 'http://shop.test/'

async function broken(breaker: Partial<ServiceBreaker> = {}, more: Partial<RouteTable> = {}) {
  world = new World()
  const app = { status: 500 }
  const made = await routed(world, {
    table: { ...TABLE, ...more },
    cluster: { breaker: { ...BREAKER, ...breaker } },
    answer: (_seen, response: ServerResponse) => {
      response.statusCode = app.status
      response.end('app')
    },
  })
  const times = async (count: number): Promise<number[]> => {
    const statuses: number[] = []
    for (let index = 0; index < count; index++) statuses.push((await ask(made.caller, URL)).status)
    return statuses
  }
  return { ...made, app, times }
}

const page = async (proxy: Proxy, path: string): Promise<string> => {
  const pages = adminPages({ proxy, awaited: () => [], logLevel: () => 'info' })
  const found = pages[path]
  if (typeof found !== 'function') throw new Error(`${path} is no page to read`)
  return (await found({ query: new URLSearchParams('format=isthmus') })).body
}

describe('a service that fails', () => {
  it('is cut off after the minimum of requests: no byte reaches it, and callers are told within 5 ms', async () => {
    const { caller, seen, times } = await broken({ openMs: 60_000 })
    expect(await times(10)).toEqual(Array(10).fill(500))
    const before = seen.length
    const answer = await ask(caller, URL)
    expect(answer.status).toBe(503)
    expect(answer.headers['isthmus-error']).toBe('CIRCUIT_OPEN')
    expect(answer.headers['isthmus-flags']).toBe('CB')
    expect(answer.headers['retry-after']).toBe('60')
    const upload = { method: 'POST', headers: { connection: 'close' }, body: Buffer.alloc(100_000) }
    expect((await ask(caller, URL, upload)).status).toBe(503)
    await times(20)
    expect(seen.length).toBe(before)
    await until(() => caller.records.length === 32)
    const refused = caller.records.slice(10)
    expect(refused.every(({ flags, upstream, attempts }) => flags === 'CB' && upstream === '-' && attempts === 0)).toBe(
      true,
    )
    const durations = refused.map(({ durationMs }) => Number(durationMs)).sort((one, other) => one - other)
    expect(durations[11]).toBeLessThan(5)
  })

  it('shows in metrics and on the admin page', async () => {
    const { caller, times } = await broken({ openMs: 60_000 })
    await times(15)
    const metrics = await page(caller.proxy, '/metrics')
    expect(metrics).toContain('isthmus_service_breaker_state{cluster="a",state="open"} 1')
    expect(metrics).toContain('isthmus_service_breaker_state{cluster="a",state="closed"} 0')
    expect(metrics).toContain('isthmus_service_breaker_transitions_total{cluster="a",to="open"} 1')
    expect(metrics).toContain('isthmus_service_breaker_rejected_total{cluster="a"} 5')
    expect(metrics).toMatch(/istio_requests_total\{[^}]*response_flags="CB"[^}]*\} 5/)
    const { clusters } = JSON.parse(await page(caller.proxy, '/clusters')) as { clusters: Record<string, unknown>[] }
    expect(clusters.find(({ name }) => name === 'a')?.['breaker']).toMatchObject({ state: 'open', rejected: 5 })
  })

  it('is found again by one probe', async () => {
    const { app, seen, times } = await broken()
    await times(10)
    app.status = 200
    const before = seen.length
    await expect.poll(async () => (await times(1))[0], { timeout: 3_000 }).toBe(200)
    expect(seen.length).toBe(before + 1)
    expect(await times(20)).toEqual(Array(20).fill(200))
  })

  it('stays cut off while the probe fails', async () => {
    const { caller, seen, times } = await broken()
    await times(10)
    await expect.poll(async () => (await times(1))[0], { timeout: 3_000 }).toBe(500)
    expect(seen.length).toBe(11)
    expect(await times(3)).toEqual([503, 503, 503])
    expect(await page(caller.proxy, '/metrics')).toContain(
      'isthmus_service_breaker_transitions_total{cluster="a",to="open"} 2',
    )
  })

  it('lets callers have their fallback instead', async () => {
    const fallback = {
      status: 200,
      body: '{"items":[]}',
      headers: ['content-type', 'application/json', 'x-from', 'cache'],
    }
    const { caller, times } = await broken({ fallback, openMs: 60_000 })
    await times(10)
    const answer = await ask(caller, URL)
    expect([answer.status, answer.body.toString()]).toEqual([200, '{"items":[]}'])
    expect(answer.headers).toMatchObject({ 'content-type': 'application/json', 'x-from': 'cache' })
    expect(answer.headers['retry-after']).toBeUndefined()
    const head = await ask(caller, URL, { method: 'HEAD' })
    expect([head.status, head.body.length]).toEqual([200, 0])
  })

  it('gets no retry either once it is cut off', async () => {
    const routes = [
      {
        match: { kind: 'prefix' as const, prefix: '/' },
        cluster: 'a',
        timeoutMs: 5_000,
        retry: { on: ['5xx' as const], retriesMax: 3, backOff: { baseMs: 200, maxMs: 200 } },
      },
    ]
    const { caller, seen } = await broken(
      { requestsMin: 1, openMs: 60_000 },
      { hosts: [{ name: 'all', domains: ['*'], routes }] },
    )
    const answers = await Promise.all(Array.from({ length: 20 }, () => ask(caller, URL)))
    // Each is allowed four attempts; the first to be through with its own opens the breaker for all.
    expect(seen.length).toBeLessThan(80)
    const sent = seen.length
    expect(answers.some(({ status }) => status === 503)).toBe(true)
    expect((await ask(caller, URL)).status).toBe(503)
    expect(seen.length).toBe(sent)
  })
})

describe('a service that is slow', () => {
  it('is cut off by the share of slow answers', async () => {
    world = new World()
    const { caller, seen } = await routed(world, {
      table: TABLE,
      cluster: {
        breaker: { windowMs: 10_000, requestsMin: 4, slow: { afterMs: 30, percent: 100 }, openMs: 60_000, rampMs: 0 },
      },
      answer: (_seen, response) => void setTimeout(() => response.end('late'), 60),
    })
    for (let index = 0; index < 4; index++) expect((await ask(caller, URL)).status).toBe(200)
    expect((await ask(caller, URL)).status).toBe(503)
    expect(seen.length).toBe(4)
  })
})
