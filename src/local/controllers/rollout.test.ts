import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { limits, nextReplicas, type RevisionState } from './rollout.ts'

const state = (name: string, desired: number, available: number, pods = desired): RevisionState => ({
  name,
  desired,
  available,
  pods,
})

describe('nextReplicas', () => {
  it('gives all replicas to the first revision at once', () => {
    const base = { replicas: 3, strategy: undefined, paused: false, old: [] }
    expect([...nextReplicas({ ...base, current: state('a', 0, 0) })]).toEqual([['a', 3]])
  })

  it('waits with Recreate until the last old pod has gone', () => {
    const base = { replicas: 2, strategy: { type: 'Recreate' }, paused: false, current: state('b', 0, 0) } as const
    expect([...nextReplicas({ ...base, old: [state('a', 2, 2)] })]).toEqual([['a', 0]])
    expect([...nextReplicas({ ...base, old: [state('a', 0, 0, 1)] })]).toEqual([])
    expect([...nextReplicas({ ...base, old: [state('a', 0, 0)] })]).toEqual([['b', 2]])
  })

  it('stands still while paused', () => {
    const old = [state('a', 2, 2)]
    expect([
      ...nextReplicas({ replicas: 2, strategy: undefined, paused: true, current: state('b', 0, 0), old }),
    ]).toEqual([])
  })

  it('always ends, within surge and availability, whatever becomes ready in which order', () => {
    const strategies = fc.record({
      maxSurge: fc.integer({ min: 0, max: 4 }),
      maxUnavailable: fc.integer({ min: 0, max: 4 }),
    })
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 9 }),
        strategies,
        fc.infiniteStream(fc.integer({ min: 1, max: 3 })),
        (replicas, rollingUpdate, steps) => {
          const strategy = { type: 'RollingUpdate' as const, rollingUpdate }
          const { maxSurge, maxUnavailable } = limits({ replicas, strategy })
          const rows = new Map([
            ['new', { desired: 0, available: 0 }],
            ['old', { desired: replicas, available: replicas }],
          ])
          for (let turn = 0; turn < 100; turn++) {
            const row = (name: string): RevisionState => {
              const { desired = 0, available = 0 } = rows.get(name) ?? {}
              return state(name, desired, available)
            }
            const targets = nextReplicas({ replicas, strategy, paused: false, current: row('new'), old: [row('old')] })
            for (const [name, desired] of targets)
              rows.set(name, { desired, available: Math.min(desired, row(name).available) })
            const total = row('new').desired + row('old').desired
            expect(total).toBeLessThanOrEqual(replicas + maxSurge)
            expect(row('new').available + row('old').available).toBeGreaterThanOrEqual(replicas - maxUnavailable)
            if (row('new').available === replicas && row('old').desired === 0) return
            const ready = Math.min(row('new').desired, row('new').available + (steps.next().value ?? 1))
            rows.set('new', { desired: row('new').desired, available: ready })
          }
          expect.fail('the rollout did not end')
        },
      ),
    )
  })
})

describe('limits', () => {
  it('rounds surge up and unavailability down, and never both to nothing', () => {
    expect(limits({ replicas: 3, strategy: undefined })).toEqual({ maxSurge: 1, maxUnavailable: 0 })
    const none = { type: 'RollingUpdate' as const, rollingUpdate: { maxSurge: 0, maxUnavailable: '10%' } }
    expect(limits({ replicas: 3, strategy: none })).toEqual({ maxSurge: 0, maxUnavailable: 1 })
  })
})
