/**
 * How much traffic each priority and each locality gets: Envoy's arithmetic, integer rounding included, so that a
 * mixed mesh and the simulator agree with it (load_balancer_impl: priority levels, overprovisioning, panic). Pure;
 * choosing an endpoint is pick.ts.
 */
export interface LevelHealth {
  readonly healthy: number
  readonly total: number
}

export interface PriorityLoads {
  /** Percent per priority; the sum is 100, or 0 when there is no endpoint at all. */
  readonly percent: readonly number[]
  /** In panic every endpoint of the priority is used, healthy or not. */
  readonly panic: readonly boolean[]
}

const OVERPROVISIONING_PERCENT = 140 // Envoy's default factor of 1.4
const PANIC_THRESHOLD_PERCENT = 50 // Envoy's default healthy_panic_threshold

export function priorityLoads(levels: readonly LevelHealth[]): PriorityLoads {
  const health = levels.map((level) => availability(level))
  const normalized = Math.min(
    100,
    health.reduce((sum, percent) => sum + percent, 0),
  )
  const panic = levels.map(
    (level) => normalized < 100 && 100 * level.healthy < PANIC_THRESHOLD_PERCENT * Math.max(1, level.total),
  )
  if (panic.length > 0 && panic.every(Boolean)) return { percent: totalPanicLoads(levels), panic }
  return { percent: spread(health, normalized), panic }
}

/** 0–100: a level is whole as long as 1/1.4 of it is healthy. */
function availability(level: LevelHealth): number {
  if (level.total === 0) return 0
  return Math.min(100, Math.trunc((OVERPROVISIONING_PERCENT * level.healthy) / level.total))
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

/** A locality's weight shrinks once less than 1/1.4 of it is available; in panic it counts in full. */
export function localityWeight(weight: number, health: LevelHealth, panic: boolean): number {
  if (health.total === 0) return 0
  if (panic) return weight
  return weight * Math.min(1, ((OVERPROVISIONING_PERCENT / 100) * health.healthy) / health.total)
}
