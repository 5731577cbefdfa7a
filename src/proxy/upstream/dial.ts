/**
 * Opens connections: a plain socket, mTLS straight to a pod, mTLS to a gateway, and mTLS inside a gateway's tunnel.
 * The peer's identity is judged after the handshake and before the first byte; there is no session resumption, since
 * a resumed handshake would skip that. Pools decide when to dial; nothing here retries.
 */
import { connect as connectSocket, type LookupFunction, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { connect as connectTls, type SecureContext, type TLSSocket } from 'node:tls'
import type { ClientTls } from '../../model/config.ts'
import type { Cancel } from '../../runtime/clock.ts'
import { H1ClientConnection } from '../h1/client.ts'
import { H1_LIMITS } from '../h1/types.ts'
import { H2ClientConnection } from '../h2/client.ts'
import { H2_BUDGETS, type H2Limits } from '../h2/types.ts'
import type { Peer, PeerVerdict } from '../identity.ts'
import type { ClientConnectionHandler } from '../stream.ts'
import { type TimerWheel, WheelTimer } from '../timer-wheel.ts'
import type { ClientTlsContext } from './open-dial.ts'
import type { ConnectFailure, Dial, DialOutcome } from './transport.ts'

/** What this proxy shows to servers and how it judges them; a new object after every renewal. */
export interface ClientCredentials {
  readonly secureContext: SecureContext
  readonly notAfterMs: number
  /** `ids`: exactly who may answer. */
  judge(der: Buffer | undefined, ids: readonly string[]): PeerVerdict
}

export interface DialContext {
  readonly timers: TimerWheel
  /** Wall clock, for certificates' ends. */
  readonly now: () => number
  readonly credentials: () => ClientCredentials | undefined
  /** Of a cluster outside the mesh; undefined until its secrets came. */
  readonly clientTls: (tls: ClientTls) => ClientTlsContext | undefined
  /** For clusters that say nothing; absent: they pass. */
  readonly http1Trailers?: boolean
  /** Endpoints outside the mesh are left alone for what checks and outlier detection find, and nothing else, as in Envoy. */
  readonly forgives?: boolean
  /** Pods that share a network namespace speak from their own address. */
  readonly localAddress: string | undefined
  readonly lookup: LookupFunction | undefined
}

export interface Target {
  readonly address: string
  readonly port: number
  readonly timeoutMs: number
  /** Written before anything else, the handshake too. */
  readonly preface?: Buffer
}

export interface HandshakeTarget {
  readonly serverName: string
  readonly identities: readonly string[]
  readonly timeoutMs: number
}

export interface MeshTarget extends HandshakeTarget {
  readonly limits: H2Limits
}

const FAILED_CLOSED: ConnectFailure = { kind: 'connect', detail: 'the connection closed during the handshake' }

export function dialPlain(context: DialContext, target: Target, trailers = true): Dial {
  return (handler, done) => {
    const socket = openSocket(context, target)
    const attempt = new Attempt(context.timers, target.timeoutMs, socket, done)
    socket.once('connect', () => {
      attempt.settle(() => {
        const connection = new H1ClientConnection(socket, handler, {
          limits: H1_LIMITS,
          timers: context.timers,
          trailers,
        })
        const rest = { peer: undefined, lifetimeMs: Number.POSITIVE_INFINITY, endpointId: '', carrier: undefined }
        return { kind: 'connected', dialed: { connection, ...rest } }
      })
    })
    return attempt.cancel
  }
}

/** mTLS over a socket of its own: to a pod's 15008, or to a gateway's 15443. */
export function dialMesh(context: DialContext, target: Target, mesh: MeshTarget): Dial {
  return (handler, done) => {
    const credentials = context.credentials()
    if (credentials === undefined) return failLater(done, NO_CREDENTIALS)
    const socket = openSocket(context, target)
    return secure(context, { mesh, credentials, stream: socket, handler }, (outcome) => {
      if (outcome.kind === 'failed') return done(outcome)
      const { connection, peer, lifetimeMs } = outcome
      return done({
        kind: 'connected',
        dialed: { connection, peer, lifetimeMs, endpointId: '', carrier: undefined },
      })
    })
  }
}

export type SecureOutcome =
  | {
      readonly kind: 'connected'
      readonly connection: H2ClientConnection
      readonly peer: Peer
      readonly lifetimeMs: number
    }
  | { readonly kind: 'failed'; readonly failure: ConnectFailure }

interface SecureOptions {
  readonly mesh: MeshTarget
  readonly credentials: ClientCredentials
  readonly stream: Duplex
  readonly handler: ClientConnectionHandler
}

export const NO_CREDENTIALS: ConnectFailure = { kind: 'connect', detail: 'this proxy has no certificate yet' }

/** The handshake over any byte stream, then HTTP/2 if the peer is who was meant. */
export function secure(context: DialContext, options: SecureOptions, done: (outcome: SecureOutcome) => void): Cancel {
  const { mesh, credentials, stream, handler } = options
  return handshake(context, { to: mesh, credentials, stream, alpn: 'h2' }, (outcome) => {
    if (outcome.kind === 'failed') return done(outcome)
    const { limits } = mesh
    const { timers } = context
    const connection = new H2ClientConnection(outcome.socket, handler, { limits, budgets: H2_BUDGETS, timers })
    return done({ kind: 'connected', connection, peer: outcome.peer, lifetimeMs: outcome.lifetimeMs })
  })
}

export type HandshakeOutcome =
  | {
      readonly kind: 'connected'
      /** Nothing listens to it any more, its errors included: that is for whoever takes it, at once. */
      readonly socket: TLSSocket
      readonly peer: Peer
      readonly lifetimeMs: number
    }
  | { readonly kind: 'failed'; readonly failure: ConnectFailure }

export interface HandshakeOptions {
  readonly to: HandshakeTarget
  readonly credentials: ClientCredentials
  readonly stream: Duplex
  /** The one protocol that is offered and has to be taken. */
  readonly alpn: string
}

/** mTLS with someone who has to be one of the identities meant; nothing is written before that is known. */
export function handshake(
  context: DialContext,
  options: HandshakeOptions,
  done: (outcome: HandshakeOutcome) => void,
): Cancel {
  const { to, credentials, stream, alpn } = options
  const socket = connectTls({
    socket: stream,
    servername: to.serverName,
    ALPNProtocols: [alpn],
    secureContext: credentials.secureContext,
    rejectUnauthorized: true,
    // Names in certificates are SPIFFE ids, judged below; host names mean nothing here.
    checkServerIdentity: () => undefined,
  })
  const attempt = new Attempt<HandshakeOutcome>(context.timers, to.timeoutMs, socket, done)
  stream.on('error', (error: Error) => attempt.fail({ kind: 'connect', detail: error.message }))
  socket.once('secureConnect', () => {
    const verdict = judge(socket, options)
    if (!verdict.ok) return attempt.fail({ kind: 'identity', detail: `${verdict.refusal}: ${verdict.detail}` })
    const { peer } = verdict
    attempt.settle(() => ({
      kind: 'connected',
      socket,
      peer,
      lifetimeMs: Math.min(credentials.notAfterMs, peer.notAfterMs) - context.now(),
    }))
  })
  return attempt.cancel
}

function judge(socket: TLSSocket, { to, credentials, alpn }: HandshakeOptions): PeerVerdict {
  if (!socket.authorized) return { ok: false, refusal: 'untrusted', detail: String(socket.authorizationError) }
  if (socket.alpnProtocol !== alpn) {
    return { ok: false, refusal: 'protocol', detail: `the server does not speak ${alpn}` }
  }
  return credentials.judge(socket.getPeerX509Certificate()?.raw, to.identities)
}

export function openSocket(context: DialContext, target: Target): Socket {
  const socket = connectSocket({
    host: target.address,
    port: target.port,
    noDelay: true,
    allowHalfOpen: true,
    ...(context.localAddress === undefined ? {} : { localAddress: context.localAddress }),
    ...(context.lookup === undefined ? {} : { lookup: context.lookup }),
  })
  if (target.preface !== undefined) socket.write(target.preface)
  return socket
}

export function failLater(
  done: (outcome: Extract<DialOutcome, { kind: 'failed' }>) => void,
  failure: ConnectFailure,
): Cancel {
  let cancelled = false
  queueMicrotask(() => {
    if (!cancelled) done({ kind: 'failed', failure })
  })
  return () => {
    cancelled = true
  }
}

/** One attempt with a deadline: whatever comes first decides, and failure leaves no socket behind. */
export class Attempt<Outcome extends { readonly kind: string }> {
  readonly #stream: Duplex
  readonly #timers: TimerWheel
  readonly #timer: WheelTimer
  readonly #done: (outcome: Outcome | { kind: 'failed'; failure: ConnectFailure }) => void
  #settled = false
  readonly #onError = (error: Error): void => this.fail(failureOf(error))
  readonly #onClose = (): void => this.fail(FAILED_CLOSED)
  readonly cancel: Cancel

  constructor(
    timers: TimerWheel,
    timeoutMs: number,
    stream: Duplex,
    done: (outcome: Outcome | { kind: 'failed'; failure: ConnectFailure }) => void,
  ) {
    this.#stream = stream
    this.#timers = timers
    this.#done = done
    this.#timer = new WheelTimer(() => this.fail({ kind: 'timeout', detail: `no answer within ${timeoutMs} ms` }))
    this.cancel = () => this.#abort()
    timers.schedulePatiently(this.#timer, timeoutMs)
    stream.on('error', this.#onError)
    stream.on('close', this.#onClose)
  }

  /** The codec that `make` builds takes over the stream's events. */
  settle(make: () => Outcome): void {
    if (this.#settled) return
    this.#finish()
    this.#stream.off('error', this.#onError)
    this.#stream.off('close', this.#onClose)
    this.#done(make())
  }

  fail(failure: ConnectFailure): void {
    if (this.#settled) return
    this.#abort()
    this.#done({ kind: 'failed', failure })
  }

  #abort(): void {
    if (this.#settled) return
    this.#finish()
    this.#stream.destroy()
  }

  #finish(): void {
    this.#settled = true
    this.#timers.cancel(this.#timer)
  }
}

function failureOf(error: Error & { code?: string }): ConnectFailure {
  const code = error.code ?? ''
  const handshake = code.startsWith('ERR_SSL') || code.startsWith('ERR_TLS') || CERTIFICATE_ERRORS.has(code)
  return { kind: handshake ? 'identity' : 'connect', detail: code === '' ? error.message : `${code}: ${error.message}` }
}

/** OpenSSL's verdicts as Node names them; they end in a refusal that no retry of the same endpoint mends. */
const CERTIFICATE_ERRORS: ReadonlySet<string> = new Set([
  'CERT_HAS_EXPIRED',
  'CERT_NOT_YET_VALID',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'PERMITTED_SUBTREE_VIOLATION',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
])
