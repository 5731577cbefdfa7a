/**
 * Bytes that a parser could not use yet, kept until more arrive. Appending doubles the room when it runs out, so that
 * a peer sending byte by byte costs linear time; bytes once shown to a parser are never overwritten, because slices
 * of them may have been passed on.
 */
const EMPTY = Buffer.alloc(0)
const ROOM_BYTES_MIN = 512

export class Carry {
  #data: Buffer = EMPTY
  #start = 0
  #end = 0

  get length(): number {
    return this.#end - this.#start
  }

  view(): Buffer {
    return this.#data.subarray(this.#start, this.#end)
  }

  append(chunk: Buffer): void {
    if (this.#data.length - this.#end < chunk.length) this.#grow(chunk.length)
    this.#data.set(chunk, this.#end)
    this.#end += chunk.length
  }

  /** `used` bytes at the front are no longer needed. */
  drop(used: number): void {
    this.#start += used
    if (this.#start >= this.#end) this.clear()
  }

  clear(): void {
    this.#data = EMPTY
    this.#start = 0
    this.#end = 0
  }

  #grow(more: number): void {
    const kept = this.length
    const data = Buffer.allocUnsafe(Math.max(ROOM_BYTES_MIN, (kept + more) * 2))
    data.set(this.#data.subarray(this.#start, this.#end), 0)
    this.#data = data
    this.#start = 0
    this.#end = kept
  }
}
