import { describe, expect, it } from 'vitest'
import type { OutlierDetection } from '../../model/config.ts'
import { successThreshold, type Outcome } from './outlier.ts'
import { assignment, type BalanceWorld, endpoint, stateOf, world } from './testing/world.ts'

const BASE: OutlierDetection = { consecutiveErrors: 0, baseEjectionMs: 30_000, ejectionPercentMax: 100 }
const names = (count: number): string[] => Array.from({ length: count }, (_unused, index) => `e${index}`)

const worldOf = (count: number, outlier: Partial<OutlierDetection>): BalanceWorld =>
  world(assignment(names(count).map((name) => endpoint(name))), { outlier: { ...BASE, ...outlier } })

function report({ cluster }: BalanceWorld, name: string, outcomes: readonly Outcome[]): void {
  for (const outcome of outcomes) cluster.report(stateOf(cluster, name), undefined, outcome)
}

const ejected = ({ cluster }: BalanceWorld): string[] =>
  [...cluster.endpoints.values()].filter((state) => state.ejected).map((state) => state.endpoint.address)

const times = (count: number, outcome: Outcome): Outcome[] => Array.from({ length: count }, () => outcome)

describe('errors in a row', () => {
  it.each<{ rule: Partial<OutlierDetection>; outcomes: Outcome[]; ejects: boolean }>([
    { rule: { consecutive5xx: 3 }, outcomes: [500, 501, 503], ejects: true },
    { rule: { consecutive5xx: 3 }, outcomes: [500, 500, 404, 500, 500], ejects: false },
    { rule: { consecutive5xx: 3 }, outcomes: [false, 500, false], ejects: true },
    { rule: { consecutiveErrors: 3 }, outcomes: [502, 503, 504], ejects: true },
    { rule: { consecutiveErrors: 3 }, outcomes: [502, 503, 500, 504], ejects: false },
    { rule: { consecutiveErrors: 3 }, outcomes: times(9, 500), ejects: false },
    { rule: { consecutiveErrors: 3 }, outcomes: [false, 503, false], ejects: true },
    { rule: { consecutive5xx: 3, consecutiveLocalOrigin: 2 }, outcomes: [500, false, 500], ejects: false },
    { rule: { consecutive5xx: 3, consecutiveLocalOrigin: 2 }, outcomes: [false, false], ejects: true },
    { rule: { consecutive5xx: 3, consecutiveLocalOrigin: 2 }, outcomes: [false, 500, false], ejects: false },
    { rule: { consecutive5xx: 3, consecutiveLocalOrigin: 9 }, outcomes: [500, true, 500, true, 500], ejects: true },
    { rule: { consecutive5xx: 1, enforcing: { fives: 0 } }, outcomes: times(9, 500), ejects: false },
    { rule: { consecutiveErrors: 1, enforcing: { errors: 0 } }, outcomes: times(9, 503), ejects: false },
    { rule: { consecutiveLocalOrigin: 1, enforcing: { localOrigin: 0 } }, outcomes: times(9, false), ejects: false },
  ])('$rule with $outcomes: $ejects', ({ rule, outcomes, ejects }) => {
    const here = worldOf(2, rule)
    report(here, 'e0', outcomes)
    expect(ejected(here)).toEqual(ejects ? ['e0'] : [])
  })

  it('eject in the share of cases asked for', () => {
    const counts = Array.from({ length: 400 }, (_unused, seed) => {
      const outlier = { ...BASE, consecutive5xx: 1, enforcing: { fives: 25 } }
      const here = world(assignment([endpoint('e0')]), { outlier }, seed)
      report(here, 'e0', [500])
      return ejected(here).length
    })
    expect(counts.reduce((sum, count) => sum + count, 0) / 400).toBeCloseTo(0.25, 1)
  })
})

describe('the cap on ejections', () => {
  it.each([
    { percent: 50, always: false, expected: 2 },
    { percent: 49, always: false, expected: 1 },
    { percent: 0, always: false, expected: 0 },
    { percent: 0, always: true, expected: 1 },
  ])('of $percent % of four, always one $always: $expected', ({ percent, always, expected }) => {
    const rule = { consecutive5xx: 1, ejectionPercentMax: percent, ...(always && { alwaysEjectOne: true as const }) }
    const here = worldOf(4, rule)
    for (const name of names(4)) report(here, name, [500])
    expect(ejected(here)).toHaveLength(expected)
  })
})

describe('how long an ejection lasts', () => {
  const ejectionMs = (here: BalanceWorld): number => {
    report(here, 'e0', [500])
    let ms = 0
    while (ejected(here).length > 0) {
      here.clock.advance(1_000)
      ms += 1_000
    }
    return ms
  }

  it('grows with each one up to the longest, and is seen at the end of an interval', () => {
    const here = worldOf(2, { consecutive5xx: 1, baseEjectionMs: 20_000, ejectionMsMax: 50_000 })
    // Steps of the 10 s interval, and the timer's tick.
    expect(
      [ejectionMs(here), ejectionMs(here), ejectionMs(here), ejectionMs(here)].map((ms) => Math.round(ms / 10_000)),
    ).toEqual([2, 4, 5, 5])
  })

  it('shrinks again with intervals without one', () => {
    const here = worldOf(2, { consecutive5xx: 1, baseEjectionMs: 10_000 })
    ejectionMs(here)
    ejectionMs(here)
    here.clock.advance(40_000)
    expect(Math.round(ejectionMs(here) / 10_000)).toBe(1)
  })

  it('needs no timer once all is well', () => {
    const here = worldOf(2, { consecutive5xx: 1 })
    ejectionMs(here)
    here.clock.advance(60_000)
    expect(here.timers.pending).toBe(0)
  })
})

describe('rates over an interval', () => {
  const mixed = (good: number, bad: number): Outcome[] => [...times(good, 200), ...times(bad, 500)]

  it('eject whose success rate is far below the others’', () => {
    const here = worldOf(6, { successRate: {} })
    for (const name of names(5)) report(here, name, mixed(99, 1))
    report(here, 'e5', mixed(60, 40))
    expect(ejected(here)).toEqual([])
    here.clock.advance(10_100)
    expect(ejected(here)).toEqual(['e5'])
  })

  it.each([
    { why: 'too few endpoints', count: 4, good: 60, bad: 40 },
    { why: 'too few requests', count: 6, good: 50, bad: 49 },
  ])('judge nothing with $why', ({ count, good, bad }) => {
    const here = worldOf(count, { successRate: {} })
    for (const name of names(count - 1)) report(here, name, mixed(99, 1))
    report(here, `e${count - 1}`, mixed(good, bad))
    here.clock.advance(10_100)
    expect(ejected(here)).toEqual([])
  })

  it('eject at the failure percentage', () => {
    const failurePercentage = { threshold: 50, hostsMin: 3, volumeMin: 10, enforcing: 100 }
    const here = worldOf(3, { failurePercentage, successRate: { enforcing: 0 } })
    report(here, 'e0', mixed(5, 5))
    report(here, 'e1', mixed(6, 4))
    report(here, 'e2', mixed(10, 0))
    here.clock.advance(10_100)
    expect(ejected(here)).toEqual(['e0'])
  })

  it('start each interval anew', () => {
    const here = worldOf(3, { failurePercentage: { threshold: 50, hostsMin: 1, volumeMin: 10, enforcing: 100 } })
    report(here, 'e0', times(9, 500))
    here.clock.advance(10_100)
    report(here, 'e0', times(9, 500))
    here.clock.advance(10_100)
    expect(ejected(here)).toEqual([])
  })

  it('judge local origin apart where it is split off', () => {
    const failurePercentage = { threshold: 50, hostsMin: 1, volumeMin: 10, enforcingLocalOrigin: 100 }
    const here = worldOf(3, { consecutiveLocalOrigin: 100, failurePercentage })
    report(here, 'e0', times(10, false))
    report(here, 'e1', times(10, 500))
    here.clock.advance(10_100)
    expect(ejected(here)).toEqual(['e0'])
  })
})

describe('successThreshold', () => {
  it('is the mean less the factor of standard deviations', () => {
    expect(successThreshold([100, 100, 100, 100, 50], 1_900)).toBeCloseTo(52, 5)
    expect(successThreshold([90, 90, 90], 1_900)).toBe(90)
  })
})
