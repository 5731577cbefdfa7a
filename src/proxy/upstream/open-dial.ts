/**
 * Connections to endpoints outside the mesh: plaintext or TLS as a cluster says, HTTP/1.1 or HTTP/2 as it says or as
 * ALPN agrees. What verifies the server is in the context that state.ts compiled; without one nothing is dialled.
 */
import { connect as connectTls, type SecureContext, type TLSSocket } from 'node:tls'
import type { ClientTls, UpstreamProtocol } from '../../model/config.ts'
import type { Cancel } from '../../runtime/clock.ts'
import { H1ClientConnection } from '../h1/client.ts'
import { H1_LIMITS } from '../h1/types.ts'
import { H2ClientConnection } from '../h2/client.ts'
import { H2_BUDGETS, H2_LIMITS, type H2Limits } from '../h2/types.ts'
import type { ClientConnection, ClientConnectionHandler } from '../stream.ts'
import { Attempt, type DialContext, failLater, openSocket, type Target } from './dial.ts'
import type { ConnectFailure, Dial } from './transport.ts'

/** A cluster's TLS with its key material read. */
export interface ClientTlsContext {
  readonly secureContext: SecureContext
  /** The chain has to verify. */
  readonly verifies: boolean
  /** Why the server is not who was meant; undefined: it is. */
  judge(socket: TLSSocket): string | undefined
}

export interface OpenTarget extends Target {
  readonly protocol: Exclude<UpstreamProtocol, 'downstream'>
  readonly tls: ClientTls | undefined
  readonly streamsMax: number | undefined
  /** Of HTTP/1.1. */
  readonly trailers: boolean
}

const NO_SECRET: ConnectFailure = { kind: 'connect', detail: "the cluster's certificate or anchors have not come yet" }
const OFFERS = { http1: ['http/1.1'], http2: ['h2'], auto: ['h2', 'http/1.1'] } as const

export function dialOpen(context: DialContext, target: OpenTarget): Dial {
  const { tls, protocol } = target
  const limits: H2Limits = { ...H2_LIMITS, streamsMax: target.streamsMax ?? H2_LIMITS.streamsMax }
  return (handler, done) => {
    const connected = (connection: ClientConnection): void => {
      const rest = { peer: undefined, lifetimeMs: Number.POSITIVE_INFINITY, endpointId: '', carrier: undefined }
      done({ kind: 'connected', dialed: { connection, ...rest } })
    }
    const options = { context, handler, limits, trailers: target.trailers }
    if (tls !== undefined) {
      const offers = tls.alpn.length > 0 ? tls.alpn : OFFERS[protocol]
      return openTls(context, { ...target, tls, offers }, (outcome) => {
        if (outcome.kind === 'failed') return done(outcome)
        const { socket } = outcome
        const speaksHttp2 = protocol === 'auto' ? socket.alpnProtocol === 'h2' : protocol === 'http2'
        return connected(codecFor(socket, speaksHttp2, options))
      })
    }
    const socket = openSocket(context, target)
    const attempt = new Attempt<{ readonly kind: 'open' }>(context.timers, target.timeoutMs, socket, (outcome) => {
      if (outcome.kind === 'open') connected(codecFor(socket, protocol === 'http2', options))
      else done(outcome)
    })
    socket.once('connect', () => attempt.settle(() => ({ kind: 'open' })))
    return attempt.cancel
  }
}

interface CodecOptions {
  readonly context: DialContext
  readonly handler: ClientConnectionHandler
  readonly limits: H2Limits
  readonly trailers: boolean
}

function codecFor(
  socket: ReturnType<typeof openSocket>,
  speaksHttp2: boolean,
  { context, handler, limits, trailers }: CodecOptions,
): ClientConnection {
  const { timers } = context
  if (!speaksHttp2) return new H1ClientConnection(socket, handler, { limits: H1_LIMITS, timers, trailers })
  return new H2ClientConnection(socket, handler, { limits, budgets: H2_BUDGETS, timers })
}

export interface TlsTarget extends Target {
  readonly tls: ClientTls
  readonly offers: readonly string[]
}

export type TlsOutcome =
  /** Nothing listens to the socket any more, its errors included: that is for whoever takes it, at once. */
  { readonly kind: 'open'; readonly socket: TLSSocket } | { readonly kind: 'failed'; readonly failure: ConnectFailure }

/** A handshake whose server was judged; nothing was written yet. */
export function openTls(context: DialContext, target: TlsTarget, done: (outcome: TlsOutcome) => void): Cancel {
  const { tls, offers } = target
  const secured = context.clientTls(tls)
  if (secured === undefined) return failLater(done, NO_SECRET)
  const stream = openSocket(context, target)
  const socket = connectTls({
    socket: stream,
    servername: tls.sni,
    ALPNProtocols: [...offers],
    secureContext: secured.secureContext,
    rejectUnauthorized: secured.verifies,
    // A cluster says itself which names it wants; none said, none is checked, as in Envoy.
    checkServerIdentity: () => undefined,
  })
  const attempt = new Attempt<TlsOutcome>(context.timers, target.timeoutMs, socket, done)
  stream.on('error', (error: Error) => attempt.fail({ kind: 'connect', detail: error.message }))
  socket.once('secureConnect', () => {
    const refusal = secured.judge(socket)
    if (refusal === undefined) return attempt.settle(() => ({ kind: 'open', socket }))
    return attempt.fail({ kind: 'identity', detail: refusal })
  })
  return attempt.cancel
}
