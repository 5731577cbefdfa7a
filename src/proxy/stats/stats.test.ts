import { assert, array, double, property } from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Histogram, quantile } from './histogram.ts'
import { isGauge } from './names.ts'
import { mergeSamples, type Sample, Stats } from './store.ts'
import { isUsed, statExposition, statJson, statLines } from './text.ts'

function counted(): Stats {
  const stats = new Stats()
  const http = stats.http('ingress')
  http.began(true)
  http.ended(204, 3)
  http.began(false)
  const cluster = stats.cluster('outbound|80||a.b.c')
  cluster.sent()
  cluster.answered(503)
  cluster.answered(200)
  stats.counters('http.ingress.rbac.', ['allowed', 'denied']).denied++
  stats.listener('::1', 80).downstream_cx_total++
  return stats
}

const valueOf = (samples: readonly Sample[], name: string): number | undefined => {
  const found = samples.find((sample) => sample.name === name)
  return found === undefined || found.kind === 'histogram' ? undefined : found.value
}

describe('Stats', () => {
  it('hands out one scope per name and reads all by Envoy’s names, in order', () => {
    const stats = counted()
    expect(stats.http('ingress')).toBe(stats.http('ingress'))
    const samples = stats.samples()
    expect(valueOf(samples, 'http.ingress.downstream_rq_total')).toBe(2)
    expect(valueOf(samples, 'http.ingress.downstream_rq_active')).toBe(1)
    expect(valueOf(samples, 'http.ingress.downstream_rq_2xx')).toBe(1)
    expect(valueOf(samples, 'http.ingress.rbac.denied')).toBe(1)
    expect(valueOf(samples, 'cluster.outbound|80||a.b.c.upstream_rq_503')).toBe(1)
    expect(valueOf(samples, 'cluster.outbound|80||a.b.c.upstream_rq_5xx')).toBe(1)
    expect(valueOf(samples, 'cluster.outbound|80||a.b.c.upstream_rq_completed')).toBe(2)
    expect(valueOf(samples, 'listener.[__1]_80.downstream_cx_total')).toBe(1)
    const names = samples.map(({ name }) => name)
    expect(names).toEqual([...new Set(names)].sort())
  })

  it('forgets counters when asked, and never what is under way', () => {
    const stats = counted()
    stats.reset()
    const samples = stats.samples()
    expect(valueOf(samples, 'http.ingress.downstream_rq_total')).toBe(0)
    expect(valueOf(samples, 'http.ingress.downstream_rq_active')).toBe(1)
    expect(valueOf(samples, 'cluster.outbound|80||a.b.c.upstream_rq_503')).toBeUndefined()
    expect(samples.every((sample) => sample.kind !== 'histogram' || sample.count === 0)).toBe(true)
  })

  it('adds up over workers to what one process would have counted', () => {
    const merged = mergeSamples([counted().samples(), counted().samples(), new Stats().samples()])
    expect(valueOf(merged, 'http.ingress.downstream_rq_total')).toBe(4)
    const time = merged.find(({ name }) => name === 'http.ingress.downstream_rq_time')
    expect(time).toMatchObject({ kind: 'histogram', count: 2, sum: 6 })
    expect(JSON.parse(JSON.stringify(merged))).toEqual(merged)
  })

  it('tells gauges from counters', () => {
    const gauges = ['cluster.a.upstream_rq_active', 'cluster.a.membership_healthy', 'x.cx_open', 'server.uptime']
    expect(gauges.filter((name) => !isGauge(name))).toEqual([])
    expect(['cluster.a.upstream_cx_none_healthy', 'http.a.downstream_cx_destroy'].filter(isGauge)).toEqual([])
  })
})

describe('what admin shows', () => {
  it('is a line per counter, then histograms', () => {
    const lines = statLines(counted().samples().filter(isUsed)).trimEnd().split('\n')
    expect(lines).toContain('http.ingress.downstream_rq_2xx: 1')
    expect(lines.at(-1)).toMatch(/^http\.ingress\.downstream_rq_time: P0\(1,1\) .* P100\(5,5\)$/)
    const { stats } = JSON.parse(statJson(counted().samples())) as { stats: { histograms?: object }[] }
    expect(stats.at(-1)?.histograms).toBeDefined()
  })

  it('is one family per metric for Prometheus, the variable parts as labels', () => {
    const text = statExposition(counted().samples())
    const types = [...text.matchAll(/^# TYPE (\S+) (\w+)$/gm)].map((match) => match[1])
    expect(types).toEqual([...new Set(types)])
    expect(text).toContain(
      'envoy_http_downstream_rq_xx{envoy_response_code_class="2",envoy_http_conn_manager_prefix="ingress"} 1',
    )
    expect(text).toContain(
      'envoy_cluster_upstream_rq{envoy_response_code="503",envoy_cluster_name="outbound|80||a.b.c"} 1',
    )
    expect(text).toContain('envoy_http_downstream_rq_time_bucket{envoy_http_conn_manager_prefix="ingress",le="5"} 1')
    expect(text).toContain('envoy_listener_downstream_cx_total{envoy_listener_address="[__1]_80"} 1')
    for (const line of text.split('\n')) expect(line).toMatch(/^(#.*|[a-z_0-9A-Z]+(\{.*\})? -?[0-9.e+]+|)$/)
  })
})

describe('Histogram', () => {
  it('keeps every value in some bucket, and a quantile within the bounds', () => {
    assert(
      property(array(double({ min: 0, max: 1e7, noNaN: true }), { minLength: 1 }), (values) => {
        const histogram = new Histogram()
        for (const value of values) histogram.add(value)
        expect(histogram.buckets.reduce((sum, count) => sum + count, 0)).toBe(values.length)
        const [low, high] = [quantile(histogram.buckets, 0.1), quantile(histogram.buckets, 0.9)]
        expect(low).toBeLessThanOrEqual(high)
      }),
    )
  })
})
