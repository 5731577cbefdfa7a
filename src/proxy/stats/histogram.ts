/** Times in Envoy's buckets: bounded memory whatever comes, and none before the first value. */

/** Milliseconds; Envoy's defaults, and Istio's for request durations. */
export const BOUNDS_MS = [
  0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000, 600_000, 1_800_000,
  3_600_000,
] as const

/** The last bucket is for what lies above every bound. */
const BUCKETS = BOUNDS_MS.length + 1

export interface HistogramFigures {
  readonly count: number
  readonly sum: number
  /** Values per bucket, not added up. */
  readonly buckets: readonly number[]
}

export class Histogram implements HistogramFigures {
  count = 0
  sum = 0
  #buckets: Float64Array | undefined = undefined

  add(value: number): void {
    const buckets = (this.#buckets ??= new Float64Array(BUCKETS))
    this.count++
    this.sum += value
    let index = 0
    while (index < BOUNDS_MS.length && value > (BOUNDS_MS[index] ?? 0)) index++
    buckets[index] = (buckets[index] ?? 0) + 1
  }

  /** Values per bucket, not added up; empty while there was none. */
  get buckets(): readonly number[] {
    return this.#buckets === undefined ? [] : [...this.#buckets]
  }

  clear(): void {
    this.count = 0
    this.sum = 0
    this.#buckets = undefined
  }
}

/** Where in its bucket the value lies nobody knows: a straight line is drawn through it. */
export function quantile(buckets: readonly number[], share: number): number {
  const count = buckets.reduce((sum, bucket) => sum + bucket, 0)
  let below = 0
  for (const [index, inside] of buckets.entries()) {
    const from = index === 0 ? 0 : (BOUNDS_MS[index - 1] ?? 0)
    const to = BOUNDS_MS[index] ?? from
    if (inside > 0 && below + inside >= share * count) return from + (to - from) * ((share * count - below) / inside)
    below += inside
  }
  return 0
}
