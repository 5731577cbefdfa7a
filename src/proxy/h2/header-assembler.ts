/** Puts HEADERS and CONTINUATION together into one block, within limits of size and number (CVE-2024-27316). */
import { Carry } from '../h1/carry.ts'
import { ERROR, FLAG, FRAME, readUint31 } from './frames.ts'

export interface BlockSink {
  /** `selfDependent`: the deprecated priority fields name the stream itself, which is malformed. */
  onBlock(streamId: number, block: Buffer, flags: { readonly end: boolean; readonly selfDependent: boolean }): void
  onFrameError(code: number, detail: string): void
  onFlood(detail: string): void
}

const LAST = { end: true, selfDependent: false } as const
const MORE_FOLLOWS = { end: false, selfDependent: false } as const

export class HeaderAssembler {
  /** The stream whose block is under way: only its CONTINUATION may come now (RFC 9113 6.10). */
  streamId = 0
  readonly #sink: BlockSink
  readonly #continuationsMax: number
  readonly #bytesMax: number
  readonly #carry = new Carry()
  #continuations = 0
  #end = false
  #selfDependent = false

  /** Compressed, a block may be a little larger than the list it is limited to, never much. */
  constructor(sink: BlockSink, limits: { readonly continuationsMax: number; readonly bytesMax: number }) {
    this.#sink = sink
    this.#continuationsMax = limits.continuationsMax
    this.#bytesMax = limits.bytesMax
  }

  headers(flags: number, streamId: number, payload: Buffer): void {
    let start = 0
    let end = payload.length
    if ((flags & FLAG.padded) !== 0) {
      if (end < 1) return this.#sink.onFrameError(ERROR.frameSize, 'HEADERS without its padding length')
      end -= payload[0] as number
      start = 1
    }
    this.#selfDependent = false
    if ((flags & FLAG.priority) !== 0) {
      if (end - start < 5) return this.#sink.onFrameError(ERROR.frameSize, 'HEADERS without its priority')
      this.#selfDependent = readUint31(payload, start) === streamId
      start += 5
    }
    if (start > end) return this.#sink.onFrameError(ERROR.protocol, 'padding is longer than its frame')
    this.#end = (flags & FLAG.endStream) !== 0
    const fragment = start === 0 && end === payload.length ? payload : payload.subarray(start, end)
    if ((flags & FLAG.endHeaders) !== 0) return this.#done(streamId, fragment)
    this.streamId = streamId
    this.#continuations = 0
    this.#append(fragment)
  }

  continuation(flags: number, payload: Buffer): void {
    if (++this.#continuations > this.#continuationsMax) return this.#sink.onFlood('too many CONTINUATION frames')
    if (!this.#append(payload)) return
    if ((flags & FLAG.endHeaders) === 0) return
    const streamId = this.streamId
    this.streamId = 0
    const block = this.#carry.view()
    this.#carry.clear()
    this.#done(streamId, block)
  }

  #append(fragment: Buffer): boolean {
    if (this.#carry.length + fragment.length > this.#bytesMax) {
      this.#sink.onFlood('a header block is too long')
      return false
    }
    this.#carry.append(fragment)
    return true
  }

  #done(streamId: number, block: Buffer): void {
    const flags = this.#selfDependent ? { end: this.#end, selfDependent: true } : this.#end ? LAST : MORE_FOLLOWS
    this.#sink.onBlock(streamId, block, flags)
  }

  /** Whether a frame of `type` on `streamId` may come now. */
  admits(type: number, streamId: number): boolean {
    if (this.streamId === 0) return type !== FRAME.continuation
    return type === FRAME.continuation && streamId === this.streamId
  }
}
