import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { hasFormat } from './formats.ts'

const CASES: Readonly<Record<string, readonly [readonly string[], readonly string[]]>> = {
  byte: [
    ['', 'YQ==', 'YWJj'],
    ['YQ', 'Y!==', 'a==='],
  ],
  date: [['2024-02-29'], ['2023-02-29', '2024-13-01', '2024-1-1']],
  'date-time': [
    ['2024-02-29T23:59:59Z', '2024-01-01T00:00:00.123456789+02:00', '2024-01-01t00:00:00z'],
    [
      '2024-02-30T00:00:00Z',
      '2024-01-01T24:00:00Z',
      '2024-01-01 00:00:00Z',
      '2024-01-01T00:00:00',
      '2024-01-01T00:00:00+25:00',
    ],
  ],
  'date-time-micro': [['2024-01-01T00:00:00.000001Z'], ['2024-01-01T00:00:00.000Z', '2024-01-01T00:00:00Z']],
  duration: [
    ['0', '1h30m', '1.5s', '-2ms', '3 days'],
    ['1', 'h', '1 year'],
  ],
  uri: [
    ['http://a/b', '/x', 'urn:a:b', 'spiffe://a/b'],
    ['a', 'http://a b', ''],
  ],
  email: [['a@b.c'], ['a', 'a@', '@b', 'a b@c']],
  hostname: [
    ['a.b-c.d', 'localhost'],
    ['-a', 'a..b', 'a b', ''],
  ],
  ipv4: [['127.0.0.1'], ['127.0.0', '256.0.0.1', '::1']],
  ipv6: [
    ['::1', 'fe80::1'],
    ['1', '127.0.0.1', 'fe80::1%eth0'],
  ],
  cidr: [
    ['10.0.0.0/8', '::/0', '10.0.0.1/32'],
    ['10.0.0.0', '10.0.0.0/33', '::/129', '10.0.0.0/08'],
  ],
  mac: [
    ['00:11:22:aa:bb:cc', '00-11-22-AA-BB-CC', '0011.22aa.bbcc'],
    ['00:11:22:aa:bb', '00:11-22:aa:bb:cc'],
  ],
  uuid: [['123e4567-e89b-12d3-a456-426614174000'], ['123e4567', 'g23e4567-e89b-12d3-a456-426614174000']],
  uuid4: [['123e4567-e89b-42d3-a456-426614174000'], ['123e4567-e89b-12d3-a456-426614174000']],
  isbn: [['0-306-40615-2', '978-0-306-40615-7'], ['0-306-40615-3']],
  creditcard: [['4111 1111 1111 1111'], ['4111 1111 1111 1112']],
  ssn: [['111-22-3333'], ['111-22-333']],
  hexcolor: [['#fff', 'A0b1C2'], ['#ffff']],
  rgbcolor: [['rgb(0, 128,255)'], ['rgb(0,0,256)']],
  bsonobjectid: [['507f1f77bcf86cd799439011'], ['507f']],
  quantity: [
    ['1', '1.5Gi', '500m', '1e3', '.5', '+2k'],
    ['', 'Gi', '1 Gi', '1GiB', '1.2.3'],
  ],
}

describe('hasFormat', () => {
  it.each(Object.entries(CASES))('%s', (format, [good, bad]) => {
    expect(good.filter((text) => !hasFormat(format, text))).toEqual([])
    expect(bad.filter((text) => hasFormat(format, text))).toEqual([])
  })

  it('takes anything for formats that are not enforced', () => {
    for (const format of ['password', 'constructor', 'k8s-long-name']) expect(hasFormat(format, '\u0000')).toBe(true)
  })

  it('takes linear time on megabytes', () => {
    const long = [
      '1'.repeat(1e6),
      'a'.repeat(1e6),
      `${'1.'.repeat(5e5)}x`,
      ':'.repeat(1e6),
      `1${' '.repeat(1e6)}x`,
      `${'1h'.repeat(5e5)}x`,
    ]
    const started = performance.now()
    for (const format of Object.keys(CASES)) for (const text of long) hasFormat(format, text)
    // Quadratic patterns would take minutes.
    expect(performance.now() - started).toBeLessThan(5_000)
  })

  it('accepts every time that JavaScript prints and never throws', () => {
    fc.assert(
      fc.property(fc.date({ min: new Date(0), max: new Date(4e12), noInvalidDate: true }), (date) =>
        hasFormat('date-time', date.toISOString()),
      ),
    )
    fc.assert(
      fc.property(
        fc.constantFrom(...Object.keys(CASES)),
        fc.string(),
        (format, text) => typeof hasFormat(format, text) === 'boolean',
      ),
    )
  })
})
