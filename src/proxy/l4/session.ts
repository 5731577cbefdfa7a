/**
 * One TCP connection through this proxy: an endpoint is chosen and connected to before a byte of the client is read (its
 * server may have to speak first), another one is tried while nothing was sent, then bytes are carried (splice.ts). Who
 * may connect at all was decided before.
 */
import type { Socket } from 'node:net'
import type { Cancel } from '../../runtime/clock.ts'
import type { Random } from '../../runtime/random.ts'
import type { ClusterState, PickRequest } from '../balance/cluster.ts'
import type { EndpointState } from '../balance/endpoint.ts'
import { xxhash64 } from '../balance/xxhash64.ts'
import { type Between, type Party, partyFields, type Recorder } from '../record.ts'
import type { StreamLogs } from '../access-log/logs.ts'
import type { TcpCounters } from '../stats/scopes.ts'
import type { ServerConnection } from '../stream.ts'
import { type TimerWheel, WheelTimer } from '../timer-wheel.ts'
import type { ConnectFailure, OpenStream } from '../upstream/transport.ts'
import type { Addresses } from './proxy-protocol.ts'
import { resetSocket } from './reset.ts'
import { Splice, type SpliceEnd } from './splice.ts'
import type { TcpMetrics } from './tcp-metrics.ts'
import type { TcpTarget, TcpTargets } from './targets.ts'

const IDLE_MS = 3_600_000 // Envoy's tcp_proxy: 1 h

/** A TCP proxy filter, ready to run. */
export interface CompiledTcp {
  readonly kind: 'tcp'
  readonly clusterName: string
  readonly targets: TcpTargets
  readonly hashSourceIp: boolean
  readonly attemptsMax: number
  readonly idleMs: number
  /** Infinity: no limit. */
  readonly durationMaxMs: number
  readonly logs: StreamLogs | undefined
  readonly counters: TcpCounters | undefined
}

export const TCP_DEFAULTS = {
  attemptsMax: 1,
  idleMs: IDLE_MS,
  durationMaxMs: Number.POSITIVE_INFINITY,
  logs: undefined,
  counters: undefined,
} as const

export interface TcpServices {
  readonly timers: TimerWheel
  readonly recorder: Recorder
  readonly metrics: TcpMetrics
  readonly random: Random
  /** Begins a connection's line; what it returns is told how it ended. */
  beginLog(client: Pick<TcpClient, 'socket' | 'addresses'>, logs: StreamLogs): (end: TcpEnd) => void
  /** Wall clock, for the log. */
  now(): number
}

/** How a connection ended, for its access logs. */
export interface TcpEnd {
  readonly flag: string
  readonly detail: string
  readonly cluster: string
  /** Empty: none was reached. */
  readonly upstream: string
  readonly attempts: number
  readonly bytesReceived: number
  readonly bytesSent: number
}

export interface TcpClient {
  readonly socket: Socket
  readonly reporter: 'source' | 'destination' | 'gateway'
  readonly source: Party
  /** Absent: whom the chosen endpoint stands for. */
  readonly destination: Party | undefined
  /** Host of the service asked for. */
  readonly service: string
  readonly mutualTls: boolean
  /** As the client's own connection has them, or as a relay before us said. Absent: as the socket has them. */
  readonly addresses?: Addresses & { readonly isBrought?: boolean }
  /** Instead of the filter's own: what a server name stands for. */
  readonly clusterName?: string
  readonly onClose: () => void
}

/** Envoy's letters. */
type Flag = '-' | 'NC' | 'UH' | 'UF' | 'UO' | 'UC' | 'DC' | 'SI' | 'DT' | 'LR'

const FLAGS: Readonly<Record<SpliceEnd, Flag>> = { closed: '-', client: 'DC', upstream: 'UC', idle: 'SI', cut: 'LR' }
const NOBODY: Party = { cluster: '', namespace: '', workload: '', version: '', principal: '' }

export class TcpSession implements ServerConnection {
  readonly #client: TcpClient
  readonly #filter: CompiledTcp
  readonly #services: TcpServices
  readonly #startedAt: number
  readonly #startedWall: number
  readonly #tried: EndpointState[] = []
  readonly #endTimer: WheelTimer
  readonly #target: TcpTarget
  #cancelDial: Cancel | undefined = undefined
  #endpoint: EndpointState | undefined = undefined
  #upstream: OpenStream | undefined = undefined
  #splice: Splice | undefined = undefined
  #entered = false
  #over = false
  #flag: Flag = '-'
  #detail = ''
  #forget: () => void = () => {}
  readonly #logEnd: ((end: TcpEnd) => void) | undefined
  #settledReceived = 0
  #settledSent = 0
  readonly #gone = (): void => this.#end('DC', 'the client left before an endpoint was reached')

  constructor(client: TcpClient, filter: CompiledTcp, services: TcpServices) {
    this.#client = client
    this.#filter = filter
    this.#services = services
    this.#startedAt = services.timers.now()
    this.#startedWall = services.now()
    this.#logEnd = filter.logs && services.beginLog(client, filter.logs)
    if (filter.counters !== undefined) filter.counters.downstream_cx_total++
    this.#endTimer = new WheelTimer(() => this.#timeIsUp())
    this.#target = filter.targets.choose(services.random, client.clusterName)
    client.socket.on('error', this.#gone).on('close', this.#gone)
    if (filter.durationMaxMs !== Number.POSITIVE_INFINITY) {
      services.timers.schedule(this.#endTimer, filter.durationMaxMs)
    }
  }

  start(): void {
    const { cluster, name } = this.#target
    if (cluster === undefined) {
      return this.#end('NC', `no cluster ${name}`)
    }
    if (!cluster.limits.mayConnect()) return this.#end('UO', 'too many connections to the cluster')
    cluster.limits.connections++
    cluster.enter()
    this.#entered = true
    return this.#attempt(cluster, undefined)
  }

  get activeStreams(): number {
    return 1
  }

  /** Nothing in the bytes could tell the peer to leave; it is waited for until the drain's deadline. */
  drain(): void {}

  destroy(): void {
    if (this.#splice !== undefined) return this.#splice.cut()
    this.#end('LR', 'ended by us')
  }

  /** Brings the counters up to date with what flowed since they were last. */
  settle(): void {
    const splice = this.#splice
    if (splice === undefined || this.#client.reporter === 'gateway') return
    const series = this.#services.metrics.at(this.#between(), '-')
    series.received += splice.bytesToUpstream - this.#settledReceived
    series.sent += splice.bytesToClient - this.#settledSent
    this.#settledReceived = splice.bytesToUpstream
    this.#settledSent = splice.bytesToClient
  }

  #attempt(cluster: ClusterState, failure: ConnectFailure | undefined): void {
    const state = this.#tried.length < this.#filter.attemptsMax ? cluster.pick(this.#tried, this.#request()) : undefined
    if (state === undefined || this.#tried.includes(state)) {
      if (failure === undefined) return this.#end('UH', 'no endpoint is there')
      return this.#end('UF', failure.detail)
    }
    const way = state.streams
    if (way === undefined) return this.#end('UF', 'the cluster carries no TCP')
    this.#tried.push(state)
    this.#endpoint = state
    state.active++
    const { counters } = cluster.limits.stats
    counters.upstream_cx_total++
    counters.upstream_cx_active++
    this.#cancelDial = way.open((outcome) => {
      this.#cancelDial = undefined
      cluster.report(state, undefined, outcome.kind === 'open')
      if (outcome.kind === 'open') return this.#connected(outcome.stream)
      state.active--
      this.#endpoint = undefined
      counters.upstream_cx_connect_fail++
      if (outcome.failure.kind === 'timeout') counters.upstream_cx_connect_timeout++
      this.#left(cluster)
      return this.#attempt(cluster, outcome.failure)
    }, this.#addresses())
  }

  #left({ limits }: ClusterState): void {
    limits.stats.counters.upstream_cx_active--
    limits.stats.counters.upstream_cx_destroy++
  }

  #request(): PickRequest {
    const { subset } = this.#target
    const { remoteAddress, localAddress, localPort } = this.#addresses()
    const hash = this.#filter.hashSourceIp ? xxhash64(remoteAddress) : undefined
    // Our own address is no place to go on to: only one that somebody brought says where the client wanted to go.
    const isBrought = this.#client.addresses?.isBrought === true
    return {
      ...(subset !== undefined && { subset }),
      ...(hash !== undefined && { hash }),
      ...(isBrought && { destination: { address: localAddress, port: localPort } }),
    }
  }

  #addresses(): Addresses {
    const { socket, addresses } = this.#client
    if (addresses !== undefined) return addresses
    const { remoteAddress = '', remotePort = 0, localAddress = '', localPort = 0 } = socket
    return { remoteAddress, remotePort, localAddress, localPort }
  }

  #connected(upstream: OpenStream): void {
    const { timers, metrics } = this.#services
    const { socket } = this.#client
    this.#upstream = upstream
    socket.off('error', this.#gone).off('close', this.#gone)
    // Elsewhere than in the mesh neither end has a name.
    if (this.#client.reporter !== 'gateway') {
      metrics.at(this.#between(), '-').opened++
      this.#forget = metrics.follow(this)
    }
    // A connection ends at the latest when either certificate does.
    const leftMs = this.#filter.durationMaxMs - (timers.now() - this.#startedAt)
    const lifetimeMs = Math.min(leftMs, upstream.lifetimeMs)
    if (lifetimeMs !== Number.POSITIVE_INFINITY) timers.schedule(this.#endTimer, Math.max(0, lifetimeMs))
    this.#splice = new Splice(socket, upstream.socket, {
      timers,
      idleMs: this.#filter.idleMs,
      onEnd: (how) => this.#end(this.#flag === '-' ? FLAGS[how] : this.#flag, this.#detail),
    })
  }

  #timeIsUp(): void {
    this.#flag = 'DT'
    this.#detail = 'the connection lived as long as it may'
    if (this.#splice !== undefined) return this.#splice.cut()
    this.#end(this.#flag, this.#detail)
  }

  #end(flag: Flag, detail: string): void {
    if (this.#over) return
    this.#over = true
    const { cluster } = this.#target
    this.#services.timers.cancel(this.#endTimer)
    this.#cancelDial?.()
    if (this.#endpoint !== undefined) {
      this.#endpoint.active--
      if (cluster !== undefined) this.#left(cluster)
    }
    if (this.#entered && cluster !== undefined) {
      cluster.limits.connections--
      cluster.leave()
    }
    this.#record(flag, detail)
    if (this.#splice === undefined) {
      const { socket, reporter } = this.#client
      socket.off('error', this.#gone).off('close', this.#gone)
      socket.on('error', () => {})
      // In the mesh as an endpoint that is not there would have answered; elsewhere as Envoy, in good order.
      if (reporter === 'gateway') socket.destroySoon()
      else resetSocket(socket)
    }
    this.#client.onClose()
  }

  #between(): Between {
    const { reporter, source, destination, service, mutualTls } = this.#client
    return {
      reporter: reporter === 'destination' ? 'destination' : 'source',
      source,
      destination: destination ?? this.#chosen(),
      service,
      mutualTls,
    }
  }

  #chosen(): Party {
    const workload = this.#endpoint?.endpoint.workload
    return workload === undefined ? NOBODY : { ...workload, version: '', principal: this.#upstream?.peer?.uri ?? '' }
  }

  #record(flag: Flag, detail: string): void {
    const { recorder, metrics, timers } = this.#services
    const { reporter, service } = this.#client
    const between = this.#between()
    this.settle()
    this.#forget()
    if (reporter !== 'gateway') {
      if (this.#splice === undefined) metrics.at(between, flag).opened++
      metrics.at(between, flag).closed++
    }
    const { cluster, upstream, attempts, bytesReceived, bytesSent } = this.#told(flag, detail)
    if (this.#logEnd !== undefined) return
    recorder.line({
      time: new Date(this.#startedWall).toISOString(),
      reporter,
      protocol: 'TCP',
      flags: flag,
      ...(detail === '' ? {} : { detail }),
      cluster,
      upstream: upstream === '' ? '-' : upstream,
      transport: (this.#upstream && this.#endpoint?.endpoint.transport) ?? '-',
      attempts,
      durationMs: Math.round(timers.now() - this.#startedAt),
      bytesReceived,
      bytesSent,
      ...(service === '' ? {} : { service }),
      ...(reporter === 'gateway'
        ? {}
        : { source: partyFields(between.source), destination: partyFields(between.destination) }),
    })
  }

  /** To counters and configured logs; returned for the line that is written where there are none. */
  #told(flag: Flag, detail: string): TcpEnd {
    const endpoint = this.#upstream === undefined ? undefined : this.#endpoint?.endpoint
    const end: TcpEnd = {
      flag,
      detail,
      cluster: this.#target.name,
      upstream: endpoint === undefined ? '' : `${endpoint.address}:${endpoint.port}`,
      attempts: this.#tried.length,
      bytesReceived: this.#splice?.bytesToUpstream ?? 0,
      bytesSent: this.#splice?.bytesToClient ?? 0,
    }
    this.#count(flag, end.bytesReceived, end.bytesSent)
    this.#logEnd?.(end)
    return end
  }

  #count(flag: Flag, received: number, sent: number): void {
    const { counters } = this.#filter
    if (counters === undefined) return
    counters.downstream_cx_rx_bytes_total += received
    counters.downstream_cx_tx_bytes_total += sent
    if (flag === 'NC') counters.downstream_cx_no_route++
    if (flag === 'SI') counters.idle_timeout++
    if (flag === 'DT') counters.max_downstream_connection_duration++
  }
}
