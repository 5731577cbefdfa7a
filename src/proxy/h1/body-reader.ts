/**
 * Reads one body and hands its bytes on as chunks: by length, chunked, or until the connection
 * ends. Chunk lines are as strict as heads: digits, an optional extension that is skipped, CRLF.
 */
import type { HeaderList } from '../message.ts'
import { HEX, VALUE } from './chars.ts'
import type { BodyKind } from './framing.ts'
import type { HeadReader } from './head-reader.ts'
import { kept } from './reading.ts'

const CR = 13
const LF = 10
const SEMICOLON = 59
/** 12 digits are 2^48 bytes; leading zeros count, or a line could be endless. */
const SIZE_DIGITS_MAX = 12
/** Extensions are never forwarded: what they may cost is bounded for the whole body. */
const EXTENSION_BYTES_MAX = 4_096

const SIZE = 0
const EXTENSION = 1
const SIZE_LF = 2
const DATA = 3
const DATA_CR = 4
const DATA_LF = 5
const TRAILERS = 6

export interface BodySink {
  onBody(chunk: Buffer): void
  onBodyEnd(trailers: HeaderList): void
  onBodyError(detail: string): void
}

const NO_TRAILERS: HeaderList = []

export class BodyReader {
  active = false
  readonly #sink: BodySink
  readonly #trailers: HeadReader
  #kind: BodyKind = 'none'
  #remaining = 0
  #state = SIZE
  #digits = 0
  #extensionBytes = 0

  constructor(sink: BodySink, trailers: HeadReader) {
    this.#sink = sink
    this.#trailers = trailers
  }

  start(kind: BodyKind, length: number): void {
    this.active = true
    this.#kind = kind
    this.#remaining = kind === 'length' ? length : 0
    this.#state = SIZE
    this.#digits = 0
    this.#extensionBytes = 0
  }

  stop(): void {
    this.active = false
  }

  /** Trailers are lines: an incomplete one has to be kept by the caller and shown again. */
  get keepsRest(): boolean {
    return this.#kind === 'chunked' && this.#state === TRAILERS
  }

  /** The connection ended: that is this body's end, or its loss (false). */
  finish(): boolean {
    if (this.#kind !== 'close') return false
    this.#end(NO_TRAILERS)
    return true
  }

  /** Consumes what belongs to the body and returns where it stopped; after an error that place means nothing. */
  read(buffer: Buffer, start: number, end: number): number {
    if (this.#kind === 'chunked') return this.#readChunked(buffer, start, end)
    if (this.#kind === 'close') {
      this.#sink.onBody(kept(buffer, start, end))
      return end
    }
    const stop = Math.min(end, start + this.#remaining)
    this.#remaining -= stop - start
    this.#sink.onBody(kept(buffer, start, stop))
    if (this.#remaining === 0 && this.active) this.#end(NO_TRAILERS)
    return stop
  }

  #end(trailers: HeaderList): void {
    this.active = false
    this.#sink.onBodyEnd(trailers)
  }

  #fail(detail: string): false {
    this.active = false
    this.#sink.onBodyError(detail)
    return false
  }

  #readChunked(buffer: Buffer, start: number, end: number): number {
    let at = start
    while (at < end && this.active) {
      if (this.#state === DATA) {
        const stop = Math.min(end, at + this.#remaining)
        this.#remaining -= stop - at
        if (this.#remaining === 0) this.#state = DATA_CR
        this.#sink.onBody(kept(buffer, at, stop))
        at = stop
      } else if (this.#state === TRAILERS) {
        return this.#readTrailers(buffer, at, end)
      } else {
        if (!this.#step(buffer[at] as number)) return at
        at++
      }
    }
    return at
  }

  #step(byte: number): boolean {
    switch (this.#state) {
      case SIZE:
        return this.#stepSize(byte)
      case EXTENSION:
        if (byte === CR) this.#state = SIZE_LF
        else if (VALUE[byte] === 0) return this.#fail('a chunk extension has a forbidden byte')
        else if (++this.#extensionBytes > EXTENSION_BYTES_MAX) return this.#fail('chunk extensions are too long')
        return true
      case SIZE_LF:
        if (byte !== LF) return this.#fail('a chunk size does not end in CRLF')
        this.#state = this.#remaining === 0 ? TRAILERS : DATA
        if (this.#remaining === 0) this.#trailers.reset('trailers')
        return true
      case DATA_CR:
        if (byte !== CR) return this.#fail('a chunk is longer than its size')
        this.#state = DATA_LF
        return true
      default:
        if (byte !== LF) return this.#fail('a chunk does not end in CRLF')
        this.#state = SIZE
        this.#digits = 0
        this.#remaining = 0
        return true
    }
  }

  #stepSize(byte: number): boolean {
    const digit = HEX[byte] as number
    if (digit < 16) {
      if (++this.#digits > SIZE_DIGITS_MAX) return this.#fail('a chunk size is too long')
      this.#remaining = this.#remaining * 16 + digit
      return true
    }
    if (this.#digits === 0) return this.#fail('a chunk size is no hexadecimal number')
    if (byte === CR) this.#state = SIZE_LF
    else if (byte === SEMICOLON) this.#state = EXTENSION
    else return this.#fail('a chunk size is no hexadecimal number')
    return true
  }

  #readTrailers(buffer: Buffer, start: number, end: number): number {
    const reader = this.#trailers
    const at = reader.read(buffer, start, end)
    if (reader.state === 'more') return at
    // A framing field after the body would be read by whoever merges trailers into the head (RFC 9110 6.5.1).
    if (reader.state === 'failed') this.#fail(`trailers: ${reader.failureDetail}`)
    else if (reader.misplaced) this.#fail('trailers: a framing field')
    else this.#end(reader.headers)
    return at
  }
}
