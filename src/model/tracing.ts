/**
 * Tracing as plain data: which requests get spans, what the spans say, where they go. Part of config.ts, which exports
 * it; shaped after the connection manager's `tracing` with an OpenTelemetry provider.
 */
import type { GrpcTarget } from './ext-authz.ts'

export interface Tracing {
  /** Absent: contexts are passed on and decisions made, and nothing is exported. */
  readonly provider?: TraceProvider
  /** Percent, two decimals; absent: 100. Of requests that ask by `x-client-trace-id`, of the rest, and of all chosen. */
  readonly clientSampling?: number
  readonly randomSampling?: number
  readonly overallSampling?: number
  /** Of a path in a span; absent: 256. */
  readonly pathLengthMax?: number
  readonly tags?: readonly CustomTag[]
}

export interface TraceProvider {
  readonly serviceName: string
  /** More attributes of the resource. */
  readonly attributes?: Readonly<Record<string, string>>
  readonly target: ({ readonly kind: 'grpc' } & GrpcTarget) | HttpCollector
}

/** OTLP over HTTP: protobuf, posted to a path. */
export interface HttpCollector {
  readonly kind: 'http'
  readonly cluster: string
  readonly authority: string
  readonly path: string
  readonly timeoutMs: number
  readonly headers?: readonly { readonly name: string; readonly value: string }[]
}

export type CustomTag =
  | { readonly kind: 'literal'; readonly tag: string; readonly value: string }
  /** Without the field and a default there is no tag. */
  | { readonly kind: 'header'; readonly tag: string; readonly name: string; readonly fallback?: string }
  /** Of the proxy's own process. */
  | { readonly kind: 'environment'; readonly tag: string; readonly name: string; readonly fallback?: string }
