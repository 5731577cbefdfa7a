/**
 * The client's side of an HTTP/2 connection: many requests at once, PING for the pool that watches its health, and
 * GOAWAY told apart into what the peer has seen and what may go elsewhere.
 */
import { strict as assert } from 'node:assert'
import type { Socket } from 'node:net'
import type { RequestHead, ResponseHead } from '../message.ts'
import type { ClientConnectionHandler, CloseReason, ResetReason, ResponseSink } from '../stream.ts'
import { flushAtTurnEnd, type Flushable } from '../h1/turn.ts'
import { answerKey } from '../h1/websocket.ts'
import { H2ClientStream } from './client-stream.ts'
import { ERROR, PREFACE, SETTING, STREAM_ID_MAX } from './frames.ts'
import { encodeRequest, readResponse, readTrailers } from './heads.ts'
import { H2Session } from './session.ts'
import type { H2Stream } from './stream.ts'
import type { H2Client, H2ClientOptions } from './types.ts'

/** Until the peer's SETTINGS say otherwise (RFC 9113 6.5.2 recommends no less). */
const STREAMS_BEFORE_SETTINGS = 100
const INFORMATIONAL_MAX = 16

export class H2ClientConnection extends H2Session implements H2Client, Flushable {
  ready = false
  extendedConnect = false
  readonly #handler: ClientConnectionHandler
  #streamsAllowed = STREAMS_BEFORE_SETTINGS
  #nextId = 1
  #full = false
  #pingDone: ((rttMs: number) => void) | undefined = undefined
  #pingAt = 0
  readonly #pingPayload = Buffer.alloc(8)
  /** Upgrades that wait for the peer's SETTINGS. */
  readonly #held: { readonly stream: H2ClientStream; readonly head: RequestHead }[] = []
  /** Requests that cannot be sent; they hear of it at the end of the turn. */
  #impossible: H2ClientStream[] = []

  constructor(socket: Socket, handler: ClientConnectionHandler, options: H2ClientOptions) {
    super(socket, options)
    this.#handler = handler
    this.sender.output.chunk(PREFACE)
    this.sender.settings(options.limits, { server: false, extendedConnect: false })
  }

  get capacity(): number {
    if (this.draining || this.ending || this.closed) return 0
    return Math.max(0, Math.min(this.#streamsAllowed, this.limits.streamsMax) - this.streams.size)
  }

  request(head: RequestHead, end: boolean, sink: ResponseSink): H2ClientStream {
    assert(this.capacity > 0, 'a request needs capacity')
    const windows = {
      send: this.sender.initialWindow,
      receive: Math.max(this.limits.streamWindowBytes, 65_535),
      now: this.timers.coarseNow,
    }
    const stream = new H2ClientStream(this.#nextId, { head, sink }, this, windows)
    if (head.protocol !== '' && !this.extendedConnect)
      return this.ready ? this.#refuse(stream) : this.#hold(stream, head)
    this.#send(stream, head, end)
    return stream
  }

  #send(stream: H2ClientStream, head: RequestHead, end: boolean): void {
    stream.id = this.#nextId
    this.#nextId += 2
    if (this.#nextId > STREAM_ID_MAX) this.#retire()
    encodeRequest(this.sender.encoder, head)
    stream.bytesSent = this.sender.encoder.length
    this.sender.headers(stream.id, end)
    this.open(stream)
    if (end) stream.localDone = true
    if (this.capacity === 0) this.#full = true
  }

  /** Whether the peer has extended CONNECT stands in its SETTINGS, which are still to come (RFC 8441 3). */
  #hold(stream: H2ClientStream, head: RequestHead): H2ClientStream {
    stream.id = 0
    this.#held.push({ stream, head: { ...head, headers: head.headers.slice() } })
    return stream
  }

  #sendHeld(): void {
    for (const { stream, head } of this.#held.splice(0)) {
      if (stream.over) continue
      if (!this.extendedConnect) this.#refuse(stream)
      else if (this.capacity > 0) this.#send(stream, head, false)
      else this.#lose(stream, 'refused')
    }
  }

  #lose(stream: H2ClientStream, reason: ResetReason): void {
    if (stream.over) return
    stream.over = true
    stream.deliverReset(reason)
  }

  override sendReset(stream: H2Stream, code: number): void {
    if (stream.id === 0) stream.over = true
    else super.sendReset(stream, code)
  }

  /** Stream ids are used up: what is under way goes on, and the pool opens another connection. */
  #retire(): void {
    this.draining = true
    this.#handler.onDraining(this)
  }

  /** The peer has no extended CONNECT: the caller may try HTTP/1.1. */
  #refuse(stream: H2ClientStream): H2ClientStream {
    stream.over = true
    if (this.#impossible.push(stream) === 1) flushAtTurnEnd(this)
    return stream
  }

  flush(): void {
    const streams = this.#impossible
    this.#impossible = []
    for (const stream of streams) stream.deliverReset('http1-required')
  }

  override addBulk(change: 1 | -1): void {
    const before = this.bulkStreams
    super.addBulk(change)
    if (before === 0 || this.bulkStreams === 0) this.#handler.onBulk?.(this, before === 0)
  }

  ping(done: (rttMs: number) => void): boolean {
    if (this.#pingDone !== undefined || this.ending || this.closed) return false
    this.#pingDone = done
    this.#pingAt = this.timers.now()
    this.#pingPayload.writeUInt32BE((this.#pingPayload.readUInt32BE(4) + 1) >>> 0, 4)
    this.sender.ping(this.#pingPayload, false)
    return true
  }

  onPingAnswer(payload: Buffer): void {
    const done = this.#pingDone
    if (done === undefined || payload.compare(this.#pingPayload) !== 0) return
    this.#pingDone = undefined
    done(this.timers.now() - this.#pingAt)
  }

  isIdle(streamId: number): boolean {
    return streamId >= this.#nextId || streamId % 2 === 0
  }

  onSetting(key: number, value: number): boolean {
    if (key === SETTING.maxConcurrentStreams) this.#streamsAllowed = value
    else if (key === SETTING.enableConnectProtocol) this.extendedConnect = value === 1
    else if (key === SETTING.enablePush && value !== 0) {
      this.onFrameError(ERROR.protocol, 'a server that enables push')
      return false
    }
    return true
  }

  onSettings(first: boolean): void {
    if (first) {
      this.ready = true
      this.deadline.set(0)
      if (this.#streamsAllowed === STREAMS_BEFORE_SETTINGS) this.#streamsAllowed = this.limits.streamsMax
    }
    if (this.#held.length > 0) this.#sendHeld()
    this.#full = this.capacity === 0
    if (!this.#full) this.#handler.onCapacity(this)
  }

  /** Streams the peer will never look at may be tried elsewhere (RFC 9113 6.8). */
  onGoaway(lastStreamId: number, code: number): void {
    const first = !this.draining
    if (code !== ERROR.none) this.note('protocol', `the peer ended the connection with error ${code}`)
    this.draining = true
    for (const stream of this.streams.values()) if (stream.id > lastStreamId) this.drop(stream, 'refused')
    if (first) this.#handler.onDraining(this)
    if (this.streams.size === 0) this.finishDrain()
  }

  onBlock(streamId: number, block: Buffer, flags: { readonly end: boolean; readonly selfDependent: boolean }): void {
    if (this.isIdle(streamId)) return this.onFrameError(ERROR.protocol, 'HEADERS on an idle stream')
    if (!this.decoder.decode(block, 0, block.length)) return this.onFrameError(ERROR.compression, 'HPACK')
    const stream = this.streams.get(streamId)
    if (stream === undefined) {
      if (!this.isIgnored(streamId)) this.onFrameError(ERROR.streamClosed, 'HEADERS on a closed stream')
      return
    }
    stream.touchedAt = this.timers.coarseNow
    if (stream.remoteDone) return this.streamError(stream, ERROR.streamClosed)
    if (this.decoder.oversized) return this.streamError(stream, ERROR.enhanceYourCalm)
    if (!(stream instanceof H2ClientStream)) return
    if (stream.answered) return this.#trailers(stream, flags.end)
    const head = readResponse(this.decoder, stream)
    if (head === undefined) return this.streamError(stream, ERROR.protocol)
    stream.bytesReceived += this.decoder.listBytes
    if (head.status < 200 && head.status !== 101) this.#informed(stream, head, flags.end)
    else this.#answered(stream, head, flags.end)
  }

  #informed(stream: H2ClientStream, head: ResponseHead, end: boolean): void {
    if (end || ++stream.informational > INFORMATIONAL_MAX) return this.streamError(stream, ERROR.protocol)
    stream.sink.onInformational(head)
  }

  #answered(stream: H2ClientStream, head: ResponseHead, end: boolean): void {
    const described = stream.method === 'HEAD' || head.status === 304
    if (!described) stream.bodyExpected = head.bodyLength
    if (end && stream.bodyExpected > 0) return this.streamError(stream, ERROR.protocol)
    stream.answered = true
    if (stream.key !== '' && head.status === 101) answerKey(stream.key, head.headers)
    stream.tunnel =
      !end && (stream.protocol === '' ? stream.method === 'CONNECT' && head.status < 300 : head.status === 101)
    if (end) stream.remoteDone = true
    else if (!stream.tunnel) this.expectBody(stream)
    stream.sink.onResponse(head, end)
    if (!end || stream.over) return
    if (stream.localDone) this.finish(stream)
  }

  #trailers(stream: H2ClientStream, end: boolean): void {
    const trailers = end ? readTrailers(this.decoder) : undefined
    if (trailers === undefined) return this.streamError(stream, ERROR.protocol)
    this.remoteDone(stream, trailers)
  }

  protected halfDone(): void {
    // The answer is still to come.
  }

  /** A server that answered needs no more of the request; it says so by RST_STREAM if it wants less. */
  protected override remove(stream: H2Stream): void {
    super.remove(stream)
    if (!this.#full || this.capacity === 0) return
    this.#full = false
    this.#handler.onCapacity(this)
  }

  protected onStreamsGone(): void {
    this.deadline.set(0)
    this.#handler.onIdle(this)
  }

  protected announceDrain(): void {
    this.#handler.onDraining(this)
    if (this.streams.size === 0) this.finishDrain()
  }

  protected onClosed(reason: CloseReason, detail: string): void {
    this.#pingDone = undefined
    for (const { stream } of this.#held.splice(0)) this.#lose(stream, 'lost')
    this.#handler.onClose(this, reason, detail)
  }
}
