/** Serves HTTP to a client of a generic listener: the codec that it speaks, with the limits its chain asks for. */
import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import type { HttpSettings } from '../../model/config.ts'
import type { ExchangeServices } from '../exchange-context.ts'
import { HEAD_LATE } from '../h1/framing.ts'
import { H1ServerConnection } from '../h1/server.ts'
import { H1_LIMITS } from '../h1/types.ts'
import { H2ServerConnection } from '../h2/server.ts'
import { H2_BUDGETS, H2_LIMITS } from '../h2/types.ts'
import { HttpConnection, type HttpConnectionOptions } from '../http-connection.ts'
import type { LiveConnections } from '../live-connections.ts'
import type { PeerFacts } from '../peer-facts.ts'
import type { CloseReason, ServerConnection, ServerStream } from '../stream.ts'
import { untold } from '../telemetry.ts'
import { type TimerWheel, WheelTimer } from '../timer-wheel.ts'
import type { HttpTarget } from './acceptor.ts'
import { hasUnderscore } from './reverse-http.ts'
import { namesOf } from './tls-peer.ts'
import { behaviourOf } from './h1-behaviour.ts'

export interface ReverseServices {
  readonly services: ExchangeServices
  readonly timers: TimerWheel
  readonly own: PeerFacts
  readonly live: LiveConnections
  readonly refused: (reason: string, detail: string) => void
  readonly closed: (who: string, reason: CloseReason, detail: string) => void
}

export function serveReverse(socket: Socket, target: HttpTarget, tools: ReverseServices): void {
  const { listener, facts, chain, secure, certificate, isPresent } = target
  const { services, own, timers } = tools
  const http2 = target.speaks === 'h2'
  const { filter } = chain()
  const http = filter.kind === 'http' ? filter : undefined
  const { localAddress, localPort, serverName, isBrought } = facts
  let forget = (): void => {}
  let names: readonly string[] | undefined
  const handler = new ReverseConnection({
    mode: 'reverse',
    peer: undefined,
    service: '',
    remoteAddress: facts.remoteAddress,
    addresses: facts.isBrought ? facts : undefined,
    socket,
    chainName: chain().name,
    serverName,
    remotePort: socket.remotePort ?? 0,
    codec: { http2, secure },
    telemetry: http?.telemetry ?? untold(),
    client: {
      secure,
      localAddress,
      localPort,
      serverName,
      sni: sniOf(socket),
      certificate,
      names: () => (names ??= namesOf(certificate)),
      isBrought,
      directAddress: socket.remoteAddress ?? '',
    },
    own,
    services,
    http: () => {
      const { filter: present } = chain()
      return present.kind === 'http' ? present : undefined
    },
    onRefused: (status, detail) => tools.refused(`http-${status}`, detail),
    onClose: (reason, detail) => {
      forget()
      tools.closed(`a client of ${listener}`, reason, detail)
    },
  })
  const connection = codecOf(socket, handler, target, tools)
  handler.connection = connection
  const stop = handler.limit(connection, timers, http?.reverse?.settings ?? {})
  const forgetLive = tools.live.addOpen(connection, isPresent)
  forget = () => {
    stop()
    forgetLive()
  }
}

/** Node has false where a client named nothing. */
function sniOf(socket: Socket): string {
  const name = socket instanceof TLSSocket ? socket.servername : undefined
  return typeof name === 'string' ? name : ''
}

function codecOf(
  socket: Socket,
  handler: HttpConnection,
  { speaks, secure, chain }: HttpTarget,
  { services, timers }: ReverseServices,
): ServerConnection {
  const { filter } = chain()
  const reverse = filter.kind === 'http' ? filter.reverse : undefined
  const { h1 = H1_LIMITS, h2 = H2_LIMITS, settings } = reverse ?? {}
  if (speaks === 'h2') {
    const extendedConnect = settings?.allowConnect === true
    return new H2ServerConnection(socket, handler, { limits: h2, budgets: H2_BUDGETS, timers, extendedConnect })
  }
  const behaviour = reverse && behaviourOf(reverse, () => services.now())
  return new H1ServerConnection(socket, handler, { limits: h1, timers, scheme: secure ? 'https' : 'http', behaviour })
}

const DRAIN_MS = 5_000 // Envoy's

/** Ends after so many requests or so long a life, with the requests that are under way. */
class ReverseConnection extends HttpConnection {
  #left = Number.POSITIVE_INFINITY
  #refuses = false
  readonly #http2: boolean
  readonly #now: () => number

  constructor(options: HttpConnectionOptions) {
    super(options)
    this.#http2 = options.codec.http2
    this.#now = () => options.services.now()
  }

  /** The returned function stops the clock. */
  limit(connection: ServerConnection, timers: TimerWheel, settings: HttpSettings): () => void {
    const { requestsMax, connectionMaxMs = 0, drainMs = DRAIN_MS, underscores } = settings
    this.#refuses = underscores === 'reject'
    if (requestsMax !== undefined) this.#left = requestsMax
    if (connectionMaxMs === 0) return () => {}
    const end = new WheelTimer(() => connection.drain())
    const timer = new WheelTimer(() => {
      this.telemetry.stats.counters.downstream_cx_max_duration_reached++
      // HTTP/2 has a word for it; in HTTP/1.1 the next answer says it, or silence ends it.
      if (this.#http2 || connection.activeStreams > 0) return connection.drain()
      this.#left = 1
      timers.schedule(end, drainMs)
    })
    timers.schedule(timer, connectionMaxMs)
    return () => {
      timers.cancel(timer)
      timers.cancel(end)
    }
  }

  /** As a message that cannot be read: HTTP/1.1 has no way to end a request but the connection. */
  #refuse(stream: ServerStream): void {
    if (stream.version === 'HTTP/2') return stream.reset('protocol')
    this.connection?.drain()
    const body = Buffer.from('Bad Request')
    const head = { status: 400, headers: ['content-type', 'text/plain'], bodyLength: body.length }
    this.http()?.reverse?.response(head, this.#now())
    stream.respond(head, false)
    stream.write(body)
    stream.end()
  }

  override onRefused(status: number, detail: string): void {
    if (detail === HEAD_LATE) this.telemetry.stats.counters.downstream_rq_header_timeout++
    super.onRefused(status, detail)
  }

  override onRequest(stream: ServerStream): void {
    if (--this.#left <= 0) this.connection?.drain()
    if (this.#refuses && hasUnderscore(stream.head.headers)) return this.#refuse(stream)
    super.onRequest(stream)
  }
}
