/**
 * What becomes of answers that a proxy gives itself, as plain data. Part of config.ts, which exports it; shaped after
 * envoy.extensions.filters.network.http_connection_manager.v3.LocalReplyConfig.
 */
import type { LogFilter, LogFormat } from './access-log.ts'
import type { HeaderChange } from './route.ts'
import type { DataSource } from './tls.ts'

export type BodyFormat = LogFormat & {
  /** Absent: plain text, or JSON where the format is that. */
  readonly contentType?: string
}

export interface ReplyMapper {
  readonly filter: LogFilter
  readonly status?: number
  /** Is `%LOCAL_REPLY_BODY%` from here on. */
  readonly body?: DataSource
  /** In place of the format of all. */
  readonly format?: BodyFormat
  readonly headers?: readonly HeaderChange[]
}

export interface LocalReplyPolicy {
  /** The first that fits is the only one. */
  readonly mappers: readonly ReplyMapper[]
  readonly format?: BodyFormat
}
