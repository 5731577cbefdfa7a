/**
 * The accept path of captured connections: where it wanted to go, which chain serves that, and by which protocol. Holds
 * all branching between accept and whoever reads the bytes; HTTP is connection.ts's, bytes untouched are l4's.
 */
import { connect, type Socket } from 'node:net'
import { ANY_HOST, type Capture, PASSTHROUGH_CLUSTER } from '../../model/config.ts'
import { MeshError } from '../../runtime/errors.ts'
import type { Log } from '../../runtime/log.ts'
import type { CompiledChain, CompiledHttp, CompiledListener } from '../compile.ts'
import { isForbiddenTarget } from '../../runtime/forbidden.ts'
import type { Arrival } from '../l4/network-filters.ts'
import { type CompiledTcp } from '../l4/session.ts'
import { resetSocket } from '../l4/reset.ts'
import { Splice } from '../l4/splice.ts'
import type { Recorder } from '../record.ts'
import { findHost } from '../routes.ts'
import { type TimerWheel, WheelTimer } from '../timer-wheel.ts'
import { type CapturedChains, chainNamed, type Choice, choose, type Chosen, withoutNames } from './chains.ts'
import { type Destination, nameOf, type OriginalDestination } from './destination.ts'
import { detect, type Speech } from './detect.ts'
import { readHello } from './hello.ts'

export type CapturedHttp = 'http1' | 'h2'

export interface CaptureOptions {
  readonly timers: TimerWheel
  readonly recorder: Recorder
  readonly log: Log
  readonly now: () => number
  /** Asked once, by the first captured connection. */
  readonly load: () => Promise<OriginalDestination>
  /** `chain` is asked again for each request: configurations change under a connection. */
  readonly serveHttp: (socket: Socket, to: CapturedRequests) => void
  readonly serveTcp: (socket: Socket, to: CapturedTcp) => void
  readonly present: (listener: string) => CompiledListener | undefined
  readonly count: (reason: string, detail: string) => void
}

export interface CapturedRequests {
  readonly speaks: CapturedHttp
  readonly chain: () => CompiledChain | undefined
  /** `address:port` that an application dialled; empty where the connection came in from elsewhere. */
  readonly dialed: string
  /** Where the connection wanted to go, or came to. */
  readonly destination?: Destination
}

export interface CapturedTcp {
  readonly direction: Capture['direction']
  readonly chain: CompiledChain
  readonly filter: CompiledTcp
}

/** Protocols whose server speaks first, where nothing declares a port's protocol: waiting would only cost time. */
const SERVER_FIRST: ReadonlySet<number> = new Set([21, 22, 25, 110, 143, 587, 3306, 5900])
/** A client that is known to speak HTTP may connect long before it asks. */
const DECLARED_WAIT_MS = 300_000
/** A head that has begun arrives within this; the codec's own limit is as long. */
const HEAD_WAIT_MS = 10_000
const CONNECT_TIMEOUT_MS = 10_000 // Istio's default
const IDLE_MS = 3_600_000 // Envoy's tcp_proxy: 1 h

export class CaptureAcceptor {
  readonly #options: CaptureOptions
  /** Connections by direction and what became of them; for metrics. */
  readonly served = new Map<string, number>()
  /** From outside, without a certificate: whether each would be let in now. */
  readonly #inside = new Map<Socket, () => boolean>()
  #original: OriginalDestination | undefined = undefined

  constructor(options: CaptureOptions) {
    this.#options = options
  }

  accept(socket: Socket, listener: CompiledListener): void {
    const original = this.#original
    if (original !== undefined) return this.#accepted(socket, listener, original(socket))
    this.#options.load().then(
      (loaded) => {
        this.#original = loaded
        this.#accepted(socket, listener, loaded(socket))
      },
      (error: unknown) => {
        const { code, message, hint } = MeshError.from(error, 'CAPTURE_UNAVAILABLE', 'koffi')
        this.#options.log.error({ code, hint }, message)
        this.#refuse(socket, 'capture-unavailable', listener.name)
      },
    )
  }

  #accepted(socket: Socket, listener: CompiledListener, destination: Destination | undefined): void {
    const { capture, name } = listener
    if (capture === undefined || destination === undefined) return this.#refuse(socket, 'not-captured', name)
    // Whoever dials the listener itself would be sent to it again, without end.
    const isSelf = destination.port === socket.localPort && destination.address === socket.localAddress
    if (isSelf) return this.#refuse(socket, 'capture-loop', nameOf(destination))
    if (capture.direction === 'outbound' && isForbiddenTarget(nameOf(destination))) {
      return this.#refuse(socket, 'forbidden-destination', nameOf(destination))
    }
    const choice = choose(capture.chains, destination)
    if (choice.named !== undefined) return this.#named(socket, { listener, destination, choice }, choice.named)
    this.#unnamed(socket, { listener, destination, choice })
  }

  #unnamed(socket: Socket, captured: Captured): void {
    if (captured.choice.http === undefined) return this.#declared(socket, captured)
    return this.#undeclared(socket, captured)
  }

  /** The ClientHello says which host it is for; the rest of TLS is none of our business. */
  #named(socket: Socket, captured: Captured, named: ReadonlyMap<string, CompiledChain>): void {
    const { listener, choice } = captured
    const chains = listener.capture?.chains
    readHello(socket, { timers: this.#options.timers, waitMs: listener.capture?.detectMs ?? 0 }, (serverName) => {
      const chain = serverName === undefined ? undefined : chainNamed(named, serverName)
      if (chain !== undefined) return this.#serveAny(socket, { ...captured, choice: { ...choice, any: chain } })
      if (chains !== undefined) this.#unnamed(socket, { ...captured, choice: withoutNames(chains, choice) })
    })
  }

  /** One chain, whatever comes. TCP goes on without a byte from the client: its server may have to speak first. */
  #declared(socket: Socket, captured: Captured): void {
    const { any } = captured.choice
    if (any?.filter.kind !== 'http') return this.#serveAny(socket, captured)
    return sniff(socket, this.#options.timers, {
      waitMs: DECLARED_WAIT_MS,
      heard: (speech) => this.#heard(socket, captured, { speech, http: any }),
      closed: () => {},
    })
  }

  #undeclared(socket: Socket, captured: Captured): void {
    const { choice, destination, listener } = captured
    const { http } = choice
    if (http === undefined || (!choice.known && SERVER_FIRST.has(destination.port))) {
      return this.#serveAny(socket, captured)
    }
    return sniff(socket, this.#options.timers, {
      waitMs: listener.capture?.detectMs ?? 0,
      heard: (speech) => this.#heard(socket, captured, { speech, http }),
      closed: () => {},
    })
  }

  #heard(socket: Socket, captured: Captured, { speech, http }: { speech: Speech; http: CompiledChain }): void {
    const { listener, destination, choice } = captured
    const dialed = listener.capture?.direction === 'outbound' ? nameOf(destination) : ''
    const isHttp = speech.kind === 'http1' || speech.kind === 'h2'
    if (!isHttp || http.filter.kind !== 'http') return this.#serveAny(socket, captured, 'tcp-detected')
    // What nobody knows goes on untouched, unless nothing may: then whoever asked is answered in HTTP's own words.
    const passes = listener.capture?.chains.rest.any !== undefined || choice.any !== undefined
    if (passes && http.filter.mode === 'forward' && !isRouted(http.filter, speech, { known: choice.known, dialed })) {
      return this.#serveAny(socket, captured, 'tcp-detected')
    }
    if (!this.#admits(socket, http, destination)) return
    this.#follow(socket, captured, true)
    this.#served(listener, 'http')
    const chain = (): CompiledChain | undefined => {
      const chains = this.#options.present(listener.name)?.capture?.chains
      if (chains === undefined) return undefined
      const now = choose(chains, destination)
      return now.http ?? now.any
    }
    this.#options.serveHttp(socket, { speaks: speech.kind, chain, dialed, destination })
    // Held since its first bytes were read ahead.
    socket.resume()
  }

  /** Bytes untouched: the chain for anything, or the listener's own for the rest where the port's speaks HTTP only. */
  #serveAny(socket: Socket, { listener, destination, choice }: Captured, how: 'tcp' | 'tcp-detected' = 'tcp'): void {
    const own = choice.any
    const chain = own?.filter.kind === 'tcp' ? own : listener.capture?.chains.rest.any
    const direction = listener.capture?.direction
    if (chain?.filter.kind !== 'tcp' || direction === undefined) {
      return this.#refuse(socket, 'capture-protocol', nameOf(destination))
    }
    if (!this.#admits(socket, chain, destination)) return
    this.#follow(socket, { listener, destination, choice }, false)
    this.#served(listener, how)
    const { filter } = chain
    if (filter.clusterName === PASSTHROUGH_CLUSTER) return this.#passOn(socket, listener, destination)
    return this.#options.serveTcp(socket, { direction, chain, filter })
  }

  /** Rules about connections without a certificate, before a byte of them is carried. */
  #admits(socket: Socket, { network }: CompiledChain, { address, port }: Destination): boolean {
    if (network === undefined) return true
    const { remoteAddress = '' } = socket
    const admission = network.admit({
      remoteAddress,
      directAddress: remoteAddress,
      serverName: '',
      nowMs: this.#options.timers.now(),
      destination: () => ({ address, port, serverName: '' }),
    })
    if (!admission.admitted) this.#refuse(socket, admission.reason, nameOf({ address, port }))
    return admission.admitted
  }

  /** What was let in without a certificate stays only while that holds: a port may become STRICT under it. */
  #follow(socket: Socket, { listener, destination, choice }: Captured, isHttp: boolean): void {
    if (listener.capture?.direction !== 'inbound') return
    const { name } = listener
    const { remoteAddress = '' } = socket
    const arrival: Arrival = {
      remoteAddress,
      directAddress: remoteAddress,
      serverName: '',
      nowMs: this.#options.timers.now(),
      destination: () => ({ ...destination, serverName: '' }),
    }
    const before = chainOf(choice, listener.capture.chains, isHttp)
    this.#inside.set(socket, () => {
      const chains = this.#options.present(name)?.capture?.chains
      // A listener that is gone serves what it took to the end.
      if (chains === undefined) return true
      const chain = chainOf(choose(chains, destination), chains, isHttp)
      if (chain === undefined) return before === undefined
      return chain.network?.wouldAdmit(arrival) !== false
    })
    socket.once('close', () => this.#inside.delete(socket))
  }

  /** The configuration changed. Returns how many were closed. */
  recheck(): number {
    let closed = 0
    for (const [socket, isAdmitted] of this.#inside) {
      if (isAdmitted()) continue
      closed++
      this.#inside.delete(socket)
      resetSocket(socket)
    }
    return closed
  }

  /** To where it wanted to go, as if we were not here; but for the line in the log. */
  #passOn(client: Socket, listener: CompiledListener, destination: Destination): void {
    const { timers, recorder, now } = this.#options
    const startedAt = timers.now()
    const record = (connected: boolean, toUpstream: number, toClient: number): void =>
      recorder.line({
        time: new Date(now()).toISOString(),
        reporter: reporterOf(listener),
        cluster: PASSTHROUGH_CLUSTER,
        upstream: nameOf(destination),
        ...(connected ? {} : { flags: 'UF' }),
        durationMs: Math.round(timers.now() - startedAt),
        bytesReceived: toUpstream,
        bytesSent: toClient,
      })
    const upstream = connect({
      host: destination.address,
      port: destination.port,
      noDelay: true,
      allowHalfOpen: true,
    })
    const failed = (): void => {
      timers.cancel(timer)
      for (const socket of [client, upstream]) socket.removeAllListeners('error').on('error', () => {})
      upstream.destroy()
      // As the destination itself would have refused.
      resetSocket(client)
      record(false, 0, 0)
    }
    const timer = new WheelTimer(failed)
    timers.schedule(timer, CONNECT_TIMEOUT_MS)
    client.once('error', failed)
    upstream.once('error', failed)
    upstream.once('connect', () => {
      timers.cancel(timer)
      client.off('error', failed)
      upstream.off('error', failed)
      const splice = new Splice(client, upstream, {
        timers,
        idleMs: IDLE_MS,
        onEnd: () => record(true, splice.bytesToUpstream, splice.bytesToClient),
      })
    })
  }

  #served(listener: CompiledListener, as: 'http' | 'tcp' | 'tcp-detected'): void {
    const key = `${listener.capture?.direction ?? ''}|${as}`
    this.served.set(key, (this.served.get(key) ?? 0) + 1)
  }

  #refuse(socket: Socket, reason: string, detail: string): void {
    socket.on('error', () => {})
    resetSocket(socket)
    this.#options.count(reason, detail)
  }
}

/** Which chain serves that. */
function chainOf({ http, any }: Choice, { rest }: CapturedChains, isHttp: boolean): CompiledChain | undefined {
  if (isHttp) return http ?? any
  return any?.filter.kind === 'tcp' ? any : rest.any
}

interface Captured {
  readonly listener: CompiledListener
  readonly destination: Destination
  readonly choice: Chosen
}

/**
 * Whether the mesh knows what is asked for: an HTTP/1 request's host, read ahead. HTTP/2 hides it in HPACK; there the
 * destination has to be one of ours.
 */
function isRouted(
  { routes }: CompiledHttp,
  speech: Speech,
  { known, dialed }: { readonly known: boolean; readonly dialed: string },
): boolean {
  if (speech.kind !== 'http1') return known
  // Not exactly one host: the codec refuses it in words.
  if (speech.host === undefined) return true
  const host = routes === undefined ? undefined : findHost(routes, speech.host, dialed)
  return host !== undefined && host.name !== ANY_HOST
}

interface SniffOptions {
  /** How long the first byte may take; then it is `other`. */
  readonly waitMs: number
  readonly heard: (speech: Speech) => void
  /** It ended before it said anything. */
  readonly closed: () => void
}

/** Reads ahead and puts back, so that whoever serves the connection finds the bytes where they were. */
function sniff(socket: Socket, timers: TimerWheel, options: SniffOptions): void {
  let bytes: Buffer = Buffer.alloc(0)
  let begun = false
  const done = (speech: Speech | undefined): void => {
    timers.cancel(timer)
    socket.off('data', read).off('error', failed).off('close', closed).off('end', ended)
    if (speech === undefined) return options.closed()
    socket.pause()
    if (bytes.length > 0) socket.unshift(bytes)
    return options.heard(speech)
  }
  const failed = (): void => {
    socket.on('error', () => {})
    socket.destroy()
    done(undefined)
  }
  const closed = (): void => done(undefined)
  // A client that says nothing and ends its side may still listen; there is nothing that we could serve.
  const ended = (): void => failed()
  const read = (chunk: Buffer): void => {
    bytes = bytes.length === 0 ? chunk : Buffer.concat([bytes, chunk])
    const speech = detect(bytes)
    if (speech.kind !== 'more') return done(speech)
    if (!speech.begun || begun) return
    begun = true
    timers.cancel(timer)
    timers.schedule(timer, HEAD_WAIT_MS)
  }
  const timer = new WheelTimer(() => done(begun ? { kind: 'http1', host: undefined } : { kind: 'other' }))
  timers.schedule(timer, options.waitMs)
  socket.on('data', read).on('error', failed).on('close', closed).on('end', ended)
  // Held, where its first bytes were read ahead for something else already.
  if (socket.isPaused()) socket.resume()
}

const reporterOf = ({ capture }: CompiledListener): string =>
  capture?.direction === 'inbound' ? 'destination' : 'source'
