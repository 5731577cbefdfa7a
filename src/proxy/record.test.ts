import { describe, expect, it } from 'vitest'
import { ManualClock } from '../runtime/clock.ts'
import { IsoTime, quoted } from './log-line.ts'
import { type FinishedRequest, Recorder } from './record.ts'
import { TimerWheel } from './timer-wheel.ts'

const CALLER = { cluster: 'east', namespace: 'shop', workload: 'storefront', version: 'v1', principal: '' }
const CALLED = { ...CALLER, workload: 'checkout', principal: 'spiffe://east.mesh/ns/shop/sa/checkout' }

const finished = (fields: Partial<FinishedRequest> = {}): FinishedRequest => ({
  reporter: 'source',
  startedAt: Date.UTC(2026, 0, 2, 3, 4, 5, 67),
  durationMs: 1.239,
  method: 'GET',
  authority: 'checkout.shop',
  path: '/a?b=c',
  protocol: 'HTTP/1.1',
  status: 200,
  flag: '-',
  detail: '',
  source: CALLER,
  destination: CALLED,
  service: 'checkout.shop.svc.cluster.local',
  upstream: '127.0.0.1:15008',
  transport: 'mtls',
  attempts: 1,
  bytesReceived: 120,
  bytesSent: 340,
  requestId: 'id-1',
  mutualTls: false,
  ...fields,
})

function recording(): { recorder: Recorder; clock: ManualClock; writes: string[] } {
  const clock = new ManualClock()
  const writes: string[] = []
  return { clock, writes, recorder: new Recorder((lines) => writes.push(lines.toString()), new TimerWheel(clock)) }
}

const linesOf = (writes: readonly string[]): unknown[] =>
  writes
    .join('')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as unknown)

describe('Recorder', () => {
  it('writes a line that parses to the request, whatever its fields hold', () => {
    const { recorder, writes } = recording()
    const awkward = { path: '/"\\\u0001é', authority: 'é"', requestId: '\n', detail: 'no "answer"' }
    recorder.request(finished())
    recorder.request(finished(awkward))
    recorder.flush()
    const { source, destination } = {
      source: { cluster: 'east', namespace: 'shop', workload: 'storefront' },
      destination: { cluster: 'east', namespace: 'shop', workload: 'checkout', principal: CALLED.principal },
    }
    const expected = {
      time: '2026-01-02T03:04:05.067Z',
      reporter: 'source',
      method: 'GET',
      authority: 'checkout.shop',
      path: '/a?b=c',
      protocol: 'HTTP/1.1',
      status: 200,
      flags: '-',
      durationMs: 1.24,
      bytesReceived: 120,
      bytesSent: 340,
      service: 'checkout.shop.svc.cluster.local',
      source,
      destination,
      upstream: '127.0.0.1:15008',
      transport: 'mtls',
      attempts: 1,
      requestId: 'id-1',
    }
    expect(linesOf(writes)).toEqual([expected, { ...expected, ...awkward }])
  })

  it('tells every kind of request apart, in lines and in counters', () => {
    const { recorder, writes } = recording()
    const other = { ...CALLED, workload: 'payments' }
    const kinds: Partial<FinishedRequest>[] = [
      {},
      { status: 503, flag: 'UF' },
      { reporter: 'destination' },
      { destination: other },
      { source: { ...other, principal: 'spiffe://east.mesh/ns/shop/sa/other' } },
      { service: 'x.y.svc.cluster.local' },
      { source: { ...CALLER, version: 'v2' } },
      { reporter: 'destination', mutualTls: true },
    ]
    // More kinds than are remembered, each of them twice, in both orders.
    for (let status = 400; status < 420; status++) kinds.push({ status })
    for (const fields of [...kinds, ...kinds.toReversed()]) recorder.request(finished(fields))
    // No label tells protocols apart.
    recorder.request(finished({ protocol: 'HTTP/2' }))
    recorder.flush()
    expect(linesOf(writes)).toHaveLength(2 * kinds.length + 1)
    const series = [...recorder.metrics.series]
    expect(series.map(({ count }) => count)).toEqual(kinds.map((_, index) => (index === 0 ? 3 : 2)))
    expect(new Set(series.map(({ labels }) => JSON.stringify(labels))).size).toBe(kinds.length)
  })

  it('writes after a tenth of a second, or when there is much', async () => {
    const { recorder, writes, clock } = recording()
    recorder.request(finished())
    recorder.line({ some: 'thing' })
    expect(writes).toEqual([])
    clock.advance(200)
    expect(linesOf(writes)).toHaveLength(2)
    for (let count = 0; count < 1_000; count++) recorder.request(finished())
    expect(writes).toHaveLength(1)
    await new Promise((resolve) => setImmediate(resolve))
    expect(writes).toHaveLength(2)
    expect(linesOf(writes)).toHaveLength(1_002)
  })
})

describe('pieces of a line', () => {
  it('quoted escapes as JSON does', () => {
    for (const text of ['', 'plain', 'a"b', 'a\\b', '\u0000', '\u007f', '\u2028', 'é', '\ud800']) {
      expect(JSON.parse(quoted(text))).toBe(text)
    }
  })

  it('IsoTime writes what Date does', () => {
    const time = new IsoTime()
    for (const at of [0, 1, 999, 1_000, 1_767_323_045_067.9, 1_767_323_045_999, 1_767_323_046_000, 12]) {
      expect(time.text(at)).toBe(new Date(at).toISOString())
    }
  })
})
