/**
 * One HTTP/2 connection, whichever side we are: streams, flow control of what we receive, control frames, errors and
 * the end. What a header block means is left to the two sides, server.ts and client.ts.
 */
import { hostPort } from '../stream-facts.ts'
import type { Socket } from 'node:net'
import { Deadline } from '../h1/deadline.ts'
import type { HeaderList } from '../message.ts'
import { Output } from '../h1/output.ts'
import { takeReads } from '../h1/reading.ts'
import type { CloseReason, ResetReason } from '../stream.ts'
import { WheelTimer, type TimerWheel } from '../timer-wheel.ts'
import { Budget } from './budget.ts'
import { ControlFrames, type ControlSink } from './control-frames.ts'
import { FrameReader, type FrameSink } from './frame-reader.ts'
import { ERROR, FRAME, STREAM_ID_MAX } from './frames.ts'
import { HeaderAssembler, type BlockSink } from './header-assembler.ts'
import { HpackDecoder } from './hpack-decoder.ts'
import { HpackEncoder } from './hpack-encoder.ts'
import { Sender } from './sender.ts'
import type { H2Link, H2Stream } from './stream.ts'
import { ReceiveWindows } from './receive-windows.ts'
import { StreamTable } from './stream-table.ts'
import type { H2Budgets, H2Limits } from './types.ts'

/** After the last frame the peer gets this long to take it before the socket is destroyed. */
const LINGER_MS = 1_000
/** And may send this much meanwhile, which a peer without bad intent has under way; reading on would serve a flood. */
export const LINGER_BYTES_MAX = 256 * 1024
/** Streams we reset whose frames may still be on their way. */
const IGNORED_MAX = 1_024
/** Queued in all streams of a connection beyond this, each may queue no more than one read before it is stopped. */
const QUEUED_FAIR_BYTES = 32 * 1024 * 1024
const STREAM_BYTES_MIN = 64 * 1024

export interface SessionOptions {
  readonly limits: H2Limits
  readonly budgets: H2Budgets
  readonly timers: TimerWheel
}

export abstract class H2Session implements FrameSink, BlockSink, ControlSink, H2Link {
  readonly streams = new StreamTable()
  readonly sender: Sender
  readonly budget: Budget
  draining = false
  /** Streams that move much, those of connections that travel in this one included. */
  bulkStreams = 0
  lastReadAt: number
  protected readonly socket: Socket
  protected readonly limits: H2Limits
  protected readonly timers: TimerWheel
  protected readonly decoder: HpackDecoder
  protected readonly reader: FrameReader
  protected readonly deadline: Deadline
  /** The highest stream the peer opened (server) or may still answer (client). */
  protected lastStreamId = 0
  /** Streams above this are refused; the last GOAWAY of a drain lowers it. */
  protected acceptedMax = STREAM_ID_MAX
  protected closed = false
  /** GOAWAY with an error, or the last one of a drain, was sent. */
  protected ending = false
  readonly #control: ControlFrames
  readonly #assembler: HeaderAssembler
  readonly #ignored = new Set<number>()
  readonly #sweep: WheelTimer
  readonly #windows: ReceiveWindows
  #dataStream: H2Stream | undefined = undefined
  #dataEnd = false
  #dataUncounted = 0
  #closeReason: CloseReason | undefined = undefined
  #closeDetail = ''

  constructor(socket: Socket, options: SessionOptions) {
    const { limits, budgets, timers } = options
    this.socket = socket
    this.limits = limits
    this.timers = timers
    this.budget = new Budget(budgets, timers)
    this.sender = new Sender(new Output(socket), new HpackEncoder(limits.headerTableBytes, { huffman: false }), {
      limits,
      budget: this.budget,
      ended: (stream) => this.localDone(stream),
      bulk: (stream) => this.#markBulk(stream),
    })
    this.decoder = new HpackDecoder(limits)
    this.reader = new FrameReader(this, limits.frameBytesMax)
    this.#assembler = new HeaderAssembler(this, {
      continuationsMax: budgets.continuationsMax,
      bytesMax: limits.headerListBytesMax,
    })
    this.#control = new ControlFrames(this)
    this.#windows = new ReceiveWindows(limits, {
      sender: this.sender,
      streams: this.streams,
      bulk: (stream) => this.#markBulk(stream),
    })
    this.lastReadAt = timers.coarseNow
    this.deadline = new Deadline(timers, [limits.handshakeTimeoutMs, limits.idleTimeoutMs], () => this.#expire())
    this.deadline.setExact(limits.handshakeTimeoutMs)
    this.#sweep = new WheelTimer(() => this.#sweepStreams())
    takeReads(socket, this.#onData)
    socket.on('end', this.#onEnd)
    socket.on('drain', () => this.sender.pump())
    socket.on('error', (error: Error) => this.note('lost', error.message))
    socket.on('close', this.#onClose)
  }

  get activeStreams(): number {
    return this.streams.size
  }

  get localAddress(): string {
    return hostPort(this.socket.localAddress ?? '', this.socket.localPort ?? 0)
  }

  /** Less for each stream where many wait: a peer that opens a thousand and reads none must not fill our memory. */
  get streamWriteHighBytes(): number {
    return this.sender.queuedBytes > QUEUED_FAIR_BYTES ? STREAM_BYTES_MIN : this.limits.streamWriteHighBytes
  }

  get bufferedBytes(): number {
    return this.sender.output.pendingBytes
  }

  #lingered = 0

  /** The server checks the preface first. */
  protected receive(chunk: Buffer): void {
    this.reader.read(chunk)
  }

  readonly #onData = (buffer: Buffer, end: number): void => {
    this.lastReadAt = this.timers.coarseNow
    if (!this.reader.stopped) this.receive(end === buffer.length ? buffer : buffer.subarray(0, end))
    else if ((this.#lingered += end) > LINGER_BYTES_MAX) this.socket.destroy()
  }

  // Frames

  abstract onBlock(
    streamId: number,
    block: Buffer,
    flags: { readonly end: boolean; readonly selfDependent: boolean },
  ): void
  /** Neither side has used the stream yet. */
  abstract isIdle(streamId: number): boolean
  abstract onSettings(first: boolean): void
  /** A setting that concerns one side only; false: it broke the rules and the connection is failing. */
  abstract onSetting(key: number, value: number): boolean
  abstract onPingAnswer(payload: Buffer): void
  abstract onGoaway(lastStreamId: number, code: number): void

  onFrame(type: number, flags: number, streamId: number, payload: Buffer): void {
    if (!this.#admits(type, streamId)) return
    if (type === FRAME.headers || type === FRAME.continuation) {
      if (streamId === 0) return this.onFrameError(ERROR.protocol, 'HEADERS on stream 0')
      if (!this.budget.payload(payload.length === 0)) return this.onFlood('empty frames')
      if (type === FRAME.headers) this.#assembler.headers(flags, streamId, payload)
      else this.#assembler.continuation(flags, payload)
      return
    }
    this.#control.frame(type, flags, streamId, payload)
  }

  #admits(type: number, streamId: number): boolean {
    if (!this.#control.settingsSeen && type !== FRAME.settings) {
      this.onFrameError(ERROR.protocol, 'the first frame is not SETTINGS')
      return false
    }
    if (this.#assembler.admits(type, streamId)) return true
    this.onFrameError(ERROR.protocol, 'a header block is interrupted, or continued without a start')
    return false
  }

  onFrameError(code: number, detail: string): void {
    this.fail(code, detail, 'protocol')
  }

  onFlood(detail: string): void {
    this.fail(ERROR.enhanceYourCalm, detail, 'flood')
  }

  onDataStart(streamId: number, length: number, end: boolean, empty: boolean): void {
    this.#dataStream = undefined
    if (!this.#admits(FRAME.data, streamId)) return
    if (this.isIdle(streamId)) return this.onFrameError(ERROR.protocol, 'DATA on an idle stream')
    if (!this.budget.payload(empty && !end)) return this.onFlood('empty frames')
    if (!this.#windows.receive(length)) return this.onFrameError(ERROR.flowControl, 'DATA beyond the connection window')
    const stream = this.streams.get(streamId)
    if (stream === undefined) {
      this.#windows.returnToConnection(length)
      if (!this.#ignored.has(streamId)) this.resetUnknown(streamId, ERROR.streamClosed)
      return
    }
    stream.recvWindow -= length
    if (stream.remoteDone || stream.recvWindow < 0) {
      this.#windows.returnToConnection(length)
      return this.streamError(stream, stream.remoteDone ? ERROR.streamClosed : ERROR.flowControl)
    }
    stream.touchedAt = this.timers.coarseNow
    this.#dataStream = stream
    this.#dataEnd = end
    this.#dataUncounted = length
  }

  onDataPart(chunk: Buffer): void {
    const stream = this.#dataStream
    if (stream === undefined) return
    this.#dataUncounted -= chunk.length
    stream.owed += chunk.length
    stream.bodyReceived += chunk.length
    if (stream.over) return this.#release(stream)
    if (stream.bodyExpected >= 0 && stream.bodyReceived > stream.bodyExpected)
      return this.streamError(stream, ERROR.protocol)
    stream.bytesReceived += chunk.length
    stream.deliverData(chunk)
    if (!stream.paused || stream.over) this.#release(stream)
    else this.#windows.advance(stream, chunk.length)
  }

  onDataEnd(): void {
    const stream = this.#dataStream
    if (stream === undefined) return
    this.#dataStream = undefined
    if (this.#dataUncounted > 0) this.consumed(stream, this.#dataUncounted)
    if (this.#dataEnd && !stream.over) this.remoteDone(stream, [])
  }

  #release(stream: H2Stream): void {
    const owed = stream.owed
    stream.owed = 0
    if (owed > 0) this.consumed(stream, owed)
  }

  consumed(stream: H2Stream, bytes: number): void {
    this.#windows.consumed(stream, bytes)
  }

  /** The head of a message said how long its body is. */
  protected expectBody(stream: H2Stream): void {
    if (stream.bodyExpected > stream.window) this.#windows.expect(stream, stream.bodyExpected)
  }

  /** Tunnels carry whatever they carry: what is bulk inside them is for whoever opened them to say (`addBulk`). */
  #markBulk(stream: H2Stream): void {
    if (stream.bulk || stream.tunnel || stream.over) return
    stream.bulk = true
    this.addBulk(1)
  }

  addBulk(change: 1 | -1): void {
    this.bulkStreams += change
  }

  onReset(streamId: number, code: number): void {
    const stream = this.streams.get(streamId)
    if (stream === undefined) {
      if (!this.budget.strayReset()) this.onFlood('RST_STREAM on closed streams')
      return
    }
    const within = this.budget.streamReset(stream.openedAt, !stream.answered)
    this.drop(stream, resetReasonOf(code))
    if (!within) this.onFlood('streams opened and reset')
  }

  /** Whether a block must be decoded only to keep the table right. */
  protected isIgnored(streamId: number): boolean {
    return this.#ignored.has(streamId)
  }

  // Streams

  protected open(stream: H2Stream): void {
    this.streams.add(stream)
    this.budget.streamOpened()
    this.deadline.set(0)
    const timeout = this.limits.streamIdleTimeoutMs
    if (timeout > 0 && !this.#sweep.scheduled) this.timers.schedule(this.#sweep, timeout / 4)
  }

  send(stream: H2Stream, chunk: Buffer): void {
    stream.touchedAt = this.timers.coarseNow
    this.sender.data(stream, chunk)
  }

  sendEnd(stream: H2Stream, trailers: HeaderList | undefined): void {
    this.sender.end(stream, trailers)
  }

  /** Our side gives the stream up. */
  sendReset(stream: H2Stream, code: number): void {
    if (stream.over) return
    this.sender.reset(stream, code)
    this.#ignore(stream.id)
    this.remove(stream)
  }

  localDone(stream: H2Stream): void {
    stream.localDone = true
    if (stream.remoteDone) this.finish(stream)
    else this.halfDone(stream)
  }

  /** Our half ended before the peer's. */
  protected abstract halfDone(stream: H2Stream): void

  /** The peer's half ended. */
  protected remoteDone(stream: H2Stream, trailers: HeaderList): void {
    if (stream.bodyExpected >= 0 && stream.bodyReceived !== stream.bodyExpected)
      return this.streamError(stream, ERROR.protocol)
    stream.remoteDone = true
    stream.deliverEnd(trailers)
    if (stream.localDone && !stream.over) this.finish(stream)
  }

  /** Both halves ended. */
  protected finish(stream: H2Stream): void {
    this.budget.streamFinished()
    this.remove(stream)
  }

  protected remove(stream: H2Stream): void {
    stream.over = true
    this.streams.delete(stream.id)
    this.#release(stream)
    this.#windows.gone(stream)
    if (stream.bulk) this.#unmarkBulk(stream)
    // Once the end has begun, its deadline stands.
    if (this.streams.size > 0 || this.ending) return
    this.deadline.set(this.limits.idleTimeoutMs)
    if (this.draining) this.finishDrain()
    else this.onStreamsGone()
  }

  #unmarkBulk(stream: H2Stream): void {
    stream.bulk = false
    this.addBulk(-1)
  }

  protected abstract onStreamsGone(): void

  /** The peer, or the end of the connection, takes the stream away. */
  protected drop(stream: H2Stream, reason: ResetReason): void {
    if (stream.over) return
    this.remove(stream)
    this.sender.forget(stream)
    stream.deliverReset(reason)
  }

  /** The peer broke the rules on one stream (RFC 9113 5.4.2). */
  streamError(stream: H2Stream, code: number): void {
    if (stream.over) return
    const within = this.budget.streamReset(stream.openedAt, !stream.answered)
    this.#ignore(stream.id)
    this.sender.reset(stream, code)
    this.drop(stream, code === ERROR.enhanceYourCalm ? 'limit' : 'protocol')
    if (!within) this.onFlood('streams opened and broken')
    else this.answerQueued()
  }

  /** The same for a stream we keep no state of. */
  resetUnknown(streamId: number, code: number): void {
    this.#ignore(streamId)
    this.sender.resetId(streamId, code)
    if (!this.budget.streamReset(this.timers.coarseNow, true)) this.onFlood('frames on closed streams')
    else this.answerQueued()
  }

  #ignore(streamId: number): void {
    this.#ignored.add(streamId)
    if (this.#ignored.size <= IGNORED_MAX) return
    for (const oldest of this.#ignored) {
      this.#ignored.delete(oldest)
      break
    }
  }

  /** A control frame was written because the peer asked: it must read them, too. */
  answerQueued(): void {
    if (!this.budget.controlQueued(this.behind)) this.onFlood('answers that are not read')
  }

  /**
   * More is unsent than bodies alone put there at a time: those stop at the mark and wait until it is empty,
   * so a peer that reads at all is seen below half of it again and again.
   */
  protected get behind(): boolean {
    return this.bufferedBytes * 2 > this.limits.connectionWriteHighBytes
  }

  #sweepStreams(): void {
    const timeout = this.limits.streamIdleTimeoutMs
    const before = this.timers.coarseNow - timeout
    for (const stream of this.streams.values()) {
      if (stream.touchedAt > before || stream.tunnel) continue
      this.sender.reset(stream, ERROR.cancel)
      this.#ignore(stream.id)
      this.drop(stream, 'timeout')
    }
    if (this.streams.size > 0 && !this.closed) this.timers.schedule(this.#sweep, timeout / 4)
  }

  // The end

  drain(): void {
    if (this.draining || this.closed) return
    this.draining = true
    this.announceDrain()
  }

  protected abstract announceDrain(): void

  /** No stream is left and no new one is welcome. */
  protected finishDrain(): void {
    if (this.ending || this.closed) return
    this.note('drained', '')
    this.#end(ERROR.none)
  }

  destroy(reason: CloseReason): void {
    if (this.closed) return
    this.note(reason, '')
    this.#loseStreams('local')
    this.#end(ERROR.none)
    this.socket.destroy()
  }

  /** A connection error (RFC 9113 5.4.1). */
  fail(code: number, detail: string, reason: CloseReason): void {
    if (this.ending || this.closed) return
    this.note(reason, detail)
    this.#end(code)
    this.#loseStreams(reason === 'flood' ? 'limit' : 'protocol')
  }

  #end(code: number): void {
    this.ending = true
    this.#windows.closed = true
    this.reader.stopped = true
    this.sender.goaway(Math.min(this.lastStreamId, this.acceptedMax), code)
    this.sender.output.flush()
    this.socket.end()
    this.deadline.setExact(LINGER_MS)
  }

  /** The first reason is the one that is told. */
  protected note(reason: CloseReason, detail: string): void {
    this.#closeReason ??= reason
    if (this.#closeDetail === '') this.#closeDetail = detail
  }

  #loseStreams(reason: ResetReason): void {
    for (const stream of this.streams.values()) this.drop(stream, reason)
  }

  #expire(): void {
    if (this.ending) this.socket.destroy()
    else if (!this.#control.settingsSeen) this.fail(ERROR.settingsTimeout, 'no SETTINGS in time', 'timeout')
    else if (this.streams.size === 0) {
      this.note('idle', '')
      this.#end(ERROR.none)
    }
  }

  readonly #onEnd = (): void => {
    if (this.ending) return
    this.note(this.streams.size === 0 ? 'closed' : 'lost', '')
    this.#end(ERROR.none)
    this.#loseStreams('lost')
  }

  readonly #onClose = (): void => {
    if (this.closed) return
    this.closed = true
    this.ending = true
    this.#windows.closed = true
    this.reader.stopped = true
    const reason = this.#closeReason ?? (this.streams.size === 0 ? 'closed' : 'lost')
    this.deadline.stop()
    this.timers.cancel(this.#sweep)
    this.#loseStreams('lost')
    this.onClosed(reason, this.#closeDetail)
  }

  protected abstract onClosed(reason: CloseReason, detail: string): void
}

function resetReasonOf(code: number): ResetReason {
  if (code === ERROR.refused) return 'refused'
  if (code === ERROR.http11Required) return 'http1-required'
  if (code === ERROR.enhanceYourCalm) return 'limit'
  return code === ERROR.protocol ? 'protocol' : 'reset'
}
