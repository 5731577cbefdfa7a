/** The client's side of one HTTP/2 exchange. */
import { KEY } from '../h1/websocket.ts'
import { headerOf, type HeaderList, type RequestHead } from '../message.ts'
import type { ClientStream, ResetCode, ResetReason, ResponseSink } from '../stream.ts'
import { RESET_CODES } from './sender.ts'
import { H2Stream, type H2Link } from './stream.ts'

export class H2ClientStream extends H2Stream implements ClientStream {
  readonly method: string
  readonly protocol: string
  readonly sink: ResponseSink
  /** Of a WebSocket's client that came by HTTP/1.1; empty otherwise. */
  readonly key: string
  informational = 0

  constructor(
    id: number,
    request: { readonly head: RequestHead; readonly sink: ResponseSink },
    link: H2Link,
    windows: { readonly send: number; readonly receive: number; readonly now: number },
  ) {
    super(id, link, windows)
    this.method = request.head.method
    this.protocol = request.head.protocol
    this.sink = request.sink
    this.key = this.protocol === 'websocket' ? (headerOf(request.head.headers, KEY) ?? '') : ''
  }

  /** A request's body may be sent again: nothing of it is given away. */
  write(chunk: Buffer): boolean {
    this.keeps = true
    return this.over || this.localDone || this.endQueued ? true : this.writeBody(chunk)
  }

  end(trailers?: HeaderList): void {
    if (!this.over && !this.localDone && !this.endQueued) this.link.sendEnd(this, trailers)
  }

  reset(code: ResetCode): void {
    this.link.sendReset(this, RESET_CODES[code])
  }

  deliverData(chunk: Buffer): void {
    this.sink.onResponseData(chunk)
  }

  deliverEnd(trailers: HeaderList): void {
    this.sink.onResponseEnd(trailers)
  }

  /** After a complete answer it only means that the rest of the request is not wanted; a tunnel's halves are apart. */
  deliverReset(reason: ResetReason): void {
    if (this.remoteDone && !this.tunnel) return
    this.sink.onResponseReset(reason)
  }

  deliverDrain(): void {
    this.sink.onRequestDrain()
  }
}
