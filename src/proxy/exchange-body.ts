/**
 * The request's body as an exchange keeps it: whole while it may be sent again, and until there is somewhere to send
 * it. It decides nothing; it has no array before the first chunk.
 */
import type { HeaderList } from './message.ts'

/** A body longer than this is sent once only. */
export const REPLAY_BYTES_MAX = 64 * 1024
const NO_TRAILERS: HeaderList = []
const NOTHING: Buffer = Buffer.alloc(0)

/** An upstream stream, or a copy of one. */
interface Receiver {
  write(chunk: Buffer): unknown
  end(trailers: HeaderList): void
}

/** The filters that change bytes. */
interface Translation {
  requestData(chunk: Buffer): Buffer
  requestEnd(trailers: HeaderList): Buffer
}

export class RequestBody {
  ended: boolean
  trailers = NO_TRAILERS
  /** It can be sent from its beginning. */
  replayable = true
  bytes = 0
  #chunks: Buffer[] | undefined = undefined

  constructor(headOnly: boolean) {
    this.ended = headOnly
  }

  /** Nothing is left to send after the head. */
  get isEmpty(): boolean {
    return this.ended && this.#chunks === undefined && this.trailers.length === 0
  }

  /** Bytes that come before there is a connection (`sent` false) are always kept; pausing bounds them. */
  keep(chunk: Buffer, sent: boolean): void {
    if (!this.replayable) return
    this.bytes += chunk.length
    if (this.bytes > REPLAY_BYTES_MAX && sent) return this.forget()
    if (this.#chunks === undefined) this.#chunks = [chunk]
    else this.#chunks.push(chunk)
  }

  /** From now on it is not sent again. */
  forget(): void {
    this.replayable = false
    this.#chunks = undefined
  }

  /** What has come so far, in one piece. */
  read(): Buffer {
    const [first, ...more] = this.#chunks ?? []
    if (first === undefined) return NOTHING
    return more.length === 0 ? first : Buffer.concat([first, ...more])
  }

  /** What has come so far becomes what filters make of it. */
  translate(run: Translation): void {
    let bytes = this.#chunks === undefined ? NOTHING : run.requestData(this.read())
    // A request without a body has no end of a body either.
    if (this.ended && this.bytes > 0) bytes = Buffer.concat([bytes, run.requestEnd(this.trailers)])
    this.bytes = bytes.length
    this.#chunks = bytes.length === 0 ? undefined : [bytes]
  }

  /** What has come so far; the rest follows as it comes. */
  sendTo(upstream: Receiver): void {
    if (this.#chunks !== undefined) for (const chunk of this.#chunks) upstream.write(chunk)
    if (this.ended) upstream.end(this.trailers)
  }
}
