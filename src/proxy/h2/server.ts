/**
 * The server's side of an HTTP/2 connection: opens streams for requests, answers with heads, refuses what is beyond
 * the limits, and drains with two GOAWAYs (RFC 9113 6.8).
 */
import type { Socket } from 'node:net'
import type { ResponseHead } from '../message.ts'
import type { CloseReason, ServerConnection, ServerConnectionHandler } from '../stream.ts'
import { WheelTimer } from '../timer-wheel.ts'
import { ERROR, PREFACE, STREAM_ID_MAX } from './frames.ts'
import { encodeResponse, readRequest, readTrailers } from './heads.ts'
import { H2ServerStream, type H2ServerLink } from './server-stream.ts'
import { H2Session } from './session.ts'
import type { H2Stream } from './stream.ts'
import type { H2ServerOptions } from './types.ts'

/** Between the warning and the last word of a drain: requests on their way still get in. */
const DRAIN_GRACE_MS = 1_000
/** Longer than a round trip between any two regions (about 300 ms). */
const GIVES_WAY_MS = 400
/** Who asked so lately is likely to ask again before an answer's head is there. */
const SHARED_MS = 1_000
/** A list this many times over the limit was never meant to be read: only references make it out of one block. */
const BOMB_FACTOR = 8

export class H2ServerConnection extends H2Session implements ServerConnection, H2ServerLink {
  readonly #handler: ServerConnectionHandler
  readonly #options: H2ServerOptions
  readonly #drainTimer: WheelTimer
  #prefaceLeft = PREFACE.length
  /** Coarse times of the last request and the one before it. */
  #requestAt = Number.NEGATIVE_INFINITY
  #requestBeforeAt = Number.NEGATIVE_INFINITY

  constructor(socket: Socket, handler: ServerConnectionHandler, options: H2ServerOptions) {
    super(socket, options)
    this.#handler = handler
    this.#options = options
    this.#drainTimer = new WheelTimer(() => this.#stopAccepting())
    this.sender.settings(options.limits, { server: true, extendedConnect: options.extendedConnect })
  }

  protected override receive(chunk: Buffer): void {
    if (this.#prefaceLeft === 0) return super.receive(chunk)
    const take = Math.min(this.#prefaceLeft, chunk.length)
    const start = PREFACE.length - this.#prefaceLeft
    if (chunk.compare(PREFACE, start, start + take, 0, take) !== 0)
      return this.fail(ERROR.protocol, 'the preface is wrong', 'protocol')
    this.#prefaceLeft -= take
    if (take < chunk.length) super.receive(chunk.subarray(take))
  }

  isIdle(streamId: number): boolean {
    return streamId > this.lastStreamId || streamId % 2 === 0
  }

  onSettings(first: boolean): void {
    if (first) this.deadline.set(this.limits.idleTimeoutMs)
  }

  onSetting(): boolean {
    return true
  }

  onPingAnswer(): void {
    // We send none.
  }

  onGoaway(): void {
    this.drain()
  }

  onBlock(streamId: number, block: Buffer, flags: { readonly end: boolean; readonly selfDependent: boolean }): void {
    if (streamId % 2 === 0) return this.onFrameError(ERROR.protocol, 'a request on an even stream')
    const stream = this.streams.get(streamId)
    if (stream === undefined && streamId <= this.lastStreamId && !this.isIgnored(streamId))
      return this.onFrameError(ERROR.streamClosed, 'HEADERS on a closed stream')
    if (!this.decoder.decode(block, 0, block.length)) return this.onFrameError(ERROR.compression, 'HPACK')
    if (this.decoder.listBytes > this.limits.headerListBytesMax * BOMB_FACTOR) return this.onFlood('an HPACK bomb')
    if (stream !== undefined) return this.#trailers(stream, flags.end)
    if (streamId <= this.lastStreamId) return
    this.lastStreamId = streamId
    if (this.streams.size >= this.limits.streamsMax || streamId > this.acceptedMax)
      return this.resetUnknown(streamId, ERROR.refused)
    if (flags.selfDependent) return this.resetUnknown(streamId, ERROR.protocol)
    this.#request(streamId, flags.end)
  }

  #trailers(stream: H2Stream, end: boolean): void {
    if (stream.remoteDone) return this.streamError(stream, ERROR.streamClosed)
    const trailers = end && !this.decoder.oversized ? readTrailers(this.decoder) : undefined
    if (trailers === undefined) return this.streamError(stream, ERROR.protocol)
    this.remoteDone(stream, trailers)
  }

  #request(streamId: number, end: boolean): void {
    if (this.decoder.oversized) return this.#refuseHead(streamId, end)
    const request = readRequest(this.decoder, end, this.#options.extendedConnect)
    if (request === undefined) {
      this.#handler.onRefused(400, 'a malformed request head')
      return this.resetUnknown(streamId, ERROR.protocol)
    }
    const stream = new H2ServerStream(streamId, request, this, {
      send: this.sender.initialWindow,
      receive: Math.max(this.limits.streamWindowBytes, 65_535),
      now: this.timers.coarseNow,
      end,
    })
    stream.bytesReceived = this.decoder.listBytes
    this.#requestBeforeAt = this.#requestAt
    this.#requestAt = stream.openedAt
    this.open(stream)
    this.#handler.onRequest(stream)
    this.expectBody(stream)
    stream.sendContinue()
  }

  /** 431, as HTTP/1.1 answers, and the rest of the request is not wanted. */
  #refuseHead(streamId: number, end: boolean): void {
    this.#handler.onRefused(431, 'the header list is too long')
    encodeResponse(this.sender.encoder, { status: 431, headers: [], bodyLength: 0 })
    this.sender.headers(streamId, true)
    // Such heads are as cheap to send as streams that are reset at once, and no client has many.
    if (end && !this.budget.streamReset(this.timers.coarseNow, true)) return this.onFlood('refused heads')
    if (!end) this.resetUnknown(streamId, ERROR.none)
    else this.answerQueued()
  }

  sendResponse(stream: H2ServerStream, head: ResponseHead, end: boolean): void {
    stream.touchedAt = this.timers.coarseNow
    encodeResponse(this.sender.encoder, head)
    const last = end || (head.status >= 200 && !stream.mayHaveBody)
    stream.bytesSent += this.sender.encoder.length
    this.sender.headers(stream.id, last)
    if (!this.budget.frameQueued(this.behind)) return this.onFlood('answers that are not read')
    if (last) this.localDone(stream)
    else if (head.bodyLength > stream.sendWindow) this.#giveWay(stream)
  }

  /**
   * A body larger than its window, on a connection over a long way that others use too: what is written of it before the
   * peer knows would be in front of every other answer for several round trips. With its head the peer opens the window,
   * and sends its next requests elsewhere; peers that do not are not waited for longer than a long round trip takes.
   */
  #giveWay(stream: H2ServerStream): void {
    const { streamWindowBytes, streamWindowMaxBytes } = this.limits
    const shared = this.streams.size > 1 || this.timers.coarseNow - this.#requestBeforeAt < SHARED_MS
    if (streamWindowMaxBytes === streamWindowBytes || !shared) return
    stream.givesWay = true
    this.timers.schedule(new WheelTimer(() => this.sender.goOn(stream)), GIVES_WAY_MS)
  }

  /** The answer is complete: what the client still sends is not wanted, unless the stream is a tunnel. */
  protected halfDone(stream: H2Stream): void {
    if (stream instanceof H2ServerStream && stream.tunnel) return
    this.budget.streamFinished()
    this.sendReset(stream, ERROR.none)
  }

  protected onStreamsGone(): void {
    // The idle deadline, set by the session, is all that is left to do.
  }

  // Draining

  protected announceDrain(): void {
    if (this.streams.size === 0) return this.finishDrain()
    this.sender.goaway(STREAM_ID_MAX, ERROR.none)
    this.timers.schedule(this.#drainTimer, DRAIN_GRACE_MS)
  }

  #stopAccepting(): void {
    if (this.ending || this.closed) return
    this.acceptedMax = this.lastStreamId
    this.sender.goaway(this.lastStreamId, ERROR.none)
    if (this.streams.size === 0) this.finishDrain()
  }

  protected onClosed(reason: CloseReason, detail: string): void {
    this.timers.cancel(this.#drainTimer)
    this.#handler.onClose(reason, detail)
  }
}
