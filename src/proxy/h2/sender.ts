/**
 * Everything a connection sends: frames, both flow-control windows, and turns for streams that wait for the window or
 * the socket (one frame each, in a circle, so that a bulk body does not delay a small one).
 */
import type { HeaderList } from '../message.ts'
import type { Output } from '../h1/output.ts'
import type { Budget } from './budget.ts'
import {
  ERROR,
  FLAG,
  FRAME,
  FRAME_BYTES_MAX,
  openFrame,
  SETTING,
  typed,
  WINDOW_DEFAULT,
  WINDOW_MAX,
  writeUint32,
  writeWords,
} from './frames.ts'
import { encodeFields } from './heads.ts'
import type { HpackEncoder } from './hpack-encoder.ts'
import type { H2Stream } from './stream.ts'
import type { StreamTable } from './stream-table.ts'
import type { H2Limits } from './types.ts'

const DATA = typed(FRAME.data, 0)
const DATA_END = typed(FRAME.data, FLAG.endStream)
const EMPTY = Buffer.alloc(0)
/** The first window of a stream (`streamWindowBytes`): a body beyond it is no small one. */
const BULK_BYTES_MIN = 256 * 1024

export class Sender {
  readonly output: Output
  readonly encoder: HpackEncoder
  /** The connection's window. */
  window = WINDOW_DEFAULT
  /** Of all streams: bytes that wait for a window or their turn. */
  queuedBytes = 0
  /** The peer's SETTINGS_INITIAL_WINDOW_SIZE. */
  initialWindow = WINDOW_DEFAULT
  readonly #budget: Budget
  /** The most we put into one DATA frame. */
  #frameBytes = FRAME_BYTES_MAX
  readonly #frameBytesMax: number
  readonly #highBytes: number
  readonly #streamLowBytes: number
  /** Called when a stream's last frame is out. */
  readonly #ended: (stream: H2Stream) => void
  /** Called when a stream has to wait that sent more than a window. */
  readonly #bulk: (stream: H2Stream) => void
  #turns: H2Stream[] = []
  #turn = 0
  /** The newest DATA frame, while it can still get END_STREAM: not flushed, and the last of its stream. */
  #lastStream: H2Stream | undefined = undefined
  #lastBuffer: Buffer = EMPTY
  #lastFlagsAt = 0
  #lastFlush = 0

  constructor(
    output: Output,
    encoder: HpackEncoder,
    options: {
      limits: H2Limits
      budget: Budget
      ended: (stream: H2Stream) => void
      bulk: (stream: H2Stream) => void
    },
  ) {
    this.output = output
    this.encoder = encoder
    this.#highBytes = options.limits.connectionWriteHighBytes
    this.#streamLowBytes = options.limits.streamWriteHighBytes / 2
    this.#frameBytesMax = options.limits.frameBytesMax
    this.#budget = options.budget
    this.#ended = options.ended
    this.#bulk = options.bulk
  }

  // Bodies

  data(stream: H2Stream, chunk: Buffer): void {
    let at = 0
    // Only as much as keeps the socket busy: the rest takes turns with other streams.
    if (stream.queuedBytes === 0 && !stream.givesWay && !this.#backedUp())
      at = this.#sendSome(stream, chunk, { from: 0, most: this.#highBytes - this.output.pendingBytes })
    if (at === chunk.length) return this.#passed(stream, chunk)
    this.#backedUp()
    if (!stream.bulk && stream.bytesSent > BULK_BYTES_MIN) this.#bulk(stream)
    if (stream.queuedBytes === 0) stream.queueAt = at
    stream.queue ??= []
    stream.queue.push(chunk)
    stream.queuedBytes += chunk.length - at
    this.queuedBytes += chunk.length - at
    this.#wait(stream)
  }

  end(stream: H2Stream, trailers: HeaderList | undefined): void {
    if (stream.queuedBytes > 0) {
      stream.endQueued = true
      stream.trailersQueued = trailers
      return
    }
    this.#sendEnd(stream, trailers)
  }

  #sendEnd(stream: H2Stream, trailers: HeaderList | undefined): void {
    if (trailers !== undefined && trailers.length > 0) {
      this.encoder.begin()
      encodeFields(this.encoder, trailers)
      this.headers(stream.id, true)
    } else if (this.#lastStream === stream && this.#lastFlush === this.output.flushes) {
      this.#lastBuffer[this.#lastFlagsAt] = FLAG.endStream
    } else {
      openFrame(this.output, 0, DATA_END, stream.id)
      this.#budget.dataSent()
    }
    this.#lastStream = undefined
    this.#ended(stream)
  }

  /** The last byte of a chunk went to the output. */
  #passed(stream: H2Stream, chunk: Buffer): void {
    if (!stream.keeps) this.output.give(chunk)
  }

  /** Sends up to `most` bytes as the windows allow; returns how many. */
  #sendSome(stream: H2Stream, chunk: Buffer, { from, most }: { from: number; most: number }): number {
    const allowed = Math.min(most, chunk.length - from, stream.sendWindow, this.window)
    let at = 0
    while (at < allowed) {
      const length = Math.min(allowed - at, this.#frameBytes)
      this.#lastFlagsAt = openFrame(this.output, length, DATA, stream.id)
      this.#lastBuffer = this.output.buffer
      this.output.chunk(length === chunk.length ? chunk : chunk.subarray(from + at, from + at + length))
      this.#budget.dataSent()
      at += length
    }
    if (at <= 0) return 0
    this.#lastStream = stream
    this.#lastFlush = this.output.flushes
    stream.sendWindow -= at
    this.window -= at
    return at
  }

  #backedUp(): boolean {
    if (this.output.pendingBytes < this.#highBytes) return false
    this.output.onFlushed = this.#flushed
    return true
  }

  /** When the kernel took everything at once, the socket emits no `drain`. */
  readonly #flushed = (): void => {
    if (this.output.pendingBytes < this.#highBytes) this.pump()
  }

  #wait(stream: H2Stream): void {
    if (stream.waiting || stream.sendWindow <= 0 || stream.givesWay) return
    stream.waiting = true
    this.#turns.push(stream)
  }

  /** Gives waiting streams their turns; to be called when a window opened or the socket drained. */
  pump(): void {
    while (this.#turn < this.#turns.length && this.window > 0 && !this.#backedUp()) {
      const stream = this.#turns[this.#turn++] as H2Stream
      stream.waiting = false
      if (!stream.over) this.#takeTurn(stream)
      if (this.#turn >= 1_024) {
        this.#turns = this.#turns.slice(this.#turn)
        this.#turn = 0
      }
    }
    if (this.#turn < this.#turns.length) return
    this.#turns.length = 0
    this.#turn = 0
  }

  #takeTurn(stream: H2Stream): void {
    const { queue } = stream
    const chunk = queue?.[stream.queueHead]
    if (queue === undefined || chunk === undefined) return
    const sent = this.#sendSome(stream, chunk, { from: stream.queueAt, most: this.#frameBytes })
    stream.queuedBytes -= sent
    this.queuedBytes -= sent
    stream.queueAt += sent
    if (stream.queueAt === chunk.length) this.#dropFirst(stream, queue, chunk)
    if (stream.queuedBytes > 0) this.#wait(stream)
    else if (stream.endQueued) this.#sendEnd(stream, stream.trailersQueued)
    if (!stream.drainWanted || stream.queuedBytes > this.#streamLowBytes) return
    stream.drainWanted = false
    stream.deliverDrain()
  }

  #dropFirst(stream: H2Stream, queue: Buffer[], chunk: Buffer): void {
    this.#passed(stream, chunk)
    stream.queueAt = 0
    queue[stream.queueHead++] = EMPTY
    if (stream.queueHead < queue.length) return
    queue.length = 0
    stream.queueHead = 0
  }

  /** False: the window would exceed its maximum. */
  openWindow(stream: H2Stream | undefined, increment: number): boolean {
    if (stream === undefined) {
      this.window += increment
      if (this.window > WINDOW_MAX) return false
    } else {
      stream.sendWindow += increment
      stream.givesWay = false
      if (stream.sendWindow > WINDOW_MAX) return false
      if (stream.queuedBytes > 0) this.#wait(stream)
    }
    this.pump()
    return true
  }

  /** It gave way for long enough. */
  goOn(stream: H2Stream): void {
    if (!stream.givesWay || stream.over) return
    stream.givesWay = false
    if (stream.queuedBytes === 0) return
    this.#wait(stream)
    this.pump()
  }

  /** The peer's SETTINGS_MAX_FRAME_SIZE. */
  allowFrames(bytes: number): void {
    this.#frameBytes = Math.min(bytes, this.#frameBytesMax)
  }

  /** Changes the window of every open stream by the difference (RFC 9113 6.9.2); false: beyond the maximum. */
  setInitialWindow(streams: StreamTable, value: number): boolean {
    const difference = value - this.initialWindow
    if (difference === 0) return true
    if (value > WINDOW_MAX) return false
    this.initialWindow = value
    for (const stream of streams.values()) {
      stream.sendWindow += difference
      if (stream.sendWindow > WINDOW_MAX) return false
      if (stream.queuedBytes > 0) this.#wait(stream)
    }
    this.pump()
    return true
  }

  // Heads and control frames

  /** Sends what the encoder holds, in as many frames as it takes. */
  headers(streamId: number, end: boolean): void {
    const { buffer, length } = this.encoder
    const flags = end ? FLAG.endStream : 0
    if (length <= FRAME_BYTES_MAX) {
      openFrame(this.output, length, typed(FRAME.headers, flags | FLAG.endHeaders), streamId)
      this.#copy(buffer, 0, length)
      return
    }
    for (let at = 0; at < length; at += FRAME_BYTES_MAX) {
      const size = Math.min(FRAME_BYTES_MAX, length - at)
      const last = at + size === length ? FLAG.endHeaders : 0
      openFrame(this.output, size, at === 0 ? typed(FRAME.headers, flags) : typed(FRAME.continuation, last), streamId)
      this.#copy(buffer, at, at + size)
    }
  }

  /** The encoder's buffer is used again: its bytes are never passed by reference. */
  #copy(buffer: Buffer, start: number, end: number): void {
    const at = this.output.reserve(end - start)
    buffer.copy(this.output.buffer, at, start, end)
    this.output.length = at + end - start
  }

  settings(limits: H2Limits, role: { readonly server: boolean; readonly extendedConnect: boolean }): void {
    const pairs: [number, number][] = [
      [SETTING.headerTableSize, limits.headerTableBytes],
      [SETTING.initialWindowSize, limits.streamWindowBytes],
      [SETTING.maxFrameSize, limits.frameBytesMax],
      [SETTING.maxHeaderListSize, limits.headerListBytesMax],
    ]
    if (role.server) pairs.push([SETTING.maxConcurrentStreams, limits.streamsMax])
    else pairs.push([SETTING.enablePush, 0])
    if (role.extendedConnect) pairs.push([SETTING.enableConnectProtocol, 1])
    openFrame(this.output, pairs.length * 6, typed(FRAME.settings, 0), 0)
    for (const [key, value] of pairs) {
      const at = this.output.reserve(2)
      this.output.buffer[at] = 0
      this.output.buffer[at + 1] = key
      this.output.length = at + 2
      writeUint32(this.output, value)
    }
    const more = limits.connectionWindowBytes - WINDOW_DEFAULT
    if (more > 0) this.windowUpdate(0, more)
  }

  settingsAck(): void {
    openFrame(this.output, 0, typed(FRAME.settings, FLAG.ack), 0)
  }

  ping(payload: Buffer, ack: boolean): void {
    openFrame(this.output, 8, typed(FRAME.ping, ack ? FLAG.ack : 0), 0)
    this.#copy(payload, 0, 8)
  }

  windowUpdate(streamId: number, increment: number): void {
    writeWords(this.output, typed(FRAME.windowUpdate, 0), streamId, [increment])
  }

  reset(stream: H2Stream, code: number): void {
    this.forget(stream)
    this.resetId(stream.id, code)
  }

  /** What has not been sent will not be. */
  forget(stream: H2Stream): void {
    this.queuedBytes -= stream.queuedBytes
    stream.queue = undefined
    stream.queuedBytes = 0
  }

  resetId(streamId: number, code: number): void {
    writeWords(this.output, typed(FRAME.rstStream, 0), streamId, [code])
  }

  goaway(lastStreamId: number, code: number): void {
    writeWords(this.output, typed(FRAME.goaway, 0), 0, [lastStreamId, code])
  }
}

/** RST_STREAM's code for what a core may say. */
export const RESET_CODES = {
  cancel: ERROR.cancel,
  refused: ERROR.refused,
  internal: ERROR.internal,
  protocol: ERROR.protocol,
  'connect-error': ERROR.connect,
  'no-error': ERROR.none,
  overload: ERROR.enhanceYourCalm,
} as const
