/**
 * One request from its head to its record: the only place that decides about it. Steps are leaves in other files, in
 * the order a request meets them: admit, filter, pick, connect, send, retry, answer, record.
 */
import { admit, isRoute } from './admission.ts'
import type { EndpointState } from './balance/endpoint.ts'
import type { ClusterState } from './balance/cluster.ts'
import { type DeadlineKind, type DeadlineOwner, Deadlines } from './deadlines.ts'
import { type DownstreamConnection, type ExchangeServices, serviceOf, targetOf } from './exchange-context.ts'
import { filterResponse } from './filters/chain.ts'
import { hashOf } from './filters/hash.ts'
import { changeHeaders, type ValueContext } from './filters/header-steps.ts'
import { type CompiledFilters, logHint, mergeFilters, NO_FILTERS, runFilters } from './filters/policies.ts'
import { allows } from './identity.ts'
import { type LocalAnswer, localReply, type Refusal, REFUSALS } from './local-reply.ts'
import { type HeaderList, headerOf, type RequestHead, type ResponseHead, setHeader } from './message.ts'
import { type Mirror, startMirrors } from './mirror.ts'
import { PEER_HEADER } from './peer-facts.ts'
import { recordExchange } from './exchange-record.ts'
import type { ResponseFlag } from './record.ts'
import type { ReverseHttp } from './reverse/reverse-http.ts'
import { type CompiledRoute, pickTarget, type RouteTarget } from './routes.ts'
import { backOffMs, lossOf, mayRetryAnswer, mayRetryReset, type RetryRule } from './retry.ts'
import type { ClientConnection, ClientStream, RequestSink, ResetReason, ResponseSink, ServerStream } from './stream.ts'
import type { ConnectFailure, Waiter } from './upstream/transport.ts'

/** A body longer than this is sent once only. */
const REPLAY_BYTES_MAX = 64 * 1024
/** Silence is noticed after a second; requests that wait longer look now and then whether that is why. */
const WATCH_AFTER_MS = 1_000
const WATCH_EVERY_MS = 250
const NO_TRAILERS: HeaderList = []

export class Exchange implements RequestSink, ResponseSink, Waiter, DeadlineOwner {
  readonly #stream: ServerStream
  readonly #downstream: DownstreamConnection
  readonly #services: ExchangeServices
  readonly #startedAt: number
  readonly #deadlines: Deadlines
  /** When a byte last moved, by the coarse clock. */
  #activeAt = 0
  #route: CompiledRoute | undefined = undefined
  #target: RouteTarget | undefined = undefined
  /** As the client asked, in normal form: rewrites come later. */
  readonly #authority: string
  #path: string
  #cluster: ClusterState | undefined = undefined
  #filters: CompiledFilters = NO_FILTERS
  /** Of a cross-origin request that may read its answer. */
  #origin: string | undefined = undefined
  #hash: bigint | undefined = undefined
  #mirrors: readonly Mirror[] | undefined = undefined
  /** A generic listener's way with heads. */
  #reverse: ReverseHttp | undefined = undefined
  /** When the request was complete; for what the endpoint took. */
  #completeAt = 0
  #service = ''
  // The attempt under way.
  #endpoint: EndpointState | undefined = undefined
  #connection: ClientConnection | undefined = undefined
  #upstream: ClientStream | undefined = undefined
  #tried: EndpointState[] = []
  #attempts = 0
  #retried = false
  /** The destination as last known; it outlives the attempt, for the record. */
  #destination = targetOf(undefined, undefined)
  // The request's body, kept while it may be sent again; undefined once it may not.
  #replay: Buffer[] | undefined = []
  #replayBytes = 0
  #requestEnded = false
  #trailers: HeaderList = NO_TRAILERS
  // The outcome.
  #responded = false
  #finished = false
  #status = 0
  #flag: ResponseFlag = '-'
  #detail = ''

  constructor(stream: ServerStream, downstream: DownstreamConnection, services: ExchangeServices) {
    this.#stream = stream
    this.#downstream = downstream
    this.#services = services
    this.#authority = stream.head.authority
    this.#path = stream.head.path
    this.#service = downstream.service === '' ? this.#authority : downstream.service
    this.#startedAt = services.timers.now()
    this.#requestEnded = stream.headOnly
    this.#deadlines = new Deadlines(services.timers, this)
    stream.sink = this
  }

  /** To be called once, inside the codec's `onRequest`. */
  start(): void {
    const { head } = this.#stream
    this.#reverse = this.#downstream.http()?.reverse
    const admitted = admit(head, this.#downstream, this.#services)
    this.#path = head.path
    const refusal = isRoute(admitted) ? this.#judge(admitted, head) : admitted
    if (refusal !== undefined) return 'kind' in refusal ? this.#answer(refusal) : this.#reply(refusal, '')
    // Body bytes wait with the client until there is somewhere to send them; so does `100 Continue`.
    if (!this.#stream.headOnly) this.#stream.pause()
    const delayMs = this.#filters.fault?.delayMs(head, this.#services.random) ?? 0
    if (delayMs === 0) return this.#proceed()
    this.#flag = 'DI'
    this.#deadlines.start('delay', delayMs)
  }

  #proceed(): void {
    const { head } = this.#stream
    const answer = this.#filters.fault?.abort(head, this.#services.random) ?? this.#route?.answer?.(head)
    if (answer !== undefined) return this.#answer(answer)
    const { cluster, requestHeaders } = this.#target ?? {}
    if (cluster === undefined) return this.#reply(REFUSALS.cluster, '')
    const hash = this.#route?.hash
    if (hash !== undefined) this.#hash = hashOf(hash, head, this.#downstream.remoteAddress)
    cluster.enter()
    this.#cluster = cluster
    if (requestHeaders !== undefined) changeHeaders(head.headers, requestHeaders, this.#valueContext())
    this.#reverse?.forwarded(head, this.#retryRule()?.perTryTimeoutMs ?? this.#route?.timeoutMs ?? 0)
    this.#route?.rewrite?.(head)
    this.#completeAt = this.#startedAt
    this.#startDeadlines()
    this.#mirrors = startMirrors(this.#route?.mirrors ?? [], { head, ended: this.#requestEnded }, this.#services)
    this.#attempt()
  }

  /** The whole answer is timed from the complete request: an upload may take as long as it moves. */
  #startDeadlines(): void {
    const { timeoutMs = 0, idleTimeoutMs = 0, durationMaxMs = 0 } = this.#route ?? {}
    if (this.#requestEnded) this.#deadlines.start('timeout', timeoutMs)
    this.#deadlines.start('duration', durationMaxMs)
    this.#activeAt = this.#services.timers.coarseNow
    // A request that is timed anyway, and earlier, needs no second clock.
    const covered = this.#requestEnded && timeoutMs > 0 && timeoutMs <= idleTimeoutMs
    if (!covered) this.#deadlines.start('idle', idleTimeoutMs)
  }

  /** Undefined: the request may go on. */
  #judge(route: CompiledRoute, head: RequestHead): Refusal | LocalAnswer | undefined {
    const { peer, service, remoteAddress } = this.#downstream
    const { random, timers } = this.#services
    this.#route = route
    this.#target = pickTarget(route, random)
    if (service === '') this.#service = serviceOf(this.#target?.clusterName ?? '', this.#service)
    if (route.allow !== undefined && (peer === undefined || !allows(route.allow, peer))) return REFUSALS.denied
    const filters = mergeFilters(route.filters, this.#downstream.http()?.filters ?? NO_FILTERS)
    if (filters === NO_FILTERS) return undefined
    this.#filters = filters
    this.#origin = filters.cors?.originOf(head)
    if (filters.rbac?.action === 'log') this.#detail = logHint(filters.rbac.judge({ head, peer, remoteAddress }))
    const { descriptors } = route
    return runFilters(filters, { head, peer, remoteAddress, nowMs: timers.now(), descriptors, random })
  }

  #valueContext(): ValueContext {
    const { head, version } = this.#stream
    return { headers: head.headers, protocol: version, peerUri: this.#downstream.peer?.uri ?? '' }
  }

  // Upstream: pick, connect, send

  #attempt(): void {
    const endpoint = this.#cluster?.pick(this.#tried, this.#hash === undefined ? undefined : { hash: this.#hash })
    if (endpoint === undefined) return this.#reply(REFUSALS.none, '')
    this.#attempts++
    this.#endpoint = endpoint
    this.#tried.push(endpoint)
    endpoint.active++
    this.#destination = targetOf(endpoint, undefined)
    if (this.#requestEnded) this.#deadlines.start('try', this.#retryRule()?.perTryTimeoutMs ?? 0)
    endpoint.transport.acquire(this)
  }

  onConnected(connection: ClientConnection): void {
    const endpoint = this.#endpoint
    if (this.#finished || endpoint === undefined) return
    this.#connection = connection
    this.#destination = targetOf(endpoint, this.#services.mesh.dialedOf(endpoint, connection))
    const replay = this.#replay ?? []
    const end = this.#requestEnded && replay.length === 0 && this.#trailers.length === 0
    const upstream = connection.request(this.#headFor(connection), end, this)
    this.#upstream = upstream
    if (this.#destination.mutualTls) this.#deadlines.start('watch', WATCH_AFTER_MS)
    if (end) return
    for (const chunk of replay) upstream.write(chunk)
    if (this.#requestEnded) upstream.end(this.#trailers)
    else this.#stream.resume()
  }

  /** The peer's facts are told once per connection, on its first request. */
  #headFor(connection: ClientConnection): RequestHead {
    const { head } = this.#stream
    const facts = this.#services.mesh.introduce(connection, this.#destination.mutualTls)
    if (facts === undefined) return head
    return { ...head, headers: [...head.headers, PEER_HEADER, facts] }
  }

  onConnectFailed(failure: ConnectFailure): void {
    if (this.#finished) return
    this.#detail = `${this.#destination.address}: ${failure.detail}`
    if (failure.kind === 'overflow') {
      this.#endAttempt('unjudged')
      return this.#reply(REFUSALS.overflow, this.#detail)
    }
    this.#endAttempt('error')
    if (this.#retryRule()?.connectFailure === true && this.#reserveRetry('nowhere')) return this.#tryAgain()
    this.#reply(REFUSALS.connectFailed, this.#detail)
  }

  /**
   * May there be one more attempt? Only what reached someone costs budget: an attempt that led `nowhere`, or was `lost`
   * with its connection the first time, put load on nobody, so all that was under way in a dying cluster moves once.
   */
  #reserveRetry(last: 'nowhere' | 'lost' | 'answered'): boolean {
    const rule = this.#retryRule()
    if (rule === undefined || this.#replay === undefined || this.#attempts > rule.retriesMax) return false
    if (rule.requests?.some((test) => test(this.#stream.head)) === false) return false
    if (last === 'nowhere' || (last === 'lost' && this.#attempts === 1)) return true
    if (this.#cluster?.mayRetry(this.#retried) !== true) return false
    this.#retried = true
    return true
  }

  #tryAgain(): void {
    if (!this.#requestEnded) this.#stream.pause()
    const rule = this.#retryRule()
    const waitMs = rule === undefined ? 0 : backOffMs(rule, this.#attempts, this.#services.random)
    if (waitMs >= 1) this.#deadlines.start('wait', waitMs)
    else this.#attempt()
  }

  /** Undefined: this request is sent once, whatever becomes of it. */
  #retryRule(): RetryRule | undefined {
    return this.#route?.retry ?? this.#downstream.retry
  }

  /** A connection that stopped answering PING is given up by requests that may be sent again before it is declared dead. */
  #lookAtConnection(): void {
    const connection = this.#connection
    if (this.#finished || this.#responded || connection === undefined) return
    if (this.#endpoint?.transport.suspects(connection) !== true) {
      return this.#deadlines.start('watch', WATCH_EVERY_MS)
    }
    if (!this.#mayRetryReset('lost') || !this.#reserveRetry('lost')) return
    const upstream = this.#upstream
    // Keep-alive judges the connection; the endpoint behind it did nothing wrong that we know of.
    this.#endAttempt('unjudged')
    upstream?.reset('cancel')
    this.#tryAgain()
  }

  /** Counts the attempt for the endpoint and forgets its stream. */
  #endAttempt(outcome: number | 'error' | 'unjudged'): void {
    const endpoint = this.#endpoint
    if (endpoint === undefined) return
    endpoint.active--
    if (outcome !== 'unjudged') this.#cluster?.report(endpoint, this.#connection, outcome !== 'error' && outcome)
    this.#deadlines.cancel('try')
    this.#endpoint = undefined
    this.#connection = undefined
    this.#upstream = undefined
  }

  // The request's body, from the client

  onRequestData(chunk: Buffer): void {
    if (this.#finished) return
    this.#activeAt = this.#services.timers.coarseNow
    if (this.#mirrors !== undefined) for (const mirror of this.#mirrors) mirror.write(chunk)
    if (this.#replay !== undefined) this.#remember(chunk)
    if (this.#upstream !== undefined && !this.#upstream.write(chunk)) this.#stream.pause()
  }

  /** Bytes that come before there is a connection are always kept; pausing bounds them. */
  #remember(chunk: Buffer): void {
    this.#replay?.push(chunk)
    this.#replayBytes += chunk.length
    if (this.#replayBytes > REPLAY_BYTES_MAX && this.#upstream !== undefined) this.#replay = undefined
  }

  onRequestEnd(trailers: HeaderList): void {
    if (this.#finished) return
    this.#requestEnded = true
    this.#completeAt = this.#services.timers.now()
    this.#trailers = trailers
    this.#deadlines.start('timeout', this.#route?.timeoutMs ?? 0)
    if (this.#endpoint !== undefined) this.#deadlines.start('try', this.#retryRule()?.perTryTimeoutMs ?? 0)
    if (this.#mirrors !== undefined) for (const mirror of this.#mirrors) mirror.end(trailers)
    this.#upstream?.end(trailers)
  }

  onRequestReset(reason: ResetReason): void {
    if (this.#finished) return
    this.#flag = 'DC'
    this.#detail = `the client's stream ended early (${reason})`
    this.#abandonAttempt()
    this.#finish()
  }

  onResponseDrain(): void {
    this.#upstream?.resume()
  }

  // The response, from the endpoint

  onInformational(head: ResponseHead): void {
    if (!this.#finished) this.#stream.informational(head)
  }

  onResponse(head: ResponseHead, end: boolean): void {
    if (this.#finished || this.#endpoint === undefined) return
    const fromMesh = this.#destination.mutualTls
    const remoteError = fromMesh ? headerOf(head.headers, 'isthmus-error') : undefined
    this.#activeAt = this.#services.timers.coarseNow
    if (this.#retryResponse(head, remoteError, end)) return
    if (fromMesh && this.#connection !== undefined) {
      const facts = headerOf(head.headers, PEER_HEADER)
      this.#destination = this.#services.mesh.learn(this.#connection, this.#destination, facts)
    }
    this.#responded = true
    this.#replay = undefined
    this.#status = head.status
    if (remoteError !== undefined) this.#detail = `${this.#destination.address} answered ${remoteError}`
    if (this.#reverse === undefined) filterResponse(head, fromMesh)
    else this.#reverse.upstreamResponse(head, this.#services.timers.now() - this.#completeAt)
    this.#changeResponse(head)
    const facts = this.#downstream.introduceSelf()
    if (facts !== undefined) setHeader(head.headers, PEER_HEADER, facts)
    this.#stream.respond(head, end)
    if (end) this.#complete()
  }

  #changeResponse(head: ResponseHead): void {
    const { responseHeaders } = this.#target ?? {}
    if (responseHeaders !== undefined) changeHeaders(head.headers, responseHeaders, this.#valueContext())
    if (this.#origin !== undefined) this.#filters.cors?.mark(head.headers, this.#origin)
    this.#reverse?.response(head, this.#services.now())
  }

  /** True: another attempt is under way, and this answer is dropped. */
  #retryResponse({ status, headers }: ResponseHead, remoteError: string | undefined, end: boolean): boolean {
    const rule = this.#retryRule()
    if (rule === undefined || (status < 300 && rule.answers.length === 0)) return false
    const { method } = this.#stream.head
    if (!mayRetryAnswer(rule, { status, headers, remoteError, method }) || !this.#reserveRetry('answered')) return false
    const upstream = this.#upstream
    this.#endAttempt(status)
    if (!end) upstream?.reset('cancel')
    this.#tryAgain()
    return true
  }

  onResponseData(chunk: Buffer): void {
    if (this.#finished) return
    this.#activeAt = this.#services.timers.coarseNow
    if (!this.#stream.write(chunk)) this.#upstream?.pause()
  }

  onResponseEnd(trailers: HeaderList): void {
    if (this.#finished) return
    this.#stream.end(trailers)
    this.#complete()
  }

  onRequestDrain(): void {
    if (!this.#finished) this.#stream.resume()
  }

  onResponseReset(reason: ResetReason): void {
    if (this.#finished) return
    this.#detail = `${this.#destination.address}: the stream ended early (${reason})`
    this.#endAttempt(reason === 'local' ? 'unjudged' : 'error')
    if (this.#responded) {
      this.#flag = 'UC'
      this.#stream.reset('internal')
      return this.#finish()
    }
    if (this.#mayRetryReset(reason) && this.#reserveRetry(lossOf(reason))) return this.#tryAgain()
    this.#reply(reason === 'protocol' || reason === 'limit' ? REFUSALS.protocol : REFUSALS.lost, this.#detail)
  }

  #mayRetryReset(reason: ResetReason): boolean {
    const rule = this.#retryRule()
    return rule !== undefined && mayRetryReset(rule, reason, this.#stream.head.method)
  }

  // Ends

  onDeadline(kind: DeadlineKind): void {
    if (this.#finished) return
    switch (kind) {
      case 'timeout':
        return this.#timedOut()
      case 'try':
        return this.#tryTimedOut()
      case 'watch':
        return this.#lookAtConnection()
      case 'wait':
        return this.#attempt()
      case 'delay':
        return this.#proceed()
      case 'idle':
        return this.#lookForActivity()
      case 'duration':
        return this.#cutOff(this.#requestEnded ? REFUSALS.duration : REFUSALS.durationUpload)
      default:
        return kind satisfies never
    }
  }

  /** Once the answer has begun it may take the time the whole route has. */
  #tryTimedOut(): void {
    const [endpoint, upstream] = [this.#endpoint, this.#upstream]
    if (this.#responded || endpoint === undefined) return
    if (!this.#mayRetryReset('timeout') || !this.#reserveRetry('answered')) return this.#timedOut()
    if (upstream === undefined) endpoint.transport.abandon(this)
    this.#endAttempt('error')
    upstream?.reset('cancel')
    this.#tryAgain()
  }

  #lookForActivity(): void {
    const limitMs = this.#route?.idleTimeoutMs ?? 0
    const leftMs = limitMs - (this.#services.timers.coarseNow - this.#activeAt)
    if (leftMs >= 1) return this.#deadlines.start('idle', leftMs)
    this.#cutOff(this.#requestEnded ? REFUSALS.idle : REFUSALS.idleUpload)
  }

  /** A limit of the stream, and nobody's fault in particular. */
  #cutOff(refusal: Refusal): void {
    this.#abandonAttempt()
    if (!this.#responded) return this.#reply(refusal, '')
    this.#flag = refusal.flag
    this.#stream.reset('internal')
    this.#finish()
  }

  #timedOut(): void {
    if (this.#finished) return
    this.#detail = `${this.#destination.address}: no answer within ${this.#route?.timeoutMs ?? 0} ms`
    const [endpoint, connection] = [this.#endpoint, this.#connection]
    this.#abandonAttempt()
    if (endpoint !== undefined) this.#cluster?.report(endpoint, connection, false)
    if (!this.#responded) return this.#reply(REFUSALS.timeout, this.#detail)
    this.#flag = 'UT'
    this.#stream.reset('internal')
    this.#finish()
  }

  #abandonAttempt(): void {
    if (this.#upstream === undefined) this.#endpoint?.transport.abandon(this)
    this.#upstream?.reset('cancel')
    this.#endAttempt('unjudged')
  }

  /** A refusal of our own, in clear text. */
  #reply(refusal: Refusal, detail: string): void {
    this.#answer(this.#reverse?.refusal(refusal, detail) ?? localReply(refusal, this.#authority, detail))
  }

  #answer({ head, body, flag, detail }: LocalAnswer): void {
    this.#changeResponse(head)
    this.#status = head.status
    this.#flag = flag
    if (this.#detail === '') this.#detail = detail
    this.#responded = true
    const headOnly = body.length === 0 || this.#stream.head.method === 'HEAD'
    this.#stream.respond(head, headOnly)
    if (!headOnly) {
      this.#stream.write(body)
      this.#stream.end()
    }
    this.#finish()
  }

  #complete(): void {
    const upstream = this.#upstream
    this.#endAttempt(this.#status)
    // The endpoint answered without wanting the rest of the body.
    if (!this.#requestEnded) upstream?.reset('no-error')
    this.#finish()
  }

  #finish(): void {
    if (this.#finished) return
    this.#finished = true
    this.#replay = undefined
    this.#deadlines.cancelAll()
    if (!this.#requestEnded && this.#mirrors !== undefined) for (const mirror of this.#mirrors) mirror.abandon()
    this.#cluster?.leave(this.#retried)
    // What is left of the request is read and dropped, so that the connection can serve the next one.
    if (!this.#requestEnded) this.#stream.resume()
    this.#record()
  }

  #record(): void {
    recordExchange(this.#stream, this.#downstream, this.#services, {
      startedAt: this.#startedAt,
      authority: this.#authority,
      path: this.#path,
      status: this.#status,
      flag: this.#flag,
      detail: this.#detail,
      target: this.#destination,
      service: this.#service,
      attempts: this.#attempts,
    })
  }
}
