/** Times as format strings write them: strftime in UTC, compiled once. Not for time zones: a log line is UTC. */
import { parseTimeFormat } from '../../model/log-format.ts'
import { IsoTime } from '../log-line.ts'

/** Milliseconds since the epoch; fractions are kept as far as the format asks for them. */
export type TimeWriter = (epochMs: number) => string

const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday']
const MONTHS = [
  'January',
  'February',
  'March',
  'April',
  'May',
  'June',
  'July',
  'August',
  'September',
  'October',
  'November',
  'December',
]

const two = (value: number): string => (value < 10 ? `0${value}` : String(value))

/** Digits after the point: Envoy counts nanoseconds, we know what the clock gave. */
function subseconds(epochMs: number, digits: number): string {
  const nanos = Math.round((epochMs - Math.floor(epochMs / 1_000) * 1_000) * 1e6)
  return String(Math.min(nanos, 999_999_999)).padStart(9, '0').slice(0, digits)
}

function yearDay(date: Date): number {
  return Math.floor((date.getTime() - Date.UTC(date.getUTCFullYear(), 0, 1)) / 86_400_000) + 1
}

const clock = (date: Date): string =>
  `${two(date.getUTCHours())}:${two(date.getUTCMinutes())}:${two(date.getUTCSeconds())}`
const day = (date: Date): string => date.toISOString().slice(0, 10)

type Field = (date: Date, epochMs: number) => string

const FIELDS: Readonly<Record<string, Field>> = {
  Y: (date) => String(date.getUTCFullYear()),
  y: (date) => two(date.getUTCFullYear() % 100),
  m: (date) => two(date.getUTCMonth() + 1),
  d: (date) => two(date.getUTCDate()),
  e: (date) => String(date.getUTCDate()).padStart(2, ' '),
  H: (date) => two(date.getUTCHours()),
  I: (date) => two(date.getUTCHours() % 12 || 12),
  M: (date) => two(date.getUTCMinutes()),
  S: (date) => two(date.getUTCSeconds()),
  p: (date) => (date.getUTCHours() < 12 ? 'AM' : 'PM'),
  j: (date) => String(yearDay(date)).padStart(3, '0'),
  a: (date) => (DAYS[date.getUTCDay()] ?? '').slice(0, 3),
  A: (date) => DAYS[date.getUTCDay()] ?? '',
  b: (date) => (MONTHS[date.getUTCMonth()] ?? '').slice(0, 3),
  h: (date) => (MONTHS[date.getUTCMonth()] ?? '').slice(0, 3),
  B: (date) => MONTHS[date.getUTCMonth()] ?? '',
  T: clock,
  R: (date) => clock(date).slice(0, 5),
  F: day,
  D: (date) => `${two(date.getUTCMonth() + 1)}/${two(date.getUTCDate())}/${two(date.getUTCFullYear() % 100)}`,
  z: () => '+0000',
  Ez: () => '+00:00',
  Z: () => 'UTC',
  s: (_date, epochMs) => String(Math.floor(epochMs / 1_000)),
  n: () => '\n',
  t: () => '\t',
  '%': () => '%',
}

function fieldOf(name: string): Field {
  const known = FIELDS[name]
  if (known !== undefined) return known
  // `%f`, `%3f`, `%E3f`, `%E*f`: the fraction; `%E3S`, `%E*S`: seconds with it.
  const written = /[0-9]/.exec(name)?.[0]
  const digits = written === undefined ? 9 : Number(written)
  // `*`: as many digits as there are.
  const fraction = (epochMs: number): string =>
    name.includes('*') ? subseconds(epochMs, digits).replace(/0+$/, '') : subseconds(epochMs, digits)
  if (!name.endsWith('S')) return (_date, epochMs) => fraction(epochMs) || '0'
  return (date, epochMs) => {
    const rest = fraction(epochMs)
    return `${two(date.getUTCSeconds())}${rest === '' ? '' : `.${rest}`}`
  }
}

/** `''`: ISO 8601 with milliseconds, Envoy's default. */
export function compileTime(format: string): TimeWriter {
  if (format === '') {
    const iso = new IsoTime()
    return (epochMs) => iso.text(epochMs)
  }
  const writers = (parseTimeFormat(format) ?? []).map((piece): Field => {
    if ('text' in piece) return () => piece.text
    return fieldOf(piece.field)
  })
  return (epochMs) => {
    const date = new Date(epochMs)
    let text = ''
    for (const write of writers) text += write(date, epochMs)
    return text
  }
}
