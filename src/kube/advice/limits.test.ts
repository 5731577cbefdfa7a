import { describe, expect, it } from 'vitest'
import type { KubeObject } from '../object.ts'
import { loopMs } from '../testing/loop-time.ts'
import { adviseObject } from './advise.ts'
import { sizeFlaw } from './limits.ts'

const policy = (spec: unknown): KubeObject =>
  ({ apiVersion: 'isthmus.dev/v1alpha1', kind: 'CircuitBreakerPolicy', metadata: { name: 'a' }, spec }) as KubeObject

const nested = (levels: number): unknown => {
  let value: unknown = 1
  for (let level = 0; level < levels; level += 1) value = { a: value }
  return value
}

describe('sizeFlaw', () => {
  it.each([
    ['100k routes', { http: Array.from({ length: 100_000 }, () => ({ match: [{ uri: { prefix: '/a' } }] })) }],
    ['a million elements', { http: Array.from({ length: 1_000_000 }, () => 1) }],
    ['deep nesting', nested(100_000)],
    ['long text', { a: 'x'.repeat(2_000_000) }],
  ])('refuses %s at once', (_what, spec) => {
    const object = policy(spec)
    expect(adviseObject(object).map(({ code }) => code)).toEqual(['OBJECT_TOO_LARGE'])
    expect(loopMs(() => adviseObject(object))).toBeLessThan(50)
  })

  it('lets ordinary objects pass', () => {
    expect(sizeFlaw(policy({ http: Array.from({ length: 1_000 }, () => ({ a: 1, b: ['x'] })) }))).toBeUndefined()
  })
})
