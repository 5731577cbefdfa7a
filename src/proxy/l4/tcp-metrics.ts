/**
 * Istio's counters of TCP connections. Bytes are counted while they flow: a connection may live for days, and a scrape
 * must not wait for its end.
 */
import { type Between, labelsBetween, partyKey } from '../record.ts'
import { family, formatLabels, type Labels } from '../series.ts'

/** As for requests: beyond this many label sets per process the rest is counted as `other`. */
const SERIES_MAX = 20_000

export class TcpSeries {
  readonly labels: Labels
  opened = 0
  closed = 0
  received = 0
  sent = 0

  constructor(labels: Labels) {
    this.labels = labels
  }
}

export class TcpMetrics {
  readonly #series = new Map<string, TcpSeries>()
  readonly #live = new Set<{ settle(): void }>()

  /** `settle` brings the counters of a live connection up to date; the returned function forgets it. */
  follow(live: { settle(): void }): () => void {
    this.#live.add(live)
    return () => this.#live.delete(live)
  }

  /** `flags`: Envoy's letters for how the connection ended; `-` while it has not. */
  at(between: Between, flags: string): TcpSeries {
    const { reporter, source, destination, service, mutualTls } = between
    const key = `${reporter}|${partyKey(source)}|${partyKey(destination)}|${service}|${flags}|${mutualTls}`
    const known = this.#series.get(key)
    if (known !== undefined) return known
    if (this.#series.size >= SERIES_MAX) return this.#add('other', { reporter: 'other' })
    return this.#add(key, { ...labelsBetween(between), request_protocol: 'tcp', response_flags: flags })
  }

  #add(key: string, labels: Labels): TcpSeries {
    const series = this.#series.get(key) ?? new TcpSeries(labels)
    this.#series.set(key, series)
    return series
  }

  exposition(): string {
    for (const live of this.#live) live.settle()
    const lines: Record<'opened' | 'closed' | 'received' | 'sent', string[]> = {
      opened: [],
      closed: [],
      received: [],
      sent: [],
    }
    for (const series of this.#series.values()) {
      const labels = formatLabels(series.labels)
      lines.opened.push(`istio_tcp_connections_opened_total{${labels}} ${series.opened}`)
      lines.closed.push(`istio_tcp_connections_closed_total{${labels}} ${series.closed}`)
      lines.received.push(`istio_tcp_received_bytes_total{${labels}} ${series.received}`)
      lines.sent.push(`istio_tcp_sent_bytes_total{${labels}} ${series.sent}`)
    }
    return [
      ...family('istio_tcp_connections_opened_total', 'counter', 'TCP connections opened.', lines.opened),
      ...family('istio_tcp_connections_closed_total', 'counter', 'TCP connections closed.', lines.closed),
      ...family('istio_tcp_received_bytes_total', 'counter', 'Bytes from clients of TCP connections.', lines.received),
      ...family('istio_tcp_sent_bytes_total', 'counter', 'Bytes to clients of TCP connections.', lines.sent),
    ].join('\n')
  }
}
