/**
 * What both sides' streams have in common: flow control in both directions and the queue of what may not be sent yet.
 * Heads and sinks are the business of server-stream.ts and client-stream.ts.
 */
import type { HeaderList } from '../message.ts'
import type { ResetReason } from '../stream.ts'

/** What a stream needs of its connection. */
export interface H2Link {
  /** Sends or queues; the stream's queue and windows are the sender's to change. */
  send(stream: H2Stream, chunk: Buffer): void
  sendEnd(stream: H2Stream, trailers: HeaderList | undefined): void
  sendReset(stream: H2Stream, code: number): void
  /** Our half ended. */
  localDone(stream: H2Stream): void
  /** The reader took `bytes`: the peer may send as many again. */
  consumed(stream: H2Stream, bytes: number): void
  readonly streamWriteHighBytes: number
}

export abstract class H2Stream {
  id: number
  sendWindow: number
  recvWindow: number
  /** What the peer may have on the way when all is read; grows with a reader that takes it. */
  window: number
  readonly windowAtFirst: number
  /** Read since the window last grew. */
  taken = 0
  /** Received and not yet given back: while paused, all of it. */
  owed = 0
  /** Of what is held unread: given back to the connection's window before it was read. */
  advanced = 0
  /** Given back to the stream's window but not announced yet. */
  returned = 0
  /** Made with the first chunk that has to wait: most streams have none. */
  queue: Buffer[] | undefined = undefined
  queueHead = 0
  /** Bytes of the first queued chunk that were sent. */
  queueAt = 0
  /** A chunk was written that somebody else may hold. */
  keeps = false
  queuedBytes = 0
  endQueued = false
  trailersQueued: HeaderList | undefined = undefined
  /** Its body waits until the peer opens the stream's window, or long enough. */
  givesWay = false
  /** In the sender's list of streams that wait for their turn. */
  waiting = false
  drainWanted = false
  localDone = false
  remoteDone = false
  /** Closed or reset: nothing more reaches the sink or the peer. */
  over = false
  paused = false
  /** Moves more than a window: requests beside it are better off on another connection. */
  bulk = false
  /** Accepted as a tunnel: its halves end apart, and how long it may stand still is the core's to say. */
  tunnel = false
  bytesReceived = 0
  bytesSent = 0
  bodyReceived = 0
  /** Declared by content-length, -1 when it was not or means nothing here. */
  bodyExpected = -1
  readonly openedAt: number
  /** Coarse time of the last byte in either direction. */
  touchedAt: number
  /** A final head was sent (server) or received (client). */
  answered = false
  protected readonly link: H2Link

  constructor(
    id: number,
    link: H2Link,
    windows: { readonly send: number; readonly receive: number; readonly now: number },
  ) {
    this.id = id
    this.link = link
    this.sendWindow = windows.send
    this.recvWindow = windows.receive
    this.window = windows.receive
    this.windowAtFirst = windows.receive
    this.openedAt = windows.now
    this.touchedAt = windows.now
  }

  abstract deliverData(chunk: Buffer): void
  abstract deliverEnd(trailers: HeaderList): void
  abstract deliverReset(reason: ResetReason): void
  abstract deliverDrain(): void

  pause(): void {
    this.paused = true
  }

  resume(): void {
    this.paused = false
    const owed = this.owed
    if (owed === 0 || this.over) return
    this.owed = 0
    this.link.consumed(this, owed)
  }

  protected writeBody(chunk: Buffer): boolean {
    if (chunk.length === 0) return true
    this.bytesSent += chunk.length
    this.link.send(this, chunk)
    if (this.queuedBytes < this.link.streamWriteHighBytes) return true
    this.drainWanted = true
    return false
  }
}
