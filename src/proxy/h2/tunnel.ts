/**
 * A CONNECT stream as a node:stream Duplex, for the one place that needs an object of that kind: a TLS client running
 * inside a tunnel. Back-pressure reaches the stream's window in both directions. Gateways splice instead (splice.ts).
 */
import { Duplex } from 'node:stream'
import { isWhole, release } from '../h1/memory.ts'
import type { HeaderList, RequestHead, ResponseHead } from '../message.ts'
import type { ClientConnection, ClientStream, ResetReason, ResponseSink } from '../stream.ts'
import type { TunnelOutcome } from './types.ts'

/** Handed to a write's callback when it may go on at once. */
type Continue = (error?: Error | null) => void

class TunnelDuplex extends Duplex implements ResponseSink {
  #stream: ClientStream | undefined = undefined
  #opened: ((outcome: TunnelOutcome) => void) | undefined
  #blocked: Continue | undefined = undefined
  #answered = false
  #over = false

  constructor(opened: (outcome: TunnelOutcome) => void) {
    super({ allowHalfOpen: true, readableHighWaterMark: 64 * 1024, writableHighWaterMark: 64 * 1024 })
    this.#opened = opened
    // TLS over this object destroys it with errors of its own; whoever opened the tunnel listens there.
    this.on('error', () => {})
  }

  attach(stream: ClientStream): void {
    this.#stream = stream
  }

  #settle(outcome: TunnelOutcome): void {
    const opened = this.#opened
    this.#opened = undefined
    opened?.(outcome)
  }

  onInformational(): void {
    // Says nothing about the tunnel.
  }

  onResponse(head: ResponseHead, end: boolean): void {
    const accepted = head.status === 101 || (head.status >= 200 && head.status < 300)
    if (accepted && !end) {
      this.#answered = true
      return this.#settle({ kind: 'open', duplex: this, head })
    }
    this.#over = true
    if (!end) this.#stream?.reset('cancel')
    this.#settle({ kind: 'refused', head })
    this.destroy()
  }

  onResponseData(chunk: Buffer): void {
    if (!this.push(chunk)) this.#stream?.pause()
    // A TLS client copies what it is shown; what waits in the buffer was not shown yet.
    else if (this.readableLength === 0 && isWhole(chunk)) release(chunk)
  }

  onResponseEnd(_trailers: HeaderList): void {
    this.push(null)
  }

  onResponseReset(reason: ResetReason): void {
    this.#over = true
    this.#settle({ kind: 'failed', reason })
    if (!this.#answered) this.destroy()
    else this.destroy(new Error(`the tunnel's stream ended: ${reason}`))
  }

  onRequestDrain(): void {
    const blocked = this.#blocked
    this.#blocked = undefined
    blocked?.()
  }

  override _read(): void {
    this.#stream?.resume()
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: Continue): void {
    if (this.#stream === undefined || this.#stream.write(chunk)) done()
    else this.#blocked = done
  }

  override _writev(chunks: { chunk: Buffer }[], done: Continue): void {
    let open = true
    for (const { chunk } of chunks) open = this.#stream?.write(chunk) ?? true
    if (open) done()
    else this.#blocked = done
  }

  override _final(done: Continue): void {
    this.#stream?.end()
    done()
  }

  override _destroy(error: Error | null, done: Continue): void {
    const over = this.#over || (this.readableEnded && this.writableFinished)
    this.#over = true
    this.#blocked = undefined
    if (!over) this.#stream?.reset('cancel')
    done(error)
  }
}

/** Asks for a tunnel; `done` is called once, never before this returns. The caller bounds the wait. */
export function openTunnel(
  connection: ClientConnection,
  head: RequestHead,
  done: (outcome: TunnelOutcome) => void,
): { cancel(): void } {
  const duplex = new TunnelDuplex(done)
  const stream = connection.request(head, false, duplex)
  duplex.attach(stream)
  return { cancel: () => duplex.destroy() }
}
