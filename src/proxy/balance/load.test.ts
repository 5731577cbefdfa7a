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

describe('localityWeight', () => {
  it('shrinks with health only below 1/1.4 and not at all in panic', () => {
    expect(localityWeight(10, { healthy: 3, total: 4 }, false)).toBe(10)
    expect(localityWeight(10, { healthy: 1, total: 2 }, false)).toBeCloseTo(7)
    expect(localityWeight(10, { healthy: 1, total: 2 }, true)).toBe(10)
    expect(localityWeight(10, { healthy: 0, total: 0 }, true)).toBe(0)
  })
})
