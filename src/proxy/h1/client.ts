/**
 * One HTTP/1.1 connection to an upstream, one exchange at a time. It is offered again only when both messages ended
 * exactly where their framing says and nothing came after: whatever is left over could be taken for the next answer.
 */
import type { Socket } from 'node:net'
import { strict as assert } from 'node:assert'
import { Carry } from './carry.ts'
import { Deadline } from './deadline.ts'
import type { HeaderList, RequestHead, ResponseHead } from '../message.ts'
import { Output } from './output.ts'
import { hostPort } from '../stream-facts.ts'
import type { ClientConnection, ClientConnectionHandler, CloseReason, ResetReason, ResponseSink } from '../stream.ts'
import { BodyReader, type BodySink } from './body-reader.ts'
import { H1ClientStream, type H1ClientOwner } from './client-stream.ts'
import { frameResponse, type ResponseFraming } from './framing.ts'
import { HeadReader } from './head-reader.ts'
import { kept, takeReads } from './reading.ts'
import type { H1ClientOptions } from './types.ts'
import { answersKey } from './websocket.ts'

const LF = 10
/** 1xx before the answer; more is a peer that keeps us busy. */
const INFORMATIONAL_MAX = 16

type State = 'idle' | 'head' | 'body' | 'pipe' | 'closed'

export class H1ClientConnection implements ClientConnection, H1ClientOwner, BodySink {
  readonly output: Output
  readonly #socket: Socket
  readonly #handler: ClientConnectionHandler
  readonly carriesTrailers: boolean
  readonly #options: H1ClientOptions
  readonly #reader: HeadReader
  readonly #body: BodyReader
  readonly #carry = new Carry()
  readonly #deadline: Deadline
  #state: State = 'idle'
  #stream: H1ClientStream | undefined = undefined
  #reusable = true
  #draining = false
  #informational = 0
  #drainWanted = false
  #parsing = false
  #closeReason: CloseReason | undefined = undefined
  #closeDetail = ''

  constructor(socket: Socket, handler: ClientConnectionHandler, options: H1ClientOptions) {
    this.#socket = socket
    this.#handler = handler
    this.#options = options
    this.carriesTrailers = options.trailers !== false
    this.output = new Output(socket)
    this.#reader = new HeadReader(options.limits)
    this.#body = new BodyReader(this, new HeadReader(options.limits))
    this.#deadline = new Deadline(options.timers, [options.limits.streamIdleTimeoutMs], () => this.#expire())
    takeReads(socket, this.#onData)
    socket.on('end', this.#onEnd)
    socket.on('drain', this.#onDrain)
    socket.on('error', this.#onError)
    socket.on('close', this.#onClose)
  }

  get activeStreams(): number {
    return this.#stream === undefined ? 0 : 1
  }

  get capacity(): number {
    return this.#state === 'idle' && this.#reusable && !this.#draining && !this.#parsing ? 1 : 0
  }

  get localAddress(): string {
    return hostPort(this.#socket.localAddress ?? '', this.#socket.localPort ?? 0)
  }

  get bufferedBytes(): number {
    return this.output.pendingBytes
  }

  request(head: RequestHead, end: boolean, sink: ResponseSink): H1ClientStream {
    assert(this.capacity > 0, 'one exchange at a time')
    this.#state = 'head'
    this.#informational = 0
    this.#reader.reset('response')
    this.#deadline.set(this.#options.limits.streamIdleTimeoutMs)
    const stream = new H1ClientStream(head, end, sink, this)
    this.#stream = stream
    return stream
  }

  drain(): void {
    this.#draining = true
    if (this.#state === 'idle') this.#shut('drained', '', 'local')
  }

  destroy(reason: CloseReason): void {
    this.#shut(reason, '', 'local')
  }

  // Reading

  readonly #onData = (buffer: Buffer, end: number): void => {
    if (this.#state === 'closed') return
    if (this.#state === 'idle') return this.#shut('protocol', 'bytes that no request asked for', 'protocol')
    if (this.#state === 'pipe' && this.#carry.length === 0) return this.onBody(kept(buffer, 0, end))
    this.#deadline.set(this.#options.limits.streamIdleTimeoutMs)
    const carry = this.#carry
    if (carry.length === 0) {
      const used = this.#parse(buffer, end)
      if (used < end && this.#stream !== undefined) carry.append(buffer.subarray(used, end))
      return
    }
    const chunk = buffer.subarray(0, end)
    carry.append(chunk)
    if (chunk.indexOf(LF) === -1 && carry.length <= this.#options.limits.headBytesMax) return
    const used = this.#parse(carry.view(), carry.length)
    if (this.#stream === undefined) carry.clear()
    else carry.drop(used)
  }

  #parse(input: Buffer, end: number): number {
    let at = 0
    let before = -1
    this.#parsing = true
    while (at < end && at !== before && this.#stream !== undefined) {
      before = at
      if (this.#state === 'head') at = this.#parseHead(input, at, end)
      else if (this.#state === 'body') at = this.#body.read(input, at, end)
      else if (this.#state === 'pipe') {
        this.onBody(kept(input, at, end))
        at = end
      } else break
    }
    this.#parsing = false
    if (at < end && this.#state === 'idle') this.#shut('protocol', 'bytes after the response', 'protocol')
    else if (this.#state === 'idle') this.#offer()
    return at
  }

  #parseHead(input: Buffer, start: number, end: number): number {
    const reader = this.#reader
    const at = reader.read(input, start, end)
    const stream = this.#stream
    if (reader.state === 'more' || stream === undefined) return at
    if (reader.state === 'failed') return this.#refuse(reader.failureDetail, at)
    const framing = frameResponse(reader, stream)
    if ('status' in framing) return this.#refuse(framing.detail, at)
    stream.bytesReceived += reader.bytes
    if (framing.head.status < 200 && framing.head.status !== 101) this.#informed(stream, framing.head)
    else this.#answered(stream, framing)
    return at
  }

  #informed(stream: H1ClientStream, head: ResponseHead): void {
    if (++this.#informational > INFORMATIONAL_MAX)
      return this.#shut('protocol', 'too many informational responses', 'protocol')
    this.#reader.reset('response')
    stream.sink.onInformational(head)
  }

  #answered(stream: H1ClientStream, framing: ResponseFraming): void {
    const status = framing.head.status
    const asked = stream.protocol !== '' || stream.method === 'CONNECT'
    if (!framing.keepAlive || asked) this.#reusable = false
    if (status === 101 && stream.madeKey !== '' && !answersKey(stream.madeKey, framing.head.headers))
      return this.#shut('protocol', 'the WebSocket handshake is not answered', 'protocol')
    if (status === 101 || (stream.method === 'CONNECT' && status < 300)) {
      this.#state = 'pipe'
      this.#deadline.set(0)
      stream.sink.onResponse(framing.head, false)
      return
    }
    // The caller may already have sent bytes of the tunnel it was refused: nothing more is sent, and nothing reused.
    if (asked) stream.requestDone = true
    const ended = framing.body === 'none'
    if (!ended) {
      this.#state = 'body'
      this.#body.start(framing.body, framing.head.bodyLength)
    }
    stream.sink.onResponse(framing.head, ended)
    if (ended && !stream.over) this.#responseDone(stream)
  }

  #refuse(detail: string, at: number): number {
    this.#shut('protocol', detail, 'protocol')
    return at
  }

  onBody(chunk: Buffer): void {
    const stream = this.#stream
    if (stream === undefined || stream.over) return
    stream.bytesReceived += chunk.length
    stream.sink.onResponseData(chunk)
  }

  onBodyEnd(trailers: HeaderList): void {
    const stream = this.#stream
    if (stream === undefined || stream.over) return
    stream.responseDone = true
    stream.sink.onResponseEnd(this.carriesTrailers ? trailers : [])
    this.#responseDone(stream)
  }

  onBodyError(detail: string): void {
    this.#shut('protocol', detail, 'protocol')
  }

  // Writing and back-pressure

  mayWrite(): boolean {
    if (this.#state !== 'pipe') this.#deadline.set(this.#options.limits.streamIdleTimeoutMs)
    if (this.output.pendingBytes < this.#options.limits.writeHighBytes) return true
    this.#drainWanted = true
    this.output.onFlushed = this.#onFlushed
    return false
  }

  readonly #onFlushed = (): void => {
    if (!this.output.blocked) this.#onDrain()
  }

  readonly #onDrain = (): void => {
    if (!this.#drainWanted) return
    this.#drainWanted = false
    const stream = this.#stream
    if (stream !== undefined && !stream.over) stream.sink.onRequestDrain()
  }

  readingChanged(stream: H1ClientStream): void {
    if (stream.paused) this.#socket.pause()
    else this.#socket.resume()
  }

  halfClose(): void {
    this.output.flush()
    this.#socket.end()
  }

  // The end of an exchange, and of the connection

  #responseDone(stream: H1ClientStream): void {
    stream.responseDone = true
    if (stream.over) return
    // Answered before the body was sent. The rest of it is not worth sending: the connection ends here.
    if (!stream.requestDone) this.#reusable = false
    this.#exchangeDone(stream)
  }

  #exchangeDone(stream: H1ClientStream): void {
    stream.over = true
    this.#stream = undefined
    this.#state = 'idle'
    this.#deadline.set(0)
    if (this.#socket.isPaused()) this.#socket.resume()
    if (!this.#reusable || this.#draining) {
      this.#handler.onDraining(this)
      this.#shut(this.#draining ? 'drained' : 'closed', '', 'local')
      return
    }
    // While the input is still being read, bytes after the response may follow: then the connection ends instead.
    if (!this.#parsing) this.#offer()
  }

  #offer(): void {
    this.#handler.onIdle(this)
    if (this.capacity > 0) this.#handler.onCapacity(this)
  }

  abort(stream: H1ClientStream): void {
    stream.over = true
    this.#shut('local', 'the exchange was reset', 'local')
  }

  #shut(reason: CloseReason, detail: string, reset: ResetReason): void {
    if (this.#state === 'closed') return
    this.#closeReason ??= reason
    if (this.#closeDetail === '') this.#closeDetail = detail
    this.#reusable = false
    this.#loseStream(reset)
    this.output.flush()
    this.#socket.destroy()
  }

  #loseStream(reason: ResetReason): void {
    const stream = this.#stream
    this.#stream = undefined
    this.#body.stop()
    if (stream === undefined || stream.over) return
    stream.over = true
    stream.sink.onResponseReset(reason)
  }

  #expire(): void {
    if (this.#stream !== undefined) this.#shut('timeout', 'the exchange stood still', 'timeout')
  }

  readonly #onEnd = (): void => {
    const stream = this.#stream
    this.#reusable = false
    if (stream === undefined || stream.over) return this.#shut('closed', '', 'lost')
    if (this.#state === 'pipe') {
      stream.responseDone = true
      stream.sink.onResponseEnd([])
      return
    }
    if (this.#state === 'body' && this.#body.finish()) return
    this.#shut('lost', 'the upstream closed before its answer was complete', 'lost')
  }

  readonly #onError = (error: Error): void => {
    this.#closeReason ??= 'lost'
    if (this.#closeDetail === '') this.#closeDetail = error.message
  }

  readonly #onClose = (): void => {
    if (this.#state === 'closed') return
    const reason = this.#closeReason ?? (this.#stream === undefined ? 'closed' : 'lost')
    this.#state = 'closed'
    this.#reusable = false
    this.#loseStream('lost')
    this.#deadline.stop()
    this.#carry.clear()
    this.#handler.onClose(this, reason, this.#closeDetail)
  }
}
