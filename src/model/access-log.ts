/**
 * Access logs as plain data: where lines go, how they read, which streams are worth one. Part of config.ts, which
 * exports it; shaped after envoy.config.accesslog.v3. What stands in a format is log-format.ts's.
 */
import type { Fraction } from './filters.ts'
import type { HeaderMatch } from './route.ts'

export interface AccessLog {
  readonly sink: LogSink
  readonly format: LogFormat
  /** Absent: every stream. */
  readonly filter?: LogFilter
}

/** `path` is absolute. */
export type LogSink = { readonly kind: 'stdout' | 'stderr' } | { readonly kind: 'file'; readonly path: string }

export type LogFormat = (
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'json'; readonly fields: { readonly [key: string]: JsonFormat } }
) & {
  /** What is not known is left out instead of being shown as `-` or null. */
  readonly omitEmpty?: true
}

/** Text holds operators; everything else stands for itself. */
export type JsonFormat =
  | string
  | number
  | boolean
  | null
  | readonly JsonFormat[]
  | { readonly [key: string]: JsonFormat }

export interface LogComparison {
  readonly op: 'eq' | 'ge' | 'le'
  readonly value: number
}

export type LogFilter =
  | ({ readonly kind: 'status' | 'duration' } & LogComparison)
  | { readonly kind: 'not-health-check' }
  /** Chosen by the request's id, so that every hop chooses the same; `independent`: by chance. */
  | { readonly kind: 'share'; readonly share: Fraction; readonly independent?: true }
  | { readonly kind: 'header'; readonly header: HeaderMatch }
  /** Any of these flags; none named: any flag at all. */
  | { readonly kind: 'flags'; readonly flags: readonly string[] }
  | { readonly kind: 'grpc-status'; readonly statuses: readonly number[]; readonly exclude?: true }
  | { readonly kind: 'and' | 'or'; readonly filters: readonly LogFilter[] }

/** Envoy's, where a log names none. */
export const DEFAULT_LOG_FORMAT =
  '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% ' +
  '%BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" ' +
  '"%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%"\n'
