/**
 * One direction of a spliced connection. It begins with the chunks that Node gives; a direction that turns out to carry
 * much gets a buffer of its own, which the kernel (or TLS) fills again and again: a chunk of its own for every read costs
 * a third of the processor in allocation and garbage collection (docs/performance.md).
 */
import type { Socket } from 'node:net'
import { type Reader, readInto } from '../h1/node-handle.ts'

/** From here on a direction counts as bulk. */
const BULK_AFTER_BYTES = 1024 * 1024
const ARENA_BYTES = 384 * 1024
/**
 * With less room than this reading waits until what is there was written. TLS goes on after it was told to stop: it gives
 * all of what it has read before (64 KiB), and the record that had begun.
 */
const ROOM_MIN_BYTES = 96 * 1024
/** 24 MiB in all; what carries much beyond that goes on with chunks. */
const ARENAS_MAX = 64

const NOTHING = Buffer.alloc(0)

let arenas = 0

export class Flow {
  readonly #from: Socket
  readonly #to: Socket
  readonly #touch: () => void
  bytes = 0
  #arena: Buffer | undefined = undefined
  /** What was read and is not written yet lies between the two. */
  #start = 0
  #filled = 0
  /** Where the next read goes; decided when the one before it ends. */
  #landing = 0
  /** Something given to `to` still lies in the arena. */
  #inFlight = false
  #isScheduled = false
  #isStopped = false
  #isOver = false
  readonly #flush = (): void => {
    this.#isScheduled = false
    if (!this.#inFlight) this.#write()
  }
  readonly #taken = (): void => this.#goOn()

  /** `touch`: something came. */
  constructor(from: Socket, to: Socket, touch: () => void) {
    this.#from = from
    this.#to = to
    this.#touch = touch
    from.on('data', (chunk: Buffer) => this.#chunk(chunk))
    to.on('drain', () => {
      if (this.#arena === undefined) from.resume()
    })
  }

  /** `from` has ended its side. */
  end(): void {
    this.#isOver = true
    // Nothing is read into it any more: what is left may wait where it is.
    if (this.#filled > this.#start && this.#arena !== undefined) {
      this.#to.write(this.#arena.subarray(this.#start, this.#filled))
    }
    this.#to.end()
  }

  #chunk(chunk: Buffer): void {
    this.#touch()
    this.bytes += chunk.length
    const isBulk = this.bytes >= BULK_AFTER_BYTES && this.#to.writableLength === 0 && this.#from.readableLength === 0
    if (isBulk && this.#goBulk()) {
      this.#inFlight = true
      this.#to.write(chunk, this.#taken)
      return this.#goOn()
    }
    if (!this.#to.write(chunk)) this.#from.pause()
  }

  #goBulk(): boolean {
    if (arenas >= ARENAS_MAX) return false
    const arena = Buffer.allocUnsafeSlow(ARENA_BYTES)
    const reader: Reader = { onread: (count) => this.#read(count), next: () => this.#next() }
    if (!readInto(this.#from, arena, reader)) return false
    this.#arena = arena
    arenas++
    this.#from.once('close', () => arenas--)
    return true
  }

  /** False: reading stops until everything is written. */
  #read(count: number): boolean {
    this.#touch()
    this.bytes += count
    // After a wrap: nothing was left before it.
    if (this.#start === this.#filled) this.#start = this.#landing
    this.#filled = this.#landing + count
    if (this.#isStopped) return false
    if (ARENA_BYTES - this.#filled < ROOM_MIN_BYTES) {
      if (!this.#inFlight) this.#write()
      this.#isStopped = this.#inFlight
      return !this.#isStopped
    }
    // Records come one by one, and are written together.
    if (!this.#isScheduled && !this.#inFlight) {
      this.#isScheduled = true
      setImmediate(this.#flush)
    }
    return true
  }

  /** Read into until the next read ends, so it must not be what still waits to be written. */
  #next(): Buffer {
    const isEmpty = !this.#inFlight && this.#start === this.#filled
    this.#landing = isEmpty ? 0 : this.#filled
    if (this.#arena === undefined || this.#landing === ARENA_BYTES) this.#replace()
    return this.#arena === undefined ? NOTHING : this.#arena.subarray(this.#landing)
  }

  /** Full after all: what is in it waits there for its turn, and reading goes on elsewhere. */
  #replace(): void {
    if (this.#arena !== undefined && this.#filled > this.#start) {
      this.#to.write(this.#arena.subarray(this.#start, this.#filled), this.#taken)
      this.#inFlight = true
    }
    this.#arena = Buffer.allocUnsafeSlow(ARENA_BYTES)
    this.#start = this.#filled = this.#landing = 0
  }

  #write(): void {
    const arena = this.#arena
    if (arena === undefined || this.#isOver || this.#filled === this.#start) return
    const chunk = arena.subarray(this.#start, this.#filled)
    this.#start = this.#filled
    this.#to.write(chunk, this.#taken)
    // Mostly the kernel takes it at once; the callback comes later all the same.
    this.#inFlight = this.#to.writableLength > 0
  }

  #goOn(): void {
    if (this.#to.writableLength > 0) return
    this.#inFlight = false
    this.#write()
    if (!this.#isStopped || this.#inFlight || this.#filled > this.#start) return
    this.#isStopped = false
    this.#from.resume()
  }
}
