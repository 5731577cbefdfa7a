/**
 * The way to one endpoint for connections whose bytes are not ours to read: plain, mTLS of ALPN `isthmus-tcp`, or that
 * inside a gateway's tunnel; one connection each, never shared. While it leads nowhere a probe looks for it in the
 * background, so that no application waits for what is known to be lost.
 */
import type { Cluster, Endpoint, Tunnel } from '../../model/config.ts'
import { ALPN_TCP } from '../../model/tcp.ts'
import { Backoff } from '../../runtime/backoff.ts'
import type { Cancel } from '../../runtime/clock.ts'
import type { Random } from '../../runtime/random.ts'
import { type Addresses, formatProxyHeader } from '../l4/proxy-protocol.ts'
import { WheelTimer } from '../timer-wheel.ts'
import {
  Attempt,
  type DialContext,
  handshake,
  type HandshakeTarget,
  NO_CREDENTIALS,
  openSocket,
  type Target,
} from './dial.ts'
import { openTls } from './open-dial.ts'
import type { ConnectFailure, OpenStream, OpenStreamDial, StreamOutcome, StreamWay } from './transport.ts'
import type { GatewayLink, GatewayLinks, LinkWatcher } from './tunnel.ts'
import { TunnelOpening } from './tunnel-opening.ts'

const PROBE_INITIAL_MS = 250
const PROBE_MAX_MS = 2_000 // as pools do
/** An endpoint behind a gateway that could not be spoken to is avoided as long as an ejection lasts. */
const SHUN_MS = 30_000

export interface StreamWayOptions {
  readonly context: DialContext
  readonly random: Random
  readonly links: GatewayLinks
  readonly streams: OpenStreams
  readonly cluster: Cluster
  /** Read at every use: weights and the like change while connections live on. */
  readonly endpoint: () => Endpoint
  /** `usable` may have changed. */
  readonly onUsable: () => void
}

/** Streams over mTLS, so that what admitted their peers can be taken back. */
export class OpenStreams {
  readonly #open = new Set<OpenStream>()

  add(stream: OpenStream): void {
    this.#open.add(stream)
    stream.socket.once('close', () => this.#open.delete(stream))
  }

  recheck(trusted: (peer: NonNullable<OpenStream['peer']>) => boolean): void {
    for (const { socket, peer } of this.#open) if (peer !== undefined && !trusted(peer)) socket.destroy()
  }

  destroy(): void {
    for (const { socket } of this.#open) socket.destroy()
  }
}

export function createStreamWay(options: StreamWayOptions): StreamWay {
  const { cluster } = options
  const { address, port, transport, tunnel } = options.endpoint()
  const target = { address, port, timeoutMs: cluster.connectTimeoutMs }
  if (transport === 'tunnel' && tunnel !== undefined) return new TunnelWay(options, target, tunnel)
  const probe = dialPlain(options.context, target)
  if (transport === 'plain') return new DirectWay(options, dialForeign(options, target), probe)
  return new DirectWay(options, dialMutual(options, target), probe)
}

function dialPlain(context: DialContext, target: Target): OpenStreamDial {
  return (done) => {
    const socket = openSocket(context, target)
    const attempt = new Attempt<StreamOutcome>(context.timers, target.timeoutMs, socket, done)
    socket.once('connect', () =>
      attempt.settle(() => ({
        kind: 'open',
        stream: { socket, peer: undefined, lifetimeMs: Number.POSITIVE_INFINITY, endpointId: '' },
      })),
    )
    return attempt.cancel
  }
}

/** Outside the mesh: over TLS where the cluster says so, and with the client's address where the endpoint wants it. */
function dialForeign({ context, cluster }: StreamWayOptions, target: Target): OpenStreamDial {
  const { clientTls: tls, proxyHeader } = cluster
  return (done, client) => {
    const preface = proxyHeader && formatProxyHeader(proxyHeader, client)
    const to = preface === undefined ? target : { ...target, preface }
    if (tls === undefined) return dialPlain(context, to)(done)
    return openTls(context, { ...to, tls, offers: tls.alpn }, (outcome) => {
      if (outcome.kind === 'failed') return done(outcome)
      const { socket } = outcome
      const stream = { socket, peer: undefined, lifetimeMs: Number.POSITIVE_INFINITY, endpointId: '' }
      return done({ kind: 'open', stream })
    })
  }
}

/** An endpoint that wants mTLS in a cluster without TLS settings fails closed: it is never dialled in plain. */
function dialMutual({ context, cluster, streams }: StreamWayOptions, target: Target): OpenStreamDial {
  const { tls } = cluster
  return (done) => {
    const credentials = context.credentials()
    if (tls === undefined || credentials === undefined) {
      const noTls = { kind: 'identity', detail: `cluster ${cluster.name} has no TLS settings` } as const
      return failLater(done, tls === undefined ? noTls : NO_CREDENTIALS)
    }
    const to = { serverName: tls.sni, identities: tls.identities, timeoutMs: target.timeoutMs }
    const stream = openSocket(context, target)
    return handshake(context, { to, credentials, stream, alpn: ALPN_TCP }, (outcome) => {
      if (outcome.kind === 'failed') return done(outcome)
      const { socket, peer, lifetimeMs } = outcome
      const opened = { socket, peer, lifetimeMs, endpointId: '' }
      streams.add(opened)
      return done({ kind: 'open', stream: opened })
    })
  }
}

function failLater(done: (outcome: StreamOutcome) => void, failure: ConnectFailure): Cancel {
  let cancelled = false
  queueMicrotask(() => {
    if (!cancelled) done({ kind: 'failed', failure })
  })
  return () => {
    cancelled = true
  }
}

/** Whether a way leads anywhere, by its last attempt, and the search for it while it does not. */
class Reach {
  readonly #options: StreamWayOptions
  readonly #probe: OpenStreamDial
  readonly #backoff: Backoff
  readonly #timer: WheelTimer
  #cancelProbe: Cancel | undefined = undefined
  #closed = false
  usable = true
  lastFailure = ''

  constructor(options: StreamWayOptions, probe: OpenStreamDial) {
    this.#options = options
    this.#probe = probe
    this.#backoff = new Backoff({ initialMs: PROBE_INITIAL_MS, maxMs: PROBE_MAX_MS, random: options.random })
    this.#timer = new WheelTimer(() => this.#look())
  }

  found(): void {
    this.#options.context.timers.cancel(this.#timer)
    this.#backoff.reset()
    if (this.usable) return
    this.usable = true
    this.#options.onUsable()
  }

  lost(failure: ConnectFailure): void {
    this.lastFailure = failure.detail
    const wasUsable = this.usable
    this.usable = false
    const { timers } = this.#options.context
    if (!this.#closed && !this.#timer.scheduled) timers.schedule(this.#timer, this.#backoff.next())
    if (wasUsable) this.#options.onUsable()
  }

  close(): void {
    this.#closed = true
    this.#options.context.timers.cancel(this.#timer)
    this.#cancelProbe?.()
  }

  /** Whether someone answers is enough: who it is, every connection asks for itself. */
  #look(): void {
    if (this.#closed || this.usable || this.#cancelProbe !== undefined) return
    this.#cancelProbe = this.#probe((outcome) => {
      this.#cancelProbe = undefined
      if (outcome.kind === 'failed') return this.lost(outcome.failure)
      outcome.stream.socket.on('error', () => {})
      outcome.stream.socket.destroy()
      return this.found()
    })
  }
}

class DirectWay implements StreamWay {
  readonly #dial: OpenStreamDial
  readonly #reach: Reach

  constructor(options: StreamWayOptions, dial: OpenStreamDial, probe: OpenStreamDial) {
    this.#dial = dial
    this.#reach = new Reach(options, probe)
  }

  get usable(): boolean {
    return this.#reach.usable
  }

  get lastFailure(): string {
    return this.#reach.lastFailure
  }

  open(done: (outcome: StreamOutcome) => void, client?: Addresses): Cancel {
    return this.#dial((outcome) => {
      if (outcome.kind === 'open') this.#reach.found()
      else this.#reach.lost(outcome.failure)
      return done(outcome)
    }, client)
  }

  close(): void {
    this.#reach.close()
  }
}

/** Usable as long as the gateway is: that one service has no pod there is told by each attempt, and by ejection. */
class TunnelWay implements StreamWay, LinkWatcher {
  readonly #options: StreamWayOptions
  readonly #target: Target
  readonly #tunnel: () => Tunnel
  readonly #link: GatewayLink
  /** Endpoint ids that no inner handshake came about with, and until when they are avoided. */
  readonly #shunned = new Map<string, number>()
  #closed = false
  #failure = ''

  constructor(options: StreamWayOptions, target: Target, tunnel: Tunnel) {
    this.#options = options
    this.#target = target
    this.#tunnel = () => options.endpoint().tunnel ?? tunnel
    this.#link = options.links.take(target, tunnel, 'bulk')
    this.#link.watchers.add(this)
  }

  get usable(): boolean {
    return this.#link.pool.usable
  }

  get lastFailure(): string {
    return this.#link.pool.usable ? this.#failure : this.#link.pool.lastFailure
  }

  open(done: (outcome: StreamOutcome) => void): Cancel {
    const { context } = this.#options
    const settle = (outcome: StreamOutcome): void => {
      this.#failure = outcome.kind === 'failed' ? outcome.failure.detail : ''
      done(outcome)
    }
    const opening = new TunnelOpening({
      context,
      link: this.#link,
      target: this.#target,
      tunnel: this.#tunnel,
      avoided: () => this.#avoided(),
    })
    let cancelStep: Cancel = () => opening.cancel()
    opening.start((outcome) => {
      if (outcome.kind === 'failed') return settle(outcome)
      const { duplex: stream, endpointId } = outcome
      const credentials = context.credentials()
      if (credentials === undefined) {
        stream.destroy()
        return settle({ kind: 'failed', failure: NO_CREDENTIALS })
      }
      const options = { to: this.#inner(), credentials, stream, alpn: ALPN_TCP }
      cancelStep = handshake(context, options, (inner) => {
        if (inner.kind === 'failed') {
          if (endpointId !== '') this.#shunned.set(endpointId, context.timers.now() + SHUN_MS)
          return settle(inner)
        }
        const { socket, peer, lifetimeMs } = inner
        const opened = { socket, peer, lifetimeMs, endpointId }
        this.#options.streams.add(opened)
        return settle({ kind: 'open', stream: opened })
      })
    })
    return () => cancelStep()
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#link.watchers.delete(this)
    this.#options.links.release(this.#link)
  }

  linkChanged(): void {
    this.#options.onUsable()
  }

  carrierGone(): void {
    // Streams end with the connection they travel in, by themselves.
  }

  carrierDraining(): void {
    // What flows goes on to its end; new streams take another connection.
  }

  #inner(): HandshakeTarget {
    const { innerSni, identities } = this.#tunnel()
    return { serverName: innerSni, identities, timeoutMs: this.#target.timeoutMs }
  }

  #avoided(): readonly string[] {
    const now = this.#options.context.timers.now()
    for (const [id, until] of this.#shunned) if (until <= now) this.#shunned.delete(id)
    return [...this.#shunned.keys()]
  }
}
