/**
 * Spans on their way to a collector: gathered, sent in batches through a cluster of the proxy's own, one batch at a
 * time. The queue is bounded and nothing is sent twice: what cannot go is dropped and counted, and no request waits.
 */
import type { TraceProvider } from '../../model/config.ts'
import { VERSION } from '../../runtime/version.ts'
import type { ClusterState } from '../balance/cluster.ts'
import { SideCall } from '../side/call.ts'
import { unaryCall } from '../side/grpc.ts'
import type { ProtoWriter } from '../side/protobuf.ts'
import type { Counters } from '../stats/names.ts'
import { type TimerWheel, WheelTimer } from '../timer-wheel.ts'
import { encodeRequest, type Resource } from './otlp.ts'

const QUEUE_MAX = 2_048
const BATCH_MAX = 256
const FLUSH_AFTER_MS = 1_000 // Envoy 5 s or 5 spans
const EXPORT_PATH = '/opentelemetry.proto.collector.trace.v1.TraceService/Export'

export const EXPORT_NAMES = ['spans_sent', 'spans_dropped', 'reports_sent', 'reports_failed'] as const

export interface ExporterParts {
  readonly timers: TimerWheel
  /** As the present configuration has it. */
  readonly clusterOf: (name: string) => ClusterState | undefined
  readonly counters: Counters<(typeof EXPORT_NAMES)[number]>
}

export class SpanExporter {
  readonly #provider: TraceProvider
  readonly #parts: ExporterParts
  readonly #resource: Resource
  readonly #timer: WheelTimer
  #queue: ProtoWriter[] = []
  #call: SideCall | undefined = undefined

  constructor(provider: TraceProvider, parts: ExporterParts) {
    this.#provider = provider
    this.#parts = parts
    this.#timer = new WheelTimer(() => this.flush())
    this.#resource = {
      attributes: {
        'service.name': provider.serviceName === '' ? 'unknown_service:isthmus' : provider.serviceName,
        'telemetry.sdk.language': 'nodejs',
        'telemetry.sdk.name': 'isthmus',
        'telemetry.sdk.version': VERSION,
        ...provider.attributes,
      },
      scope: { name: 'isthmus', version: VERSION },
    }
  }

  add(span: ProtoWriter): void {
    const { counters, timers } = this.#parts
    if (this.#queue.length >= QUEUE_MAX) {
      counters.spans_dropped++
      return
    }
    this.#queue.push(span)
    if (this.#queue.length >= BATCH_MAX) this.flush()
    else if (!this.#timer.scheduled) timers.schedule(this.#timer, FLUSH_AFTER_MS)
  }

  /** Sends what there is, unless a batch is still on its way. */
  flush(): void {
    this.#parts.timers.cancel(this.#timer)
    if (this.#call !== undefined || this.#queue.length === 0) return
    const spans = this.#queue.splice(0, BATCH_MAX)
    const call = this.#createCall(encodeRequest(this.#resource, spans), (ok) => this.#sent(spans.length, ok))
    this.#call = call
    call.start()
  }

  close(): void {
    this.#parts.timers.cancel(this.#timer)
    this.#call?.cancel()
    this.#call = undefined
    this.#parts.counters.spans_dropped += this.#queue.length
    this.#queue = []
  }

  #sent(count: number, ok: boolean): void {
    const { counters, timers } = this.#parts
    this.#call = undefined
    if (ok) {
      counters.reports_sent++
      counters.spans_sent += count
    } else {
      counters.reports_failed++
      counters.spans_dropped += count
    }
    if (this.#queue.length > 0) timers.schedule(this.#timer, this.#queue.length >= BATCH_MAX ? 0 : FLUSH_AFTER_MS)
  }

  #createCall(message: Buffer, done: (ok: boolean) => void): SideCall {
    const { timers, clusterOf } = this.#parts
    const { target } = this.#provider
    const cluster = clusterOf(target.cluster)
    if (target.kind === 'grpc') {
      const metadata = (target.metadata ?? []).flatMap(({ name, value }) => [name, value])
      const { authority = target.cluster, timeoutMs } = target
      const request = { authority, path: EXPORT_PATH, message, metadata, timeoutMs }
      return unaryCall(cluster, request, timers, ({ kind }) => done(kind === 'ok'))
    }
    const headers = ['content-type', 'application/x-protobuf']
    for (const { name, value } of target.headers ?? []) headers.push(name, value)
    const { authority, path, timeoutMs } = target
    const head = { method: 'POST', scheme: 'http', authority, path, protocol: '', headers, bodyLength: message.length }
    return new SideCall(cluster, { head, body: message, timeoutMs }, timers, (outcome) =>
      done(outcome.kind === 'answer' && outcome.status >= 200 && outcome.status < 300),
    )
  }
}
