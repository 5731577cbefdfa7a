/**
 * What is counted, logged and traced about the requests of one connection manager: compiled with its chain, held by
 * the connection, so that a request looks nothing up. What is not configured costs a comparison.
 */
import type { StreamLogs } from './access-log/logs.ts'
import { HttpStats } from './stats/scopes.ts'
import type { HttpTracer } from './tracing/tracer.ts'

export interface HttpTelemetry {
  readonly stats: HttpStats
  /** Undefined: none configured. */
  readonly logs: StreamLogs | undefined
  readonly tracer: HttpTracer | undefined
  /** Someone asks when an answer began. */
  readonly timed: boolean
}

/** Of connections that no chain stands for any more. */
export const untold = (): HttpTelemetry => ({
  stats: new HttpStats(),
  logs: undefined,
  tracer: undefined,
  timed: false,
})
