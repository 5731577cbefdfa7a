/**
 * Bounds what is sent and not acknowledged, over all streams: memory then depends on neither their number nor their
 * speed. Who finds no room waits in line, and sends what is newest when its turn comes. Each stream has at most one
 * answer per kind under way besides, so that the slow wait for themselves.
 */
import type { Cancel, Clock } from '../runtime/clock.ts'

/** A TLS record, an HTTP/2 frame and a socket buffer hold each byte once more. */
const OUTSTANDING_BYTES_MAX = 48 * 1_048_576
/** What nobody acknowledged for so long counts no more: it is the socket's, or lost. */
const PATIENCE_MS = 3_000

export interface Sent {
  readonly bytes: number
  readonly at: number
}

export interface PaceOptions {
  readonly clock: Clock
  readonly bytesMax?: number
}

/** `S`: whatever stands for a stream; `again` is called once for each that waited. */
export class Pace<S extends object> {
  readonly #clock: Clock
  readonly #bytesMax: number
  readonly #again: (stream: S) => void
  readonly #sent = new Set<Sent>()
  readonly #waiting = new Set<S>()
  #bytes = 0
  #timer: Cancel | undefined
  #isWaking = false

  constructor(options: PaceOptions, again: (stream: S) => void) {
    this.#clock = options.clock
    this.#bytesMax = options.bytesMax ?? OUTSTANDING_BYTES_MAX
    this.#again = again
  }

  hasRoom(stream: S): boolean {
    if (this.#bytes < this.#bytesMax) return true
    this.#waiting.add(stream)
    this.#timer ??= this.#clock.after(PATIENCE_MS, () => this.#forget())
    return false
  }

  add(bytes: number): Sent {
    const sent = { bytes, at: this.#clock.monotonic() }
    this.#sent.add(sent)
    this.#bytes += bytes
    return sent
  }

  /** More than once does no harm. */
  release(sent: Sent): void {
    if (!this.#sent.delete(sent)) return
    this.#bytes -= sent.bytes
    this.#wake()
  }

  leave(stream: S): void {
    this.#waiting.delete(stream)
  }

  close(): void {
    this.#timer?.()
    this.#waiting.clear()
  }

  #wake(): void {
    // A stream that is woken sends and thereby adds; it must not wake others from within.
    if (this.#isWaking) return
    this.#isWaking = true
    for (const stream of this.#waiting) {
      if (this.#bytes >= this.#bytesMax) break
      this.#waiting.delete(stream)
      this.#again(stream)
    }
    this.#isWaking = false
  }

  #forget(): void {
    this.#timer = undefined
    const before = this.#clock.monotonic() - PATIENCE_MS
    for (const sent of this.#sent) {
      if (sent.at > before) break
      this.release(sent)
    }
    this.#wake()
    if (this.#waiting.size > 0) this.#timer = this.#clock.after(PATIENCE_MS, () => this.#forget())
  }
}
