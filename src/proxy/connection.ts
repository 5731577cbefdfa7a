/**
 * From an accepted socket to someone who serves it: peek, choose the chain by server name, terminate TLS or pass it
 * through, and judge the peer before the first byte. Holds all branching of the accept path; requests are
 * exchange.ts's.
 */
import type { Socket } from 'node:net'
import { type SecureContextOptions, TLSSocket } from 'node:tls'
import { hostOf, parseInnerSni } from '../model/sni.ts'
import { ALPN_TCP } from '../model/tcp.ts'
import type { Log } from '../runtime/log.ts'
import { CaptureAcceptor, type CapturedHttp, type CapturedRequests, type CapturedTcp } from './capture/captured.ts'
import type { Destination as CapturedDestination, OriginalDestination } from './capture/destination.ts'
import { beginTcpLog } from './connection-log.ts'
import { ALERT_UNRECOGNIZED_NAME } from './client-hello.ts'
import { chainFor, type CompiledChain, type CompiledListener } from './compile.ts'
import type { Destination } from './filters/rbac.ts'
import { type ExchangeServices, serviceOf as serviceOfCluster } from './exchange-context.ts'
import { H1ServerConnection } from './h1/server.ts'
import { H1_LIMITS } from './h1/types.ts'
import { H2ServerConnection } from './h2/server.ts'
import { H2_BUDGETS, H2_FAR_LIMITS, H2_LIMITS, type H2Limits, H2_TUNNEL_LIMITS } from './h2/types.ts'
import { peekClientHello, type Peeked } from './hello-peek.ts'
import { HttpConnection } from './http-connection.ts'
import { allows, type Peer } from './identity.ts'
import type { Addresses } from './l4/proxy-protocol.ts'
import type { PROXY_PROTO_NAMES } from './l4/proxy-header.ts'
import type { Arrival } from './l4/network-filters.ts'
import { resetSocket } from './l4/reset.ts'
import { type CompiledTcp, type TcpClient, TcpSession, type TcpServices } from './l4/session.ts'
import { TcpMetrics } from './l4/tcp-metrics.ts'
import { LiveConnections } from './live-connections.ts'
import { type PeerFacts, readPeerFacts } from './peer-facts.ts'
import { type Party, partyOf } from './record.ts'
import { type ForeignClient, GenericAcceptor } from './reverse/acceptor.ts'
import { type ReverseServices, serveReverse } from './reverse/http-server.ts'
import type { Snapshot } from './state.ts'
import type { CloseReason, ServerConnection, ServerConnectionHandler } from './stream.ts'
import { untold } from './telemetry.ts'
import type { TimerWheel } from './timer-wheel.ts'
import { TlsTerminators } from './tls-terminators.ts'

/** Envoy's advice for an edge listener. */
export const CONNECTIONS_MAX = 10_000

/** Without a certificate no one vouches for the other side. */
const NOBODY: Party = { cluster: '', namespace: '', workload: '', version: '', principal: '' }

/** What serves the CONNECT streams of a `tunnel` chain; gateways bring it, a sidecar has none. */
export type TunnelServer = (context: {
  readonly peer: Peer
  /** The chain under the present configuration; undefined once it is withdrawn. */
  readonly chain: () => CompiledChain | undefined
  readonly onClose: (reason: CloseReason, detail: string) => void
}) => ServerConnectionHandler

export interface AcceptorOptions {
  readonly snapshot: () => Snapshot
  readonly timers: TimerWheel
  readonly services: ExchangeServices
  readonly own: PeerFacts
  readonly log: Log
  readonly tunnels: TunnelServer | undefined
  /** End of our own certificate, wall clock. */
  readonly ownNotAfterMs: () => number
  readonly localAddress: string | undefined
  /** Reads where captured connections wanted to go; loaded by the first of them. */
  readonly originalDestination: () => Promise<OriginalDestination>
  readonly headerCounters: Record<(typeof PROXY_PROTO_NAMES)[number], number>
}

export class Acceptor {
  readonly live: LiveConnections
  /** Connections refused, by reason; for metrics. */
  readonly refused = new Map<string, number>()
  readonly #options: AcceptorOptions
  readonly #terminators: TlsTerminators
  readonly captured: CaptureAcceptor
  readonly tcp = new TcpMetrics()
  readonly #tcp: TcpServices
  readonly #generic: GenericAcceptor
  /** Counted only where their number is limited. */
  #sockets = 0

  constructor(options: AcceptorOptions) {
    this.#options = options
    this.live = new LiveConnections(options.timers)
    this.#terminators = new TlsTerminators({
      secured: (socket, listener) => this.#secured(socket, listener),
      refused: (reason) => this.#count('handshake', reason),
    })
    const { timers, services, log } = options
    this.#tcp = {
      timers,
      recorder: services.recorder,
      metrics: this.tcp,
      random: services.random,
      now: () => services.now(),
      beginLog: ({ socket, addresses }, logs) => beginTcpLog(socket, logs, { timers, host: services.host, addresses }),
    }
    this.captured = new CaptureAcceptor({
      timers,
      recorder: services.recorder,
      log,
      now: () => services.now(),
      load: options.originalDestination,
      serveHttp: (socket, to) => this.#servePlain(socket, to),
      serveTcp: (socket, to) => this.#serveCapturedTcp(socket, to),
      present: (name) => this.#listener(name),
      count: (reason, detail) => this.#count(reason, detail),
    })
    const reverse: ReverseServices = {
      services,
      timers,
      own: options.own,
      live: this.live,
      refused: (reason, detail) => this.#count(reason, detail),
      closed: (who, reason, detail) => this.#closed(who, reason, detail),
    }
    this.#generic = new GenericAcceptor({
      timers,
      serveHttp: (socket, target) => serveReverse(socket, target, reverse),
      serveTcp: (socket, filter, client) => this.#serveForeign(socket, filter, client),
      now: () => timers.now(),
      countHeader: (name) => void options.headerCounters[name]++,
      present: (name) => this.#listener(name),
      count: (reason, detail) => this.#count(reason, detail),
    })
  }

  rekey(options: SecureContextOptions | undefined): void {
    this.#terminators.rekey(options)
  }

  accept(socket: Socket, listenerName: string): void {
    const listener = this.#listener(listenerName)
    if (listener === undefined || this.live.size + this.#generic.pending >= CONNECTIONS_MAX) {
      this.#count(listener === undefined ? 'no-listener' : 'limit', listenerName)
      if (listener !== undefined) listener.stats.downstream_cx_overflow++
      return void socket.destroy()
    }
    if (this.#isShed(socket, listener)) return void socket.destroy()
    if (listener.generic !== undefined) return this.#generic.accept(socket, listener, listener.generic)
    if (listener.capture !== undefined) return this.captured.accept(socket, listener)
    if (!listener.peeks) return this.#servePod(socket, listenerName)
    return peekClientHello(socket, this.#options.timers, {
      peeked: (hello) => this.#peeked(socket, listener, hello),
      refused: (reason) => this.#count('client-hello', reason),
    })
  }

  /** Too many connections, or too little memory for one more. */
  #isShed(socket: Socket, { name, stats }: CompiledListener): boolean {
    const { overload } = this.#options.services
    if (overload.connections > 0 && overload.hits(overload.connections)) {
      stats.downstream_cx_overload_reject++
      this.#count('overload', name)
      return true
    }
    if (overload.connectionsMax === Number.POSITIVE_INFINITY) return false
    if (this.#sockets >= overload.connectionsMax) {
      stats.downstream_global_cx_overflow++
      this.#count('overload', name)
      return true
    }
    this.#sockets++
    socket.once('close', () => this.#sockets--)
    return false
  }

  /** An application of this pod, at a port of its own. */
  #servePod(socket: Socket, listenerName: string): void {
    const present = (): CompiledChain | undefined => this.#listener(listenerName)?.rest
    const chain = present()
    if (chain?.filter.kind !== 'tcp') return this.#servePlain(socket, { speaks: 'http1', chain: present, dialed: '' })
    return this.#serveCapturedTcp(socket, { direction: 'outbound', chain, filter: chain.filter })
  }

  #listener(name: string): CompiledListener | undefined {
    return this.#options.snapshot().listeners.get(name)
  }

  #peeked(socket: Socket, listener: CompiledListener, hello: Peeked): void {
    const chain = chainFor(listener, hello.serverName, hello.alpn)
    if (chain === undefined) {
      this.#count('server-name', hello.serverName)
      listener.stats.no_filter_chain_match++
      socket.on('error', () => {})
      // Written by hand: no TLS library may spend a handshake on a name that no one here has.
      socket.end(ALERT_UNRECOGNIZED_NAME, () => socket.destroy())
      return
    }
    if (chain.tls === undefined && chain.filter.kind === 'tcp') {
      return this.#serveForeign(socket, chain.filter)
    }
    if (chain.tls === undefined || !this.#terminators.accept(socket, listener.name, chain.tls.alpn)) {
      this.#count('no-certificate', listener.name)
      socket.destroy()
    }
  }

  /** The handshake is done and the client's chain verified; who it is decides now, and nothing was written yet. */
  #secured(socket: TLSSocket, listenerName: string): void {
    const serverName = typeof socket.servername === 'string' ? socket.servername : ''
    const protocol = socket.alpnProtocol === false || socket.alpnProtocol === null ? [] : [socket.alpnProtocol]
    const present = (): CompiledChain | undefined => {
      const listener = this.#listener(listenerName)
      return listener === undefined ? undefined : chainFor(listener, serverName, protocol)
    }
    const chain = present()
    const { trust } = this.#options.snapshot()
    const verdict = trust?.judge(socket.getPeerX509Certificate()?.raw)
    if (chain === undefined || verdict === undefined) return this.#refuse(socket, 'server-name', serverName)
    if (!verdict.ok) return this.#refuse(socket, verdict.refusal, verdict.detail)
    if (!allows(chain.allow, verdict.peer)) {
      return this.#refuse(socket, 'not-allowed', `${verdict.peer.uri} may not use ${serverName}`)
    }
    const arrival = arrivalOf(socket, this.#options.timers.now(), verdict.peer)
    const admission = chain.network?.admit(arrival)
    if (admission?.admitted === false) {
      return this.#refuse(socket, admission.reason, `${verdict.peer.uri} may not use ${serverName}`)
    }
    const to = { chain, present, serverName, peer: verdict.peer, arrival }
    if (chain.filter.kind === 'tcp') return this.#serveMeshTcp(socket, to)
    if (socket.alpnProtocol !== 'h2') return this.#refuse(socket, 'alpn', 'the client does not speak h2')
    return this.#serveMesh(socket, to)
  }

  #serveMesh(socket: TLSSocket, to: Secured): void {
    const { chain, present, serverName, peer, arrival } = to
    if (chain.filter.kind !== 'http') return this.#refuse(socket, 'mode', chain.name)
    let forget = (): void => {}
    const onClose = (reason: CloseReason, detail: string): void => {
      forget()
      this.#closed(peer.uri, reason, detail)
    }
    const tunnel = chain.filter.mode === 'tunnel'
    const handler = tunnel
      ? this.#options.tunnels?.({ peer, chain: present, onClose })
      : this.#httpConnection(socket, {
          mode: 'inbound',
          peer,
          codec: { http2: true, secure: true },
          service: serviceOf(serverName),
          chain: present,
          onClose,
        })
    if (handler === undefined) return this.#refuse(socket, 'mode', chain.name)
    const { timers } = this.#options
    const connection = new H2ServerConnection(socket, handler, {
      limits: tunnel ? H2_TUNNEL_LIMITS : limitsOf(serverName),
      budgets: H2_BUDGETS,
      timers,
      extendedConnect: !tunnel,
    })
    if (handler instanceof HttpConnection) handler.connection = connection
    forget = this.live.add({ peer, connection, chain: present, arrival }, this.#lifetimeMs(peer))
  }

  /** Until the first of both certificates ends. */
  #lifetimeMs(peer: Peer): number {
    return Math.min(peer.notAfterMs, this.#options.ownNotAfterMs()) - this.#options.services.now()
  }

  /** An application's bytes over mTLS, for the application here. */
  #serveMeshTcp(socket: TLSSocket, to: Secured): void {
    const { chain, present, serverName, peer, arrival } = to
    if (chain.filter.kind !== 'tcp') return this.#refuse(socket, 'mode', chain.name)
    if (socket.alpnProtocol !== ALPN_TCP) return this.#refuse(socket, 'alpn', `the client does not speak ${ALPN_TCP}`)
    this.#serveTcp(
      chain.filter,
      {
        socket,
        reporter: 'destination',
        source: partyOf(readPeerFacts(peer, undefined), peer.uri),
        destination: this.#options.services.self(),
        service: serviceOf(serverName),
        mutualTls: true,
      },
      (connection) => this.live.add({ peer, connection, chain: present, arrival }, this.#lifetimeMs(peer)),
    )
  }

  /** Neither end is one that this proxy could name. */
  #serveForeign(socket: Socket, filter: CompiledTcp, client: Partial<ForeignClient> = {}): void {
    const nobody = { source: NOBODY, destination: undefined, service: '', mutualTls: false }
    this.#serveTcp(filter, { socket, reporter: 'gateway', ...nobody, ...client })
  }

  #serveCapturedTcp(socket: Socket, { direction, chain, filter }: CapturedTcp): void {
    const outbound = direction === 'outbound'
    const self = this.#options.services.self()
    this.#serveTcp(filter, {
      socket,
      reporter: outbound ? 'source' : 'destination',
      source: outbound ? self : NOBODY,
      destination: outbound ? undefined : self,
      // Captured inbound chains are named after their service.
      service: outbound ? serviceOfCluster(filter.clusterName, '') : chain.name,
      mutualTls: false,
    })
  }

  #serveTcp(
    filter: CompiledTcp,
    client: Omit<TcpClient, 'onClose'>,
    admit = (connection: TcpSession): (() => void) => this.live.addPlain(connection),
  ): void {
    let forget = (): void => {}
    const session = new TcpSession({ ...client, onClose: () => forget() }, filter, this.#tcp)
    forget = admit(session)
    session.start()
  }

  /** No certificate: an application of this pod, or anyone at all where inbound plaintext is captured. */
  #servePlain(socket: Socket, { speaks, chain: present, dialed, destination }: CapturedRequests): void {
    const chain = present()
    const mode = chain?.filter.kind === 'http' ? chain.filter.mode : 'tunnel'
    if (chain === undefined || mode === 'tunnel' || mode === 'reverse') {
      this.#count('mode', chain?.name ?? '')
      return void socket.destroy()
    }
    let forget = (): void => {}
    const handler = this.#httpConnection(socket, {
      mode,
      peer: undefined,
      codec: { http2: speaks !== 'http1', secure: false },
      // Captured inbound chains are named after their service: a stranger's Host is no label.
      service: mode === 'inbound' ? chain.name : '',
      dialed,
      addresses: destination && addressesOf(socket, destination),
      chain: present,
      onClose: (reason, detail) => {
        forget()
        this.#closed(mode === 'inbound' ? 'a client without mTLS' : 'an application of this pod', reason, detail)
      },
    })
    const connection = this.#codec(socket, handler, speaks)
    handler.connection = connection
    forget = this.live.addPlain(connection)
  }

  #codec(socket: Socket, handler: ServerConnectionHandler, speaks: CapturedHttp): ServerConnection {
    const { timers } = this.#options
    if (speaks === 'http1')
      return new H1ServerConnection(socket, handler, { limits: H1_LIMITS, timers, scheme: 'http' })
    const limits = { limits: H2_LIMITS, budgets: H2_BUDGETS }
    return new H2ServerConnection(socket, handler, { ...limits, timers, extendedConnect: true })
  }

  #httpConnection(
    socket: Socket,
    to: {
      mode: 'forward' | 'inbound'
      peer: Peer | undefined
      codec: { http2: boolean; secure: boolean }
      service: string
      dialed?: string
      /** As they were before the kernel led the connection here. */
      addresses?: Addresses | undefined
      chain: () => CompiledChain | undefined
      onClose: (reason: CloseReason, detail: string) => void
    },
  ): HttpConnection {
    const { services, own } = this.#options
    const filter = to.chain()?.filter
    return new HttpConnection({
      mode: to.mode,
      peer: to.peer,
      codec: to.codec,
      telemetry: filter?.kind === 'http' ? filter.telemetry : untold(),
      service: to.service,
      ...(to.dialed !== undefined && { dialed: to.dialed }),
      remoteAddress: socket.remoteAddress ?? '',
      socket,
      chainName: to.chain()?.name ?? '',
      serverName: socket instanceof TLSSocket && typeof socket.servername === 'string' ? socket.servername : '',
      remotePort: socket.remotePort ?? 0,
      addresses: to.addresses,
      own,
      services,
      http: () => {
        const filter = to.chain()?.filter
        return filter?.kind === 'http' ? filter : undefined
      },
      onRefused: (status, detail) => this.#count(`http-${status}`, detail),
      onClose: to.onClose,
    })
  }

  /** A peer that broke the protocol or a budget is worth a line; connections that end are not. */
  #closed(who: string, reason: CloseReason, detail: string): void {
    if (reason !== 'protocol' && reason !== 'flood') return
    this.refused.set(reason, (this.refused.get(reason) ?? 0) + 1)
    this.#options.log.warn({ who, reason, detail }, 'connection ended by us')
  }

  #refuse(socket: TLSSocket, reason: string, detail: string): void {
    socket.on('error', () => {})
    // A plain end would look like an answer of no bytes to whoever speaks another protocol than HTTP.
    resetSocket(socket)
    this.#count(reason, detail)
  }

  #count(reason: string, detail: string): void {
    this.refused.set(reason, (this.refused.get(reason) ?? 0) + 1)
    this.#options.log.debug({ reason, detail }, 'connection refused')
  }
}

/** A connection of the mesh that was let in. */
interface Secured {
  readonly chain: CompiledChain
  readonly present: () => CompiledChain | undefined
  readonly serverName: string
  readonly peer: Peer
  readonly arrival: Arrival
}

/** What rules about connections see of one of the mesh. */
function arrivalOf(socket: TLSSocket, nowMs: number, peer: Peer): Arrival {
  const { localAddress: address = '', localPort: port = 0, remoteAddress = '' } = socket
  const serverName = typeof socket.servername === 'string' ? socket.servername : ''
  const destination = (): Destination => ({ address, port, serverName })
  return { remoteAddress, directAddress: remoteAddress, serverName, nowMs, peer, destination }
}

function serviceOf(serverName: string): string {
  const name = parseInnerSni(serverName)
  return name === undefined ? serverName : hostOf(name)
}

/** By its shared name a service is called from other clusters, too. */
function limitsOf(serverName: string): H2Limits {
  return parseInnerSni(serverName)?.domain === 'clusterset.local' ? H2_FAR_LIMITS : H2_LIMITS
}

function addressesOf(
  { remoteAddress = '', remotePort = 0 }: Socket,
  { address, port }: CapturedDestination,
): Addresses {
  return { remoteAddress, remotePort, localAddress: address, localPort: port }
}
