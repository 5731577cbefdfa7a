/**
 * One HTTP/1.1 connection from a client: reads requests one after the other (pipelined ones wait their turn, so that
 * answers keep the order), refuses what is ambiguous, and decides whether the connection lives on. Everything that
 * could desynchronise the two ends closes it.
 */
import type { Socket } from 'node:net'
import { Carry } from './carry.ts'
import { Deadline } from './deadline.ts'
import type { HeaderList } from '../message.ts'
import { Output } from './output.ts'
import type { CloseReason, Detached, ResetReason, ServerConnection, ServerConnectionHandler } from '../stream.ts'
import { BodyReader, type BodySink } from './body-reader.ts'
import { frameRequest, HEAD_LATE } from './framing.ts'
import { HeadReader } from './head-reader.ts'
import { responseText } from './head-writer.ts'
import { kept, type Reads, takeReads } from './reading.ts'
import { H1ServerStream, type H1StreamOwner } from './server-stream.ts'
import { H1_BEHAVIOUR, type H1Behaviour, type H1ServerOptions } from './types.ts'

const LF = 10
const NO_TRAILERS: HeaderList = []
const SILENT: { readonly headers: HeaderList; readonly text: string } = { headers: [], text: '' }
/** After an answer that closes, unread bytes are drained so that the reset they cause does not eat the answer. */
const LINGER_MS = 1_000
export const LINGER_BYTES_MAX = 1024 * 1024

/** `waiting`: a whole request was read and its answer is not finished. `pipe`: a tunnel. */
type State = 'head' | 'body' | 'waiting' | 'pipe' | 'linger' | 'detached' | 'closed'

export class H1ServerConnection implements ServerConnection, H1StreamOwner, BodySink {
  readonly output: Output
  draining = false
  readonly #socket: Socket
  readonly #handler: ServerConnectionHandler
  readonly #options: H1ServerOptions
  readonly behaviour: H1Behaviour
  readonly #reader: HeadReader
  readonly #body: BodyReader
  readonly #carry = new Carry()
  readonly #deadline: Deadline
  readonly #reads: Reads
  #state: State = 'head'
  #stream: H1ServerStream | undefined = undefined
  /** What is being parsed and how far; bytes after `#at` belong to whoever comes next. */
  #input: Buffer | undefined = undefined
  #inputEnd = 0
  #at = 0
  #headPending = true
  #drainWanted = false
  #lingered = 0
  #closeReason: CloseReason | undefined = undefined
  #closeDetail = ''

  constructor(socket: Socket, handler: ServerConnectionHandler, options: H1ServerOptions) {
    const limits = options.limits
    this.#socket = socket
    this.#handler = handler
    this.#options = options
    this.behaviour = options.behaviour ?? H1_BEHAVIOUR
    this.output = new Output(socket)
    this.#reader = new HeadReader(limits)
    this.#body = new BodyReader(this, new HeadReader(limits))
    const timeouts = [limits.headTimeoutMs, limits.idleTimeoutMs, limits.streamIdleTimeoutMs]
    this.#deadline = new Deadline(options.timers, timeouts, () => this.#expire())
    this.#deadline.setExact(limits.headTimeoutMs)
    this.#reader.reset('request')
    this.#reads = takeReads(socket, this.#onData)
    socket.on('end', this.#onEnd)
    socket.on('drain', this.#onDrain)
    socket.on('error', this.#onError)
    socket.on('close', this.#onClose)
  }

  get activeStreams(): number {
    return this.#stream === undefined ? 0 : 1
  }

  drain(): void {
    this.draining = true
    if (this.#state === 'head' && !this.#partialHead()) this.#closeAfterFlush('drained')
  }

  destroy(reason: CloseReason): void {
    if (this.#state === 'closed' || this.#state === 'detached') return
    this.#fail(reason, '', 'local')
  }

  // Reading

  readonly #onData = (buffer: Buffer, end: number): void => {
    switch (this.#state) {
      case 'pipe':
        return this.#onPipeData(kept(buffer, 0, end))
      case 'linger':
        this.#lingered += end
        if (this.#lingered > LINGER_BYTES_MAX) this.#socket.destroy()
        return
      case 'detached':
      case 'closed':
        return
      case 'waiting':
        return this.#hold(buffer.subarray(0, end))
      case 'body':
        this.#deadline.set(this.#options.limits.streamIdleTimeoutMs)
        break
      case 'head':
        if (!this.#headPending) this.#startHeadTimeout()
        break
    }
    this.#read(buffer, end)
  }

  #read(buffer: Buffer, end: number): void {
    const carry = this.#carry
    if (carry.length === 0) {
      const used = this.#parse(buffer, end)
      if (used < end && this.#keepsInput()) this.#hold(buffer.subarray(used, end))
      return
    }
    const chunk = buffer.subarray(0, end)
    carry.append(chunk)
    // Both a head and trailers advance by lines: without a new LF there is nothing to read yet.
    if (chunk.indexOf(LF) === -1 && carry.length <= this.#options.limits.headBytesMax) return
    this.#parseCarry()
  }

  #parseCarry(): void {
    const used = this.#parse(this.#carry.view(), this.#carry.length)
    if (this.#keepsInput()) this.#carry.drop(used)
    else this.#carry.clear()
  }

  #keepsInput(): boolean {
    return this.#state !== 'closed' && this.#state !== 'linger' && this.#state !== 'detached'
  }

  /** Bytes that came before their turn; beyond a head's worth the client has to wait. */
  #hold(chunk: Buffer): void {
    this.#carry.append(chunk)
    if (this.#state === 'waiting' && this.#carry.length > this.#options.limits.headBytesMax) this.#socket.pause()
  }

  #parse(input: Buffer, end: number): number {
    this.#input = input
    this.#inputEnd = end
    this.#at = 0
    let before = -1
    // Ends when nothing was consumed: an incomplete line, or a state that does not read.
    while (this.#at < end && this.#at !== before) {
      before = this.#at
      if (this.#state === 'head') this.#parseHead(input, end)
      else if (this.#state === 'body') this.#at = this.#body.read(input, this.#at, end)
      else if (this.#state === 'pipe') this.#pipeRest(input, end)
      else break
    }
    this.#input = undefined
    return this.#at
  }

  #parseHead(input: Buffer, end: number): void {
    const reader = this.#reader
    this.#at = reader.read(input, this.#at, end)
    if (reader.state === 'failed') return this.#refuse(reader.failure, reader.failureDetail)
    if (reader.state === 'more') {
      if (!this.#headPending) this.#startHeadTimeout()
      return
    }
    if (reader.minor === 0 && !this.behaviour.http10) return this.#refuse(426, 'HTTP/1.0')
    const framing = frameRequest(reader, this.#options.scheme)
    if ('status' in framing) return this.#refuse(framing.status, framing.detail)
    const stream = new H1ServerStream(framing, reader.minor, reader.bytes, this)
    this.#stream = stream
    this.#headPending = false
    this.#deadline.set(this.#options.limits.streamIdleTimeoutMs)
    if (framing.body === 'none') {
      this.#state = 'waiting'
    } else {
      this.#state = 'body'
      this.#body.start(framing.body, framing.head.bodyLength)
    }
    if (this.behaviour.expects === 'at-once') stream.sendContinue()
    this.#handler.onRequest(stream)
    stream.sendContinue()
  }

  onBody(chunk: Buffer): void {
    const stream = this.#stream
    if (stream === undefined || stream.over) return
    stream.bytesReceived += chunk.length
    stream.sink.onRequestData(chunk)
  }

  onBodyEnd(trailers: HeaderList): void {
    const stream = this.#stream
    if (stream === undefined || stream.over) return
    stream.requestDone = true
    this.#state = 'waiting'
    stream.sink.onRequestEnd(this.behaviour.trailers ? trailers : NO_TRAILERS)
    if (stream.responseDone && this.#stream === stream) this.#exchangeDone(stream)
  }

  onBodyError(detail: string): void {
    this.#refuse(400, detail)
  }

  #partialHead(): boolean {
    return this.#reader.begun || this.#carry.length > 0
  }

  #startHeadTimeout(): void {
    this.#headPending = true
    this.#deadline.setExact(this.#options.limits.headTimeoutMs)
  }

  // Tunnels

  accepted(stream: H1ServerStream): void {
    this.#state = 'pipe'
    this.#deadline.set(0)
    // Bytes that came early are not delivered from within `respond`, and go to `detach` if that is called first.
    if (this.#input === undefined && this.#carry.length > 0) setImmediate(() => this.#pipeHeld(stream))
  }

  #onPipeData(chunk: Buffer): void {
    const stream = this.#stream
    if (stream === undefined || stream.over) return
    if (this.#carry.length > 0) {
      this.#carry.append(chunk)
      return this.#pipeHeld(stream)
    }
    stream.bytesReceived += chunk.length
    stream.sink.onRequestData(chunk)
  }

  #pipeRest(input: Buffer, end: number): void {
    const rest = kept(input, this.#at, end)
    this.#at = end
    this.onBody(rest)
  }

  #pipeHeld(stream: H1ServerStream): void {
    if (this.#state !== 'pipe' || stream.over || stream.paused || this.#carry.length === 0) return
    const held = this.#carry.view()
    this.#carry.clear()
    this.onBody(held)
  }

  halfClose(): void {
    this.output.flush()
    this.#socket.end()
  }

  detach(stream: H1ServerStream): Detached | undefined {
    const input = this.#input
    const head = input === undefined ? this.#carry.view() : Buffer.from(input.subarray(this.#at, this.#inputEnd))
    this.output.flush()
    stream.over = true
    this.#stream = undefined
    this.#state = 'detached'
    this.#carry.clear()
    this.#deadline.stop()
    this.#unlisten()
    this.#socket.pause()
    this.#handler.onClose('closed', 'detached')
    return { socket: this.#socket, head }
  }

  // Back-pressure

  readingChanged(stream: H1ServerStream): void {
    if (stream.paused) {
      if (this.#state === 'body' || this.#state === 'pipe') this.#socket.pause()
      return
    }
    if (this.#state === 'pipe') this.#pipeHeld(stream)
    if (this.#state !== 'waiting' || this.#carry.length <= this.#options.limits.headBytesMax) this.#socket.resume()
  }

  mayWrite(): boolean {
    this.#deadline.set(this.#state === 'pipe' ? 0 : this.#options.limits.streamIdleTimeoutMs)
    if (this.output.pendingBytes < this.#options.limits.writeHighBytes) return true
    this.#drainWanted = true
    // Whether the kernel took everything shows only after the flush; then `drain` may never be emitted.
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
    if (stream !== undefined && !stream.over) stream.sink.onResponseDrain()
    else if (stream !== undefined || this.#state !== 'waiting') return
    else if (this.draining) this.#closeAfterFlush('drained')
    else this.#readNext()
  }

  // The end of an exchange, and of the connection

  responseDone(stream: H1ServerStream): void {
    if (stream.requestDone) return this.#exchangeDone(stream)
    // The client may still be sending: it has its answer, and its connection cannot carry another request.
    stream.over = true
    this.#stream = undefined
    this.#body.stop()
    this.#closeAfterFlush('closed')
  }

  #exchangeDone(stream: H1ServerStream): void {
    stream.over = true
    this.#stream = undefined
    const early =
      stream.asksTunnel && (this.#carry.length > 0 || (this.#input !== undefined && this.#at < this.#inputEnd))
    if (!stream.keepAlive || early || this.draining) return this.#closeAfterFlush(this.draining ? 'drained' : 'closed')
    this.#readNext()
  }

  /** Not while answers lie here that the client does not take: requests cost it less than they make us hold. */
  #readNext(): void {
    const { writeHighBytes, streamIdleTimeoutMs, idleTimeoutMs } = this.#options.limits
    if (this.output.pendingBytes > writeHighBytes) {
      this.#state = 'waiting'
      this.#deadline.set(streamIdleTimeoutMs)
      this.#drainWanted = true
      this.output.onFlushed = this.#onFlushed
      return
    }
    this.#state = 'head'
    this.#reader.reset('request')
    this.#headPending = false
    this.#deadline.set(idleTimeoutMs)
    if (this.#socket.isPaused()) this.#socket.resume()
    if (this.#input === undefined && this.#carry.length > 0) this.#parseCarry()
  }

  /** The codec's own answer to a message it will not pass on. */
  #refuse(status: number, detail: string): void {
    const stream = this.#stream
    this.#handler.onRefused(status, detail)
    if (stream !== undefined && !stream.over) {
      stream.over = true
      this.#stream = undefined
      stream.sink.onRequestReset(status === 408 ? 'timeout' : 'protocol')
      if (stream.responseStarted) return this.#fail('protocol', detail, 'protocol')
    }
    const { headers, text } = this.behaviour.refusal?.(status, detail) ?? SILENT
    const framing = `content-length: ${text.length}\r\nconnection: close\r\n`
    this.output.latin1(responseText({ status, headers, bodyLength: text.length }, framing) + text)
    this.#closeAfterFlush(status === 408 ? 'timeout' : 'protocol', detail)
  }

  #closeAfterFlush(reason: CloseReason, detail = ''): void {
    this.#closeReason ??= reason
    if (this.#closeDetail === '') this.#closeDetail = detail
    this.#state = 'linger'
    this.output.flush()
    this.#socket.end()
    this.#socket.resume()
    this.#deadline.setExact(LINGER_MS)
  }

  abort(stream: H1ServerStream): void {
    stream.over = true
    this.#fail('local', 'the exchange was reset', 'local')
  }

  #fail(reason: CloseReason, detail: string, reset: ResetReason): void {
    this.#closeReason ??= reason
    if (this.#closeDetail === '') this.#closeDetail = detail
    this.#loseStream(reset)
    this.output.flush()
    this.#socket.destroy()
  }

  #loseStream(reason: ResetReason): void {
    const stream = this.#stream
    this.#stream = undefined
    this.#body.stop()
    if (this.#state !== 'closed') this.#state = 'linger'
    if (stream === undefined || stream.over) return
    stream.over = true
    stream.sink.onRequestReset(reason)
  }

  #expire(): void {
    const stream = this.#stream
    if (this.#state === 'linger') this.#socket.destroy()
    else if (this.#state === 'head' && !this.#partialHead()) this.#closeAfterFlush('idle')
    else if (stream === undefined || !stream.responseStarted)
      this.#refuse(408, this.#state === 'head' ? HEAD_LATE : 'the message did not arrive in time')
    else this.#fail('timeout', 'the exchange stood still', 'timeout')
  }

  readonly #onEnd = (): void => {
    const stream = this.#stream
    if (this.#state === 'pipe' && stream !== undefined && !stream.over) {
      if (!stream.paused) this.#pipeHeld(stream)
      stream.requestDone = true
      stream.sink.onRequestEnd([])
      return
    }
    // A client that closes its half while we work has gone away: waiting for it would keep its request alive.
    if (stream !== undefined) this.#fail('lost', 'the client closed', 'lost')
    else if (this.#state === 'head') this.#closeAfterFlush('closed')
  }

  readonly #onError = (error: Error): void => {
    this.#closeReason ??= 'lost'
    if (this.#closeDetail === '') this.#closeDetail = error.message
  }

  readonly #onClose = (): void => {
    if (this.#state === 'closed') return
    const reason = this.#closeReason ?? (this.#stream === undefined ? 'closed' : 'lost')
    this.#loseStream('lost')
    this.#state = 'closed'
    this.#deadline.stop()
    this.#carry.clear()
    this.#handler.onClose(reason, this.#closeDetail)
  }

  #unlisten(): void {
    const socket = this.#socket
    this.#reads.leave()
    socket.off('end', this.#onEnd)
    socket.off('drain', this.#onDrain)
    socket.off('error', this.#onError)
    socket.off('close', this.#onClose)
  }
}
