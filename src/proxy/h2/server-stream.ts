/** The server's side of one HTTP/2 exchange. */
import { strict as assert } from 'node:assert'
import type { HeaderList, RequestHead, ResponseHead } from '../message.ts'
import { NO_REQUEST_SINK } from '../h1/no-sink.ts'
import type { Detached, RequestSink, ResetCode, ResetReason, ServerStream } from '../stream.ts'
import type { IncomingRequest } from './heads.ts'
import { RESET_CODES } from './sender.ts'
import { H2Stream, type H2Link } from './stream.ts'

export interface H2ServerLink extends H2Link {
  sendResponse(stream: H2ServerStream, head: ResponseHead, end: boolean): void
}

export class H2ServerStream extends H2Stream implements ServerStream {
  readonly version = 'HTTP/2'
  readonly head: RequestHead
  readonly headOnly: boolean
  sink: RequestSink = NO_REQUEST_SINK
  #continueOwed: boolean
  readonly #server: H2ServerLink

  constructor(
    id: number,
    request: IncomingRequest,
    link: H2ServerLink,
    windows: { readonly send: number; readonly receive: number; readonly now: number; readonly end: boolean },
  ) {
    super(id, link, windows)
    this.head = request.head
    this.headOnly = windows.end
    this.remoteDone = windows.end
    this.bodyExpected = request.head.bodyLength
    this.#continueOwed = request.expectsContinue
    this.#server = link
  }

  override resume(): void {
    super.resume()
    this.sendContinue()
  }

  sendContinue(): void {
    if (!this.#continueOwed || this.paused || this.answered || this.over) return
    this.informational({ status: 100, headers: [], bodyLength: 0 })
  }

  informational(head: ResponseHead): void {
    if (this.over || this.answered) return
    if (head.status === 100) this.#continueOwed = false
    this.#server.sendResponse(this, { status: head.status, headers: head.headers, bodyLength: -1 }, false)
  }

  respond(head: ResponseHead, end: boolean): void {
    if (this.over) return
    assert(!this.answered, 'a response starts once')
    this.answered = true
    const accepted = this.head.protocol === '' ? this.head.method === 'CONNECT' && isSuccess(head) : head.status === 101
    this.tunnel = accepted && !end
    if (accepted && head.bodyLength >= 0)
      this.#server.sendResponse(this, { status: head.status, headers: head.headers, bodyLength: -1 }, end)
    else this.#server.sendResponse(this, head, end)
  }

  write(chunk: Buffer): boolean {
    this.keeps = true
    return this.give(chunk)
  }

  give(chunk: Buffer): boolean {
    return this.over || this.localDone || this.endQueued || !this.mayHaveBody ? true : this.writeBody(chunk)
  }

  /** HEAD's answer ends with its head, whatever the upstream sends. */
  get mayHaveBody(): boolean {
    return this.head.method !== 'HEAD'
  }

  end(trailers?: HeaderList): void {
    if (this.over || this.localDone || this.endQueued) return
    assert(this.answered, 'a response starts before it ends')
    this.link.sendEnd(this, trailers)
  }

  reset(code: ResetCode): void {
    this.link.sendReset(this, RESET_CODES[code])
  }

  detach(): Detached | undefined {
    return undefined
  }

  deliverData(chunk: Buffer): void {
    this.sink.onRequestData(chunk)
  }

  deliverEnd(trailers: HeaderList): void {
    this.sink.onRequestEnd(trailers)
  }

  deliverReset(reason: ResetReason): void {
    this.sink.onRequestReset(reason)
  }

  deliverDrain(): void {
    this.sink.onResponseDrain()
  }
}

function isSuccess(head: ResponseHead): boolean {
  return head.status >= 200 && head.status < 300
}
