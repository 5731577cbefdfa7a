/**
 * What is counted for one listener, one connection manager, one cluster. Made once per name and kept across
 * configurations, so that compiled objects hold them and a swap loses no count. Reading is store.ts's.
 */
import { Histogram } from './histogram.ts'
import { CLUSTER_NAMES, type Counters, HTTP_NAMES, LISTENER_NAMES, TCP_NAMES, zeroes } from './names.ts'

export type ListenerCounters = Counters<(typeof LISTENER_NAMES)[number]>
export type TcpCounters = Counters<(typeof TCP_NAMES)[number]>

export const listenerCounters = (): ListenerCounters => zeroes(LISTENER_NAMES)
export const tcpCounters = (): TcpCounters => zeroes(TCP_NAMES)

export class HttpStats {
  readonly counters = zeroes(HTTP_NAMES)
  readonly requestTime = new Histogram()
  readonly connectionLength = new Histogram()

  began(http2: boolean): void {
    const { counters } = this
    counters.downstream_rq_total++
    counters.downstream_rq_active++
    if (http2) counters.downstream_rq_http2_total++
    else counters.downstream_rq_http1_total++
  }

  /** `status` 0: there was no answer. */
  ended(status: number, durationMs: number): void {
    const { counters } = this
    counters.downstream_rq_active--
    this.requestTime.add(durationMs)
    if (status === 0) return
    counters.downstream_rq_completed++
    if (status < 200) counters.downstream_rq_1xx++
    else if (status < 300) counters.downstream_rq_2xx++
    else if (status < 400) counters.downstream_rq_3xx++
    else if (status < 500) counters.downstream_rq_4xx++
    else counters.downstream_rq_5xx++
  }

  connected(http2: boolean, secure: boolean): void {
    const { counters } = this
    counters.downstream_cx_total++
    counters.downstream_cx_active++
    const [total, active] = codec(http2)
    counters[total]++
    counters[active]++
    if (!secure) return
    counters.downstream_cx_ssl_total++
    counters.downstream_cx_ssl_active++
  }

  disconnected(http2: boolean, secure: boolean, how: { readonly local: boolean; readonly lengthMs: number }): void {
    const { counters } = this
    counters.downstream_cx_active--
    counters.downstream_cx_destroy++
    if (how.local) counters.downstream_cx_destroy_local++
    else counters.downstream_cx_destroy_remote++
    counters[codec(http2)[1]]--
    if (secure) counters.downstream_cx_ssl_active--
    this.connectionLength.add(how.lengthMs)
  }
}

const codec = (http2: boolean) =>
  http2
    ? (['downstream_cx_http2_total', 'downstream_cx_http2_active'] as const)
    : (['downstream_cx_http1_total', 'downstream_cx_http1_active'] as const)

const CLASSES = 10

export class ClusterStats {
  readonly counters = zeroes(CLUSTER_NAMES)
  readonly requestTime = new Histogram()
  readonly connectTime = new Histogram()
  readonly connectionLength = new Histogram()
  /** Answers by status, in hundreds that are made when the first of them comes. */
  readonly #codes: (Float64Array | undefined)[] = []

  /** A request was handed to a connection; the end of the attempt takes it out of those under way. */
  sent(): void {
    this.counters.upstream_rq_total++
    this.counters.upstream_rq_active++
  }

  retried(): void {
    this.counters.upstream_rq_retry++
    this.counters.upstream_rq_retry_backoff_exponential++
  }

  /** An answer, a retried one and a local one in the endpoints' stead included. */
  answered(status: number): void {
    this.counters.upstream_rq_completed++
    const hundred = Math.min(Math.floor(status / 100), CLASSES - 1)
    const codes = (this.#codes[hundred] ??= new Float64Array(100))
    const rest = status % 100
    codes[rest] = (codes[rest] ?? 0) + 1
  }

  /** Per status and per class: `200`, `2xx`. */
  eachCode(take: (name: string, count: number) => void): void {
    for (const [hundred, codes] of this.#codes.entries()) {
      if (codes === undefined) continue
      let total = 0
      for (const [rest, count] of codes.entries()) {
        total += count
        if (count > 0) take(String(hundred * 100 + rest), count)
      }
      take(`${hundred}xx`, total)
    }
  }

  clear(): void {
    this.#codes.length = 0
  }
}
