/**
 * The bytes a connection is about to send: small pieces are collected in a slab, large chunks are passed by
 * reference, and everything of one event-loop turn leaves in one write. It knows nothing of framing.
 */
import type { Socket } from 'node:net'
import { isWhole, release } from './memory.ts'
import { type DirectWriter, directWriterOf } from './node-handle.ts'
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
  readonly #direct: DirectWriter | undefined
  /** The first of what is being gathered, as long as nothing follows it: it then leaves without a copy of its own. */
  #text = ''
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

  /** `writerOf`: for tests of a Node that is not as we know it. */
  constructor(socket: Socket, writerOf: typeof directWriterOf = directWriterOf) {
    this.#socket = socket
    this.#direct = writerOf(socket)
    this.#finishesLater = 'encrypted' in socket
    this.#written = this.#finishesLater ? () => this.#takeBack() : undefined
  }

  /** Bytes not yet taken by the kernel, the unflushed included. */
  get pendingBytes(): number {
    const gathered = this.#text.length + this.#partBytes + this.length - this.#start
    return gathered + (this.#direct?.inFlight ?? 0) + this.#socket.writableLength
  }

  /** The kernel did not take all that was flushed: `drain` will come. */
  get blocked(): boolean {
    return this.#socket.writableNeedDrain || (this.#direct !== undefined && this.#direct.inFlight > 0)
  }

  /** Makes room for `bytes` at `buffer[length]` and returns that position. */
  reserve(bytes: number): number {
    if (this.#text !== '') this.#spill()
    if (this.buffer.length - this.length < bytes) this.#renew(bytes)
    this.#register()
    return this.length
  }

  latin1(text: string): void {
    if (this.#direct !== undefined && this.length === this.#start && this.#parts.length === 0 && this.#text === '') {
      this.#text = text
      return this.#register()
    }
    const at = this.reserve(text.length)
    this.length += this.buffer.write(text, at, 'latin1')
  }

  #spill(): void {
    const text = this.#text
    this.#text = ''
    const at = this.reserve(text.length)
    this.length += this.buffer.write(text, at, 'latin1')
  }

  #register(): void {
    if (this.#registered) return
    this.#registered = true
    flushAtTurnEnd(this)
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
    if (this.#text !== '') this.#sendText()
    else {
      this.#closePart()
      if (this.#parts.length > 0) this.#send()
    }
    const flushed = this.onFlushed
    if (flushed === undefined) return
    this.onFlushed = undefined
    flushed()
  }

  #sendText(): void {
    if (this.#direct === undefined || this.#socket.writableLength > 0) {
      this.#spill()
      this.#closePart()
      return this.#send()
    }
    const text = this.#text
    this.#text = ''
    this.#direct.latin1(text)
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
    // What waits in the Writable goes first.
    if (this.#direct !== undefined && socket.writableLength === 0) {
      if (this.#writeDirect(this.#direct, parts) && slab !== undefined) keep(slab)
      return
    }
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

  #writeDirect(direct: DirectWriter, parts: Buffer[]): boolean {
    const given = this.#takeGiven()
    const done = given === undefined ? undefined : () => given.forEach(release)
    const only = parts[0]
    const taken = parts.length === 1 && only !== undefined ? direct.buffer(only, done) : direct.buffers(parts, done)
    if (taken) done?.()
    return taken
  }

  #takeGiven(): Buffer[] | undefined {
    if (this.#given.length === 0) return undefined
    const given = this.#given
    this.#given = []
    return given
  }

  /** A write that failed may still be under way somewhere below: its memory is left to the collector. */
  #doneWith(slab: boolean): ((error?: Error | null) => void) | undefined {
    const written = slab ? this.#written : undefined
    const given = this.#takeGiven()
    if (given === undefined) return written
    return (error) => {
      written?.()
      if (error === undefined || error === null) for (const chunk of given) release(chunk)
    }
  }

  /** What is written after this is lost; for sockets that went away. */
  #discard(): void {
    this.#text = ''
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
