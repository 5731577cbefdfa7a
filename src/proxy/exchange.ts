/**
 * One request from its head to its record: the only place that decides about it. Steps are leaves in other files, in
 * the order a request meets them: admit, filter, pick, connect, send, retry, answer, record. What it has to remember
 * stands in three parts: the body that may be sent again, the attempts upstream, the outcome.
 */
import { admit, isRoute } from './admission.ts'
import type { ClusterState } from './balance/cluster.ts'
import { type DeadlineKind, type DeadlineOwner, Deadlines } from './deadlines.ts'
import { openReply, outcomeOf } from './breaker-reply.ts'
import { Attempts } from './exchange-attempts.ts'
import { RequestBody } from './exchange-body.ts'
import { type DownstreamConnection, type ExchangeServices, serviceOf } from './exchange-context.ts'
import { Outcome, recordExchange } from './exchange-record.ts'
import { filterResponse } from './filters/chain.ts'
import { hashOf } from './filters/hash.ts'
import { changeHeaders, type ValueContext } from './filters/header-steps.ts'
import { type CompiledFilters, logHint, mergeFilters, NO_FILTERS, runFilters } from './filters/policies.ts'
import { allows } from './identity.ts'
import { type LocalAnswer, localReply, type Refusal, REFUSALS } from './local-reply.ts'
import { type HeaderList, headerOf, type RequestHead, type ResponseHead, setHeader } from './message.ts'
import { type Mirror, startMirrors } from './mirror.ts'
import { PEER_HEADER } from './peer-facts.ts'
import type { ReverseHttp } from './reverse/reverse-http.ts'
import { type CompiledRoute, pickTarget, type RouteTarget } from './routes.ts'
import { backOffMs, lossOf, mayRetryAnswer } from './retry.ts'
import type { ClientConnection, RequestSink, ResetReason, ResponseSink, ServerStream } from './stream.ts'
import type { ConnectFailure, Waiter } from './upstream/transport.ts'

/** Silence is noticed after a second; requests that wait longer look now and then whether that is why. */
const WATCH_AFTER_MS = 1_000
const WATCH_EVERY_MS = 250

export class Exchange implements RequestSink, ResponseSink, Waiter, DeadlineOwner {
  readonly #stream: ServerStream
  readonly #downstream: DownstreamConnection
  readonly #services: ExchangeServices
  readonly #deadlines: Deadlines
  readonly #body: RequestBody
  readonly #attempts: Attempts
  readonly #outcome: Outcome
  /** When a byte last moved, by the coarse clock. */
  #activeAt = 0
  #route: CompiledRoute | undefined = undefined
  #target: RouteTarget | undefined = undefined
  #filters: CompiledFilters = NO_FILTERS
  /** Of a cross-origin request that may read its answer. */
  #origin: string | undefined = undefined
  #mirrors: readonly Mirror[] | undefined = undefined
  /** Of a generic listener: Envoy's way with heads. */
  #reverse: ReverseHttp | undefined = undefined
  /** When the request was whole: what the endpoint took counts from here. */
  #completeAt = 0
  #finished = false

  constructor(stream: ServerStream, downstream: DownstreamConnection, services: ExchangeServices) {
    this.#stream = stream
    this.#downstream = downstream
    this.#services = services
    this.#deadlines = new Deadlines(services.timers, this)
    this.#body = new RequestBody(stream.headOnly)
    this.#attempts = new Attempts(this.#deadlines, services.mesh)
    this.#outcome = new Outcome(services.timers.now(), stream.head.authority, stream.head.path)
    stream.sink = this
  }

  /** To be called once, inside the codec's `onRequest`. */
  start(): void {
    const { head } = this.#stream
    this.#reverse = this.#downstream.http()?.reverse
    const admitted = admit(head, this.#downstream, this.#services)
    this.#outcome.path = head.path
    if (this.#downstream.service !== '') this.#outcome.service = this.#downstream.service
    const refusal = isRoute(admitted) ? this.#judge(admitted, head) : admitted
    if (refusal !== undefined) return 'kind' in refusal ? this.#answer(refusal) : this.#reply(refusal)
    // Body bytes wait with the client until there is somewhere to send them; so does `100 Continue`.
    if (!this.#stream.headOnly) this.#stream.pause()
    const delayMs = this.#filters.fault?.delayMs(head, this.#services.random) ?? 0
    if (delayMs === 0) return this.#proceed()
    this.#outcome.flag = 'DI'
    this.#deadlines.start('delay', delayMs)
  }

  /** Undefined: the request may go on. */
  #judge(route: CompiledRoute, head: RequestHead): Refusal | LocalAnswer | undefined {
    const { peer, service, remoteAddress } = this.#downstream
    const { random, timers } = this.#services
    this.#route = route
    this.#target = pickTarget(route, random)
    if (service === '') this.#outcome.service = serviceOf(this.#target?.clusterName ?? '', this.#outcome.service)
    if (route.allow !== undefined && (peer === undefined || !allows(route.allow, peer))) return REFUSALS.denied
    const filters = mergeFilters(route.filters, this.#downstream.http()?.filters ?? NO_FILTERS)
    if (filters === NO_FILTERS) return undefined
    this.#filters = filters
    this.#origin = filters.cors?.originOf(head)
    if (filters.rbac?.action === 'log')
      this.#outcome.detail = logHint(filters.rbac.judge({ head, peer, remoteAddress }))
    const { descriptors } = route
    return runFilters(filters, { head, peer, remoteAddress, nowMs: timers.now(), descriptors, random })
  }

  #proceed(): void {
    const { head } = this.#stream
    const answer = this.#filters.fault?.abort(head, this.#services.random) ?? this.#route?.answer?.(head)
    if (answer !== undefined) return this.#answer(answer)
    const route = this.#route
    const target = this.#target
    if (route === undefined || target?.cluster === undefined) return this.#reply(REFUSALS.cluster)
    if (!this.#attempts.enter(target.cluster, this.#body.ended)) return this.#answerCutOff(target.cluster)
    this.#forward(route, target)
  }

  #forward(route: CompiledRoute, target: RouteTarget): void {
    const { head } = this.#stream
    if (route.hash !== undefined) this.#attempts.hash = hashOf(route.hash, head, this.#downstream.remoteAddress)
    this.#attempts.rule = route.retry ?? this.#downstream.retry
    if (target.requestHeaders !== undefined) changeHeaders(head.headers, target.requestHeaders, this.#valueContext())
    this.#reverse?.forwarded(head, this.#attempts.rule?.perTryTimeoutMs ?? route.timeoutMs)
    route.rewrite?.(head)
    this.#completeAt = this.#outcome.startedAt
    this.#startDeadlines(route)
    this.#mirrors = startMirrors(route.mirrors, { head, ended: this.#body.ended }, this.#services)
    this.#attempt()
  }

  /** The whole answer is timed from the complete request: an upload may take as long as it moves. */
  #startDeadlines({ timeoutMs, idleTimeoutMs, durationMaxMs }: CompiledRoute): void {
    if (this.#body.ended) this.#deadlines.start('timeout', timeoutMs)
    this.#deadlines.start('duration', durationMaxMs)
    this.#activeAt = this.#services.timers.coarseNow
    // A request that is timed anyway, and earlier, needs no second clock.
    const covered = this.#body.ended && timeoutMs > 0 && timeoutMs <= idleTimeoutMs
    if (!covered) this.#deadlines.start('idle', idleTimeoutMs)
  }

  #valueContext(): ValueContext {
    const { head, version } = this.#stream
    return { headers: head.headers, protocol: version, peerUri: this.#downstream.peer?.uri ?? '' }
  }

  // Upstream: pick, connect, send

  #attempt(): void {
    const { cluster, count, cutOff } = this.#attempts
    // While it waited for its next attempt the circuit breaker opened.
    if (cutOff && count > 0 && cluster !== undefined) return this.#answerCutOff(cluster)
    const endpoint = this.#attempts.begin()
    if (endpoint === undefined) return this.#reply(REFUSALS.none)
    if (this.#body.ended) this.#deadlines.start('try', this.#attempts.rule?.perTryTimeoutMs ?? 0)
    endpoint.transport.acquire(this)
  }

  onConnected(connection: ClientConnection): void {
    const { endpoint } = this.#attempts
    if (this.#finished || endpoint === undefined) return
    this.#attempts.connected(endpoint, connection)
    const end = this.#body.isEmpty
    const upstream = connection.request(this.#attempts.headFor(connection, this.#stream.head), end, this)
    this.#attempts.stream = upstream
    if (this.#attempts.destination.mutualTls) this.#deadlines.start('watch', WATCH_AFTER_MS)
    if (end) return
    this.#body.sendTo(upstream)
    if (!this.#body.ended) this.#stream.resume()
  }

  onConnectFailed(failure: ConnectFailure): void {
    if (this.#finished) return
    this.#outcome.detail = `${this.#attempts.destination.address}: ${failure.detail}`
    if (failure.kind === 'overflow') {
      this.#attempts.end('unjudged')
      return this.#reply(REFUSALS.overflow, this.#outcome.detail)
    }
    this.#attempts.end('error')
    if (this.#attempts.rule?.connectFailure === true && this.#reserveRetry('nowhere')) return this.#tryAgain()
    this.#reply(REFUSALS.connectFailed, this.#outcome.detail)
  }

  #reserveRetry(last: 'nowhere' | 'lost' | 'answered'): boolean {
    return this.#body.replayable && this.#attempts.reserve(last, this.#stream.head)
  }

  #tryAgain(): void {
    if (!this.#body.ended) this.#stream.pause()
    const { rule, count } = this.#attempts
    const waitMs = rule === undefined ? 0 : backOffMs(rule, count, this.#services.random)
    if (waitMs >= 1) this.#deadlines.start('wait', waitMs)
    else this.#attempt()
  }

  /** A connection that stopped answering PING is given up by requests that may be sent again before it is declared dead. */
  #lookAtConnection(): void {
    const { connection, endpoint, stream } = this.#attempts
    if (this.#finished || this.#outcome.responded || connection === undefined) return
    if (endpoint?.transport.suspects(connection) !== true) return this.#deadlines.start('watch', WATCH_EVERY_MS)
    if (!this.#mayRetryReset('lost') || !this.#reserveRetry('lost')) return
    // Keep-alive judges the connection; the endpoint behind it did nothing wrong that we know of.
    this.#attempts.end('unjudged')
    stream?.reset('cancel')
    this.#tryAgain()
  }

  #mayRetryReset(reason: ResetReason): boolean {
    return this.#attempts.mayRetryReset(reason, this.#stream.head.method)
  }

  // The request's body, from the client

  onRequestData(chunk: Buffer): void {
    if (this.#finished) return
    this.#activeAt = this.#services.timers.coarseNow
    if (this.#mirrors !== undefined) for (const mirror of this.#mirrors) mirror.write(chunk)
    const upstream = this.#attempts.stream
    this.#body.keep(chunk, upstream !== undefined)
    if (upstream !== undefined && !upstream.write(chunk)) this.#stream.pause()
  }

  onRequestEnd(trailers: HeaderList): void {
    if (this.#finished) return
    this.#body.ended = true
    this.#completeAt = this.#services.timers.now()
    this.#body.trailers = trailers
    this.#deadlines.start('timeout', this.#route?.timeoutMs ?? 0)
    if (this.#attempts.endpoint !== undefined) this.#deadlines.start('try', this.#attempts.rule?.perTryTimeoutMs ?? 0)
    if (this.#mirrors !== undefined) for (const mirror of this.#mirrors) mirror.end(trailers)
    this.#attempts.pass?.requestEnded()
    this.#attempts.stream?.end(trailers)
  }

  onRequestReset(reason: ResetReason): void {
    if (this.#finished) return
    this.#outcome.flag = 'DC'
    this.#outcome.detail = `the client's stream ended early (${reason})`
    this.#attempts.abandon(this)
    this.#finish()
  }

  onResponseDrain(): void {
    this.#attempts.stream?.resume()
  }

  // The response, from the endpoint

  onInformational(head: ResponseHead): void {
    if (!this.#finished) this.#stream.informational(head)
  }

  onResponse(head: ResponseHead, end: boolean): void {
    if (this.#finished || this.#attempts.endpoint === undefined) return
    const fromMesh = this.#attempts.destination.mutualTls
    const remoteError = fromMesh ? headerOf(head.headers, 'isthmus-error') : undefined
    this.#activeAt = this.#services.timers.coarseNow
    if (this.#retryResponse(head, remoteError, end)) return
    this.#attempts.learn(head.headers)
    this.#body.forget()
    this.#outcome.responded = true
    this.#outcome.status = head.status
    this.#attempts.pass?.answered(head.status, headerOf(head.headers, 'grpc-status'))
    if (remoteError !== undefined) {
      this.#outcome.detail = `${this.#attempts.destination.address} answered ${remoteError}`
    }
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
    const { rule, stream } = this.#attempts
    if (rule === undefined || (status < 300 && rule.answers.length === 0)) return false
    const { method } = this.#stream.head
    if (!mayRetryAnswer(rule, { status, headers, remoteError, method }) || !this.#reserveRetry('answered')) return false
    this.#attempts.end(status)
    if (!end) stream?.reset('cancel')
    this.#tryAgain()
    return true
  }

  onResponseData(chunk: Buffer): void {
    if (this.#finished) return
    this.#activeAt = this.#services.timers.coarseNow
    if (!this.#stream.write(chunk)) this.#attempts.stream?.pause()
  }

  onResponseEnd(trailers: HeaderList): void {
    if (this.#finished) return
    this.#attempts.pass?.answered(this.#outcome.status, headerOf(trailers, 'grpc-status'))
    this.#stream.end(trailers)
    this.#complete()
  }

  onRequestDrain(): void {
    if (!this.#finished) this.#stream.resume()
  }

  onResponseReset(reason: ResetReason): void {
    if (this.#finished) return
    this.#outcome.detail = `${this.#attempts.destination.address}: the stream ended early (${reason})`
    this.#attempts.end(reason === 'local' ? 'unjudged' : 'error')
    if (this.#outcome.responded) return this.#breakOff('UC')
    if (this.#mayRetryReset(reason) && this.#reserveRetry(lossOf(reason))) return this.#tryAgain()
    this.#reply(reason === 'protocol' || reason === 'limit' ? REFUSALS.protocol : REFUSALS.lost, this.#outcome.detail)
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
        return this.#cutOff(this.#body.ended ? REFUSALS.duration : REFUSALS.durationUpload)
      default:
        return kind satisfies never
    }
  }

  /** Once the answer has begun it may take the time the whole route has. */
  #tryTimedOut(): void {
    const { endpoint, stream } = this.#attempts
    if (this.#outcome.responded || endpoint === undefined) return
    if (!this.#mayRetryReset('timeout') || !this.#reserveRetry('answered')) return this.#timedOut()
    if (stream === undefined) endpoint.transport.abandon(this)
    this.#attempts.end('error')
    stream?.reset('cancel')
    this.#tryAgain()
  }

  #lookForActivity(): void {
    const limitMs = this.#route?.idleTimeoutMs ?? 0
    const leftMs = limitMs - (this.#services.timers.coarseNow - this.#activeAt)
    if (leftMs >= 1) return this.#deadlines.start('idle', leftMs)
    this.#cutOff(this.#body.ended ? REFUSALS.idle : REFUSALS.idleUpload)
  }

  /** A limit of the stream, and nobody's fault in particular. */
  #cutOff(refusal: Refusal): void {
    this.#attempts.abandon(this)
    if (this.#outcome.responded) this.#breakOff(refusal.flag)
    else this.#reply(refusal)
  }

  #timedOut(): void {
    const { endpoint, connection, cluster, destination } = this.#attempts
    this.#outcome.detail = `${destination.address}: no answer within ${this.#route?.timeoutMs ?? 0} ms`
    this.#attempts.abandon(this)
    if (endpoint !== undefined) cluster?.report(endpoint, connection, false)
    if (this.#outcome.responded) this.#breakOff(REFUSALS.timeout.flag)
    else this.#reply(REFUSALS.timeout, this.#outcome.detail)
  }

  /** The answer had begun: all that is left is to make sure that nobody takes it for whole. */
  #breakOff(flag: Outcome['flag']): void {
    this.#outcome.flag = flag
    this.#stream.reset('internal')
    this.#finish()
  }

  #answerCutOff({ breaker }: ClusterState): void {
    this.#answer(openReply(breaker, this.#outcome.authority))
  }

  /** A refusal of our own, in clear text. */
  #reply(refusal: Refusal, detail = ''): void {
    this.#answer(this.#reverse?.refusal(refusal, detail) ?? localReply(refusal, this.#outcome.authority, detail))
  }

  #answer({ head, body, flag, detail }: LocalAnswer): void {
    this.#changeResponse(head)
    this.#outcome.status = head.status
    this.#outcome.flag = flag
    if (this.#outcome.detail === '') this.#outcome.detail = detail
    this.#outcome.responded = true
    const headOnly = body.length === 0 || this.#stream.head.method === 'HEAD'
    this.#stream.respond(head, headOnly)
    if (!headOnly) {
      this.#stream.write(body)
      this.#stream.end()
    }
    this.#finish()
  }

  #complete(): void {
    const upstream = this.#attempts.stream
    this.#attempts.end(this.#outcome.status)
    // The endpoint answered without wanting the rest of the body.
    if (!this.#body.ended) upstream?.reset('no-error')
    this.#finish()
  }

  #finish(): void {
    if (this.#finished) return
    this.#finished = true
    this.#body.forget()
    this.#deadlines.cancelAll()
    if (!this.#body.ended && this.#mirrors !== undefined) for (const mirror of this.#mirrors) mirror.abandon()
    this.#attempts.pass?.ended(outcomeOf(this.#outcome))
    this.#attempts.leave()
    // What is left of the request is read and dropped, so that the connection can serve the next one.
    if (!this.#body.ended) this.#stream.resume()
    const ends = { stream: this.#stream, downstream: this.#downstream, attempts: this.#attempts }
    recordExchange(ends, this.#services, this.#outcome)
  }
}
