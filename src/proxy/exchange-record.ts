/** An exchange as the recorder takes it: what the exchange knows, put together with its stream and connection. */
import type { Destination, DownstreamConnection, ExchangeServices } from './exchange-context.ts'
import { headerOf } from './message.ts'
import type { ResponseFlag } from './record.ts'
import type { ServerStream } from './stream.ts'

export interface Outcome {
  /** Monotonic. */
  readonly startedAt: number
  readonly authority: string
  readonly path: string
  readonly status: number
  readonly flag: ResponseFlag
  readonly detail: string
  readonly target: Destination
  readonly service: string
  readonly attempts: number
}

export function recordExchange(
  stream: ServerStream,
  downstream: DownstreamConnection,
  services: ExchangeServices,
  outcome: Outcome,
): void {
  const { mode } = downstream
  const { target } = outcome
  const durationMs = services.timers.now() - outcome.startedAt
  services.recorder.request({
    reporter: mode === 'inbound' ? 'destination' : 'source',
    startedAt: services.now() - durationMs,
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
    attempts: outcome.attempts,
    bytesReceived: stream.bytesReceived,
    bytesSent: stream.bytesSent,
    requestId: headerOf(stream.head.headers, 'x-request-id') ?? '',
    mutualTls: downstream.peer !== undefined,
  })
}
