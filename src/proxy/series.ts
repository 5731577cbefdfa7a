/**
 * Counters of the data path as plain numbers, and their text form for Prometheus. A label set is looked up once per
 * request and costs one map access; nothing is formatted until someone scrapes.
 */
import { BOUNDS_MS, Histogram, type HistogramFigures } from './stats/histogram.ts'

export type Labels = Readonly<Record<string, string>>

/** Beyond this many label sets per process the rest is counted as `other` (design, Wire contract). */
export const SERIES_MAX = 20_000

export class RequestSeries {
  readonly labels: Labels
  readonly duration = new Histogram()
  readonly received = new Histogram()
  readonly sent = new Histogram()

  constructor(labels: Labels) {
    this.labels = labels
  }

  get count(): number {
    return this.duration.count
  }

  add(durationMs: number, bytesReceived: number, bytesSent: number): void {
    this.duration.add(durationMs)
    this.received.add(bytesReceived)
    this.sent.add(bytesSent)
  }
}

/** All request series of the process. */
export class RequestMetrics {
  readonly #series = new Map<string, RequestSeries>()
  #overflowed = 0

  /** `key` tells label sets apart; `labels` is called only for a new one. */
  at(key: string, labels: () => Labels): RequestSeries {
    const found = this.#series.get(key)
    if (found !== undefined) return found
    if (this.#series.size >= SERIES_MAX) {
      this.#overflowed++
      return this.#add('other', { reporter: 'other' })
    }
    return this.#add(key, labels())
  }

  #add(key: string, labels: Labels): RequestSeries {
    const series = this.#series.get(key) ?? new RequestSeries(labels)
    this.#series.set(key, series)
    return series
  }

  get series(): Iterable<RequestSeries> {
    return this.#series.values()
  }

  exposition(): string {
    const total: string[] = []
    const duration: string[] = []
    const received: string[] = []
    const sent: string[] = []
    for (const series of this.#series.values()) {
      const labels = formatLabels(series.labels)
      total.push(`istio_requests_total{${labels}} ${series.count}`)
      appendHistogram(duration, 'istio_request_duration_milliseconds', labels, series.duration)
      appendHistogram(received, 'istio_request_bytes', labels, series.received)
      appendHistogram(sent, 'istio_response_bytes', labels, series.sent)
    }
    return [
      ...family('istio_requests_total', 'counter', 'Requests by source, destination and outcome.', total),
      ...family('istio_request_duration_milliseconds', 'histogram', 'Time from head to end of response.', duration),
      ...family('istio_request_bytes', 'histogram', 'Bytes of request heads and bodies.', received),
      ...family('istio_response_bytes', 'histogram', 'Bytes of response heads and bodies.', sent),
      ...family('isthmus_series_overflow_total', 'counter', 'Requests counted as other: too many label sets.', [
        `isthmus_series_overflow_total ${this.#overflowed}`,
      ]),
    ].join('\n')
  }
}

/** Lines of one metric family; nothing at all while it has no value. */
export function family(name: string, type: string, help: string, lines: readonly string[]): string[] {
  return lines.length === 0 ? [] : [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, ...lines, '']
}

export function formatLabels(labels: Labels): string {
  return Object.entries(labels)
    .map(
      ([name, value]) => `${name}="${value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')}"`,
    )
    .join(',')
}

/** In Envoy's buckets, which Istio takes for sizes too. `labels` may be empty. */
export function appendHistogram(lines: string[], name: string, labels: string, histogram: HistogramFigures): void {
  const before = labels === '' ? '' : `${labels},`
  const behind = labels === '' ? '' : `{${labels}}`
  const { buckets, count, sum } = histogram
  let cumulative = 0
  for (const [index, bound] of BOUNDS_MS.entries()) {
    cumulative += buckets[index] ?? 0
    lines.push(`${name}_bucket{${before}le="${bound}"} ${cumulative}`)
  }
  lines.push(`${name}_bucket{${before}le="+Inf"} ${count}`)
  lines.push(`${name}_sum${behind} ${Math.round(sum * 1_000) / 1_000}`, `${name}_count${behind} ${count}`)
}
