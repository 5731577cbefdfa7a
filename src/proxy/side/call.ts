/**
 * One request of the proxy's own, beside those it carries: to an authorisation or rate limit service, for a token or a
 * key set, or with telemetry. It takes the ways requests take: the cluster's choice of an endpoint, its pools with
 * their TLS, limits and outlier detection.
 *
 *     const call = new SideCall(cluster, request, timers, done)
 *     call.start()      // `done` is called exactly once, perhaps before `start` returns …
 *     call.cancel()     // … and never after this
 *
 * The outcome is a union: whoever asks must say what a failure means to it. One attempt, no retries, no redirects; the
 * answer is gathered up to a bound and its informational heads are dropped. `request.head` belongs to the call, and
 * `head.bodyLength` is set by it. The timeout covers everything from `start` on, the wait for a connection included.
 * gRPC on top of it is grpc.ts. Not for bodies that stream.
 */
import type { ClusterState } from '../balance/cluster.ts'
import type { EndpointState } from '../balance/endpoint.ts'
import type { HeaderList, RequestHead, ResponseHead } from '../message.ts'
import type { ClientConnection, ClientStream, ResetReason, ResponseSink } from '../stream.ts'
import { type TimerWheel, WheelTimer } from '../timer-wheel.ts'
import type { ConnectFailure, Waiter } from '../upstream/transport.ts'

/** Far above any verdict, token or key set; an answer beyond its bound is a failure, never cut. */
export const SIDE_ANSWER_BYTES_MAX = 1024 * 1024

export interface SideRequest {
  readonly head: RequestHead
  /** Undefined: none. */
  readonly body: Buffer | undefined
  /** 0: as long as it takes. */
  readonly timeoutMs: number
  /** Absent: SIDE_ANSWER_BYTES_MAX. */
  readonly answerBytesMax?: number
}

export interface SideAnswer {
  readonly kind: 'answer'
  readonly status: number
  readonly headers: HeaderList
  readonly body: Buffer
  readonly trailers: HeaderList
  /** From `start` to here. */
  readonly durationMs: number
}

/**
 * `cluster`: there is no such cluster. `none`: no endpoint may be used. `overflow`: a limit of the cluster. `connect`:
 * nobody took the request. `lost`: it was sent, and its answer did not come whole. `too-large`: the answer is.
 */
export interface SideFailure {
  readonly kind: 'failure'
  readonly reason: 'cluster' | 'none' | 'overflow' | 'connect' | 'lost' | 'timeout' | 'too-large'
  /** For log and messages; holds nothing that was sent or received. */
  readonly detail: string
}

export type SideOutcome = SideAnswer | SideFailure

const NO_BODY = Buffer.alloc(0)
const NO_TRAILERS: HeaderList = []

export class SideCall implements Waiter, ResponseSink {
  readonly #cluster: ClusterState | undefined
  readonly #request: SideRequest
  readonly #timers: TimerWheel
  readonly #done: (outcome: SideOutcome) => void
  readonly #deadline: WheelTimer
  #entered = false
  #startedAt = 0
  #endpoint: EndpointState | undefined = undefined
  #connection: ClientConnection | undefined = undefined
  #stream: ClientStream | undefined = undefined
  #head: ResponseHead | undefined = undefined
  readonly #chunks: Buffer[] = []
  #bytes = 0
  #finished = false

  constructor(
    cluster: ClusterState | undefined,
    request: SideRequest,
    timers: TimerWheel,
    done: (outcome: SideOutcome) => void,
  ) {
    this.#cluster = cluster
    this.#request = request
    this.#timers = timers
    this.#done = done
    this.#deadline = new WheelTimer(() => this.#timedOut())
  }

  start(): void {
    const cluster = this.#cluster
    if (cluster === undefined) return this.#fail('cluster', 'there is no such cluster')
    const endpoint = cluster.pick([])
    if (endpoint === undefined) return this.#fail('none', `${cluster.config.name} has no endpoint to use`)
    cluster.enter()
    this.#startedAt = this.#timers.now()
    this.#entered = true
    this.#endpoint = endpoint
    endpoint.active++
    if (this.#request.timeoutMs > 0) this.#timers.schedule(this.#deadline, this.#request.timeoutMs)
    endpoint.transport.acquire(this)
  }

  /** Nobody wants the answer any more. */
  cancel(): void {
    if (this.#finished) return
    this.#abandon()
    this.#end('unjudged')
  }

  onConnected(connection: ClientConnection): void {
    if (this.#finished) return
    const { head, body = NO_BODY } = this.#request
    this.#connection = connection
    head.bodyLength = body.length
    this.#stream = connection.request(head, body.length === 0, this)
    if (body.length === 0) return
    // Bounded by whoever made it, so there is nothing to wait for: what the connection cannot send yet, it keeps.
    this.#stream.write(body)
    this.#stream.end()
  }

  onConnectFailed(failure: ConnectFailure): void {
    if (this.#finished) return
    const overflow = failure.kind === 'overflow'
    this.#fail(overflow ? 'overflow' : 'connect', failure.detail, overflow ? 'unjudged' : false)
  }

  onInformational(): void {}

  onResponse(head: ResponseHead, end: boolean): void {
    this.#head = head
    if (end) this.#answered(NO_TRAILERS)
  }

  onResponseData(chunk: Buffer): void {
    if (this.#finished) return
    this.#bytes += chunk.length
    if (this.#bytes <= (this.#request.answerBytesMax ?? SIDE_ANSWER_BYTES_MAX)) {
      this.#chunks.push(chunk)
      return
    }
    this.#abandon()
    this.#fail('too-large', `${this.#name()} answered too much`, this.#head?.status ?? false)
  }

  onResponseEnd(trailers: HeaderList): void {
    this.#answered(trailers)
  }

  onResponseReset(reason: ResetReason): void {
    if (!this.#finished)
      this.#fail('lost', `${this.#name()} ended early (${reason})`, reason === 'local' ? 'unjudged' : false)
  }

  onRequestDrain(): void {}

  #answered(trailers: HeaderList): void {
    const head = this.#head
    if (this.#finished || head === undefined) return
    const body = this.#chunks.length === 1 ? (this.#chunks[0] ?? NO_BODY) : Buffer.concat(this.#chunks)
    this.#end(head.status)
    const durationMs = this.#timers.now() - this.#startedAt
    this.#done({ kind: 'answer', status: head.status, headers: head.headers, body, trailers, durationMs })
  }

  #timedOut(): void {
    if (this.#finished) return
    this.#abandon()
    this.#fail('timeout', `${this.#name()} did not answer within ${this.#request.timeoutMs} ms`)
  }

  #fail(reason: SideFailure['reason'], detail: string, outcome: number | false | 'unjudged' = false): void {
    this.#end(outcome)
    this.#done({ kind: 'failure', reason, detail })
  }

  #name(): string {
    return this.#cluster?.config.name ?? ''
  }

  #abandon(): void {
    if (this.#stream === undefined) this.#endpoint?.transport.abandon(this)
    else this.#stream.reset('cancel')
  }

  /** Counts the outcome for the endpoint; nothing is heard from the call's stream after this. */
  #end(outcome: number | false | 'unjudged'): void {
    this.#finished = true
    this.#timers.cancel(this.#deadline)
    if (!this.#entered) return
    const [cluster, endpoint] = [this.#cluster, this.#endpoint]
    if (endpoint !== undefined) {
      endpoint.active--
      if (outcome !== 'unjudged') cluster?.report(endpoint, this.#connection, outcome)
    }
    cluster?.leave()
  }
}
