/**
 * What the peer may send us: the connection's window and those of its streams (RFC 9113 §5.2), and when they are given
 * back. What we may send is the sender's.
 */
import type { Sender } from './sender.ts'
import type { StreamTable } from './stream-table.ts'
import type { H2Stream } from './stream.ts'
import type { H2Limits } from './types.ts'
import { WINDOW_DEFAULT } from './frames.ts'

/** Of a window; less would be a frame per read. */
const RETURNED_BYTES_MIN = 64 * 1024

export class ReceiveWindows {
  readonly #limits: H2Limits
  readonly #sender: Sender
  readonly #streams: StreamTable
  #window: number
  #returned = 0
  /** Of bytes that streams hold unread, those that the connection's window was given back for already. */
  #advanced = 0
  /** What the windows of open streams are larger than they began. */
  #grown = 0
  /** Nothing more is given back: the connection ends. */
  closed = false
  /** Called when a stream took a whole window: whoever shares the connection with it waits behind it. */
  readonly #bulk: (stream: H2Stream) => void

  constructor(
    limits: H2Limits,
    of: { readonly sender: Sender; readonly streams: StreamTable; readonly bulk: (stream: H2Stream) => void },
  ) {
    this.#limits = limits
    this.#sender = of.sender
    this.#streams = of.streams
    this.#bulk = of.bulk
    this.#window = Math.max(limits.connectionWindowBytes, WINDOW_DEFAULT)
  }

  /** False: the peer sent more than the connection's window allows. */
  receive(bytes: number): boolean {
    this.#window -= bytes
    return this.#window >= 0
  }

  /**
   * A stream that nobody reads keeps what it holds of its own window, not of the connection's: four of them would
   * otherwise stop every other stream, and one slow client all clients of a gateway.
   */
  advance(stream: H2Stream, bytes: number): void {
    if (this.#advanced + bytes > this.#limits.connectionHeldBytesMax) return
    this.#advanced += bytes
    stream.advanced += bytes
    this.returnToConnection(bytes)
  }

  consumed(stream: H2Stream, bytes: number): void {
    const advanced = Math.min(bytes, stream.advanced)
    stream.advanced -= advanced
    this.#advanced -= advanced
    this.returnToConnection(bytes - advanced)
    if (stream.over || stream.remoteDone) return
    stream.returned += bytes
    stream.taken += bytes
    if (stream.returned < returnedAt(stream.window)) return
    const increment = stream.returned + this.#growth(stream)
    stream.recvWindow += increment
    this.#sender.windowUpdate(stream.id, increment)
    stream.returned = 0
  }

  /**
   * A body of this length was announced: without its window now it would wait several round trips for it. From half of
   * what the connection may hold only, so that windows of streams that say nothing can grow too.
   */
  expect(stream: H2Stream, bytes: number): void {
    if (bytes <= stream.window || stream.over) return
    this.#bulk(stream)
    const more = this.#granted(stream, bytes, this.#limits.connectionHeldBytesMax / 2)
    if (more === 0) return
    stream.recvWindow += more
    this.#sender.windowUpdate(stream.id, more)
  }

  returnToConnection(bytes: number): void {
    this.#returned += bytes
    if (this.#returned < returnedAt(this.#limits.connectionWindowBytes) || this.closed) return
    this.#window += this.#returned
    this.#sender.windowUpdate(0, this.#returned)
    this.#returned = 0
  }

  /** The stream is no longer among the open ones. */
  gone(stream: H2Stream): void {
    this.#grown -= stream.window - stream.windowAtFirst
    stream.window = stream.windowAtFirst
  }

  /**
   * A reader that took a whole window may be kept waiting by distance alone, and gets twice the window, as TCP doubles
   * what it sends per round trip. Four times would let readers that stop hold as much as their kernel's buffer takes first.
   */
  #growth(stream: H2Stream): number {
    if (stream.taken < stream.window) return 0
    if (!stream.bulk) this.#bulk(stream)
    return this.#granted(stream, 2 * stream.window, this.#limits.connectionHeldBytesMax)
  }

  /**
   * What the window grows by towards `bytes`: only as long as all windows together fit into `heldBytesMax`, so that
   * whoever stops reading stops nobody else.
   */
  #granted(stream: H2Stream, bytes: number, heldBytesMax: number): number {
    const { streamWindowMaxBytes, streamWindowBytes } = this.#limits
    const left = heldBytesMax - this.#streams.size * streamWindowBytes - this.#grown
    const more = Math.min(Math.min(bytes, streamWindowMaxBytes) - stream.window, left)
    if (more <= 0) return 0
    stream.window += more
    stream.taken = 0
    this.#grown += more
    return more
  }
}

/** Announced in parts: a sender that waits for half of its window has half of it over a long distance. */
function returnedAt(windowBytes: number): number {
  return Math.min(windowBytes / 2, Math.max(RETURNED_BYTES_MIN, windowBytes / 8))
}
