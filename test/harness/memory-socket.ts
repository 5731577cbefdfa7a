/** A socket of which the test is the other end, synchronous and without the kernel: for property tests of codecs. */
import { EventEmitter } from 'node:events'
import type { Socket } from 'node:net'

export class MemorySocket extends EventEmitter {
  readonly written: Buffer[] = []
  writableLength = 0
  writableNeedDrain = false
  writableEnded = false
  destroyed = false
  paused = false
  readonly readableFlowing = true
  readonly readableLength = 0

  static create(): { socket: Socket; memory: MemorySocket } {
    const memory = new MemorySocket()
    return { socket: memory as unknown as Socket, memory }
  }

  /** What the peer sends; nothing once the socket is gone. */
  deliver(bytes: Buffer): void {
    if (!this.destroyed) this.push(bytes)
  }

  /** As a Readable's that flows: whoever replaces it takes the bytes first. */
  push(bytes: Buffer): boolean {
    return this.emit('data', bytes)
  }

  write(chunk: Buffer, _done?: (error?: Error) => void): boolean {
    this.written.push(Buffer.from(chunk))
    return true
  }

  end(): void {
    this.writableEnded = true
  }

  destroy(): void {
    if (this.destroyed) return
    this.destroyed = true
    this.emit('close')
  }

  pause(): void {
    this.paused = true
  }

  resume(): void {
    this.paused = false
  }

  isPaused(): boolean {
    return this.paused
  }

  cork(): void {}
  uncork(): void {}
}
