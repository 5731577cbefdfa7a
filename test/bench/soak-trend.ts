/** Judges whether a series of samples grows. Pure: test/bench.test.ts says what it takes for a leak. */
import { medianOf } from './rows.ts'

export interface Trend {
  readonly name: string
  /** Medians of the second and of the last third: the first one is warm-up. */
  readonly before: number
  readonly after: number
  readonly grows: boolean
}

export interface TrendRule {
  /** Growth that is none: what collections and pools let come and go. */
  readonly share: number
  readonly most: number
}

/** Too few samples to judge grow by definition: a soak that measured nothing must not pass. */
export function trendOf(name: string, samples: readonly number[], rule: TrendRule): Trend {
  const third = Math.floor(samples.length / 3)
  const before = medianOf(samples.slice(third, 2 * third))
  const after = medianOf(samples.slice(-third))
  return { name, before, after, grows: third < 3 || !(after <= before * (1 + rule.share) + rule.most) }
}
