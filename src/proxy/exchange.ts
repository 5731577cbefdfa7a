/**
 * One request from its head to its record: the only place that decides about it. Steps are leaves in other files, in
 * the order a request meets them: admit, filter, pick, connect, send, retry, answer, record. What it has to remember
 * stands in three parts: the body that may be sent again, the attempts upstream, the outcome.
 */
import { admit, chooseRoute, tunnelRefusal, unrouted } from './admission.ts'
import type { CompiledHttp } from './compile.ts'
import { type DeadlineKind, type DeadlineOwner, Deadlines } from './deadlines.ts'
import { openReply, outcomeOf } from './breaker-reply.ts'
import type { Priority } from './balance/limits.ts'
import { clientsAnswer, filterAnswer, refusalAnswer, sendAnswer, type Voice } from './exchange-answer.ts'
import { Attempts } from './exchange-attempts.ts'
import { RequestBody } from './exchange-body.ts'
import { type DownstreamConnection, type ExchangeServices, serviceOf } from './exchange-context.ts'
import { type Ends, Outcome, recordExchange } from './exchange-record.ts'
import { filterResponse } from './filters/chain.ts'
import { exchangeFacts } from './exchange-facts.ts'
import { prepareForward } from './exchange-forward.ts'
import { changeHeaders } from './filters/header-steps.ts'
import { FilterRun, type RunOwner } from './filters/run.ts'
import { NO_STEPS, type Refused, type Steps } from './filters/step.ts'
import { type LocalAnswer, type Refusal, REFUSALS } from './local-reply.ts'
import { type HeaderList, headerOf, type ResponseHead, setHeader } from './message.ts'
import { type Mirror, startMirrors } from './mirror.ts'
import { PEER_HEADER } from './peer-facts.ts'
import type { ReverseHttp } from './reverse/reverse-http.ts'
import { type CompiledRoute, IDLE_TIMEOUT_MS, pickTarget, type RouteTarget } from './routes.ts'
import { looksGood, lossOf, mayRetryAnswer } from './retry.ts'
import type { StreamFacts } from './stream-facts.ts'
import type { ClientConnection, RequestSink, ResetReason, ResponseSink, ServerStream } from './stream.ts'
import { type Tunnel, tunnelOf } from './upgrade.ts'
import type { ConnectFailure, Waiter } from './upstream/transport.ts'

/** Silence is noticed after a second; requests that wait longer look now and then whether that is why. */
const WATCH_AFTER_MS = 1_000
const WATCH_EVERY_MS = 250

export class Exchange implements RequestSink, ResponseSink, Waiter, DeadlineOwner, RunOwner {
  readonly speaksHttp2: boolean
  readonly #stream: ServerStream
  readonly #downstream: DownstreamConnection
  readonly #services: ExchangeServices
  readonly #deadlines: Deadlines
  readonly #body: RequestBody
  readonly #attempts: Attempts
  readonly #outcome: Outcome
  /** Of an upgrade or CONNECT. */
  readonly #tunnel: Tunnel | undefined
  /** Tables of the snapshot the request started with. */
  #http: CompiledHttp | undefined = undefined
  #route: CompiledRoute | undefined = undefined
  #target: RouteTarget | undefined = undefined
  /** Undefined: no filter has anything to say about this request. */
  #run: FilterRun | undefined = undefined
  #mirrors: readonly Mirror[] | undefined = undefined
  /** Of a generic listener: Envoy's way with heads. */
  #reverse: ReverseHttp | undefined = undefined
  /** As a Waiter: whose limits count. */
  priority: Priority | undefined = undefined
  #finished = false

  constructor(stream: ServerStream, downstream: DownstreamConnection, services: ExchangeServices) {
    this.#stream = stream
    this.speaksHttp2 = stream.version === 'HTTP/2'
    this.#downstream = downstream
    this.#services = services
    this.#deadlines = new Deadlines(services.timers, this)
    this.#body = new RequestBody(stream.headOnly)
    this.#attempts = new Attempts(this.#deadlines, services.mesh)
    this.#outcome = new Outcome(services.timers.now(), downstream.telemetry, stream.head)
    this.#tunnel = tunnelOf(stream.head)
    stream.sink = this
  }

  /** To be called once, inside the codec's `onRequest`. */
  start(): void {
    const { head } = this.#stream
    const downstream = this.#downstream
    const http = downstream.http()
    if (downstream.service !== '') this.#outcome.service = downstream.service
    if (http === undefined) return this.#reply(unrouted(head, undefined, downstream))
    this.#outcome.telemetry = http.telemetry
    if (http.telemetry.timed) downstream.facts()
    this.#reverse = http.reverse
    if (this.#services.overload.sheds(http.telemetry)) return this.#reply(REFUSALS.overloaded)
    if (this.#reverse !== undefined) this.#outcome.client = this.#reverse.trustedAddress(head.headers)
    const refusal = admit(head, http, downstream, this.#services)
    this.#outcome.path = head.path
    if (refusal !== undefined) return 'kind' in refusal ? this.#answer(refusal) : this.#reply(refusal)
    this.#http = http
    const steps = this.#choose(http)
    // Body bytes wait with the client until there is somewhere to send them; so does `100 Continue`.
    if (!this.#stream.headOnly) this.#stream.pause()
    if (!this.#stream.headOnly) this.#deadlines.start('request', http.reverse?.settings.requestMs ?? 0)
    const refused = this.#tunnel === undefined ? undefined : tunnelRefusal(head, http, this.#route)
    if (refused !== undefined) return this.#reply(refused)
    if (steps === NO_STEPS) return this.onFiltered()
    const around = { connection: downstream, services: this.#services, outcome: this.#outcome }
    this.#run = new FilterRun(this, steps, this.#stream, around)
    this.#run.run()
  }

  #choose(http: CompiledHttp): Steps {
    const { service, dialed } = this.#downstream
    this.#route = chooseRoute(this.#stream.head, http, dialed)
    this.#target =
      this.#route === undefined ? undefined : pickTarget(this.#route, this.#stream.head, this.#services.random)
    this.#deadlines.idleMs = this.#route?.idleTimeoutMs ?? http.reverse?.settings.streamIdleMs ?? IDLE_TIMEOUT_MS
    if (service === '') this.#outcome.service = serviceOf(this.clusterName, this.#outcome.service)
    return this.#target?.filters?.stepsOf(http.filters) ?? http.filters.steps
  }

  // What filters ask and say

  get route(): CompiledRoute | undefined {
    return this.#route
  }

  get clusterName(): string {
    return this.#target?.clusterName ?? ''
  }

  onReroute(): Steps {
    return this.#http === undefined ? NO_STEPS : this.#choose(this.#http)
  }

  onGather(): void {
    this.#deadlines.startIdle()
    this.#stream.resume()
  }

  onFilterAnswer(verdict: LocalAnswer | Refused): void {
    this.#answer(filterAnswer(this.#voice(), verdict))
  }

  onFiltered(): void {
    const { head } = this.#stream
    const route = this.#route
    if (route === undefined) return this.#reply(unrouted(head, this.#http, this.#downstream))
    const answer = route.answer?.(head)
    if (answer !== undefined) {
      this.#outcome.direct = true
      return this.#answer(answer)
    }
    const target = this.#target
    if (target?.cluster === undefined) return this.#reply(route.unknownCluster)
    if (this.#run?.translates === true) this.#body.translate(this.#run)
    this.#attempts.terms = target.terms
    this.priority = target.terms.priority
    if (!this.#attempts.enter(target.cluster, this.#body.ended))
      return this.#answer(openReply(target.cluster.breaker, this.#outcome.authority))
    this.#forward(route, target)
  }

  #forward(route: CompiledRoute, target: RouteTarget): void {
    const { head } = this.#stream
    const { client } = this.#outcome
    const request = { stream: this.#stream, downstream: this.#downstream, client, reverse: this.#reverse, source: this }
    const limits = prepareForward(route, target, this.#attempts, request)
    this.#deadlines.timeoutMs = limits.timeoutMs
    this.#deadlines.startForward(limits.durationMaxMs, this.#body.ended)
    if (route.connect) this.#attempts.raw = this.#services.raw
    const copied = { head, body: this.#body, reverse: this.#reverse }
    if (this.#tunnel === undefined) this.#mirrors = startMirrors(route.mirrors, copied, this.#services)
    this.#attempt()
  }

  // Upstream: pick, connect, send

  #attempt(): void {
    const { cluster, count, cutOff } = this.#attempts
    // While it waited for its next attempt the circuit breaker opened.
    if (cutOff && count > 0 && cluster !== undefined)
      return this.#answer(openReply(cluster.breaker, this.#outcome.authority))
    const endpoint = this.#attempts.begin()
    if (endpoint === undefined) return this.#reply(REFUSALS.none)
    if (this.#body.ended) this.#deadlines.start('try', this.#attempts.rule?.perTryTimeoutMs ?? 0)
    this.#attempts.way?.acquire(this)
  }

  onConnected(connection: ClientConnection): void {
    const { endpoint } = this.#attempts
    if (this.#finished || endpoint === undefined) return
    this.#attempts.connected(endpoint, connection)
    const end = this.#tunnel === undefined && this.#body.isEmpty
    const upstream = connection.request(this.#attempts.headFor(connection, this.#stream.head), end, this)
    this.#attempts.stream = upstream
    if (this.#attempts.destination.mutualTls) this.#deadlines.start('watch', WATCH_AFTER_MS)
    if (end || this.#tunnel !== undefined) return
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

  /** `told`: the head of the answer that led here, which may say when to come again. */
  #tryAgain(told?: HeaderList): void {
    if (!this.#body.ended) this.#stream.pause()
    this.#attempts.cluster?.stats.retried()
    const waitMs = this.#attempts.waitMs(this.#services, told)
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
    this.#outcome.bytesReceived += chunk.length
    this.#deadlines.moved()
    const run = this.#run
    if (run === undefined || (run.passed && !run.translates)) return this.#passOn(chunk)
    if (run.passed) return this.#passOn(run.requestData(chunk))
    this.#body.keep(chunk, false)
    if (!run.gathers) return
    run.onBody(this.#body)
    if (!run.gathers && this.#attempts.stream === undefined && !this.#finished) this.#stream.pause()
  }

  #passOn(chunk: Buffer): void {
    if (chunk.length === 0) return
    if (this.#mirrors !== undefined) for (const mirror of this.#mirrors) mirror.write(chunk)
    const upstream = this.#tunnel?.open === false ? undefined : this.#attempts.stream
    this.#body.keep(chunk, upstream !== undefined)
    if (upstream !== undefined && !upstream.write(chunk)) this.#stream.pause()
  }

  onRequestEnd(trailers: HeaderList): void {
    if (this.#finished) return
    const run = this.#run
    if (run !== undefined && run.passed && run.translates) this.#passOn(run.requestEnd(trailers))
    this.#body.ended = true
    this.#body.trailers = trailers
    this.#outcome.complete(this.#services.timers.now())
    this.#deadlines.cancel('request')
    if (run?.gathers === true) run.onBody(this.#body)
    else if (this.#attempts.cluster !== undefined) this.#forwardEnd(trailers)
  }

  #forwardEnd(trailers: HeaderList): void {
    if (this.#tunnel !== undefined)
      return this.#tunnel.endClientHalf(this.#attempts.stream) ? this.#complete() : undefined
    this.#deadlines.start('timeout', this.#deadlines.timeoutMs)
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
    this.#deadlines.moved()
    if (this.#retryResponse(head, remoteError, end)) return
    this.#attempts.learn(head, end)
    if (this.#tunnel === undefined) this.#body.forget()
    this.#outcome.began(head, this.#services.timers)
    this.#attempts.pass?.answered(head.status, headerOf(head.headers, 'grpc-status'))
    if (remoteError !== undefined) this.#outcome.detail = this.#attempts.toldBy(remoteError)
    this.#received(head, fromMesh)
    this.#changeResponse(head)
    const facts = this.#downstream.introduceSelf()
    if (facts !== undefined) setHeader(head.headers, PEER_HEADER, facts)
    this.#stream.respond(head, end)
    if (end) return this.#complete()
    this.#tunnel?.start(this.#stream, this.#attempts.stream, this.#body, this.#outcome.status)
  }

  #received(head: ResponseHead, fromMesh: boolean): void {
    const reverse = this.#reverse
    // Beyond the edge nobody is told what proxies of the mesh tell each other.
    if (reverse === undefined || fromMesh) filterResponse(head, fromMesh && reverse === undefined)
    if (reverse !== undefined && (this.#tunnel === undefined || this.#body.ended))
      reverse.upstreamResponse(head, this.#services.timers.now() - this.#outcome.completeAt)
  }

  #changeResponse(head: ResponseHead): void {
    this.#attempts.tellClient(head.headers)
    const { responseHeaders } = this.#target ?? {}
    if (responseHeaders !== undefined) changeHeaders(head.headers, responseHeaders, this)
    this.#run?.response(head)
    this.#reverse?.response(head, this.#services.now(), this.#stream.head)
  }

  /** True: another attempt is under way, and this answer is dropped. */
  #retryResponse({ status, headers }: ResponseHead, remoteError: string | undefined, end: boolean): boolean {
    const { rule, stream } = this.#attempts
    if (rule === undefined || (remoteError === undefined && looksGood(rule, status))) return false
    const { method } = this.#stream.head
    if (!mayRetryAnswer(rule, { status, headers, remoteError, method }) || !this.#reserveRetry('answered')) return false
    this.#attempts.end(status)
    if (!end) stream?.reset('cancel')
    this.#tryAgain(headers)
    return true
  }

  onResponseData(chunk: Buffer): void {
    if (this.#finished) return
    this.#deadlines.moved()
    this.#outcome.bytesSent += chunk.length
    const open = this.#run?.translates === true ? this.#send(this.#run.responseData(chunk)) : this.#stream.give(chunk)
    if (!open) this.#attempts.stream?.pause()
  }

  #send(bytes: Buffer): boolean {
    return bytes.length === 0 || this.#stream.write(bytes)
  }

  onResponseEnd(trailers: HeaderList): void {
    if (this.#finished) return
    if (this.#run?.translates === true) this.#send(this.#run.responseEnd(trailers))
    this.#outcome.trailers = trailers
    this.#attempts.pass?.answered(this.#outcome.status, headerOf(trailers, 'grpc-status'))
    this.#stream.end(trailers)
    if (this.#tunnel?.open === true && !this.#body.ended) this.#tunnel.answered = true
    else this.#complete()
  }

  onRequestDrain(): void {
    if (!this.#finished) this.#stream.resume()
  }

  onResponseReset(reason: ResetReason): void {
    if (this.#finished) return
    this.#outcome.detail = `${this.#attempts.destination.address}: the stream ended early (${reason})`
    this.#attempts.end(reason === 'local' ? 'unjudged' : 'error')
    if (this.#outcome.responded) return this.#breakOff('UC')
    if (reason === 'http1-required' && this.#tunnel !== undefined) return this.#reply(REFUSALS.upgrade)
    if (this.#mayRetryReset(reason) && this.#reserveRetry(lossOf(reason))) return this.#tryAgain()
    this.#reply(reason === 'protocol' || reason === 'limit' ? REFUSALS.protocol : REFUSALS.lost, this.#outcome.detail)
  }

  onDeadline(kind: DeadlineKind): void {
    if (this.#finished) return
    switch (kind) {
      case 'request':
        return this.#cutOff(REFUSALS.requestTimeout)
      case 'timeout':
        return this.#timedOut()
      case 'try':
        return this.#tryTimedOut()
      case 'watch':
        return this.#lookAtConnection()
      case 'wait':
        return this.#attempt()
      case 'idle':
        return this.#deadlines.stoodStill()
          ? this.#cutOff(this.#body.ended ? REFUSALS.idle : REFUSALS.idleUpload)
          : undefined
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
    if (stream === undefined) this.#attempts.way?.abandon(this)
    this.#attempts.end('error')
    stream?.reset('cancel')
    this.#tryAgain()
  }

  /** A limit of the stream, and nobody's fault in particular. */
  #cutOff(refusal: Refusal): void {
    this.#attempts.abandon(this)
    if (this.#outcome.responded) this.#breakOff(refusal.flag)
    else this.#reply(refusal)
  }

  #timedOut(): void {
    const { endpoint, connection, cluster, destination } = this.#attempts
    this.#outcome.detail = `${destination.address}: no answer within ${this.#deadlines.timeoutMs} ms`
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

  /** A refusal of our own, in clear text. */
  #reply(refusal: Refusal, detail = ''): void {
    this.#answer(refusalAnswer(this.#voice(), refusal, detail))
  }

  #voice(): Voice {
    return { reverse: this.#reverse, authority: this.#outcome.authority, attempts: this.#attempts.count }
  }

  #answer(given: LocalAnswer): void {
    const replies = this.#reverse?.replies
    const own = replies === undefined ? given : replies.rewrite(given, (status) => this.#factsOf(given, status))
    const answer = clientsAnswer(this.#stream, this.#run, own)
    // What headers say about the answer is about this one.
    this.#outcome.status = answer.head.status
    this.#changeResponse(answer.head)
    this.#outcome.answered(answer)
    sendAnswer(this.#stream, this.#run, answer)
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
    recordExchange(this.#ends(), this.#services, this.#outcome)
  }

  #ends(): Ends {
    const stream = this.#stream
    const downstream = this.#downstream
    return { stream, downstream, attempts: this.#attempts, route: this.#route, run: this.#run }
  }

  /** As they will be when this is answered. */
  #factsOf({ head, flag }: LocalAnswer, status: number): StreamFacts {
    this.#outcome.status = status
    this.#outcome.flag = flag
    this.#outcome.response = head.headers
    return this.facts()
  }

  facts(): StreamFacts {
    return exchangeFacts(this.#ends(), this.#services, this.#outcome, undefined)
  }
}
