/**
 * Takes a socket's bytes as they arrive, past the buffer that a Readable keeps: with someone there to take them, that
 * buffer is always empty, and going through it costs a tick and a second look per read. While the socket is paused, or
 * bytes wait in the buffer (`unshift`), everything goes the ordinary way, so that order and back-pressure stay.
 *
 * Where Node lets us (node-handle.ts) all sockets are read into one place, one after the other: memory of its own for
 * every read is a large part of what a small request costs. What is taken is therefore gone when the call is over;
 * whoever passes bytes on passes what `kept` makes of them. A socket that carries much is read into memory that is
 * handed over instead of being copied.
 */
import { strict as assert } from 'node:assert'
import type { Socket } from 'node:net'
import { readInto, readsWithinReads } from './node-handle.ts'

/** `buffer` up to `end`, to be used before the call returns. */
export type Take = (buffer: Buffer, end: number) => void

/** As much as Node reads at once. */
const LANDING_BYTES = 64 * 1024
/** TLS brings single records. */
const RECORD_BYTES = 16 * 1024
/** Connections that are read into memory of their own at a time; what carries much beyond that is copied. */
const OWN_MAX = 128

interface Landing {
  readonly buffer: Buffer
  /** Someone looks at it: the next read would change what they see. */
  busy: boolean
}

const landing: Landing = { buffer: Buffer.allocUnsafeSlow(LANDING_BYTES), busy: false }
/** What TLS inside a tunnel decrypts arrives while the tunnel's own bytes are still being looked at. */
const landingWithin: Landing = { buffer: Buffer.allocUnsafeSlow(RECORD_BYTES), busy: false }
const SHARED = [landing.buffer.buffer, landingWithin.buffer.buffer]

let owned = 0

/** The bytes as a chunk that outlives the call they were taken in. */
export function kept(buffer: Buffer, start: number, end: number): Buffer {
  const memory = buffer.buffer
  if (memory !== SHARED[0] && memory !== SHARED[1])
    return start === 0 && end === buffer.length ? buffer : buffer.subarray(start, end)
  const chunk = Buffer.allocUnsafe(end - start)
  buffer.copy(chunk, 0, start, end)
  return chunk
}

export class Reads {
  readonly #take: Take
  readonly #listener: (chunk: Buffer) => void
  readonly #into: typeof readInto
  readonly #socket: Socket
  readonly #push: (chunk: Buffer | null, encoding?: BufferEncoding) => boolean
  readonly #landing: Landing
  readonly #ownBytes: number
  #next: Buffer | undefined = undefined
  #owns = false
  #left = false

  constructor(socket: Socket, take: Take, into: typeof readInto) {
    const secure = 'encrypted' in socket
    this.#socket = socket
    this.#push = socket.push.bind(socket)
    this.#landing = readsWithinReads(socket) ? landingWithin : landing
    this.#ownBytes = secure ? RECORD_BYTES : LANDING_BYTES
    this.#take = take
    this.#into = into
    this.#listener = (chunk) => take(chunk, chunk.length)
  }

  start(): void {
    const socket = this.#socket
    socket.on('data', this.#listener)
    const onread = (count: number, buffer: Buffer): boolean => this.#read(count, buffer)
    if (this.#into(socket, this.#landing.buffer, { onread, next: () => this.#next })) return
    socket.push = (chunk: Buffer | null, encoding?: BufferEncoding): boolean => {
      if (chunk === null || !this.#flows) return this.#push(chunk, encoding)
      this.#take(chunk, chunk.length)
      return true
    }
  }

  /** Someone else listens for `data` from now on. */
  leave(): void {
    this.#left = true
    this.#socket.off('data', this.#listener)
    Reflect.deleteProperty(this.#socket, 'push')
  }

  get #flows(): boolean {
    const socket = this.#socket
    return socket.readableFlowing === true && socket.readableLength === 0
  }

  #read(count: number, buffer: Buffer): boolean {
    this.#next = undefined
    if (this.#left || !this.#flows) return this.#push(Buffer.from(buffer.subarray(0, count)))
    // Memory that is handed over may be held for long, all of it: most of it should be bytes.
    const much = count * 4 >= this.#ownBytes * 3
    const shared = this.#landing
    if (buffer === shared.buffer) {
      assert(!shared.busy, 'one read is handled before the next')
      shared.busy = true
      if (much) this.#own()
      this.#take(buffer, count)
      shared.busy = false
    } else if (much) {
      this.#next = Buffer.allocUnsafeSlow(this.#ownBytes)
      this.#take(count === buffer.length ? buffer : buffer.subarray(0, count), count)
    } else {
      this.#next = shared.buffer
      this.#disown()
      this.#take(Buffer.from(buffer.subarray(0, count)), count)
    }
    return true
  }

  #own(): void {
    if (owned >= OWN_MAX) return
    if (!this.#owns) this.#socket.once('close', this.#disown)
    this.#owns = true
    owned++
    this.#next = Buffer.allocUnsafeSlow(this.#ownBytes)
  }

  readonly #disown = (): void => {
    if (!this.#owns) return
    this.#owns = false
    this.#socket.off('close', this.#disown)
    owned--
  }
}

/** `into`: for tests of a Node that is not as we know it. */
export function takeReads(socket: Socket, take: Take, into: typeof readInto = readInto): Reads {
  const reads = new Reads(socket, take, into)
  reads.start()
  return reads
}
