/**
 * Where CONNECT ends: a TCP connection to the endpoint, dressed as a client connection that takes one request and has
 * accepted it as soon as it is open. So an exchange carries a tunnel's bytes as it carries any body. One connection per
 * request, none is kept.
 */
import { connect, type Socket } from 'node:net'
import type { Cluster } from '../../model/config.ts'
import type { EndpointState } from '../balance/endpoint.ts'
import { type HeaderList, LENGTH_UNKNOWN, type RequestHead } from '../message.ts'
import type { ClientConnection, ClientStream, ResetReason, ResponseSink } from '../stream.ts'
import { WheelTimer } from '../timer-wheel.ts'
import type { DialContext } from './dial.ts'
import type { Waiter, Way } from './transport.ts'

const CONNECT_TIMEOUT_MS = 5_000 // Envoy's connect_timeout
const NO_TRAILERS: HeaderList = []

export class RawDialer {
  readonly #context: DialContext

  constructor(context: DialContext) {
    this.#context = context
  }

  to({ endpoint }: EndpointState, cluster: Pick<Cluster, 'connectTimeoutMs'> | undefined): Way {
    const { address, port, transport } = endpoint
    if (transport !== 'plain') return new NoWay(`${address}:${port} wants ${transport}, and CONNECT ends in plain TCP`)
    return new RawWay(this.#context, { address, port, timeoutMs: cluster?.connectTimeoutMs ?? CONNECT_TIMEOUT_MS })
  }
}

class NoWay implements Way {
  readonly #detail: string

  constructor(detail: string) {
    this.#detail = detail
  }

  acquire(waiter: Waiter): void {
    waiter.onConnectFailed({ kind: 'connect', detail: this.#detail })
  }

  abandon(): void {
    // Nothing is under way.
  }
}

class RawWay implements Way {
  readonly #context: DialContext
  readonly #target: { readonly address: string; readonly port: number; readonly timeoutMs: number }
  readonly #timer: WheelTimer
  #socket: Socket | undefined = undefined
  #waiter: Waiter | undefined = undefined

  constructor(context: DialContext, target: { address: string; port: number; timeoutMs: number }) {
    this.#context = context
    this.#target = target
    this.#timer = new WheelTimer(() => this.#fail('timeout', `no answer within ${target.timeoutMs} ms`))
  }

  acquire(waiter: Waiter): void {
    const { timers, localAddress, lookup } = this.#context
    const socket = connect({
      host: this.#target.address,
      port: this.#target.port,
      noDelay: true,
      allowHalfOpen: true,
      ...(localAddress === undefined ? {} : { localAddress }),
      ...(lookup === undefined ? {} : { lookup }),
    })
    this.#waiter = waiter
    this.#socket = socket
    timers.schedulePatiently(this.#timer, this.#target.timeoutMs)
    socket.on('error', (error) => this.#fail('connect', error.message))
    socket.once('connect', () => this.#opened(socket))
  }

  abandon(): void {
    this.#waiter = undefined
    this.#context.timers.cancel(this.#timer)
    this.#socket?.destroy()
  }

  #opened(socket: Socket): void {
    const waiter = this.#waiter
    this.#waiter = undefined
    this.#context.timers.cancel(this.#timer)
    waiter?.onConnected(new RawConnection(socket))
  }

  /** Errors after the connection was handed over are its own to tell. */
  #fail(kind: 'connect' | 'timeout', detail: string): void {
    const waiter = this.#waiter
    if (waiter === undefined) return
    this.abandon()
    waiter.onConnectFailed({ kind, detail })
  }
}

class RawConnection implements ClientConnection {
  readonly #socket: Socket
  #stream: RawStream | undefined = undefined

  constructor(socket: Socket) {
    this.#socket = socket
  }

  get activeStreams(): number {
    return this.#stream === undefined ? 0 : 1
  }

  get capacity(): number {
    return this.#stream === undefined ? 1 : 0
  }

  get bufferedBytes(): number {
    return this.#socket.writableLength
  }

  request(_head: RequestHead, _end: boolean, sink: ResponseSink): ClientStream {
    const stream = new RawStream(this.#socket, sink)
    this.#stream = stream
    return stream
  }

  drain(): void {
    // The one stream there is goes on to its end.
  }

  destroy(): void {
    this.#socket.destroy()
  }
}

class RawStream implements ClientStream {
  bytesReceived = 0
  bytesSent = 0
  readonly #socket: Socket
  readonly #sink: ResponseSink
  #ended = false
  #over = false

  constructor(socket: Socket, sink: ResponseSink) {
    this.#socket = socket
    this.#sink = sink
    socket.on('end', () => this.#onEnd())
    socket.on('close', () => this.#lose('lost'))
    socket.on('drain', () => {
      if (!this.#over) sink.onRequestDrain()
    })
    queueMicrotask(() => this.#accept())
  }

  /** Bytes of a server that speaks first stand in the socket until the client was told. */
  #accept(): void {
    if (this.#over) return
    this.#sink.onResponse({ status: 200, headers: [], bodyLength: LENGTH_UNKNOWN }, false)
    this.#socket.on('data', (chunk: Buffer) => {
      this.bytesReceived += chunk.length
      if (!this.#over) this.#sink.onResponseData(chunk)
    })
  }

  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    this.#socket.resume()
  }

  write(chunk: Buffer): boolean {
    this.bytesSent += chunk.length
    return this.#socket.write(chunk)
  }

  end(): void {
    this.#socket.end()
  }

  reset(): void {
    this.#over = true
    this.#socket.destroy()
  }

  #onEnd(): void {
    if (this.#over || this.#ended) return
    this.#ended = true
    this.#sink.onResponseEnd(NO_TRAILERS)
  }

  #lose(reason: ResetReason): void {
    if (this.#over) return
    this.#over = true
    this.#sink.onResponseReset(reason)
  }
}
