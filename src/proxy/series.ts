/**
 * Counters of the data path as plain numbers, and their text form for Prometheus. A label set is looked up once per
 * request and costs one map access; nothing is formatted until someone scrapes.
 */
export type Labels = Readonly<Record<string, string>>

/** Beyond this many label sets per process the rest is counted as `other` (design, Wire contract). */
export const SERIES_MAX = 20_000

/** Istio's buckets, milliseconds. */
const DURATION_BUCKETS_MS = [
  0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000, 600_000, 1_800_000,
  3_600_000,
] as const

export class RequestSeries {
  readonly labels: Labels
  count = 0
  durationSumMs = 0
  bytesReceived = 0
  bytesSent = 0
  readonly buckets: Float64Array

  constructor(labels: Labels) {
    this.labels = labels
    this.buckets = new Float64Array(DURATION_BUCKETS_MS.length)
  }

  add(durationMs: number, bytesReceived: number, bytesSent: number): void {
    this.count++
    this.durationSumMs += durationMs
    this.bytesReceived += bytesReceived
    this.bytesSent += bytesSent
    for (let index = 0; index < DURATION_BUCKETS_MS.length; index++) {
      if (durationMs > (DURATION_BUCKETS_MS[index] ?? 0)) continue
      this.buckets[index] = (this.buckets[index] ?? 0) + 1
      break
    }
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
      appendHistogram(duration, series, labels)
      received.push(`istio_request_bytes_sum{${labels}} ${series.bytesReceived}`)
      received.push(`istio_request_bytes_count{${labels}} ${series.count}`)
      sent.push(`istio_response_bytes_sum{${labels}} ${series.bytesSent}`)
      sent.push(`istio_response_bytes_count{${labels}} ${series.count}`)
    }
    return [
      ...family('istio_requests_total', 'counter', 'Requests by source, destination and outcome.', total),
      ...family('istio_request_duration_milliseconds', 'histogram', 'Time from head to end of response.', duration),
      ...family('istio_request_bytes', 'summary', 'Bytes of request heads and bodies.', received),
      ...family('istio_response_bytes', 'summary', 'Bytes of response heads and bodies.', sent),
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

function appendHistogram(lines: string[], series: RequestSeries, labels: string): void {
  const name = 'istio_request_duration_milliseconds'
  let cumulative = 0
  for (const [index, bound] of DURATION_BUCKETS_MS.entries()) {
    cumulative += series.buckets[index] ?? 0
    lines.push(`${name}_bucket{${labels},le="${bound}"} ${cumulative}`)
  }
  lines.push(`${name}_bucket{${labels},le="+Inf"} ${series.count}`)
  lines.push(`${name}_sum{${labels}} ${series.durationSumMs}`, `${name}_count{${labels}} ${series.count}`)
}
