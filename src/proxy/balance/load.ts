/**
 * How much traffic each priority and each locality gets: Envoy's arithmetic, integer rounding included, so that a
 * mixed mesh and the simulator agree with it (load_balancer_impl: priority levels, overprovisioning, panic). Pure;
 * choosing an endpoint is picker.ts.
 */
export interface LevelHealth {
  readonly healthy: number
  readonly total: number
}

export interface LoadRule {
  /** A level is whole as long as 100 / this of it is healthy. */
  readonly overprovisioningPercent: number
  /** Below this share of healthy endpoints a level panics, unless others make up for it; 0: never. */
  readonly panicPercent: number
}

export const LOAD_RULE: LoadRule = {
  overprovisioningPercent: 140, // Envoy's default factor of 1.4
  panicPercent: 50, // Envoy's default healthy_panic_threshold
}

export interface PriorityLoads {
  /** Percent per priority; the sum is 100, or 0 when there is no endpoint to use. */
  readonly percent: readonly number[]
  /** In panic every endpoint of the priority is used, healthy or not. */
  readonly panic: readonly boolean[]
}

export function priorityLoads(levels: readonly LevelHealth[], rule = LOAD_RULE): PriorityLoads {
  const health = levels.map((level) => availability(level, rule))
  const normalized = Math.min(
    100,
    health.reduce((sum, percent) => sum + percent, 0),
  )
  const panic = levels.map(
    (level) => normalized < 100 && 100 * level.healthy < rule.panicPercent * Math.max(1, level.total),
  )
  if (panic.length > 0 && panic.every(Boolean)) return { percent: totalPanicLoads(levels), panic }
  return { percent: spread(health, normalized), panic }
}

/** 0–100. */
function availability(level: LevelHealth, { overprovisioningPercent }: LoadRule): number {
  if (level.total === 0) return 0
  return Math.min(100, Math.trunc((overprovisioningPercent * level.healthy) / level.total))
}

/** Each level takes its share in order; what rounding leaves goes to the first level that has anything. */
function spread(health: readonly number[], normalized: number): number[] {
  const percent = health.map(() => 0)
  if (normalized === 0) return percent
  let left = 100
  for (const [index, available] of health.entries()) {
    percent[index] = Math.min(left, Math.trunc((available * 100) / normalized))
    left -= percent[index]
  }
  const first = health.findIndex((available) => available > 0)
  if (left > 0 && first >= 0) percent[first] = (percent[first] ?? 0) + left
  return percent
}

/** Nothing can carry the load: by number of endpoints, as if all were well. */
function totalPanicLoads(levels: readonly LevelHealth[]): number[] {
  const total = levels.reduce((sum, level) => sum + level.total, 0)
  const percent = levels.map(() => 0)
  if (total === 0) return percent
  let left = 100
  for (const [index, level] of levels.entries()) {
    percent[index] = Math.trunc((100 * level.total) / total)
    left -= percent[index]
  }
  const first = levels.findIndex((level) => level.total > 0)
  percent[first] = (percent[first] ?? 0) + left
  return percent
}

/** A locality's weight shrinks once less than its overprovisioned part is healthy. */
export function localityWeight(weight: number, health: LevelHealth, rule = LOAD_RULE): number {
  if (health.total === 0 || health.healthy === 0) return 0
  return weight * Math.min(1, ((rule.overprovisioningPercent / 100) * health.healthy) / health.total)
}
