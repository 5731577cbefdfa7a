/**
 * The server's side of one HTTP/1.1 exchange: frames the response. Reading, order and the socket's life belong to the
 * connection, its owner.
 */
import { strict as assert } from 'node:assert'
import { LENGTH_UNKNOWN, type HeaderList, type RequestHead, type ResponseHead } from '../message.ts'
import { NO_REQUEST_SINK } from './no-sink.ts'
import type { Output } from './output.ts'
import type { Detached, RequestSink, ServerStream } from '../stream.ts'
import type { RequestFraming } from './framing.ts'
import type { H1Behaviour } from './types.ts'
import { BodyWriter, type OutgoingBody } from './body-writer.ts'
import { responseText } from './head-writer.ts'

export interface H1StreamOwner {
  readonly output: Output
  readonly draining: boolean
  readonly behaviour: H1Behaviour
  /** True while the caller may go on writing; otherwise `onResponseDrain` follows. */
  mayWrite(): boolean
  readingChanged(stream: H1ServerStream): void
  accepted(stream: H1ServerStream): void
  halfClose(): void
  responseDone(stream: H1ServerStream): void
  abort(stream: H1ServerStream): void
  detach(stream: H1ServerStream): Detached | undefined
}

export class H1ServerStream implements ServerStream {
  readonly version = 'HTTP/1.1'
  readonly head: RequestHead
  readonly headOnly: boolean
  sink: RequestSink = NO_REQUEST_SINK
  bytesReceived: number
  bytesSent = 0
  /** The request has been read to its end. Never for a tunnel until the client closes its half. */
  requestDone: boolean
  responseStarted = false
  responseDone = false
  /** Nothing more may reach the sink or the socket through this stream. */
  over = false
  paused = false
  /** The connection may carry another request after this one. */
  keepAlive: boolean
  /** CONNECT or an upgrade: the body on either side is not HTTP's. */
  readonly asksTunnel: boolean
  #continueOwed: boolean
  readonly #http10: boolean
  readonly #owner: H1StreamOwner
  readonly #body: BodyWriter

  constructor(framing: RequestFraming, minor: number, headBytes: number, owner: H1StreamOwner) {
    this.head = framing.head
    this.asksTunnel = framing.head.method === 'CONNECT' || framing.head.protocol !== ''
    this.headOnly = framing.body === 'none' && !this.asksTunnel
    this.requestDone = framing.body === 'none'
    this.bytesReceived = headBytes
    this.keepAlive = framing.keepAlive
    this.#continueOwed = framing.expectsContinue
    // The codec took it out as its own to answer.
    if (framing.expectsContinue && owner.behaviour.expects === 'endpoint')
      this.head.headers.push('expect', '100-continue')
    this.#http10 = minor === 0
    this.#owner = owner
    this.#body = new BodyWriter(owner.output)
  }

  get piping(): boolean {
    return this.#body.kind === 'pipe'
  }

  pause(): void {
    this.paused = true
    if (!this.over) this.#owner.readingChanged(this)
  }

  resume(): void {
    this.paused = false
    if (this.over) return
    this.sendContinue()
    this.#owner.readingChanged(this)
  }

  /** To a client that waits with its body (RFC 9110 10.1.1), once, when the core is willing to read. */
  sendContinue(): void {
    if (!this.#continueOwed || this.paused || this.responseStarted || this.over) return
    if (this.#owner.behaviour.expects === 'endpoint') return
    this.#continueOwed = false
    this.#owner.output.latin1('HTTP/1.1 100 Continue\r\n\r\n')
  }

  informational(head: ResponseHead): void {
    if (this.over || this.responseStarted || this.#http10) return
    // An endpoint's, to a client that has had ours or never asked.
    if (head.status === 100 && !this.#continueOwed) return
    if (head.status === 100) this.#continueOwed = false
    this.#owner.output.latin1(responseText(head, ''))
  }

  respond(head: ResponseHead, end: boolean): void {
    if (this.over) return
    assert(!this.responseStarted, 'a response starts once')
    this.responseStarted = true
    const length = end && head.bodyLength === LENGTH_UNKNOWN ? 0 : head.bodyLength
    this.#body.start(this.#bodyFor(head, end), end ? 0 : length)
    const text = responseText(head, this.#framing(head, length))
    this.bytesSent += text.length
    this.#owner.output.latin1(text)
    if (this.#body.kind === 'pipe') this.#owner.accepted(this)
    else if (end) this.#finish()
  }

  #bodyFor(head: ResponseHead, end: boolean): OutgoingBody {
    const status = head.status
    if (!end && status === 101 && this.head.protocol !== '') return 'pipe'
    if (!end && this.head.method === 'CONNECT' && status >= 200 && status < 300) return 'pipe'
    if (this.head.method === 'HEAD' || status === 204 || status === 304 || status < 200) return 'none'
    if (end || head.bodyLength !== LENGTH_UNKNOWN) return 'length'
    return this.#http10 ? 'close' : 'chunked'
  }

  #framing(head: ResponseHead, length: number): string {
    const body = this.#body.kind
    if (body === 'pipe') return head.status === 101 ? `connection: upgrade\r\nupgrade: ${this.head.protocol}\r\n` : ''
    // The bytes after a refused tunnel may be anything: they are never read as a request.
    if (this.asksTunnel || body === 'close' || this.#owner.draining) this.keepAlive = false
    const connection = this.keepAlive ? (this.#http10 ? 'connection: keep-alive\r\n' : '') : 'connection: close\r\n'
    if (body === 'chunked') return `transfer-encoding: chunked\r\n${connection}`
    // A bodiless answer may state the length GET would have got (RFC 9110 8.6), but never on 204.
    const declared = body === 'none' ? (head.status === 204 ? LENGTH_UNKNOWN : head.bodyLength) : length
    return declared === LENGTH_UNKNOWN ? connection : `content-length: ${declared}\r\n${connection}`
  }

  write(chunk: Buffer): boolean {
    return this.#write(chunk, false)
  }

  give(chunk: Buffer): boolean {
    return this.#write(chunk, true)
  }

  #write(chunk: Buffer, given: boolean): boolean {
    if (this.over || this.responseDone) return true
    this.bytesSent += chunk.length
    if (this.#body.write(chunk, given)) return this.#owner.mayWrite()
    // A longer body would be read as the next response: the connection ends instead.
    this.#owner.abort(this)
    return true
  }

  end(trailers?: HeaderList): void {
    if (this.over || this.responseDone) return
    assert(this.responseStarted, 'a response starts before it ends')
    if (this.#body.kind === 'pipe') {
      this.responseDone = true
      this.#owner.halfClose()
      return
    }
    if (this.#body.end(this.#owner.behaviour.trailers ? trailers : undefined)) this.#finish()
    else this.#owner.abort(this)
  }

  #finish(): void {
    this.responseDone = true
    this.#owner.responseDone(this)
  }

  reset(): void {
    if (this.over) return
    this.#owner.abort(this)
  }

  detach(): Detached | undefined {
    return this.over || this.#body.kind !== 'pipe' ? undefined : this.#owner.detach(this)
  }
}
