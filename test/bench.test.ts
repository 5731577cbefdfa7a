import { describe, expect, it } from 'vitest'
import { bulkReportRows, bulkRows, formatBulk, formatReport, measured, notMeasured } from './bench/report.ts'
import { compare, medianOf, type Sample, SETUPS } from './bench/rows.ts'
import { trendOf } from './bench/soak-trend.ts'

const sample = (cpuUs: number, p99Us = 100): Sample => ({ cpuUs, rps: 1_000, p50Us: 10, p99Us })

describe('compare', () => {
  it('takes the cheapest variant of a peer, and ratios within a round', () => {
    const ours = [sample(10), sample(20), sample(30)]
    const theirs = new Map([
      ['Envoy, h1', [sample(90), sample(90), sample(90)]],
      ['Envoy, h2', [sample(20), sample(80), sample(60)]],
    ])
    const compared = compare(ours, theirs)
    expect(compared).toMatchObject({ peer: 'Envoy, h2', cpuRatio: 0.5, spread: 0.25, p50Ratio: 1 })
    expect(compared?.ours.cpuUs).toBe(20)
    expect(compare(ours, new Map())).toBeUndefined()
    expect(compare([], theirs)).toBeUndefined()
  })

  it('medianOf takes the middle, or the mean of two', () => {
    expect(medianOf([3, 1, 2])).toBe(2)
    expect(medianOf([4, 1, 2, 3])).toBe(2.5)
  })
})

describe('the report', () => {
  it('says what was missed and what was not measured', () => {
    const compared = compare([sample(10)], new Map([['Envoy', [sample(10)]]]))
    if (compared === undefined) throw new Error('nothing compared')
    const rows = [
      measured(compared, { path: 'a path', rate: undefined, target: 0.5 }),
      measured(compared, { path: 'a path', rate: 100, target: 1 }),
      notMeasured('another', 'saturated', 'wrk is missing'),
    ]
    const text = formatReport({ at: 'now', machine: 'this', rows, footprint: [] })
    expect(rows.map(({ mode, rps }) => [mode, rps])).toEqual([
      ['saturated', 1_000],
      ['fixed', 100],
      ['saturated', null],
    ])
    expect(text).toContain('≤ 0.5 missed')
    expect(text).toContain('| ≤ 1 |')
    expect(text).toContain('not measured: wrk is missing')
  })

  it('compares bulk TCP round by round, and with no proxy by throughput alone', () => {
    const samples = new Map([
      [
        'isthmus',
        [
          { cpuSecondsPerGiB: 1.5, mibPerSecond: 500 },
          { cpuSecondsPerGiB: 3, mibPerSecond: 400 },
        ],
      ],
      [
        'Envoy',
        [
          { cpuSecondsPerGiB: 1, mibPerSecond: 1_000 },
          { cpuSecondsPerGiB: 2, mibPerSecond: 400 },
        ],
      ],
      [
        'no proxy',
        [
          { cpuSecondsPerGiB: 0, mibPerSecond: 1_000 },
          { cpuSecondsPerGiB: 0, mibPerSecond: 1_000 },
        ],
      ],
    ])
    const rows = bulkRows(samples)
    expect(rows[1]).toMatchObject({ system: 'Envoy', cpuRatio: 1.5, throughputRatio: 0.75, spread: 0 })
    expect(rows[2]).toMatchObject({ cpuRatio: null, throughputRatio: 0.45 })
    expect(bulkReportRows(rows)).toMatchObject([{ peer: 'Envoy', cpuRatio: 1.5, rps: 450 }])
    expect(formatBulk(rows).at(-1)).toBe('≤ 1.8 CPU s/GiB: missed; throughput ≥ 0.7 of Envoy: met')
  })

  it('gives every row a name of its own within its mode', () => {
    const names = SETUPS.flatMap(({ name, loads }) => loads.map((load) => `${name}, ${load.name} ${load.rate ?? ''}`))
    expect(new Set(names).size).toBe(names.length)
  })
})

describe('trendOf', () => {
  const rule = { share: 0.1, most: 2 }
  const grows = (samples: readonly number[]): boolean => trendOf('x', samples, rule).grows
  const series = (value: (index: number) => number): number[] => Array.from({ length: 60 }, (_, index) => value(index))

  it('sees a leak, and no leak in warm-up, noise and peaks', () => {
    expect(grows(series((index) => 50 + index))).toBe(true)
    expect(grows(series((index) => Math.min(100, 10 * index)))).toBe(false)
    expect(grows(series((index) => 50 + (index % 7)))).toBe(false)
    expect(grows(series((index) => (index % 10 === 0 ? 500 : 50)))).toBe(false)
    expect(grows(series(() => 0))).toBe(false)
  })

  it('does not pass what was hardly measured', () => {
    expect(grows([])).toBe(true)
    expect(grows([1, 1, 1])).toBe(true)
    expect(grows(series(() => Number.NaN))).toBe(true)
  })
})
