/**
 * A copy of a request on its way to another cluster. Its answer is dropped, its failure is nobody's, and it never
 * holds up the request it copies: what it cannot take at once ends it.
 */
import type { ClusterState } from './balance/cluster.ts'
import type { EndpointState } from './balance/endpoint.ts'
import { type DeadlineOwner, Deadlines } from './deadlines.ts'
import type { RequestBody } from './exchange-body.ts'
import type { ExchangeServices } from './exchange-context.ts'
import { hits } from './filters/fractions.ts'
import type { CompiledMirror } from './routes.ts'
import { type HeaderList, LENGTH_UNKNOWN, type RequestHead, type ResponseHead } from './message.ts'
import type { ClientConnection, ClientStream, ResponseSink } from './stream.ts'
import type { ReverseHttp } from './reverse/reverse-http.ts'
import type { TimerWheel } from './timer-wheel.ts'
import type { Waiter } from './upstream/transport.ts'

const TIMEOUT_MS = 15_000
/** Body that waits for the connection. */
export const WAITING_BYTES_MAX = 64 * 1024

/** Undefined: none, which is the rule. */
export function startMirrors(
  mirrors: readonly CompiledMirror[],
  request: { readonly head: RequestHead; readonly body: RequestBody; readonly reverse: ReverseHttp | undefined },
  { random, timers }: ExchangeServices,
): readonly Mirror[] | undefined {
  if (mirrors.length === 0) return undefined
  const started: Mirror[] = []
  for (const { cluster, share, keepHost } of mirrors) {
    if (cluster === undefined || !hits(share, random)) continue
    const head = mirroredHead(request.head, keepHost, request.body.isEmpty)
    request.reverse?.copied(head)
    const mirror = new Mirror(cluster, head, timers)
    started.push(mirror)
    mirror.start()
    if (!request.body.isEmpty) request.body.sendTo(mirror)
  }
  return started
}

export class Mirror implements Waiter, ResponseSink, DeadlineOwner {
  readonly #cluster: ClusterState
  readonly #head: RequestHead
  readonly #deadlines: Deadlines
  #endpoint: EndpointState | undefined = undefined
  #upstream: ClientStream | undefined = undefined
  #waiting: Buffer[] = []
  #waitingBytes = 0
  #ended: boolean
  #trailers: HeaderList = []
  #finished = false

  /** `head` is the mirror's own copy. */
  constructor(cluster: ClusterState, head: RequestHead, timers: TimerWheel) {
    this.#cluster = cluster
    this.#head = head
    this.#ended = head.bodyLength === 0
    this.#deadlines = new Deadlines(timers, this)
  }

  start(): void {
    const { breaker } = this.#cluster
    // Copies neither probe a service that is cut off nor take part in its return.
    if (breaker !== undefined && breaker.state !== 'closed') return
    const endpoint = this.#cluster.pick([])
    if (endpoint === undefined) return
    this.#cluster.enter()
    this.#endpoint = endpoint
    endpoint.active++
    this.#deadlines.start('timeout', TIMEOUT_MS)
    endpoint.transport.acquire(this)
  }

  write(chunk: Buffer): void {
    if (this.#endpoint === undefined) return
    if (this.#upstream !== undefined) {
      if (!this.#upstream.write(chunk)) this.abandon()
      return
    }
    this.#waiting.push(chunk)
    this.#waitingBytes += chunk.length
    if (this.#waitingBytes > WAITING_BYTES_MAX) this.abandon()
  }

  end(trailers: HeaderList): void {
    this.#ended = true
    this.#trailers = trailers
    this.#upstream?.end(trailers)
  }

  /** Also when the request it copies ended before it was complete. */
  abandon(): void {
    if (this.#finished) return
    if (this.#upstream === undefined) this.#endpoint?.transport.abandon(this)
    this.#upstream?.reset('cancel')
    this.#finish()
  }

  onConnected(connection: ClientConnection): void {
    if (this.#finished) return
    const end = this.#ended && this.#waiting.length === 0 && this.#trailers.length === 0
    const upstream = connection.request(this.#head, end, this)
    this.#upstream = upstream
    this.#cluster.stats.sent()
    for (const chunk of this.#waiting) upstream.write(chunk)
    this.#waiting = []
    if (this.#ended && !end) upstream.end(this.#trailers)
  }

  onConnectFailed(): void {
    this.#finish()
  }

  onInformational(): void {}
  onResponse({ status }: ResponseHead, end: boolean): void {
    this.#cluster.stats.answered(status)
    if (end) this.onResponseEnd()
  }
  onResponseData(): void {}
  onResponseEnd(): void {
    if (!this.#ended) this.#upstream?.reset('no-error')
    this.#finish()
  }
  onResponseReset(): void {
    this.#finish()
  }
  onRequestDrain(): void {}

  onDeadline(): void {
    this.abandon()
  }

  #finish(): void {
    if (this.#finished) return
    this.#finished = true
    this.#waiting = []
    this.#deadlines.cancelAll()
    if (this.#upstream !== undefined) this.#cluster.stats.counters.upstream_rq_active--
    if (this.#endpoint === undefined) return
    this.#endpoint.active--
    this.#endpoint = undefined
    this.#upstream = undefined
    this.#cluster.leave()
  }
}

/** The copy's head, under Envoy's name for shadows unless the policy keeps the host. */
function mirroredHead(head: RequestHead, keepHost: boolean, headOnly: boolean): RequestHead {
  const { authority } = head
  const colon = authority.endsWith(']') ? -1 : authority.lastIndexOf(':')
  const at = colon === -1 ? authority.length : colon
  return {
    ...head,
    authority: keepHost ? authority : `${authority.slice(0, at)}-shadow${authority.slice(at)}`,
    headers: [...head.headers],
    bodyLength: headOnly ? 0 : head.bodyLength === 0 ? LENGTH_UNKNOWN : head.bodyLength,
  }
}
