/**
 * Spans as OTLP's protobuf (opentelemetry.proto.trace.v1), written by hand: few fields, and a generated codec would
 * cost an idle sidecar memory. Field numbers stand beside their names.
 */
import { ProtoWriter } from '../side/protobuf.ts'

export type SpanKind = 'server' | 'client'

export interface FinishedSpan {
  readonly traceId: string
  readonly spanId: string
  /** Empty: the first of its trace. */
  readonly parentId: string
  readonly state: string
  readonly name: string
  readonly kind: SpanKind
  /** Wall clock, milliseconds with fractions. */
  readonly startMs: number
  readonly endMs: number
  readonly failed: boolean
  readonly tags: readonly (readonly [key: string, value: string])[]
}

const KINDS: Readonly<Record<SpanKind, number>> = { server: 2, client: 3 }
const STATUS_ERROR = 2

export function encodeSpan(span: FinishedSpan): ProtoWriter {
  const writer = new ProtoWriter()
    .bytes(1, Buffer.from(span.traceId, 'hex')) // trace_id
    .bytes(2, Buffer.from(span.spanId, 'hex')) // span_id
    .string(3, span.state) // trace_state
  if (span.parentId !== '') writer.bytes(4, Buffer.from(span.parentId, 'hex')) // parent_span_id
  writer
    .string(5, span.name) // name
    .uint(6, KINDS[span.kind]) // kind
    .fixed64(7, nanos(span.startMs)) // start_time_unix_nano
    .fixed64(8, nanos(span.endMs)) // end_time_unix_nano
  for (const [key, value] of span.tags) writer.message(9, attribute(key, value)) // attributes
  if (span.failed) writer.message(15, new ProtoWriter().uint(3, STATUS_ERROR)) // status.code
  return writer
}

/** KeyValue with a string as its AnyValue; an empty one is a value too. */
const attribute = (key: string, value: string): ProtoWriter =>
  new ProtoWriter().string(1, key).message(2, new ProtoWriter().bytes(1, Buffer.from(value)))

const nanos = (ms: number): bigint => BigInt(Math.floor(ms)) * 1_000_000n + BigInt(Math.round((ms % 1) * 1e6))

export interface Resource {
  readonly attributes: Readonly<Record<string, string>>
  readonly scope: { readonly name: string; readonly version: string }
}

/** ExportTraceServiceRequest with one resource and one scope. */
export function encodeRequest(resource: Resource, spans: readonly ProtoWriter[]): Buffer {
  const attributes = new ProtoWriter()
  for (const [key, value] of Object.entries(resource.attributes)) attributes.message(1, attribute(key, value))
  const { name, version } = resource.scope
  const scoped = new ProtoWriter().message(1, new ProtoWriter().string(1, name).string(2, version))
  for (const span of spans) scoped.message(2, span)
  return new ProtoWriter().message(1, new ProtoWriter().message(1, attributes).message(2, scoped)).finish()
}
