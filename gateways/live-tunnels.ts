/** Open tunnels of a gateway: counted for limits and metrics, and cut when what allowed them is withdrawn. */
import { family, formatLabels } from '../src/proxy/series.ts'

export interface LiveTunnel {
  readonly authority: string
  readonly sourceCluster: string
  /** Whether the present configuration would still open it. */
  readonly allowed: () => boolean
  readonly cut: () => void
}

interface Totals {
  readonly labels: string
  count: number
}

export class LiveTunnels {
  readonly #live = new Set<LiveTunnel>()
  readonly #outcomes = new Map<string, Totals>()
  #bytesIn = 0
  #bytesOut = 0

  get size(): number {
    return this.#live.size
  }

  /** The returned function forgets it. */
  add(tunnel: LiveTunnel): () => void {
    this.#live.add(tunnel)
    return () => this.#live.delete(tunnel)
  }

  /** After a new configuration; returns how many were cut. */
  recheck(): number {
    let cut = 0
    for (const tunnel of this.#live) {
      if (tunnel.allowed()) continue
      cut++
      tunnel.cut()
    }
    return cut
  }

  carried(bytesIn: number, bytesOut: number): void {
    this.#bytesIn += bytesIn
    this.#bytesOut += bytesOut
  }

  count(sourceCluster: string, result: string): void {
    const labels = formatLabels({ source_cluster: sourceCluster, result })
    const totals = this.#outcomes.get(labels) ?? { labels, count: 0 }
    totals.count++
    this.#outcomes.set(labels, totals)
  }

  exposition(): string {
    const open = new Map<string, number>()
    for (const { sourceCluster } of this.#live) open.set(sourceCluster, (open.get(sourceCluster) ?? 0) + 1)
    return [
      ...family(
        'isthmus_tunnels',
        'gauge',
        'Tunnels open, by the cluster of their caller.',
        Array.from(
          open,
          ([cluster, count]) => `isthmus_tunnels{${formatLabels({ source_cluster: cluster })}} ${count}`,
        ),
      ),
      ...family(
        'isthmus_tunnels_total',
        'counter',
        'CONNECT requests, by caller and result.',
        Array.from(this.#outcomes.values(), ({ labels, count }) => `isthmus_tunnels_total{${labels}} ${count}`),
      ),
      ...family('isthmus_tunnel_bytes_total', 'counter', 'Ciphertext carried.', [
        `isthmus_tunnel_bytes_total{direction="in"} ${this.#bytesIn}`,
        `isthmus_tunnel_bytes_total{direction="out"} ${this.#bytesOut}`,
      ]),
    ].join('\n')
  }
}
