/**
 * Cuts the socket's bytes into frames. DATA is passed on piece by piece as it arrives, without waiting for the rest
 * of its frame; every other frame is short and is shown whole. What frames mean is the session's business.
 */
import { Carry } from '../h1/carry.ts'
import { kept } from '../h1/reading.ts'
import { ERROR, FLAG, FRAME, FRAME_HEADER_BYTES, readUint31 } from './frames.ts'

export interface FrameSink {
  /** A DATA frame begins; `length` counts for flow control, padding included; `empty`: padding is all there is. */
  onDataStart(streamId: number, length: number, end: boolean, empty: boolean): void
  onDataPart(chunk: Buffer): void
  /** All of the frame was shown. */
  onDataEnd(): void
  /** `payload` is valid during the call only. */
  onFrame(type: number, flags: number, streamId: number, payload: Buffer): void
  onFrameError(code: number, detail: string): void
}

export class FrameReader {
  /** Set by whoever ends the connection: nothing more is shown. */
  stopped = false
  readonly #sink: FrameSink
  readonly #bytesMax: number
  readonly #carry = new Carry()
  #inData = false
  #dataLeft = 0
  #padLeft = 0

  constructor(sink: FrameSink, bytesMax: number) {
    this.#sink = sink
    this.#bytesMax = bytesMax
  }

  read(chunk: Buffer): void {
    if (this.#carry.length === 0) {
      const { length } = chunk
      const used = this.#consume(chunk)
      if (used < length && !this.stopped) this.#carry.append(chunk.subarray(used))
      return
    }
    this.#carry.append(chunk)
    const used = this.#consume(this.#carry.view())
    if (this.stopped) this.#carry.clear()
    else this.#carry.drop(used)
  }

  #consume(input: Buffer): number {
    const end = input.length
    let at = 0
    while (!this.stopped) {
      if (this.#inData) {
        at = this.#readData(input, at)
        if (this.#inData) return at
      }
      if (end - at < FRAME_HEADER_BYTES) return at
      const next = this.#readFrame(input, at)
      if (next === at) return at
      at = next
    }
    return at
  }

  #readData(input: Buffer, start: number): number {
    let at = start
    // Whoever is shown all of the input may release it: it has no length afterwards.
    const end = input.length
    const stop = Math.min(end, at + this.#dataLeft)
    if (stop > at) {
      this.#dataLeft -= stop - at
      this.#sink.onDataPart(kept(input, at, stop))
      at = stop
    }
    if (this.#dataLeft > 0) return at
    const skip = Math.min(end - at, this.#padLeft)
    this.#padLeft -= skip
    at += skip
    if (this.#padLeft > 0) return at
    this.#inData = false
    this.#sink.onDataEnd()
    return at
  }

  /** Position after the frame, or of its payload for DATA; `at` itself while it is not complete. */
  #readFrame(input: Buffer, at: number): number {
    const length = ((input[at] as number) << 16) | ((input[at + 1] as number) << 8) | (input[at + 2] as number)
    const type = input[at + 3] as number
    const flags = input[at + 4] as number
    if (length > this.#bytesMax) {
      this.#sink.onFrameError(ERROR.frameSize, 'a frame is longer than announced')
      return at
    }
    const streamId = readUint31(input, at + 5)
    const start = at + FRAME_HEADER_BYTES
    if (type === FRAME.data) return this.#startData(input, at, length, streamId)
    if (input.length - start < length) return at
    this.#sink.onFrame(type, flags, streamId, input.subarray(start, start + length))
    return start + length
  }

  #startData(input: Buffer, at: number, length: number, streamId: number): number {
    const flags = input[at + 4] as number
    let start = at + FRAME_HEADER_BYTES
    let padding = 0
    let pad = 0
    if ((flags & FLAG.padded) !== 0) {
      if (length > 0 && start >= input.length) return at
      padding = 1
      pad = length > 0 ? (input[start] as number) : 0
      start++
      if (pad + 1 > length) {
        this.#sink.onFrameError(ERROR.protocol, 'padding is longer than its frame')
        return at
      }
    }
    this.#inData = true
    this.#dataLeft = length - padding - pad
    this.#padLeft = pad
    this.#sink.onDataStart(streamId, length, (flags & FLAG.endStream) !== 0, this.#dataLeft === 0)
    return start
  }
}
