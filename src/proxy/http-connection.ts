/**
 * One downstream HTTP connection: what its requests have in common, whoever is at the other end. The codec parses,
 * exchange.ts decides about each request; this carries the peer's identity and facts from one to the other.
 */
import type { Socket } from 'node:net'
import type { CompiledHttp } from './compile.ts'
import { connectionFacts } from './connection-facts.ts'
import { Exchange } from './exchange.ts'
import type { ClientConnectionFacts, DownstreamConnection, ExchangeServices } from './exchange-context.ts'
import type { Peer } from './identity.ts'
import type { Addresses } from './l4/proxy-protocol.ts'
import { headerOf } from './message.ts'
import { formatPeerFacts, PEER_HEADER, type PeerFacts, readPeerFacts } from './peer-facts.ts'
import { type Party, partyOf } from './record.ts'
import { compileRetry, type RetryRule } from './retry.ts'
import type { CloseReason, ServerConnection, ServerConnectionHandler, ServerStream } from './stream.ts'
import type { ConnectionFacts } from './stream-facts.ts'
import type { HttpTelemetry } from './telemetry.ts'

/** A kept-alive connection of the application may close just as we use it; a request that is safe goes again. */
const INBOUND_RETRY = compileRetry({ on: ['reset-before-request'], retriesMax: 1 })

const ANYONE: Party = { cluster: '', namespace: '', workload: '', version: '', principal: '' }

export interface HttpConnectionOptions {
  readonly mode: 'forward' | 'inbound' | 'reverse'
  readonly peer: Peer | undefined
  readonly service: string
  readonly dialed?: string
  readonly remoteAddress: string
  readonly socket: Socket
  readonly chainName: string
  readonly serverName: string
  readonly remotePort?: number
  readonly client?: ClientConnectionFacts
  /** As a relay named them, or as they were before the kernel led the connection here. */
  readonly addresses?: Addresses | undefined
  readonly codec: { readonly http2: boolean; readonly secure: boolean }
  readonly telemetry: HttpTelemetry
  readonly http: () => CompiledHttp | undefined
  readonly own: PeerFacts
  readonly services: ExchangeServices
  readonly onRefused: (status: number, detail: string) => void
  readonly onClose: (reason: CloseReason, detail: string) => void
}

export class HttpConnection implements ServerConnectionHandler, DownstreamConnection {
  readonly mode: 'forward' | 'inbound' | 'reverse'
  readonly peer: Peer | undefined
  readonly service: string
  readonly dialed: string
  readonly remoteAddress: string
  readonly remotePort: number
  readonly retry: RetryRule | undefined
  readonly client: ClientConnectionFacts | undefined
  readonly addresses: Addresses | undefined
  readonly telemetry: HttpTelemetry
  readonly #startedAt: number
  readonly #options: HttpConnectionOptions
  /** Set once it exists: a codec is made with its handler. */
  connection: ServerConnection | undefined = undefined
  readonly #id: number
  #facts: ConnectionFacts | undefined = undefined
  #source: Party | undefined = undefined
  #introduced = false

  constructor(options: HttpConnectionOptions) {
    this.mode = options.mode
    this.peer = options.peer
    this.service = options.service
    this.dialed = options.dialed ?? ''
    this.remoteAddress = options.remoteAddress
    this.remotePort = options.remotePort ?? 0
    this.retry = options.mode === 'inbound' ? INBOUND_RETRY : undefined
    this.client = options.client
    this.addresses = options.addresses
    this.telemetry = options.telemetry
    this.#startedAt = options.services.timers.now()
    this.#options = options
    const { http2, secure } = options.codec
    this.telemetry.stats.connected(http2, secure)
    this.#id = options.services.nextConnection()
    // What the socket says of itself is gone with it.
    if (this.telemetry.timed) this.facts()
  }

  onRequest(stream: ServerStream): void {
    // The first request of a mesh connection brings the caller's facts, before any filter strips the header.
    if (this.peer !== undefined && this.#source === undefined) {
      const facts = readPeerFacts(this.peer, headerOf(stream.head.headers, PEER_HEADER))
      this.#source = partyOf(facts, this.peer.uri)
    }
    this.telemetry.stats.began(this.#options.codec.http2)
    if (this.#options.services.overload.keepAlive > 0) this.#letGo()
    new Exchange(stream, this, this.#options.services).start()
  }

  /** Memory is tight: this request is the last of its connection. */
  #letGo(): void {
    const { overload } = this.#options.services
    if (!overload.hits(overload.keepAlive)) return
    this.telemetry.stats.counters.downstream_cx_overload_disable_keepalive++
    this.connection?.drain()
  }

  onRefused(status: number, detail: string): void {
    this.telemetry.stats.counters.downstream_cx_protocol_error++
    this.#options.onRefused(status, detail)
  }

  onClose(reason: CloseReason, detail: string): void {
    const { codec, services } = this.#options
    const { stats } = this.telemetry
    if (reason === 'idle') stats.counters.downstream_cx_idle_timeout++
    if (reason === 'drained') stats.counters.downstream_cx_drain_close++
    const local = reason !== 'closed' && reason !== 'lost'
    stats.disconnected(codec.http2, codec.secure, { local, lengthMs: services.timers.now() - this.#startedAt })
    this.#options.onClose(reason, detail)
  }

  facts(): ConnectionFacts {
    const { socket, chainName, serverName, services, addresses } = this.#options
    const place = { id: this.#id, chainName, serverName, ownUri: services.ownUri(), addresses }
    return (this.#facts ??= connectionFacts(socket, place))
  }

  http(): CompiledHttp | undefined {
    return this.#options.http()
  }

  source(): Party {
    if (this.#source !== undefined) return this.#source
    const { services } = this.#options
    // Outbound it is an application of this pod; inbound without a certificate it could be anyone. For whom a gateway of
    // the mesh asks the mesh cannot know: the requests are its own.
    const isOwn = this.mode === 'forward' || (this.mode === 'reverse' && services.ownUri() !== '')
    return isOwn ? services.self() : ANYONE
  }

  introduceSelf(): string | undefined {
    if (this.peer === undefined || this.#introduced) return undefined
    this.#introduced = true
    return formatPeerFacts(this.#options.own)
  }
}
