/** Ages as kubectl prints them: two units while young, one when old (5s, 2m3s, 5h10m, 3d4h, 2y35d). */
const SECOND = 1_000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR
const YEAR = 365 * DAY

export function age(timestamp: string | undefined, nowMs: number): string {
  if (timestamp === undefined || timestamp === '') return '<unknown>'
  const then = Date.parse(timestamp)
  return Number.isNaN(then) ? '<invalid>' : humanDuration(nowMs - then)
}

interface Step {
  readonly belowMs: number
  readonly unit: readonly [number, string]
  /** The second unit, printed while it is not zero. */
  readonly rest?: readonly [number, string]
}

const STEPS: readonly Step[] = [
  { belowMs: 2 * MINUTE, unit: [SECOND, 's'] },
  { belowMs: 10 * MINUTE, unit: [MINUTE, 'm'], rest: [SECOND, 's'] },
  { belowMs: 3 * HOUR, unit: [MINUTE, 'm'] },
  { belowMs: 8 * HOUR, unit: [HOUR, 'h'], rest: [MINUTE, 'm'] },
  { belowMs: 2 * DAY, unit: [HOUR, 'h'] },
  { belowMs: 8 * DAY, unit: [DAY, 'd'], rest: [HOUR, 'h'] },
  { belowMs: 2 * YEAR, unit: [DAY, 'd'] },
  { belowMs: 8 * YEAR, unit: [YEAR, 'y'], rest: [DAY, 'd'] },
]

export function humanDuration(durationMs: number): string {
  if (durationMs < -SECOND) return '<invalid>'
  if (durationMs < 0) return '0s'
  const step = STEPS.find((candidate) => durationMs < candidate.belowMs) ?? {
    unit: [YEAR, 'y'] as const,
    rest: undefined,
  }
  const [size, unit] = step.unit
  const whole = Math.floor(durationMs / size)
  const rest = step.rest === undefined ? 0 : Math.floor((durationMs % size) / step.rest[0])
  return `${whole}${unit}${rest === 0 || step.rest === undefined ? '' : `${rest}${step.rest[1]}`}`
}
