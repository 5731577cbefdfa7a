/** The client's side of one HTTP/1.1 exchange: frames the request; the connection reads the response. */
import { headerOf, LENGTH_UNKNOWN, type HeaderList, type RequestHead } from '../message.ts'
import type { Output } from './output.ts'
import type { ClientStream, ResponseSink } from '../stream.ts'
import { BodyWriter, type OutgoingBody } from './body-writer.ts'
import { requestText } from './head-writer.ts'
import { createKey, KEY } from './websocket.ts'

export interface H1ClientOwner {
  readonly carriesTrailers: boolean
  readonly output: Output
  mayWrite(): boolean
  readingChanged(stream: H1ClientStream): void
  halfClose(): void
  abort(stream: H1ClientStream): void
}

export class H1ClientStream implements ClientStream {
  readonly method: string
  readonly protocol: string
  readonly sink: ResponseSink
  /** Of a WebSocket handshake whose client has none; empty otherwise. */
  readonly madeKey: string
  bytesReceived = 0
  bytesSent: number
  requestDone: boolean
  responseDone = false
  over = false
  paused = false
  readonly #owner: H1ClientOwner
  readonly #body: BodyWriter

  constructor(head: RequestHead, end: boolean, sink: ResponseSink, owner: H1ClientOwner) {
    this.method = head.method
    this.protocol = head.protocol
    this.sink = sink
    this.#owner = owner
    this.#body = new BodyWriter(owner.output)
    const body = bodyFor(head, end)
    this.#body.start(body, end ? 0 : head.bodyLength)
    this.madeKey = head.protocol === 'websocket' && headerOf(head.headers, KEY) === undefined ? createKey() : ''
    const text = requestText(head, body, this.madeKey)
    this.bytesSent = text.length
    this.requestDone = end
    owner.output.latin1(text)
  }

  pause(): void {
    this.paused = true
    if (!this.over) this.#owner.readingChanged(this)
  }

  resume(): void {
    this.paused = false
    if (!this.over) this.#owner.readingChanged(this)
  }

  write(chunk: Buffer): boolean {
    if (this.over || this.requestDone) return true
    this.bytesSent += chunk.length
    if (this.#body.write(chunk)) return this.#owner.mayWrite()
    this.#owner.abort(this)
    return true
  }

  end(trailers?: HeaderList): void {
    if (this.over || this.requestDone) return
    if (this.#body.kind === 'pipe') {
      this.requestDone = true
      this.#owner.halfClose()
      return
    }
    if (!this.#body.end(this.#owner.carriesTrailers ? trailers : undefined)) return this.#owner.abort(this)
    this.requestDone = true
  }

  reset(): void {
    if (!this.over) this.#owner.abort(this)
  }
}

function bodyFor(head: RequestHead, end: boolean): OutgoingBody {
  if (head.method === 'CONNECT' || head.protocol !== '') return 'pipe'
  if (end) return 'none'
  return head.bodyLength === LENGTH_UNKNOWN ? 'chunked' : 'length'
}
