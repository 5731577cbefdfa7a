import type { ServerResponse } from 'node:http'
import { afterEach, describe, expect, it } from 'vitest'
import type { ForwardAction, LoadAssignment, RetryPolicy, RouteTable } from '../model/config.ts'
import { seededRandom } from '../runtime/random.ts'
import { systemClock } from '../runtime/clock.ts'
import { routed, type Seen } from '../../gateways/testing/routed.ts'
import { ask, freshIp, until, World } from '../../gateways/testing/world.ts'
import { backOffMs, compileRetry } from './retry.ts'

let world: World
afterEach(() => world.close())

const tableOf = (more: Partial<ForwardAction>): RouteTable => ({
  name: 'outbound',
  hosts: [
    {
      name: 'all',
      domains: ['*'],
      routes: [{ match: { kind: 'prefix', prefix: '/' }, cluster: 'a', timeoutMs: 5_000, ...more }],
    },
  ],
})

type Fault = (response: ServerResponse) => void

/** Attempts that reached the application, and the status the client got: the first `faults` attempts fail. */
async function attempts(
  retry: RetryPolicy,
  fault: Fault,
  options: { faults?: number; headers?: Record<string, string>; method?: string; timeoutMs?: number } = {},
): Promise<[number, number]> {
  world = new World()
  const { faults = 1, headers = {}, method = 'POST', timeoutMs = 5_000 } = options
  const { caller, seen } = await routed(world, {
    table: tableOf({ retry, timeoutMs }),
    answer: (one, response) => (seen.indexOf(one) < faults ? fault(response) : response.end('done')),
  })
  const body = Buffer.from('pay')
  const { status } = await ask(caller, 'http://shop.test/', { headers, method, body })
  await until(() => caller.records.length === 1)
  expect(caller.records[0]).toMatchObject({ attempts: seen.length, status })
  return [seen.length, status]
}

const status =
  (code: number, name = 'x-a', value = ''): Fault =>
  (response) => {
    response.writeHead(code, { [name]: value })
    response.end('failed')
  }
const drop: Fault = (response) => response.socket?.destroy()
const silence: Fault = () => {}

describe('retries', () => {
  it.each<[string, RetryPolicy['on'], Fault, [attempts: number, status: number]]>([
    ['5xx', ['5xx'], status(500), [2, 200]],
    ['5xx, not 4xx', ['5xx'], status(404), [1, 404]],
    ['5xx where nothing came back', ['5xx'], drop, [2, 200]],
    ['gateway-error', ['gateway-error'], status(503), [2, 200]],
    ['gateway-error, not 500', ['gateway-error'], status(500), [1, 500]],
    ['reset', ['reset'], drop, [2, 200]],
    ['reset, not an answer', ['reset'], status(503), [1, 503]],
    ['reset-before-request, not of POST', ['reset-before-request'], drop, [1, 503]],
    ['retriable-4xx', ['retriable-4xx'], status(409), [2, 200]],
    ['retriable-4xx, only conflicts', ['retriable-4xx'], status(400), [1, 400]],
    ['nothing that was not named', ['connect-failure', 'refused-stream'], drop, [1, 503]],
  ])('%s', async (_name, on, fault, result) => {
    expect(await attempts({ on, retriesMax: 2 }, fault)).toEqual(result)
  })

  it('by status code, by a header of the answer, and only for requests meant', async () => {
    const codes: RetryPolicy = { on: ['retriable-status-codes'], retriesMax: 1, statusCodes: [418] }
    expect(await attempts(codes, status(418))).toEqual([2, 200])
    await world.close()
    expect(await attempts(codes, status(503))).toEqual([1, 503])
    await world.close()
    const named: RetryPolicy = {
      on: ['retriable-headers'],
      retriesMax: 1,
      responseHeaders: [{ name: 'x-again', is: { kind: 'exact', value: 'yes' } }],
    }
    expect(await attempts(named, status(200, 'x-again', 'yes'))).toEqual([2, 200])
    await world.close()
    expect(await attempts(named, status(503, 'x-again', 'no'))).toEqual([1, 503])
    await world.close()
    const asked: RetryPolicy = {
      on: ['5xx'],
      retriesMax: 1,
      requestHeaders: [{ name: 'x-retry', is: { kind: 'present', present: true } }],
    }
    expect(await attempts(asked, status(500))).toEqual([1, 500])
    await world.close()
    expect(await attempts(asked, status(500), { headers: { 'x-retry': '1' } })).toEqual([2, 200])
  })

  it('end with the last answer when there were enough', async () => {
    expect(await attempts({ on: ['5xx'], retriesMax: 2 }, status(500), { faults: 9 })).toEqual([3, 500])
  })

  it('go on when one attempt takes too long, and give up when retries do not cover that', async () => {
    const retry: RetryPolicy = { on: ['5xx'], retriesMax: 1, perTryTimeoutMs: 100 }
    expect(await attempts(retry, silence)).toEqual([2, 200])
    await world.close()
    expect(await attempts({ ...retry, on: ['connect-failure'] }, silence)).toEqual([1, 504])
    await world.close()
    // The whole answer's time runs on over all attempts.
    const [, last] = await attempts({ ...retry, retriesMax: 9 }, silence, { faults: 99, timeoutMs: 250 })
    expect(last).toBe(504)
  })

  it('avoid the endpoint that failed', async () => {
    world = new World()
    const dead = freshIp()
    const workload = { cluster: 'east', namespace: 'shop', workload: 'x' }
    const alive = freshIp()
    await world.app(alive, (_request, response) => response.end('alive'))
    const endpoints = [dead, alive].map((address) => ({
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
    const { caller } = await routed(world, {
      table: tableOf({ cluster: 'two', retry: { on: ['connect-failure'], retriesMax: 1 } }),
      clusters: { two: { cluster: 'two', localities } },
    })
    for (let index = 0; index < 20; index++) {
      expect((await ask(caller, 'http://shop.test/')).body.toString()).toBe('alive')
    }
  })

  it('wait before they go, longer each time', async () => {
    const rule = compileRetry({ on: ['5xx'], retriesMax: 5, backOff: { baseMs: 100, maxMs: 300 } })
    const random = seededRandom(1)
    const longest = [1, 2, 3, 4].map((retry) =>
      Math.max(...Array.from({ length: 500 }, () => backOffMs(rule, retry, random))),
    )
    for (const [index, limit] of [100, 200, 300, 300].entries()) {
      expect(longest[index]).toBeLessThan(limit)
      expect(longest[index]).toBeGreaterThan(limit * 0.9)
    }
    const startedAt = systemClock.monotonic()
    const retry: RetryPolicy = { on: ['5xx'], retriesMax: 3, backOff: { baseMs: 200, maxMs: 400 } }
    expect(await attempts(retry, status(500), { faults: 3 })).toEqual([4, 200])
    expect(systemClock.monotonic() - startedAt).toBeGreaterThan(150)
  })
})

describe('limits in time', () => {
  const slow = async (
    more: Partial<ForwardAction>,
    answer: (seen: Seen, response: ServerResponse) => void,
  ): Promise<{ status: number; flags: unknown; tookMs: number }> => {
    world = new World()
    const { caller } = await routed(world, { table: tableOf(more), answer })
    const startedAt = systemClock.monotonic()
    const result = await ask(caller, 'http://shop.test/').catch(() => ({ status: 0 }))
    await until(() => caller.records.length === 1)
    return { status: result.status, flags: caller.records[0]?.['flags'], tookMs: systemClock.monotonic() - startedAt }
  }
  const trickle = (_seen: Seen, response: ServerResponse): void => {
    const stop = systemClock.every(40, () => response.write('x'))
    response.on('close', stop)
  }

  it('of the whole answer', async () => {
    expect(await slow({ timeoutMs: 150 }, () => {})).toMatchObject({ status: 504, flags: 'UT' })
    await world.close()
    expect(await slow({ timeoutMs: 150 }, trickle)).toMatchObject({ status: 0, flags: 'UT' })
  })

  it('of silence, which a trickle is not', async () => {
    expect(await slow({ timeoutMs: 0, idleTimeoutMs: 150 }, () => {})).toMatchObject({ status: 504, flags: 'SI' })
    await world.close()
    const result = await slow({ timeoutMs: 0, idleTimeoutMs: 600, durationMaxMs: 1_500 }, trickle)
    expect(result).toMatchObject({ status: 0, flags: 'DT' })
    expect(result.tookMs).toBeGreaterThan(1_490)
  })

  it('of the stream', async () => {
    expect(await slow({ timeoutMs: 0, durationMaxMs: 150 }, () => {})).toMatchObject({ status: 504, flags: 'DT' })
  })
})
