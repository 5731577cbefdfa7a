import { describe, expect, it } from 'vitest'
import { buildReport, reportText, type ReportInput } from './report.ts'
import { sumSourceRequests } from './counters.ts'

const ok = { startedAt: 0, endedAt: 1, status: 200, pods: [] }
const bad = { ...ok, status: 503 }

const GOOD: ReportInput = {
  observations: Array.from({ length: 1_000 }, () => ok),
  phases: [{ name: 'before', requests: 1_000, failed: 0, shares: { cart: { east: 1 } } }],
  events: [
    {
      event: 'kill',
      service: 'cart',
      shareBefore: 1,
      movedMs: 900,
      failedRequests: 0,
      longestMs: 900,
      shareHealed: 0.9,
    },
  ],
  proxyRequests: 1_000,
  forbidden: 0,
  requestsPerPhaseMin: 1_000,
  startSeconds: 12,
  totalSeconds: 70,
}

const event = GOOD.events[0] ?? {
  event: '',
  service: '',
  shareBefore: 0,
  movedMs: 0,
  failedRequests: 0,
  longestMs: 0,
  shareHealed: 0,
}

describe('buildReport', () => {
  it('passes when every figure holds', () => {
    expect(buildReport(GOOD)).toMatchObject({
      passed: true,
      reasons: [],
      successRatio: 1,
      shares: { before: { cart: { east: 1 } } },
    })
  })

  it.each([
    [
      'a low success ratio',
      { observations: [...Array.from({ length: 980 }, () => ok), ...Array.from({ length: 20 }, () => bad)] },
      'success ratio 0.9800',
    ],
    ['no request at all', { observations: [], proxyRequests: 0 }, 'no request was sent'],
    ['a slow move', { events: [{ ...event, movedMs: 5_001 }] }, '5001 ms to move'],
    ['a target that served little', { events: [{ ...event, shareBefore: 0.29 }] }, 'only 29.0 %'],
    ['traffic that does not come back', { events: [{ ...event, shareHealed: 0.4 }] }, 'after the heal'],
    ['a short phase', { requestsPerPhaseMin: 1_001 }, 'under 1001'],
    ['a proxy that counts otherwise', { proxyRequests: 1_011 }, 'counted 1011 requests'],
    ['refused API requests', { forbidden: 2 }, '2 requests of the mesh'],
  ])('fails for %s', (_, change, reason) => {
    const report = buildReport({ ...GOOD, ...change })
    expect(report.passed).toBe(false)
    expect(report.reasons.join('\n')).toContain(reason)
    expect(reportText(report)).toContain('FAILED')
  })
})

describe('sumSourceRequests', () => {
  it('adds the source reporter only', () => {
    const text = [
      'istio_requests_total{reporter="source",a="{"} 7',
      'istio_requests_total{reporter="source",b="x"} 5 1700',
      'istio_requests_total{reporter="destination"} 100',
      'other{reporter="source"} 1',
    ].join('\n')
    expect(sumSourceRequests(text)).toBe(12)
  })
})
