import { describe, expect, it } from 'vitest'
import type { HealthCheck } from '../../model/config.ts'
import type { RequestHead } from '../message.ts'
import type { ClientConnection, ClientStream, ResponseSink } from '../stream.ts'
import type { ConnectFailure, Waiter } from '../upstream/transport.ts'
import { assignment, type BalanceWorld, endpoint, stateOf, world } from './testing/world.ts'

const CHECK: HealthCheck = {
  timeoutMs: 1_000,
  intervalMs: 5_000,
  unhealthyThreshold: 3,
  healthyThreshold: 2,
  check: { kind: 'http', path: '/healthy', retriable: [{ from: 500, to: 501 }] },
}
const FAILURE: ConnectFailure = { kind: 'connect', detail: 'refused' }

interface Checked extends BalanceWorld {
  /** What the endpoint says to the next checks; undefined: nothing at all. */
  says: number | 'refuses' | undefined
  readonly heads: RequestHead[]
  readonly written: Buffer[]
  readonly healthy: () => boolean
}

function checked(over: Partial<HealthCheck> = {}, body: readonly Buffer[] = []): Checked {
  const here = world(assignment([endpoint('e')]), { healthCheck: { ...CHECK, ...over } })
  const result: Checked = Object.assign(here, {
    says: 200,
    heads: [],
    written: [],
    healthy: () => stateOf(here.cluster, 'e').usable,
  })
  const pending: (() => void)[] = []
  const stream: ClientStream = {
    bytesReceived: 0,
    bytesSent: 0,
    pause: () => {},
    resume: () => {},
    write: (chunk) => result.written.push(chunk) > 0,
    end: () => {},
    reset: () => {},
  }
  const request = (head: RequestHead, _end: boolean, sink: ResponseSink): ClientStream => {
    result.heads.push(head)
    const { says } = result
    // The sink is never called before `request` returned.
    if (typeof says === 'number') pending.push(() => answer(sink, says, body))
    return stream
  }
  const transport = here.transports.get('e')
  if (transport === undefined) throw new Error('no transport')
  transport.answer = (waiter: Waiter) => {
    if (result.says === 'refuses') return waiter.onConnectFailed(FAILURE)
    waiter.onConnected({ request } as unknown as ClientConnection)
    for (const run of pending.splice(0)) run()
  }
  return result
}

function answer(sink: ResponseSink, status: number, body: readonly Buffer[]): void {
  sink.onResponse({ status, headers: [], bodyLength: -1 }, body.length === 0)
  for (const chunk of body) sink.onResponseData(chunk)
  if (body.length > 0) sink.onResponseEnd(['grpc-status', '0'])
}

describe('HealthChecker', () => {
  it('takes an endpoint for ill until its first answer, which counts at once', () => {
    const here = checked()
    expect(here.healthy()).toBe(false)
    here.clock.advance(100)
    expect(here.healthy()).toBe(true)
    expect(here.heads[0]).toMatchObject({ method: 'GET', path: '/healthy', authority: here.cluster.config.name })
  })

  it.each<{ says: Checked['says']; checks: number }>([
    { says: 503, checks: 1 },
    { says: 500, checks: 3 },
    { says: 'refuses', checks: 3 },
    { says: undefined, checks: 3 },
  ])('needs $checks bad answers of $says', ({ says, checks }) => {
    const here = checked({ noTrafficIntervalMs: 5_000 })
    here.clock.advance(100)
    here.says = says
    for (let count = 1; count <= checks; count++) {
      expect(here.healthy()).toBe(true)
      here.clock.advance(says === undefined ? 6_200 : 5_100)
    }
    expect(here.healthy()).toBe(false)
  })

  it('needs two good answers to come back', () => {
    const here = checked({ noTrafficIntervalMs: 5_000 })
    here.clock.advance(100)
    here.says = 503
    here.clock.advance(5_100)
    here.says = 200
    here.clock.advance(5_100)
    expect(here.healthy()).toBe(false)
    here.clock.advance(5_100)
    expect(here.healthy()).toBe(true)
  })

  it('asks rarely before the cluster has traffic, then at its interval', () => {
    const here = checked()
    here.clock.advance(59_000)
    expect(here.heads).toHaveLength(1)
    here.cluster.enter()
    here.clock.advance(2_000)
    expect(here.heads).toHaveLength(2)
    here.clock.advance(10_400)
    expect(here.heads).toHaveLength(4)
  })

  it('keeps to the intervals of illness, and of a change that is under way', () => {
    const here = checked({
      intervalMs: 1_950,
      unhealthyThreshold: 2,
      healthyThreshold: 2,
      unhealthyIntervalMs: 1_000,
      unhealthyEdgeIntervalMs: 3_000,
      healthyEdgeIntervalMs: 2_000,
    })
    const asked = (ms: number): number => {
      here.clock.advance(ms)
      return here.cluster.stats.counters['health_check.attempt']
    }
    here.cluster.enter()
    expect(asked(100)).toBe(1)
    here.says = 'refuses'
    const usual = asked(2_200)
    // One failure of two: the next question comes by the edge.
    expect([usual, here.healthy()]).toEqual([2, true])
    expect([asked(2_500), asked(300), here.healthy()]).toEqual([2, 3, false])
    // Two: now it is ill.
    expect([asked(600), asked(400)]).toEqual([3, 4])
    here.says = 200
    expect([asked(1_000), here.healthy()]).toEqual([5, false])
    expect([asked(1_700), asked(300), here.healthy()]).toEqual([5, 6, true])
  })

  it('spreads checks by the jitter', () => {
    const here = checked({ initialJitterMs: 10_000, intervalJitterPercent: 50 })
    here.cluster.enter()
    here.clock.advance(10_050)
    expect(here.heads.length).toBeGreaterThan(0)
    const at = here.heads.length
    here.clock.advance(75_500)
    expect(here.heads.length - at).toBeGreaterThanOrEqual(9)
    expect(here.heads.length - at).toBeLessThanOrEqual(15)
  })

  it.each([
    { status: 1, healthy: true },
    { status: 2, healthy: false },
  ])('understands gRPC’s answer $status', ({ status, healthy }) => {
    const here = checked({ check: { kind: 'grpc', service: 'shop' } }, [Buffer.from([0, 0, 0, 0, 2, 8, status])])
    here.clock.advance(100)
    expect(here.healthy()).toBe(healthy)
    expect(here.heads[0]).toMatchObject({ method: 'POST', path: '/grpc.health.v1.Health/Check' })
    expect(Buffer.concat(here.written)).toEqual(
      Buffer.concat([Buffer.from([0, 0, 0, 0, 6, 0x0a, 4]), Buffer.from('shop')]),
    )
  })

  it('ends with its endpoint, and with its configuration', () => {
    const here = checked()
    here.clock.advance(100)
    here.cluster.apply({ ...here.cluster.config, healthCheck: { ...CHECK } }, here.cluster.assignment)
    expect(here.healthy()).toBe(true)
    const { healthCheck: _gone, ...rest } = here.cluster.config
    here.says = 'refuses'
    here.cluster.apply(rest, here.cluster.assignment)
    expect([here.healthy(), here.timers.pending]).toEqual([true, 0])
  })
})
