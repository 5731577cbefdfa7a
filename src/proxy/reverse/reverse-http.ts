/**
 * What an HTTP connection manager of a generic listener does to heads, as Envoy does it by default: which headers of a
 * client are believed, what is told to the endpoint and to the client, and how a refusal reads. One per chain,
 * immutable; the mesh's own chains have none and never come here.
 */
import { randomUUID } from 'node:crypto'
import type { HttpSettings } from '../../model/config.ts'
import type { ClientConnectionFacts } from '../exchange-context.ts'
import { type LocalAnswer, type Refusal } from '../local-reply.ts'
import { headerOf, removeHeaders, type RequestHead, type ResponseHead, setHeader } from '../message.ts'
import { HttpDate } from './http-date.ts'
import { replyText } from './reply-text.ts'

/**
 * Instructions between Envoys of one operator: from anyone else they would let a client steer retries, timeouts and
 * statistics. There is no internal_address_config here, so every client is someone else.
 */
const INTERNAL_REQUEST_HEADERS: ReadonlySet<string> = new Set([
  'x-envoy-internal',
  'x-envoy-retriable-status-codes',
  'x-envoy-retriable-header-names',
  'x-envoy-retry-on',
  'x-envoy-retry-grpc-on',
  'x-envoy-max-retries',
  'x-envoy-upstream-alt-stat-name',
  'x-envoy-upstream-rq-timeout-ms',
  'x-envoy-upstream-rq-per-try-timeout-ms',
  'x-envoy-upstream-rq-timeout-alt-response',
  'x-envoy-expected-rq-timeout-ms',
  'x-envoy-force-trace',
  'x-envoy-ip-tags',
  'x-envoy-original-url',
  'x-envoy-hedge-on-per-try-timeout',
  // Envoy's SANITIZE: no certificate of the client's is passed on.
  'x-forwarded-client-cert',
])

export class ReverseHttp {
  readonly settings: HttpSettings
  readonly #date = new HttpDate()

  constructor(settings: HttpSettings) {
    this.settings = settings
  }

  /** Before a route is chosen, so that routes may match on what is set here. */
  request(head: RequestHead, client: ClientConnectionFacts | undefined): void {
    const { headers } = head
    removeHeaders(headers, (name) => INTERNAL_REQUEST_HEADERS.has(name))
    if (headerOf(headers, 'x-forwarded-proto') === undefined)
      headers.push('x-forwarded-proto', client?.secure === true ? 'https' : 'http')
    if (headerOf(headers, 'x-request-id') === undefined) headers.push('x-request-id', randomUUID())
  }

  /** How long the endpoint may take; 0: no limit. */
  forwarded(head: RequestHead, expectedMs: number): void {
    if (expectedMs > 0) setHeader(head.headers, 'x-envoy-expected-rq-timeout-ms', `${Math.round(expectedMs)}`)
  }

  /** From an endpoint, `serviceMs` after the request was complete. */
  upstreamResponse(head: ResponseHead, serviceMs: number): void {
    setHeader(head.headers, 'x-envoy-upstream-service-time', `${Math.floor(serviceMs)}`)
  }

  /** Every answer, ours too. */
  response(head: ResponseHead, now: number): void {
    const { headers } = head
    if (headerOf(headers, 'date') === undefined) headers.push('date', this.#date.text(now))
    setHeader(headers, 'server', 'envoy')
  }

  refusal(refusal: Refusal, detail: string, attempts: number): LocalAnswer {
    const body = Buffer.from(replyText(refusal, attempts))
    const headers = body.length === 0 ? [] : ['content-type', 'text/plain']
    const head = { status: refusal.status, headers, bodyLength: body.length }
    return { kind: 'answer', head, body, flag: refusal.flag, detail }
  }
}
