/** An exchange as the recorder takes it: what the exchange knows, put together with its stream and connection. */
import type { Attempts } from './exchange-attempts.ts'
import type { DownstreamConnection, ExchangeServices } from './exchange-context.ts'
import { logStream } from './access-log/logs.ts'
import { account } from './exchange-account.ts'
import type { RequestMetadata } from './filters/metadata.ts'
import type { LocalAnswer } from './local-reply.ts'
import { exchangeFacts } from './exchange-facts.ts'
import type { FilterRun } from './filters/run.ts'
import { type HeaderList, headerOf, type RequestHead, type ResponseHead } from './message.ts'
import type { FinishedRequest, ResponseFlag } from './record.ts'
import type { CompiledRoute } from './routes.ts'
import type { ServerStream } from './stream.ts'
import type { HttpTelemetry } from './telemetry.ts'
import type { TimerWheel } from './timer-wheel.ts'

/** What became of a request, as far as it is known. */
export class Outcome {
  /** Monotonic. */
  readonly startedAt: number
  /** Of the chain as it was when the request came: configurations change under a connection. */
  telemetry: HttpTelemetry
  /** As the client asked; the path in normal form. Rewrites come later. */
  readonly authority: string
  path: string
  service: string
  /** The client's address as hops that are trusted name it; undefined: the connection's. */
  client: string | undefined = undefined
  status = 0
  flag: ResponseFlag = '-'
  detail = ''
  /** The answer's head is on its way; only its end can still go wrong. */
  responded = false
  /** The route itself answered: nobody upstream was meant. */
  direct = false
  /** When the request was whole: what the endpoint took counts from here. */
  completeAt: number
  isComplete = false
  /** When the answer began; 0: it did not, or nobody asks. */
  responseAt = 0
  /** Of the answer, as it was sent. */
  response: HeaderList | undefined = undefined
  trailers: HeaderList | undefined = undefined
  /** Of bodies. */
  bytesReceived = 0
  bytesSent = 0
  /** What filters said; undefined: nothing. */
  metadata: RequestMetadata | undefined = undefined

  constructor(
    startedAt: number,
    telemetry: HttpTelemetry,
    { authority, path }: Pick<RequestHead, 'authority' | 'path'>,
  ) {
    this.startedAt = startedAt
    this.telemetry = telemetry
    this.completeAt = startedAt
    this.authority = authority
    this.path = path
    this.service = authority
  }

  /** The request is whole. */
  complete(now: number): void {
    this.completeAt = now
    this.isComplete = true
  }

  /** An endpoint's answer is on its way. */
  began(head: ResponseHead, timers: TimerWheel): void {
    this.responded = true
    this.status = head.status
    this.response = head.headers
    if (this.telemetry.timed) this.responseAt = timers.now()
  }

  /** By the proxy itself. */
  answered({ head, body, flag, detail }: LocalAnswer): void {
    this.status = head.status
    this.response = head.headers
    this.bytesSent = body.length
    this.flag = flag
    if (this.detail === '') this.detail = detail
    this.responded = true
  }
}

export interface Ends {
  readonly stream: ServerStream
  readonly downstream: DownstreamConnection
  readonly attempts: Attempts
  readonly route: CompiledRoute | undefined
  readonly run: FilterRun | undefined
}

export function recordExchange(ends: Ends, services: ExchangeServices, outcome: Outcome): void {
  const { stream, downstream, attempts } = ends
  const { mode } = downstream
  const target = attempts.destination
  const durationMs = services.timers.now() - outcome.startedAt
  if (ends.run !== undefined) {
    ends.run.end()
    outcome.metadata = ends.run.metadataIfAny
  }
  const { stats, logs, tracer } = outcome.telemetry
  account(stats, outcome, ends, durationMs)
  const span = tracer?.spanOf(stream.head)
  if (logs !== undefined || span !== undefined) {
    const facts = exchangeFacts(ends, services, outcome, durationMs)
    if (logs !== undefined) logStream(logs, facts)
    if (span !== undefined) tracer?.end(span, facts)
  }
  const finished: FinishedRequest = {
    reporter: mode === 'inbound' ? 'destination' : 'source',
    startedAt: services.timers.wallAt(outcome.startedAt),
    durationMs,
    method: stream.head.method,
    authority: outcome.authority,
    path: outcome.path,
    protocol: stream.version,
    status: outcome.status,
    flag: outcome.flag,
    detail: outcome.detail,
    source: downstream.source(),
    destination: mode === 'inbound' ? services.self() : target.party,
    service: outcome.service,
    upstream: target.address,
    transport: target.transport,
    attempts: attempts.count,
    bytesReceived: stream.bytesReceived,
    bytesSent: stream.bytesSent,
    requestId: headerOf(stream.head.headers, 'x-request-id') ?? '',
    mutualTls: downstream.peer !== undefined,
  }
  services.recorder.request(finished, logs !== undefined)
}
