import { create } from '@bufbuild/protobuf'
import { status } from '@grpc/grpc-js'
import { assert, constantFrom, integer, property, record, array } from 'fast-check'
import pino from 'pino'
import { describe, expect, it } from 'vitest'
import {
  type RateLimitRequest,
  RateLimitRequestSchema,
  RateLimitResponse_Code as Code,
} from '#gen/envoy/service/ratelimit/v3/rls_pb.js'
import type { LimitSpec, RateLimitPolicyFacts } from '../observe/facts-own.ts'
import { ManualClock } from '../../runtime/clock.ts'
import { Counts } from './counts.ts'
import { LimitServer } from './server.ts'

const SECOND = { requests: 10, windowMs: 1_000, burst: 5 }

describe('Counts', () => {
  it('admits a burst, then as many as come back evenly', () => {
    const counts = new Counts()
    const ask = (nowMs: number): boolean => {
      const { admitted } = counts.look('p', 'k', SECOND, nowMs)
      if (admitted) counts.take('p', 'k', SECOND, nowMs)
      return admitted
    }
    expect(Array.from({ length: 6 }, () => ask(1_000))).toEqual([true, true, true, true, true, false])
    expect(counts.look('p', 'k', SECOND, 1_000)).toMatchObject({
      remaining: 0,
      waitMs: expect.closeTo(100, 1) as number,
    })
    expect(ask(1_099)).toBe(false)
    expect(ask(1_100)).toBe(true)
    expect(ask(1_100)).toBe(false)
    // A long pause gives the burst back, and no more.
    expect(counts.look('p', 'k', SECOND, 60_000).remaining).toBe(5)
  })

  it('never admits more than the burst and what came back, whatever comes when', () => {
    const step = record({ wait: integer({ min: 0, max: 400 }), key: constantFrom('a', 'b') })
    assert(
      property(array(step, { maxLength: 200 }), (steps) => {
        const counts = new Counts()
        const admitted = { a: 0, b: 0 }
        let now = 5_000
        for (const { wait, key } of steps) {
          now += wait
          const name = key === 'a' ? 'a' : 'b'
          if (!counts.look('p', key, SECOND, now).admitted) continue
          counts.take('p', key, SECOND, now)
          admitted[name] += 1
          expect(admitted[name]).toBeLessThanOrEqual(SECOND.burst + ((now - 5_000) * SECOND.requests) / 1_000 + 1e-3)
        }
      }),
    )
  })

  it('is bounded, and forgets policies that are gone', () => {
    const counts = new Counts()
    for (let index = 0; index < 100_010; index += 1) counts.take('p', `k${index}`, SECOND, 0)
    expect(counts.size).toBe(100_000)
    counts.take('q', 'x'.repeat(60_000), SECOND, 0)
    expect(counts.look('q', 'x'.repeat(60_000), SECOND, 0).remaining).toBe(4)
    counts.keep(new Map([['q', 1]]))
    expect(counts.size).toBe(1)
  })
})

const LIMITS: readonly LimitSpec[] = [
  { name: 'all', requests: 3, window: 'hour' },
  {
    name: 'each',
    requests: 1,
    window: 'minute',
    by: [{ type: 'Principal' }],
    quotas: [{ values: ['gold'], requests: 2 }],
  },
]
const POLICY: RateLimitPolicyFacts = {
  namespace: 'shop',
  name: 'p',
  createdAt: '',
  generation: 1,
  scope: 'cluster',
  isShadow: false,
  refusesWhenUnavailable: false,
  limits: LIMITS,
}

function server(policies: ReadonlyMap<string, RateLimitPolicyFacts> | undefined = new Map([['shop/p', POLICY]])) {
  const counted: string[] = []
  const limits = new LimitServer({
    host: '127.0.0.1',
    port: 0,
    trustDomain: 'east.demo',
    clock: new ManualClock(),
    log: pino({ level: 'silent' }),
    policies: () => policies,
    onAnswer: (policy, outcome) => void counted.push(`${policy} ${outcome}`),
  })
  return { limits, counted }
}

const question = (...descriptors: readonly (readonly string[])[]): RateLimitRequest =>
  create(RateLimitRequestSchema, {
    domain: 'shop/p',
    descriptors: descriptors.map(([limit = '', ...values]) => ({
      entries: [{ key: 'limit', value: limit }, ...values.map((value) => ({ key: 'principal', value }))],
    })),
  })

describe('LimitServer', () => {
  it('counts each limit by its values, and takes from none where one refuses', () => {
    const { limits, counted } = server()
    const code = (...descriptors: readonly (readonly string[])[]): Code | undefined => {
      const answer = limits.answer('shop', question(...descriptors))
      return 'response' in answer ? answer.response.overallCode : undefined
    }
    expect(code(['all'], ['each', 'ann'])).toBe(Code.OK)
    expect(code(['all'], ['each', 'ann'])).toBe(Code.OVER_LIMIT)
    // The refused one has used up nothing of the limit for all.
    expect(code(['all'], ['each', 'bob'])).toBe(Code.OK)
    expect(code(['each', 'gold'])).toBe(Code.OK)
    expect(code(['each', 'gold'])).toBe(Code.OK)
    expect(code(['each', 'gold'])).toBe(Code.OVER_LIMIT)
    expect(code(['all'])).toBe(Code.OK)
    expect(code(['all'])).toBe(Code.OVER_LIMIT)
    expect(counted.filter((one) => one === 'shop/p refused')).toHaveLength(3)
    // What no limit is about is nobody's to refuse.
    expect(code(['gone'])).toBe(Code.OK)
    expect(code(['each', 'a', 'b'])).toBe(Code.OK)
  })

  it('says what is left and when to come again', () => {
    const { limits } = server()
    limits.answer('shop', question(['each', 'ann']))
    const answer = limits.answer('shop', question(['each', 'ann']))
    expect('response' in answer && answer.response.statuses[0]).toMatchObject({
      code: Code.OVER_LIMIT,
      currentLimit: { requestsPerUnit: 1, name: 'each' },
      limitRemaining: 0,
      durationUntilReset: { seconds: 60n },
    })
  })

  it('answers nobody of another namespace, and not before it knows', () => {
    const { limits } = server()
    expect(limits.answer('other', question(['all']))).toMatchObject({ code: status.PERMISSION_DENIED })
    expect(limits.answer('sho', question(['all']))).toMatchObject({ code: status.PERMISSION_DENIED })
    expect(limits.answer(undefined, question(['all']))).toMatchObject({ code: status.PERMISSION_DENIED })
    expect(server(new Map()).limits.answer('shop', question(['all']))).toMatchObject({ code: status.UNAVAILABLE })
    const many = Array.from({ length: 33 }, () => ['all'])
    expect(limits.answer('shop', question(...many))).toMatchObject({ code: status.INVALID_ARGUMENT })
  })
})
