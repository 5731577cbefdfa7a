/** HTTP/2 frames by hand, for tests that must send what no client would. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { HpackEncoder } from '../../src/proxy/h2/hpack-encoder.ts'

export interface Frame {
  readonly type: number
  readonly flags: number
  readonly streamId: number
  readonly payload: Buffer
}

export function frame(type: number, flags: number, streamId: number, payload: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9)
  head.writeUIntBE(payload.length, 0, 3)
  head[3] = type
  head[4] = flags
  head.writeUInt32BE(streamId, 5)
  return Buffer.concat([head, payload])
}

export function words(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4)
  for (const [index, value] of values.entries()) bytes.writeUInt32BE(value, index * 4)
  return bytes
}

export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
export const HELLO = Buffer.concat([PREFACE, frame(4, 0, 0)])

/** A block without use of the dynamic table, good on any connection. */
export function block(...fields: readonly string[]): Buffer {
  const encoder = new HpackEncoder(0, { huffman: false })
  encoder.begin()
  for (let index = 0; index < fields.length; index += 2) encoder.field(fields[index] ?? '', fields[index + 1] ?? '')
  return Buffer.from(encoder.buffer.subarray(0, encoder.length))
}

export const GET = block(':method', 'GET', ':scheme', 'http', ':path', '/', ':authority', 'a')
export const POST = block(':method', 'POST', ':scheme', 'http', ':path', '/', ':authority', 'a')

/** A raw peer: sends bytes, collects frames. */
export class RawPeer {
  readonly socket: Socket
  readonly frames: Frame[] = []
  /** Set to stop reading, as a peer does that never takes its answers. */
  #rest: Buffer = Buffer.alloc(0)
  #waiting: (() => void)[] = []
  closed = false

  constructor(socket: Socket) {
    this.socket = socket
    socket.on('error', () => {})
    socket.on('data', (chunk: Buffer) => {
      this.#rest = Buffer.concat([this.#rest, chunk])
      while (this.#rest.length >= 9 && this.#rest.length >= 9 + this.#rest.readUIntBE(0, 3)) {
        const length = this.#rest.readUIntBE(0, 3)
        this.frames.push({
          type: this.#rest[3] ?? 0,
          flags: this.#rest[4] ?? 0,
          streamId: this.#rest.readUInt32BE(5),
          payload: this.#rest.subarray(9, 9 + length),
        })
        this.#rest = this.#rest.subarray(9 + length)
      }
      this.#wake()
    })
    const close = (): void => {
      this.closed = true
      this.#wake()
    }
    socket.on('end', close)
    socket.on('close', close)
  }

  static async dial(port: number): Promise<RawPeer> {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true })
    await once(socket, 'connect')
    return new RawPeer(socket)
  }

  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake()
  }

  send(...bytes: readonly Buffer[]): void {
    this.socket.write(Buffer.concat(bytes))
  }

  /** The first frame, past or future, that `matches`; undefined when the connection closed without one. */
  async find(matches: (frame: Frame) => boolean): Promise<Frame | undefined> {
    for (;;) {
      const found = this.frames.find(matches)
      if (found !== undefined || this.closed) return found
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
    }
  }

  /** The error code of the first GOAWAY, once it comes. */
  async goaway(): Promise<number | undefined> {
    return (await this.find(({ type }) => type === 7))?.payload.readUInt32BE(4)
  }
}
