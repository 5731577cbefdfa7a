/**
 * The five fields of a cron line, in UTC: minute, hour, day of month, month, day of week. Ranges, steps, lists, names and
 * `@daily` and its like. Where both days are given, either will do, as cron has always had it. Pure.
 */
interface FieldRange {
  readonly name: string
  readonly min: number
  readonly max: number
  readonly names?: readonly string[]
}

const MONTHS = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec']
const DAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat']
const FIELDS: readonly FieldRange[] = [
  { name: 'minute', min: 0, max: 59 },
  { name: 'hour', min: 0, max: 23 },
  { name: 'day of month', min: 1, max: 31 },
  { name: 'month', min: 1, max: 12, names: ['', ...MONTHS] },
  { name: 'day of week', min: 0, max: 7, names: DAYS },
]
const SHORTHANDS: Readonly<Record<string, string>> = {
  '@yearly': '0 0 1 1 *',
  '@annually': '0 0 1 1 *',
  '@monthly': '0 0 1 * *',
  '@weekly': '0 0 * * 0',
  '@daily': '0 0 * * *',
  '@midnight': '0 0 * * *',
  '@hourly': '0 * * * *',
}

export interface Schedule {
  readonly minutes: ReadonlySet<number>
  readonly hours: ReadonlySet<number>
  readonly days: ReadonlySet<number>
  readonly months: ReadonlySet<number>
  readonly weekdays: ReadonlySet<number>
  /** Both kinds of day are restricted. */
  readonly eitherDay: boolean
}

/** What is wrong with it, in words, where it is none. */
export function parseSchedule(line: string): Schedule | { readonly problem: string } {
  const text = SHORTHANDS[line.trim().toLowerCase()] ?? line
  const parts = text.trim().split(/\s+/)
  if (parts.length !== FIELDS.length) return { problem: `expected exactly 5 fields, found ${parts.length}: ${line}` }
  const sets: ReadonlySet<number>[] = []
  for (const [index, field] of FIELDS.entries()) {
    const read = readField(parts[index] ?? '', field)
    if (typeof read === 'string') return { problem: read }
    sets.push(read)
  }
  const [minutes, hours, days, months, weekdays] = sets
  if (!minutes || !hours || !days || !months || !weekdays) return { problem: 'no fields' }
  // 7 is Sunday too.
  const week = weekdays.has(7) ? new Set([...weekdays, 0]) : weekdays
  const isOpen = (part: string | undefined): boolean => part?.startsWith('*') === true || part === '?'
  return { minutes, hours, days, months, weekdays: week, eitherDay: !isOpen(parts[2]) && !isOpen(parts[4]) }
}

function readField(text: string, field: FieldRange): ReadonlySet<number> | string {
  const values = new Set<number>()
  for (const item of text.split(',')) {
    const [range = '', step = '1', ...rest] = item.split('/')
    if (rest.length > 0 || !/^[1-9][0-9]{0,3}$/.test(step)) return `${field.name}: ${item} is no range with a step`
    const bounds = boundsOf(range, field, item.includes('/'))
    if (bounds === undefined) return `${field.name}: ${item} is not within ${field.min}-${field.max}`
    for (let value = bounds[0]; value <= bounds[1]; value += Number(step)) values.add(value)
  }
  return values
}

function boundsOf(range: string, field: FieldRange, hasStep: boolean): readonly [number, number] | undefined {
  if (range === '*' || range === '?') return [field.min, field.max]
  const [first = '', last, ...rest] = range.split('-')
  const from = numberOf(first, field)
  // `5/10` begins at 5 and runs to the end.
  const to = last === undefined ? (hasStep ? field.max : from) : numberOf(last, field)
  if (rest.length > 0 || from === undefined || to === undefined) return undefined
  return from >= field.min && to <= field.max && from <= to ? [from, to] : undefined
}

function numberOf(text: string, { names }: FieldRange): number | undefined {
  const named = text === '' ? -1 : (names?.indexOf(text.toLowerCase()) ?? -1)
  if (named >= 0) return named
  return /^[0-9]{1,2}$/.test(text) ? Number(text) : undefined
}

const MINUTE_MS = 60_000
const DAY_MS = 86_400_000
/** A date such as 30 February never comes; leap years come within eight. */
const DAYS_MAX = 8 * 366

/** The first time after `afterMs` at which it is due; undefined: never. */
export function nextAfter(schedule: Schedule, afterMs: number): number | undefined {
  let ms = (Math.floor(afterMs / MINUTE_MS) + 1) * MINUTE_MS
  for (let days = 0; days <= DAYS_MAX; days += 1) {
    if (isDay(schedule, ms)) {
      const found = timeOfDay(schedule, ms)
      if (found !== undefined) return found
    }
    ms = (Math.floor(ms / DAY_MS) + 1) * DAY_MS
  }
  return undefined
}

function isDay({ days, months, weekdays, eitherDay }: Schedule, ms: number): boolean {
  const date = new Date(ms)
  if (!months.has(date.getUTCMonth() + 1)) return false
  const [byDate, byWeek] = [days.has(date.getUTCDate()), weekdays.has(date.getUTCDay())]
  return eitherDay ? byDate || byWeek : byDate && byWeek
}

function timeOfDay({ minutes, hours }: Schedule, fromMs: number): number | undefined {
  const midnight = Math.floor(fromMs / DAY_MS) * DAY_MS
  for (let ms = fromMs; ms < midnight + DAY_MS; ms += MINUTE_MS) {
    const minuteOfDay = (ms - midnight) / MINUTE_MS
    if (hours.has(Math.floor(minuteOfDay / 60)) && minutes.has(minuteOfDay % 60)) return ms
  }
  return undefined
}
