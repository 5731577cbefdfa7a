import { describe, expect, it } from 'vitest'
import { asciiJson, LineBuffer } from './line-buffer.ts'

/** What a new buffer holds after `write`. */
function written(write: (line: LineBuffer) => void): string {
  const line = new LineBuffer()
  write(line)
  return line.take().toString()
}

describe('LineBuffer', () => {
  it('quoted escapes as JSON does, and stays ASCII', () => {
    const texts = [
      '',
      'plain',
      'a"b',
      'a\\b',
      '\u0000',
      '\u007f',
      '\u2028',
      'é',
      '\ud800',
      'x'.repeat(200_000),
      '"'.repeat(90_000),
    ]
    for (const text of texts) {
      const line = written((buffer) => buffer.quoted(text))
      expect(JSON.parse(line)).toBe(text)
      expect(line).toMatch(/^[\x20-\x7e]*$/)
      expect(JSON.parse(asciiJson({ text }))).toEqual({ text })
    }
  })

  it('integer writes counts, and 0 for what is none', () => {
    for (const value of [0, 9, 10, 11, 99, 100, 1_234_567, 2 ** 31, 1e15, 123_456_789_012_345])
      expect(written((line) => line.integer(value))).toBe(String(value))
    for (const value of [-1, Number.NaN, Infinity, 1e17]) expect(written((line) => line.integer(value))).toBe('0')
  })

  it('hundredths rounds and stays a number', () => {
    const cases = [0, 0.004, 0.005, 0.01, 0.1, 0.999, 1, 12.345, 99.999, 1e6 + 0.25]
    for (const value of cases)
      expect(JSON.parse(written((line) => line.hundredths(value)))).toBe(Math.round(value * 100) / 100)
    for (const value of [-1, Number.NaN, Infinity]) expect(written((line) => line.hundredths(value))).toBe('0.00')
  })

  it('time writes what Date does', () => {
    const line = new LineBuffer()
    for (const at of [0, 1, 999, 1_000, 1_767_323_045_067.9, 1_767_323_045_999, 1_767_323_046_000, 12]) {
      line.time(at)
      expect(line.take().toString()).toBe(new Date(at).toISOString())
    }
  })

  it('starts empty after it was taken, however large a line was', () => {
    const line = new LineBuffer()
    line.quoted('x'.repeat(300_000))
    expect(line.take()).toHaveLength(300_002)
    line.raw('after')
    expect(line.take().toString()).toBe('after')
  })

  it('leaves what was taken as it is', () => {
    const line = new LineBuffer()
    const taken = ['a', 'b'.repeat(50_000), 'c', 'd'.repeat(200_000), 'e'].map((text) => {
      line.bytes(Buffer.from(text))
      return { text, bytes: line.take() }
    })
    for (const { text, bytes } of taken) expect(bytes.toString() === text).toBe(true)
  })
})
