/**
 * A request that is well-formed and no CONNECT, such as a person's curl at a gateway's port: nothing is done with it, and
 * it is told so in words once it has come whole. Whole, because an answer ends the stream, and whether the rest keeps to
 * RFC 9113 would then never be judged. What the wire contract speaks of is tunnel-request.ts's.
 */
import type { RequestSink, ServerStream } from '../src/proxy/stream.ts'
import { type TimerWheel, WheelTimer } from '../src/proxy/timer-wheel.ts'
import { TUNNEL_REFUSALS } from './tunnel-request.ts'

const BODY_BYTES_MAX = 64 * 1024
const BODY_WAIT_MS = 10_000
const TEXT = Buffer.from('A gateway between clusters: it takes CONNECT from sidecars and nothing else.\n')

export class OrdinaryRequest implements RequestSink {
  readonly #stream: ServerStream
  readonly #timers: TimerWheel
  readonly #timer = new WheelTimer(() => this.#answer())
  /** Called once, with what came of it. */
  readonly #done: (status: number, result: string) => void
  #bytes = 0
  #ended = false

  constructor(stream: ServerStream, timers: TimerWheel, done: (status: number, result: string) => void) {
    this.#stream = stream
    this.#timers = timers
    this.#done = done
    stream.sink = this
  }

  start(): void {
    if (this.#stream.headOnly) return this.#answer()
    this.#timers.schedule(this.#timer, BODY_WAIT_MS)
  }

  #answer(): void {
    if (!this.#end()) return
    const { status, code } = TUNNEL_REFUSALS.malformed
    const headers = ['isthmus-error', code, 'content-type', 'text/plain']
    const empty = this.#stream.head.method === 'HEAD'
    this.#stream.respond({ status, headers, bodyLength: TEXT.length }, empty)
    if (!empty) {
      this.#stream.write(TEXT)
      this.#stream.end()
    }
    this.#done(status, code)
  }

  /** False where that was before. */
  #end(): boolean {
    if (this.#ended) return false
    this.#ended = true
    this.#timers.cancel(this.#timer)
    return true
  }

  onRequestData(chunk: Buffer): void {
    this.#bytes += chunk.length
    if (this.#bytes > BODY_BYTES_MAX) this.#answer()
  }

  onRequestEnd(): void {
    this.#answer()
  }

  onRequestReset(): void {
    if (this.#end()) this.#done(0, 'caller-gone')
  }

  onResponseDrain(): void {}
}
