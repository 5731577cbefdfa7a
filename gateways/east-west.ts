/**
 * Serves the CONNECT streams of callers in other clusters (design, Wire contract): looks the named service up among
 * what is exported to that very caller, picks the ready endpoint with the fewest tunnels, and splices bytes. It never
 * resolves a name, never sees plaintext, and tells a caller nothing about services that are not for it.
 */
import { connect, type Socket } from 'node:net'
import type { CompiledChain } from '../src/proxy/compile.ts'
import type { TunnelServer } from '../src/proxy/connection.ts'
import type { ClusterState } from '../src/proxy/balance/cluster.ts'
import type { EndpointState } from '../src/proxy/balance/endpoint.ts'
import { splice } from '../src/proxy/h2/splice.ts'
import { allows, type Peer } from '../src/proxy/identity.ts'
import type { ProxyOptions, TunnelParts } from '../src/proxy/proxy.ts'
import { type CompiledRoute, findConnectRoute, findHost } from '../src/proxy/routes.ts'
import type { CloseReason, RequestSink, ServerConnectionHandler, ServerStream } from '../src/proxy/stream.ts'
import { WheelTimer } from '../src/proxy/timer-wheel.ts'
import { LiveTunnels } from './live-tunnels.ts'
import { OrdinaryRequest } from './ordinary-request.ts'
import {
  readTunnelRequest,
  TUNNEL_REFUSALS,
  type TunnelRefusal,
  type TunnelRequest,
  WIRE_VERSION,
} from './tunnel-request.ts'

/** Per gateway process; a caller opens at most 16 per service (goals C: 5,000 within 600 MiB). */
const TUNNELS_MAX = 5_000
/** One broken pod does not fail a caller while there are others. */
const ATTEMPTS_MAX = 3
/** Room for a ClientHello sent ahead of the answer. */
const EARLY_BYTES_MAX = 64 * 1024

export interface EastWest {
  readonly tunnels: NonNullable<ProxyOptions['tunnels']>
  readonly live: LiveTunnels
}

export function eastWest(): EastWest {
  const live = new LiveTunnels()
  return {
    live,
    tunnels: (parts) => {
      parts.state.onSwap(() => live.recheck())
      const server: TunnelServer = ({ peer, chain, onClose }) => new Caller({ parts, live, peer, chain, onClose })
      return server
    },
  }
}

interface CallerOptions {
  readonly parts: TunnelParts
  readonly live: LiveTunnels
  readonly peer: Peer
  readonly chain: () => CompiledChain | undefined
  readonly onClose: (reason: CloseReason, detail: string) => void
}

/** One outer connection: a caller whose certificate was judged. */
class Caller implements ServerConnectionHandler {
  readonly #options: CallerOptions

  constructor(options: CallerOptions) {
    this.#options = options
  }

  onRequest(stream: ServerStream): void {
    if (stream.head.method === 'CONNECT') return new TunnelStream(stream, this.#options).start()
    const { parts, live, peer } = this.#options
    const startedAt = parts.timers.now()
    return new OrdinaryRequest(stream, parts.timers, (status, result) => {
      live.count(clusterOf(peer), result)
      const bytes = { received: stream.bytesReceived, sent: stream.bytesSent }
      record({ parts, peer, startedAt, authority: stream.head.authority }, { status, result, bytes })
    }).start()
  }

  onRefused(): void {
    this.#options.live.count(clusterOf(this.#options.peer), 'protocol')
  }

  onClose(reason: CloseReason, detail: string): void {
    this.#options.onClose(reason, detail)
  }
}

class TunnelStream implements RequestSink {
  readonly #stream: ServerStream
  readonly #options: CallerOptions
  readonly #startedAt: number
  readonly #timer: WheelTimer
  #authority = ''
  #cluster: ClusterState | undefined = undefined
  #endpoint: EndpointState | undefined = undefined
  #socket: Socket | undefined = undefined
  #tried: EndpointState[] = []
  readonly #early: Buffer[] = []
  #earlyBytes = 0
  #ended = false

  constructor(stream: ServerStream, options: CallerOptions) {
    this.#stream = stream
    this.#options = options
    this.#startedAt = options.parts.timers.now()
    this.#timer = new WheelTimer(() => this.#connectFailed('timeout'))
    stream.sink = this
  }

  start(): void {
    const { live } = this.#options
    // The caller's first bytes belong to an endpoint; they wait until there is one.
    this.#stream.pause()
    const read = readTunnelRequest(this.#stream.head)
    if (!read.ok) return this.#refuse(read.refusal)
    this.#authority = read.request.authority
    const route = this.#allowedRoute()
    const cluster = route?.targets[0]?.cluster
    if (cluster === undefined) return this.#refuse(TUNNEL_REFUSALS.unknown)
    if (live.size >= TUNNELS_MAX) return this.#refuse(TUNNEL_REFUSALS.limit)
    this.#cluster = cluster
    return this.#attempt(read.request, cluster)
  }

  /** What is not exported to this caller does not exist for it. */
  #allowedRoute(): CompiledRoute | undefined {
    const filter = this.#options.chain()?.filter
    if (filter?.kind !== 'http' || filter.mode !== 'tunnel') return undefined
    const host = filter.routes === undefined ? undefined : findHost(filter.routes, this.#authority)
    const route = host === undefined ? undefined : findConnectRoute(host)
    // Closed by default: a route without a rule admits no one through a gateway.
    return route?.allow !== undefined && allows(route.allow, this.#options.peer) ? route : undefined
  }

  #attempt(request: TunnelRequest, cluster: ClusterState): void {
    const endpoint = this.#tried.length < ATTEMPTS_MAX ? pick(cluster, request, this.#tried) : undefined
    if (endpoint === undefined) return this.#refuse(TUNNEL_REFUSALS.noneReady)
    const { timers, localAddress } = this.#options.parts
    this.#tried.push(endpoint)
    this.#endpoint = endpoint
    endpoint.active++
    const { address, port } = endpoint.endpoint
    const socket = connect({
      host: address,
      port,
      noDelay: true,
      allowHalfOpen: true,
      ...(localAddress === undefined ? {} : { localAddress }),
    })
    this.#socket = socket
    this.#retry = () => this.#attempt(request, cluster)
    timers.schedule(this.#timer, cluster.config.connectTimeoutMs)
    socket.once('error', this.#onError)
    socket.once('connect', () => this.#connected(socket, endpoint))
  }

  #retry: () => void = () => {}
  readonly #onError = (): void => this.#connectFailed('refused')

  #connectFailed(why: 'refused' | 'timeout'): void {
    if (this.#ended) return
    const endpoint = this.#endpoint
    this.#release()
    if (endpoint !== undefined) this.#cluster?.report(endpoint, undefined, false)
    const cluster = this.#cluster
    const another =
      cluster !== undefined && [...cluster.endpoints.values()].some((state) => !this.#tried.includes(state))
    if (another && this.#tried.length < ATTEMPTS_MAX) return this.#retry()
    this.#refuse(TUNNEL_REFUSALS[why])
  }

  #connected(socket: Socket, endpoint: EndpointState): void {
    const { parts, live, peer } = this.#options
    if (this.#ended) return void socket.destroy()
    parts.timers.cancel(this.#timer)
    socket.off('error', this.#onError)
    this.#cluster?.report(endpoint, undefined, true)
    const id = endpoint.endpoint.id ?? ''
    const headers = ['isthmus-version', WIRE_VERSION, ...(id === '' ? [] : ['isthmus-endpoint', id])]
    const source = clusterOf(peer)
    live.count(source, 'open')
    const forget = live.add({
      authority: this.#authority,
      sourceCluster: source,
      // The endpoint may go (its connection then ends by itself); export and permission may not.
      allowed: () => this.#allowedRoute() !== undefined,
      cut: () => socket.destroy(),
    })
    this.#stream.respond({ status: 200, headers, bodyLength: -1 }, false)
    for (const chunk of this.#early.splice(0)) socket.write(chunk)
    splice(this.#stream, socket, (result) => {
      forget()
      this.#ended = true
      endpoint.active--
      live.carried(result.bytesToSocket, result.bytesToStream)
      this.#record(200, result.ended, { received: result.bytesToSocket, sent: result.bytesToStream })
    })
    this.#stream.resume()
  }

  /** Status and code, never a body: the other side is a proxy. */
  #refuse(refusal: TunnelRefusal): void {
    if (this.#ended) return
    this.#ended = true
    this.#options.live.count(clusterOf(this.#options.peer), refusal.code)
    this.#stream.respond({ status: refusal.status, headers: ['isthmus-error', refusal.code], bodyLength: 0 }, true)
    this.#record(refusal.status, refusal.code, { received: 0, sent: 0 })
  }

  #release(): void {
    this.#options.parts.timers.cancel(this.#timer)
    if (this.#endpoint !== undefined) this.#endpoint.active--
    this.#endpoint = undefined
    this.#socket?.off('error', this.#onError)
    this.#socket?.on('error', () => {})
    this.#socket?.destroy()
    this.#socket = undefined
  }

  #record(status: number, result: string, bytes: Bytes): void {
    const { parts, peer } = this.#options
    const endpoint = this.#tried.at(-1)
    const about = { parts, peer, startedAt: this.#startedAt, authority: this.#authority }
    record(about, { status, result, bytes, ...(endpoint !== undefined && { endpoint }) })
  }

  // RequestSink, until the splice takes over

  /** Callers wait for the answer before they send; what comes all the same is kept, within reason. */
  onRequestData(chunk: Buffer): void {
    this.#early.push(chunk)
    this.#earlyBytes += chunk.length
    if (this.#earlyBytes <= EARLY_BYTES_MAX || this.#ended) return
    this.#ended = true
    this.#release()
    this.#stream.reset('overload')
    this.#record(0, 'early-data', { received: 0, sent: 0 })
  }

  onRequestEnd(): void {}
  onResponseDrain(): void {}

  onRequestReset(): void {
    if (this.#ended) return
    this.#ended = true
    this.#release()
    this.#record(0, 'caller-gone', { received: 0, sent: 0 })
  }
}

interface Bytes {
  readonly received: number
  readonly sent: number
}

interface About {
  readonly parts: TunnelParts
  readonly peer: Peer
  readonly startedAt: number
  readonly authority: string
}

interface Result {
  readonly status: number
  readonly result: string
  readonly bytes: Bytes
  readonly endpoint?: EndpointState
}

/** The access log's line. */
function record({ parts, peer, startedAt, authority }: About, { status, result, bytes, ...of }: Result): void {
  const { timers, recorder } = parts
  const endpoint = of.endpoint?.endpoint
  recorder.line({
    time: new Date(parts.now()).toISOString(),
    reporter: 'gateway',
    authority,
    status,
    result,
    caller: peer.uri,
    endpoint: endpoint?.id ?? '',
    upstream: endpoint === undefined ? '-' : `${endpoint.address}:${endpoint.port}`,
    durationMs: Math.round(timers.now() - startedAt),
    bytesReceived: bytes.received,
    bytesSent: bytes.sent,
  })
}

/** Fewest tunnels first; `avoid` counts as long as there is anything else. */
function pick(
  cluster: ClusterState,
  request: TunnelRequest,
  tried: readonly EndpointState[],
): EndpointState | undefined {
  let best: EndpointState | undefined
  let bestRank = Number.POSITIVE_INFINITY
  for (const state of cluster.endpoints.values()) {
    const id = state.endpoint.id ?? ''
    if (state.endpoint.health !== 'healthy' || tried.includes(state)) continue
    if (request.endpointId !== undefined && request.endpointId !== id) continue
    const rank = state.active + (request.avoid.has(id) ? 1e6 : 0) + (state.ejected ? 1e9 : 0)
    if (rank >= bestRank) continue
    best = state
    bestRank = rank
  }
  return best
}

const clusterOf = (peer: Peer): string => peer.id.trustDomain.split('.', 1)[0] ?? ''
