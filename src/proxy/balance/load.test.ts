import { describe, expect, it } from 'vitest'
import { localityWeight, priorityLoads } from './load.ts'

const loads = (...levels: readonly (readonly [number, number])[]): readonly number[] =>
  priorityLoads(levels.map(([healthy, total]) => ({ healthy, total }))).percent
const panics = (...levels: readonly (readonly [number, number])[]): readonly boolean[] =>
  priorityLoads(levels.map(([healthy, total]) => ({ healthy, total }))).panic

// Expected values are the tables of Envoy's documentation (arch overview, priority levels and panic threshold).
describe('priorityLoads', () => {
  it('keeps everything at priority 0 while 1/1.4 of it is healthy', () => {
    expect(loads([100, 100], [100, 100])).toEqual([100, 0])
    expect(loads([72, 100], [72, 100])).toEqual([100, 0])
  })

  it('spills what priority 0 cannot carry', () => {
    expect(loads([71, 100], [71, 100])).toEqual([99, 1])
    expect(loads([50, 100], [50, 100])).toEqual([70, 30])
    expect(loads([25, 100], [100, 100])).toEqual([35, 65])
    expect(loads([25, 100], [25, 100])).toEqual([50, 50])
    expect(loads([0, 100], [100, 100])).toEqual([0, 100])
  })

  it('spreads over three levels in order', () => {
    expect(loads([25, 100], [100, 100], [100, 100])).toEqual([35, 65, 0])
    expect(loads([25, 100], [25, 100], [100, 100])).toEqual([35, 35, 30])
    // 35+35+28 is short of 100 and every level is under half: all of them panic.
    expect(loads([25, 100], [25, 100], [20, 100])).toEqual([34, 33, 33])
  })

  it('panics only where nothing can make up for it', () => {
    expect(panics([0, 2], [1, 1])).toEqual([false, false])
    expect(panics([1, 3])).toEqual([true])
    expect(panics([1, 2])).toEqual([false])
  })

  it('goes by number of endpoints when every level panics', () => {
    expect(loads([0, 3], [0, 1])).toEqual([75, 25])
    expect(loads([0, 1], [0, 2])).toEqual([34, 66])
    expect(loads([0, 0], [0, 0])).toEqual([0, 0])
    expect(loads()).toEqual([])
  })
})

describe('priorityLoads with other figures', () => {
  it('spills by the factor of the assignment', () => {
    const rule = { overprovisioningPercent: 100, panicPercent: 50 }
    expect(
      priorityLoads(
        [
          { healthy: 72, total: 100 },
          { healthy: 100, total: 100 },
        ],
        rule,
      ).percent,
    ).toEqual([72, 28])
  })

  it('never panics at threshold 0, and then sends nothing where nothing is healthy', () => {
    const rule = { overprovisioningPercent: 140, panicPercent: 0 }
    expect(priorityLoads([{ healthy: 1, total: 10 }], rule)).toEqual({ percent: [100], panic: [false] })
    expect(priorityLoads([{ healthy: 0, total: 3 }], rule)).toEqual({ percent: [0], panic: [false] })
  })

  it('panics below the threshold asked for', () => {
    const rule = { overprovisioningPercent: 140, panicPercent: 20 }
    expect(priorityLoads([{ healthy: 2, total: 10 }], rule).panic).toEqual([false])
    expect(priorityLoads([{ healthy: 1, total: 10 }], rule).panic).toEqual([true])
  })
})

describe('localityWeight', () => {
  // Envoy's documentation, locality weighted load balancing: X of weight 1, Y of weight 2, Y at 100, 69 and 71 %.
  it('shrinks with health only below 1/1.4', () => {
    expect(localityWeight(10, { healthy: 3, total: 4 })).toBe(10)
    expect(localityWeight(10, { healthy: 1, total: 2 })).toBeCloseTo(7)
    expect(localityWeight(2, { healthy: 100, total: 100 })).toBe(2)
    expect(localityWeight(2, { healthy: 50, total: 100 })).toBeCloseTo(1.4)
    expect(localityWeight(2, { healthy: 25, total: 100 })).toBeCloseTo(0.7)
    expect(localityWeight(10, { healthy: 0, total: 2 })).toBe(0)
    expect(localityWeight(10, { healthy: 0, total: 0 })).toBe(0)
  })
})
