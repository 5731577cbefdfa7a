/** What a pool counts for its cluster, under Envoy's names, and for its endpoint; the limits on connections with it. */
import type { ClusterLimits } from '../balance/limits.ts'
import type { ClusterStats } from '../stats/scopes.ts'
import type { CloseReason } from '../stream.ts'
import type { ConnectFailure } from './transport.ts'

export type CounterName = keyof ClusterStats['counters']

export class PoolAccount {
  /** Connections begun, and those that led to nothing. */
  connectionsTotal = 0
  connectFailures = 0
  readonly #limits: ClusterLimits | undefined
  readonly #http1: boolean

  /** Without limits there is no cluster to count for: the pool is of a gateway's own. */
  constructor(limits: ClusterLimits | undefined, http1: boolean) {
    this.#limits = limits
    this.#http1 = http1
  }

  count(name: CounterName): void {
    if (this.#limits !== undefined) this.#limits.stats.counters[name]++
  }

  dialled(): void {
    this.connectionsTotal++
    const limits = this.#limits
    if (limits === undefined) return
    const { counters } = limits.stats
    limits.connections++
    counters.upstream_cx_total++
    counters.upstream_cx_active++
    if (this.#http1) counters.upstream_cx_http1_total++
    else counters.upstream_cx_http2_total++
  }

  failed({ kind }: ConnectFailure): void {
    this.connectFailures++
    this.count('upstream_cx_connect_fail')
    if (kind === 'timeout') this.count('upstream_cx_connect_timeout')
    this.gone(1, kind === 'timeout' ? 'upstream_cx_destroy_local' : 'upstream_cx_destroy_remote')
  }

  closed(reason: CloseReason, lengthMs: number): void {
    if (reason === 'protocol') this.count('upstream_cx_protocol_error')
    const byPeer = reason === 'closed' || reason === 'lost'
    this.gone(1, byPeer ? 'upstream_cx_destroy_remote' : 'upstream_cx_destroy_local')
    this.#limits?.stats.connectionLength.add(lengthMs)
  }

  /** Connections that are no more, opened or not. */
  gone(connections: number, how: CounterName): void {
    const limits = this.#limits
    if (limits === undefined) return
    const { counters } = limits.stats
    limits.connections -= connections
    counters.upstream_cx_active -= connections
    counters.upstream_cx_destroy += connections
    counters[how] += connections
  }
}
