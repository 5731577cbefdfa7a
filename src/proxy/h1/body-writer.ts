/** Frames the body of an outgoing message, request or response, and never lets it differ from what the head said. */
import type { HeaderList } from '../message.ts'
import type { Output } from './output.ts'
import { fieldLines } from './head-writer.ts'

/** How the body will be delimited. `pipe`: the connection becomes a tunnel. */
export type OutgoingBody = 'none' | 'length' | 'chunked' | 'close' | 'pipe'

const DIGITS = Uint8Array.from('0123456789abcdef', (digit) => digit.charCodeAt(0))

export class BodyWriter {
  kind: OutgoingBody = 'none'
  readonly #output: Output
  #left = 0

  constructor(output: Output) {
    this.#output = output
  }

  start(kind: OutgoingBody, length: number): void {
    this.kind = kind
    this.#left = length
  }

  /** False: the body would be longer than declared, and nothing was written. `given`: see ServerStream.give. */
  write(chunk: Buffer, given = false): boolean {
    if (this.kind === 'none' || chunk.length === 0) return true
    if (this.kind === 'length') {
      if (chunk.length > this.#left) return false
      this.#left -= chunk.length
    }
    if (this.kind !== 'chunked') {
      this.#output.chunk(chunk)
    } else {
      writeChunkSize(this.#output, chunk.length)
      this.#output.chunk(chunk)
      this.#output.latin1('\r\n')
    }
    if (given) this.#output.give(chunk)
    return true
  }

  /** False: the body is shorter than declared. Trailers travel only where the framing has a place for them. */
  end(trailers: HeaderList | undefined): boolean {
    if (this.kind === 'chunked') this.#output.latin1(`0\r\n${trailers === undefined ? '' : fieldLines(trailers)}\r\n`)
    return this.kind !== 'length' || this.#left === 0
  }
}

/** The size line of a chunk, without making a string of it. */
function writeChunkSize(output: Output, size: number): void {
  let at = output.reserve(12)
  const buffer = output.buffer
  let shift = size >= 0x1_0000 ? 28 : 12
  while (shift > 0 && size >>> shift === 0) shift -= 4
  for (; shift >= 0; shift -= 4) buffer[at++] = DIGITS[(size >>> shift) & 15] as number
  buffer[at++] = 13
  buffer[at++] = 10
  output.length = at
}
