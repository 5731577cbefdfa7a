/**
 * Joins an accepted tunnel with a socket, byte for byte: chunks are passed by reference, each side's back-pressure
 * stops the other, half-closes travel through. What the bytes are is nobody's business here.
 */
import type { Socket } from 'node:net'
import { kept, takeReads } from '../h1/reading.ts'
import type { HeaderList } from '../message.ts'
import type { RequestSink, ResetReason, ServerStream } from '../stream.ts'
import type { SpliceResult } from './types.ts'

class Splice implements RequestSink {
  readonly #stream: ServerStream
  readonly #socket: Socket
  readonly #done: (result: SpliceResult) => void
  #bytesToSocket = 0
  #bytesToStream = 0
  #requestEnded = false
  #socketEnded = false
  #over = false

  constructor(stream: ServerStream, socket: Socket, done: (result: SpliceResult) => void) {
    this.#stream = stream
    this.#socket = socket
    this.#done = done
    takeReads(socket, (buffer, end) => this.#onSocketData(kept(buffer, 0, end)))
    socket.on('drain', () => stream.resume())
    socket.on('end', () => this.#onSocketEnd())
    socket.on('error', () => this.#finish('socket-error'))
    socket.on('close', () => this.#onSocketClose())
  }

  onRequestData(chunk: Buffer): void {
    this.#bytesToSocket += chunk.length
    if (!this.#socket.write(chunk)) this.#stream.pause()
  }

  onRequestEnd(_trailers: HeaderList): void {
    this.#requestEnded = true
    this.#socket.end()
    if (this.#socketEnded) this.#finish('both')
  }

  onRequestReset(_reason: ResetReason): void {
    this.#finish('stream-reset')
  }

  onResponseDrain(): void {
    this.#socket.resume()
  }

  #onSocketData(chunk: Buffer): void {
    this.#bytesToStream += chunk.length
    if (!this.#stream.give(chunk)) this.#socket.pause()
  }

  #onSocketEnd(): void {
    this.#socketEnded = true
    this.#stream.end()
    if (this.#requestEnded) this.#finish('both')
  }

  #onSocketClose(): void {
    if (this.#socketEnded && this.#requestEnded) this.#finish('both')
    else this.#finish('socket-error')
  }

  #finish(ended: SpliceResult['ended']): void {
    if (this.#over) return
    this.#over = true
    if (ended === 'stream-reset') this.#socket.destroy()
    // A connection that broke is told as such (RFC 9113 8.5: CONNECT_ERROR), never as an orderly end.
    if (ended === 'socket-error') this.#stream.reset('connect-error')
    this.#done({ bytesToSocket: this.#bytesToSocket, bytesToStream: this.#bytesToStream, ended })
  }
}

/**
 * Call after `stream.respond` accepted the tunnel; both sides may be paused until then. `done` is called once, when
 * both directions ended or one broke.
 */
export function splice(stream: ServerStream, socket: Socket, done: (result: SpliceResult) => void): void {
  stream.sink = new Splice(stream, socket, done)
  stream.resume()
  socket.resume()
}
