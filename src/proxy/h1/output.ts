/**
 * The bytes a connection is about to send: small pieces are collected in a slab, large chunks are passed by
 * reference, and everything of one event-loop turn leaves in one write. It knows nothing of framing.
 */
import type { Socket } from 'node:net'
import { isWhole, release } from './memory.ts'
import { flushAtTurnEnd, type Flushable } from './turn.ts'

const SLAB_BYTES = 16 * 1024
const SLABS_KEPT = 256
/** Below this a copy costs less than one more entry in the write. */
const COPY_BYTES_MAX = 2_048

const slabs: Buffer[] = []

export class Output implements Flushable {
  /** Where the next bytes go, after `reserve`; callers write at `length` and add to it. */
  buffer: Buffer = Buffer.alloc(0)
  length = 0
  /** Counts flushes: while it stands still, bytes written since can still be changed. */
  flushes = 0
  /** Called once after the next flush. */
  onFlushed: (() => void) | undefined = undefined
  readonly #socket: Socket
  /** TLS finishes its writes later: its slabs come back by callback, those of a plain socket at once. */
  readonly #finishesLater: boolean
  readonly #written: (() => void) | undefined
  readonly #lent: Buffer[] = []
  /** Released when what is being gathered is written. */
  #given: Buffer[] = []
  #slab: Buffer | undefined = undefined
  #start = 0
  #parts: Buffer[] = []
  #partBytes = 0
  #registered = false

  constructor(socket: Socket) {
    this.#socket = socket
    this.#finishesLater = 'encrypted' in socket
    this.#written = this.#finishesLater ? () => this.#takeBack() : undefined
  }

  /** Bytes not yet taken by the kernel, the unflushed included. */
  get pendingBytes(): number {
    return this.#partBytes + this.length - this.#start + this.#socket.writableLength
  }

  /** Makes room for `bytes` at `buffer[length]` and returns that position. */
  reserve(bytes: number): number {
    if (this.buffer.length - this.length < bytes) this.#renew(bytes)
    if (!this.#registered) {
      this.#registered = true
      flushAtTurnEnd(this)
    }
    return this.length
  }

  latin1(text: string): void {
    const at = this.reserve(text.length)
    this.length += this.buffer.write(text, at, 'latin1')
  }

  chunk(chunk: Buffer): void {
    if (chunk.length <= COPY_BYTES_MAX) {
      const at = this.reserve(chunk.length)
      this.buffer.set(chunk, at)
      this.length += chunk.length
      return
    }
    this.reserve(0)
    this.#closePart()
    this.#parts.push(chunk)
    this.#partBytes += chunk.length
  }

  /** The last of `chunk` was passed to `chunk()`, and nobody else reads it again. */
  give(chunk: Buffer): void {
    if (isWhole(chunk)) this.#given.push(chunk)
  }

  flush(): void {
    this.#registered = false
    this.flushes++
    const socket = this.#socket
    if (socket.destroyed || socket.writableEnded) return this.#discard()
    this.#closePart()
    if (this.#parts.length > 0) this.#send()
    const flushed = this.onFlushed
    if (flushed === undefined) return
    this.onFlushed = undefined
    flushed()
  }

  #send(): void {
    const parts = this.#parts
    this.#parts = []
    this.#partBytes = 0
    this.#start = 0
    const slab = this.#slab
    this.#slab = undefined
    this.buffer = EMPTY
    this.length = 0
    if (slab !== undefined && this.#finishesLater) this.#lent.push(slab)
    this.#write(parts, slab)
  }

  #write(parts: Buffer[], slab: Buffer | undefined): void {
    const socket = this.#socket
    const done = this.#doneWith(slab !== undefined)
    const only = parts[0]
    if (parts.length === 1 && only !== undefined) {
      socket.write(only, done)
    } else {
      socket.cork()
      const last = parts.length - 1
      for (let index = 0; index < last; index++) socket.write(parts[index] ?? EMPTY)
      socket.write(parts[last] ?? EMPTY, done)
      socket.uncork()
    }
    if (slab !== undefined && !this.#finishesLater && socket.writableLength === 0) keep(slab)
  }

  /** A write that failed may still be under way somewhere below: its memory is left to the collector. */
  #doneWith(slab: boolean): ((error?: Error | null) => void) | undefined {
    const written = slab ? this.#written : undefined
    if (this.#given.length === 0) return written
    const given = this.#given
    this.#given = []
    return (error) => {
      written?.()
      if (error === undefined || error === null) for (const chunk of given) release(chunk)
    }
  }

  /** What is written after this is lost; for sockets that went away. */
  #discard(): void {
    this.#parts = []
    this.#given = []
    this.#partBytes = 0
    this.#start = this.length
  }

  #takeBack(): void {
    const slab = this.#lent.shift()
    if (slab !== undefined) keep(slab)
  }

  #closePart(): void {
    if (this.length === this.#start) return
    this.#parts.push(this.buffer.subarray(this.#start, this.length))
    this.#partBytes += this.length - this.#start
    this.#start = this.length
  }

  /** Only one slab per flush returns to the pool; a turn that fills more leaves the others to the collector. */
  #renew(bytes: number): void {
    this.#closePart()
    const slab =
      bytes > SLAB_BYTES ? Buffer.allocUnsafeSlow(bytes) : (slabs.pop() ?? Buffer.allocUnsafeSlow(SLAB_BYTES))
    this.buffer = slab
    this.#slab = slab
    this.#start = 0
    this.length = 0
  }
}

const EMPTY = Buffer.alloc(0)

function keep(slab: Buffer): void {
  if (slabs.length < SLABS_KEPT && slab.length === SLAB_BYTES) slabs.push(slab)
}
