/**
 * Takes a socket's bytes as they arrive, past the buffer that a Readable keeps: with someone there to take them, that
 * buffer is always empty, and going through it costs a tick and a second look per read. While the socket is paused, or
 * bytes wait in the buffer (`unshift`), everything goes the ordinary way, so that order and back-pressure stay.
 */
import type { OnReadOpts, Socket } from 'node:net'

const READ_BYTES = 64 * 1024
/** With less room than this a read goes to new memory. */
const ROOM_BYTES_MIN = 24 * 1024
/** Up to here a copy costs less than giving memory away. */
const COPIED_BYTES_MAX = 2_048

type Take = (chunk: Buffer) => void

/**
 * Where a socket that we open reads to. For other sockets Node makes 64 KiB for every read, and then memory of the size
 * that came. Here small reads are copied and the same place is read into again; larger ones are given away where they
 * lie, and the next goes behind them.
 */
class ReadBuffer implements OnReadOpts {
  take: Take | undefined = undefined
  #bytes: Buffer = Buffer.allocUnsafeSlow(READ_BYTES)
  /** Before it everything was given away. */
  #at = 0
  #moved = true

  /** Asked at first and after every read; nothing: the same again. */
  readonly buffer = (): Uint8Array => {
    if (!this.#moved) return SAME
    this.#moved = false
    if (READ_BYTES - this.#at < ROOM_BYTES_MIN) {
      this.#bytes = Buffer.allocUnsafeSlow(READ_BYTES)
      this.#at = 0
    }
    return this.#at === 0 ? this.#bytes : this.#bytes.subarray(this.#at)
  }

  readonly callback = (count: number): boolean => {
    this.take?.(this.#chunk(count))
    return true
  }

  #chunk(count: number): Buffer {
    const start = this.#at
    if (count <= COPIED_BYTES_MAX) {
      const chunk = Buffer.allocUnsafe(count)
      this.#bytes.copy(chunk, 0, start, start + count)
      return chunk
    }
    this.#moved = true
    this.#at = start + count
    return start === 0 && count === READ_BYTES ? this.#bytes : this.#bytes.subarray(start, start + count)
  }
}

/** Node takes what is no Uint8Array for "as before", which its types do not say. */
const SAME = undefined as unknown as Uint8Array

const buffers = new WeakMap<Socket, ReadBuffer>()

/** `make` opens a socket with the option; it is read with `takeReads`, and with nothing else. */
export function openForReads(make: (onread: OnReadOpts) => Socket): Socket {
  const buffer = new ReadBuffer()
  const socket = make(buffer)
  buffers.set(socket, buffer)
  return socket
}

export function takeReads(socket: Socket, take: Take): void {
  const buffer = buffers.get(socket)
  if (buffer !== undefined) {
    buffer.take = take
    return void socket.resume()
  }
  socket.on('data', take)
  const push = socket.push.bind(socket)
  socket.push = (chunk: Buffer | null, encoding?: BufferEncoding): boolean => {
    if (chunk === null || socket.readableFlowing !== true || socket.readableLength > 0) return push(chunk, encoding)
    take(chunk)
    return true
  }
}

/** Someone else will listen for `data`. */
export function leaveReads(socket: Socket, take: Take): void {
  socket.off('data', take)
  Reflect.deleteProperty(socket, 'push')
}
