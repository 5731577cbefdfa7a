/**
 * The open streams of one connection by their id. Not a Map: V8's rebuilds its table every few dozen deletions, and
 * each dead table leads to the next, so that once one of them has grown old every stream that a later one held
 * outlives the young generation (a tenth of all that a busy proxy allocated, docs/performance.md).
 */
import type { H2Stream } from './stream.ts'

const SLOTS_MIN = 16

export class StreamTable {
  size = 0
  /** Open addressing, at most half full; ids of one side differ by two. */
  #slots: (H2Stream | undefined)[] = emptySlots(SLOTS_MIN)
  #mask = SLOTS_MIN - 1

  get(id: number): H2Stream | undefined {
    const slots = this.#slots
    for (let at = (id >>> 1) & this.#mask; ; at = (at + 1) & this.#mask) {
      const stream = slots[at]
      if (stream === undefined || stream.id === id) return stream
    }
  }

  /** The id must not be in the table yet. */
  add(stream: H2Stream): void {
    if ((this.size + 1) * 2 > this.#slots.length) this.#grow()
    this.#place(stream)
    this.size++
  }

  delete(id: number): void {
    const slots = this.#slots
    const mask = this.#mask
    let hole = (id >>> 1) & mask
    for (; slots[hole]?.id !== id; hole = (hole + 1) & mask) if (slots[hole] === undefined) return
    this.size--
    // What was pushed along by the one that goes moves back, so that no search ends before it.
    for (let at = (hole + 1) & mask; ; at = (at + 1) & mask) {
      const stream = slots[at]
      if (stream === undefined) break
      const wanted = (stream.id >>> 1) & mask
      if (((at - wanted) & mask) < ((at - hole) & mask)) continue
      slots[hole] = stream
      hole = at
    }
    slots[hole] = undefined
  }

  /** The streams as of now: the table may change while they are walked. */
  values(): H2Stream[] {
    return this.#slots.filter((stream) => stream !== undefined)
  }

  #place(stream: H2Stream): void {
    let at = (stream.id >>> 1) & this.#mask
    while (this.#slots[at] !== undefined) at = (at + 1) & this.#mask
    this.#slots[at] = stream
  }

  #grow(): void {
    const streams = this.values()
    this.#slots = emptySlots(this.#slots.length * 2)
    this.#mask = this.#slots.length - 1
    for (const stream of streams) this.#place(stream)
  }
}

function emptySlots(count: number): (H2Stream | undefined)[] {
  return Array.from({ length: count }, () => undefined)
}
