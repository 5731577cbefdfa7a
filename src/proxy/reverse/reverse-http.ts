/**
 * What an HTTP connection manager of a generic listener does to heads, as Envoy does it by default: which headers of a
 * client are believed, what is told to the endpoint and to the client, and how a refusal reads. One per chain,
 * immutable; the mesh's own chains have none and never come here.
 */
import { randomUUID } from 'node:crypto'
import type { HttpSettings } from '../../model/config.ts'
import type { ClientConnectionFacts } from '../exchange-context.ts'
import type { H1Limits } from '../h1/types.ts'
import type { H2Limits } from '../h2/types.ts'
import { type LocalAnswer, type Refusal, REFUSALS } from '../local-reply.ts'
import { withoutPort } from '../match/hosts.ts'
import { type HeaderList, headerOf, removeHeaders, type RequestHead, type ResponseHead, setHeader } from '../message.ts'
import { appendTo, forwardCertificate, forwardedAddress, setForwarded, trustedAddress } from './client-headers.ts'
import { HttpDate } from './http-date.ts'
import { h1LimitsOf, h2LimitsOf } from './limits.ts'
import type { LocalReplies } from './local-replies.ts'
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
  'x-envoy-external-address',
  'x-envoy-original-url',
  'x-envoy-hedge-on-per-try-timeout',
])

export class ReverseHttp {
  readonly settings: HttpSettings
  readonly h1: H1Limits
  readonly h2: H2Limits
  /** Undefined: answers of our own are as they are. */
  readonly replies: LocalReplies | undefined
  readonly #changesHost: boolean
  readonly #date = new HttpDate()

  constructor(settings: HttpSettings, replies?: LocalReplies) {
    this.settings = settings
    this.replies = replies
    this.#changesHost = settings.stripPort !== undefined || settings.stripTrailingDot === true
    this.h1 = h1LimitsOf(settings)
    this.h2 = h2LimitsOf(settings)
  }

  /** Of the client, where `x-forwarded-for` is believed. Asked before anything is added to it. */
  trustedAddress(headers: HeaderList): string | undefined {
    return trustedAddress(headers, this.settings)
  }

  /** Before a route is chosen, so that routes may match on what is set here. */
  request(head: RequestHead, client: ClientConnectionFacts, remoteAddress: string): void {
    const { headers } = head
    const { settings } = this
    if (settings.underscores === 'drop') removeHeaders(headers, (name) => name.includes('_'))
    if (this.#changesHost) this.#settleHost(head, client.localPort)
    removeHeaders(headers, (name) => INTERNAL_REQUEST_HEADERS.has(name))
    setForwarded(headers, settings, client, remoteAddress)
    forwardCertificate(headers, settings.clientCertificate, client)
    this.#setRequestId(headers)
    if (settings.via !== undefined) appendTo(headers, 'via', settings.via, ', ')
  }

  /** Of an edge request the id is ours, so that no client chooses what is traced or found in our logs. */
  #setRequestId(headers: HeaderList): void {
    const { useRemoteAddress, preserveRequestId, generateRequestId } = this.settings
    const replaces = useRemoteAddress === true && preserveRequestId !== true
    if (generateRequestId === false) return
    if (replaces) setHeader(headers, 'x-request-id', randomUUID())
    else if (headerOf(headers, 'x-request-id') === undefined) headers.push('x-request-id', randomUUID())
  }

  #settleHost(head: RequestHead, localPort: number): void {
    const { stripPort, stripTrailingDot } = this.settings
    let { authority } = head
    const bare = withoutPort(authority)
    const port = authority.slice(bare.length + 1)
    const strips = stripPort === 'any' || (stripPort === 'matching' && port === `${localPort}`)
    if (port !== '' && strips && head.method !== 'CONNECT') authority = bare
    if (stripTrailingDot === true) authority = withoutDot(authority)
    head.authority = authority
  }

  /** How long the endpoint may take; 0: no limit. */
  forwarded(head: RequestHead, expectedMs: number): void {
    if (expectedMs > 0) setHeader(head.headers, 'x-envoy-expected-rq-timeout-ms', `${Math.round(expectedMs)}`)
  }

  /** A copy comes from us, not from the client. */
  copied(head: RequestHead): void {
    setHeader(head.headers, 'x-envoy-internal', 'true')
    appendTo(head.headers, 'x-forwarded-for', forwardedAddress('127.0.0.1'))
  }

  /** From an endpoint, `serviceMs` after the request was complete. */
  upstreamResponse(head: ResponseHead, serviceMs: number): void {
    setHeader(head.headers, 'x-envoy-upstream-service-time', `${Math.floor(serviceMs)}`)
  }

  /** Every answer, ours too; `request` where one was read. */
  response(head: ResponseHead, now: number, request?: RequestHead): void {
    const { headers } = head
    const { serverName = 'envoy', serverHeader, via, requestIdInResponse } = this.settings
    const id =
      requestIdInResponse === true && request !== undefined ? headerOf(request.headers, 'x-request-id') : undefined
    if (id !== undefined) setHeader(headers, 'x-request-id', id)
    if (headerOf(headers, 'date') === undefined) headers.push('date', this.#date.text(now))
    const keeps = serverHeader === 'pass-through' || headerOf(headers, 'server') !== undefined
    if (serverHeader === undefined || !keeps) setHeader(headers, 'server', serverName)
    if (via !== undefined) appendTo(headers, 'via', via, ', ')
  }

  refusal(refusal: Refusal, detail: string, attempts: number): LocalAnswer {
    const body = Buffer.from(replyText(refusal, attempts))
    const headers = body.length === 0 ? [] : ['content-type', 'text/plain']
    // So that whoever called us does not try at once again.
    if (refusal === REFUSALS.overflow) headers.push('x-envoy-overloaded', 'true')
    const head = { status: refusal.status, headers, bodyLength: body.length }
    return { kind: 'answer', head, body, flag: refusal.flag, detail }
  }
}

/** A client that is told nothing may only have its request refused whole. */
export function hasUnderscore(headers: HeaderList): boolean {
  for (let index = 0; index < headers.length; index += 2) if (headers[index]?.includes('_') === true) return true
  return false
}

/** `a.b.:80` is `a.b:80`. */
function withoutDot(authority: string): string {
  const bare = withoutPort(authority)
  return bare.endsWith('.') ? bare.slice(0, -1) + authority.slice(bare.length) : authority
}
