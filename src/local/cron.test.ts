import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { nextAfter, parseSchedule, type Schedule } from './cron.ts'

function schedule(line: string): Schedule {
  const read = parseSchedule(line)
  if ('problem' in read) throw new Error(read.problem)
  return read
}

const next = (line: string, after: string): string | undefined => {
  const ms = nextAfter(schedule(line), Date.parse(after))
  return ms === undefined ? undefined : new Date(ms).toISOString().slice(0, 16)
}

describe('parseSchedule', () => {
  it.each([
    ['* * * * *', '2026-01-01T00:00:30Z', '2026-01-01T00:01'],
    ['*/15 * * * *', '2026-01-01T00:15:00Z', '2026-01-01T00:30'],
    ['0 9-17/2 * * mon-fri', '2026-01-02T17:00:00Z', '2026-01-05T09:00'],
    ['30 4 1,15 * *', '2026-01-02T00:00:00Z', '2026-01-15T04:30'],
    // Either day will do where both are said.
    ['0 0 13 * 5', '2026-01-01T00:00:00Z', '2026-01-02T00:00'],
    ['0 0 * * 7', '2026-01-01T00:00:00Z', '2026-01-04T00:00'],
    ['0 0 29 2 *', '2026-01-01T00:00:00Z', '2028-02-29T00:00'],
    ['@hourly', '2026-01-01T00:59:59Z', '2026-01-01T01:00'],
    ['5/20 0 * * *', '2026-01-01T00:05:00Z', '2026-01-01T00:25'],
    ['0 0 31 2 *', '2026-01-01T00:00:00Z', undefined],
  ])('%s after %s is %s', (line, after, expected) => {
    expect(next(line, after)).toBe(expected)
  })

  it.each([
    '',
    '* * * *',
    '60 * * * *',
    '* 24 * * *',
    '* * 0 * *',
    '* * * 13 *',
    '5-1 * * * *',
    '*/0 * * * *',
    '1-2-3 * * * *',
    '@never',
    'a * * * *',
    '* * * * 8',
    '1//2 * * * *',
  ])('refuses "%s"', (line) => {
    expect(parseSchedule(line)).toHaveProperty('problem')
  })

  it('never throws, and finds only times that are due', () => {
    const field = fc.stringMatching(/^[0-9*/,-]{1,6}$/)
    fc.assert(
      fc.property(
        fc.tuple(field, field, field, field, field),
        fc.date({ noInvalidDate: true, min: new Date(0), max: new Date(4e12) }),
        (fields, date) => {
          const read = parseSchedule(fields.join(' '))
          if ('problem' in read) return
          const found = nextAfter(read, date.getTime())
          if (found === undefined) return
          const at = new Date(found)
          expect(found).toBeGreaterThan(date.getTime())
          expect(read.minutes.has(at.getUTCMinutes()) && read.hours.has(at.getUTCHours())).toBe(true)
        },
      ),
      { numRuns: 500 },
    )
  })
})
