import { assert, integer, property } from 'fast-check'
import { describe, expect, it } from 'vitest'
import { HiddenText, type RateLimitPolicy } from '../../model/config.ts'
import { Buckets } from '../filters/buckets.ts'
import { withBucketShares } from './bucket-shares.ts'

const ALL = { numerator: 100, denominator: 100 } as const
const policy = (tokensMax: number, tokensPerFill: number, more: Partial<RateLimitPolicy> = {}): RateLimitPolicy => ({
  bucket: { tokensMax, tokensPerFill, fillMs: 1_000 },
  enabled: ALL,
  enforced: ALL,
  ...more,
})

describe('withBucketShares', () => {
  it('divides limits of chains and of routes, and leaves everything else the same object', () => {
    const hidden = new HiddenText('x')
    const other = { name: 'other', kind: 'cors', config: {}, hidden }
    const descriptors = [
      { entries: [{ key: 'k', value: 'v' }], bucket: { tokensMax: 9, tokensPerFill: 3, fillMs: 500 } },
    ]
    const listener = {
      chains: [
        { filters: [other, { name: 'limit', kind: 'rateLimit', config: { policy: policy(10, 10, { descriptors }) } }] },
        { routes: { limit: { kind: 'rateLimit', config: policy(1, 1) } } },
        { filters: [{ name: 'empty', kind: 'rateLimit', config: {} }] },
      ],
    }
    const made = withBucketShares(listener, 4)
    expect(made.chains[0]?.filters?.[0]).toBe(other)
    expect(made.chains[0]?.filters?.[1]).toMatchObject({
      config: {
        policy: {
          bucket: { tokensMax: 2, tokensPerFill: 10, fillMs: 4_000 },
          descriptors: [{ bucket: { tokensMax: 2, tokensPerFill: 3, fillMs: 2_000 } }],
        },
      },
    })
    expect(made.chains[1]?.routes?.limit.config.bucket).toEqual({ tokensMax: 1, tokensPerFill: 1, fillMs: 4_000 })
    expect(made.chains[2]).toBe(listener.chains[2])
    expect(withBucketShares(listener.chains[2], 4)).toBe(listener.chains[2])
    const perConnection = { kind: 'rateLimit', config: policy(10, 10, { perConnection: true }) }
    expect(withBucketShares(perConnection, 4)).toEqual(perConnection)
  })

  it('holds in sum, whatever comes to which worker when', () => {
    const sizes = {
      max: integer({ min: 1, max: 50 }),
      rate: integer({ min: 1, max: 50 }),
      seconds: integer({ min: 0, max: 5 }),
    }
    assert(
      property(sizes.max, sizes.rate, sizes.seconds, integer({ min: 2, max: 8 }), (max, rate, seconds, workers) => {
        const { config } = withBucketShares({ kind: 'rateLimit', config: policy(max, rate) }, workers)
        const buckets = Array.from({ length: workers }, () => new Buckets(config))
        let admitted = 0
        for (let now = 0; now <= seconds * 1_000; now += 50) {
          for (const bucket of buckets) while (bucket.take([], now).admitted) admitted += 1
        }
        expect(admitted).toBeLessThanOrEqual(Math.max(max, workers) + rate * seconds + 1e-6)
      }),
    )
  })
})
