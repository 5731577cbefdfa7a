/**
 * Tracing of one connection manager's requests: the decision and the context when a request is let in, a span with
 * Envoy's tags when it is over. A request that is not sampled passes its context on and leaves nothing behind.
 */
import type { CustomTag, Tracing } from '../../model/config.ts'
import type { Random } from '../../runtime/random.ts'
import { type HeaderList, headerOf, type RequestHead } from '../message.ts'
import type { StreamFacts } from '../stream-facts.ts'
import type { HttpStats } from '../stats/scopes.ts'
import { readContext, writeContext } from './context.ts'
import type { SpanExporter } from './exporter.ts'
import { encodeSpan, type SpanKind } from './otlp.ts'
import { decide, type Reason, type Shares } from './sampling.ts'

const PATH_CHARS_MAX = 256

export interface Span {
  readonly traceId: string
  readonly spanId: string
  readonly parentId: string
  readonly state: string
}

export interface TracerParts {
  readonly random: Random
  readonly stats: HttpStats
  readonly exporter: SpanExporter | undefined
  readonly kind: SpanKind
  /** Told with every span: which proxy it is of. */
  readonly tags: readonly (readonly [key: string, value: string])[]
}

export class HttpTracer {
  readonly #config: Tracing
  readonly #parts: TracerParts
  readonly #shares: Shares
  /** Of requests under way that are sampled. */
  readonly #spans = new WeakMap<RequestHead, Span>()

  constructor(config: Tracing, parts: TracerParts) {
    this.#config = config
    this.#parts = parts
    const { clientSampling = 100, randomSampling = 100, overallSampling = 100 } = config
    this.#shares = { client: clientSampling, random: randomSampling, overall: overallSampling }
  }

  /** Changes the head: what goes on continues the trace with our span as its parent. */
  begin(head: RequestHead): void {
    const { random, stats, exporter } = this.#parts
    const reason = decide(head.headers, this.#shares, random)
    stats.counters[COUNTERS[reason]]++
    const caller = readContext(head.headers)
    const sampled = caller?.sampled ?? reason !== 'not-traceable'
    const traceId = caller?.traceId ?? randomHex(random, 4)
    const spanId = randomHex(random, 2)
    const parentId = caller?.spanId ?? ''
    const state = caller?.state ?? ''
    writeContext(head.headers, { traceId, spanId, parentId, sampled, state, form: caller?.form ?? 'w3c' })
    if (sampled && exporter !== undefined) this.#spans.set(head, { traceId, spanId, parentId, state })
  }

  /** Undefined: not sampled. */
  spanOf(head: RequestHead): Span | undefined {
    return this.#spans.get(head)
  }

  end(span: Span, facts: StreamFacts): void {
    const { exporter, kind, tags } = this.#parts
    const { status, startedAt, durationMs = 0, request } = facts
    const failed = status >= 500 || status === 0
    exporter?.add(
      encodeSpan({
        ...span,
        name: kind === 'client' ? `egress ${request?.authority ?? ''}` : 'ingress',
        kind,
        startMs: startedAt,
        endMs: startedAt + durationMs,
        failed,
        tags: [...tags, ...this.#tagsOf(facts, failed)],
      }),
    )
  }

  #tagsOf(facts: StreamFacts, failed: boolean): readonly (readonly [string, string])[] {
    const { request, connection, upstream } = facts
    const headers = request?.headers ?? []
    const cluster = upstream?.cluster ?? '-'
    const tags: [string, string][] = [
      ['component', 'proxy'],
      ['http.url', this.#urlOf(request)],
      ['http.method', request?.method ?? ''],
      ['http.protocol', facts.protocol ?? ''],
      ['http.status_code', String(facts.status)],
      ['downstream_cluster', headerOf(headers, 'x-envoy-downstream-service-cluster') ?? '-'],
      ['user_agent', headerOf(headers, 'user-agent') ?? '-'],
      ['peer.address', addressOf(connection.directRemoteAddress)],
      ['request_size', String(facts.bytesReceived)],
      ['response_size', String(facts.bytesSent)],
      ['response_flags', facts.flags],
      ['upstream_cluster', cluster],
      ['upstream_cluster.name', cluster],
    ]
    addTag(tags, 'guid:x-request-id', headerOf(headers, 'x-request-id'))
    addTag(tags, 'guid:x-client-trace-id', headerOf(headers, 'x-client-trace-id'))
    if (upstream !== undefined) addTag(tags, 'upstream_address', upstream.address)
    if (failed) tags.push(['error', 'true'])
    for (const tag of this.#config.tags ?? []) addTag(tags, tag.tag, customValue(tag, headers))
    return tags
  }

  #urlOf(request: RequestHead | undefined): string {
    if (request === undefined) return ''
    const path = headerOf(request.headers, 'x-envoy-original-path') ?? request.path
    const scheme = headerOf(request.headers, 'x-forwarded-proto') ?? request.scheme
    return `${scheme}://${request.authority}${path.slice(0, this.#config.pathLengthMax ?? PATH_CHARS_MAX)}`
  }
}

const COUNTERS = {
  'not-traceable': 'tracing.not_traceable',
  sampling: 'tracing.random_sampling',
  'service-forced': 'tracing.service_forced',
  'client-forced': 'tracing.client_enabled',
} as const satisfies Record<Reason, string>

/** Without the port. */
const addressOf = (address: string): string => address.slice(0, Math.max(0, address.lastIndexOf(':')))

function addTag(tags: [string, string][], name: string, value: string | undefined): void {
  if (value !== undefined && value !== '') tags.push([name, value])
}

function customValue(tag: CustomTag, headers: HeaderList): string | undefined {
  switch (tag.kind) {
    case 'literal':
      return tag.value
    case 'header':
      return headerOf(headers, tag.name) ?? tag.fallback
    case 'environment':
      return process.env[tag.name] ?? tag.fallback
    default:
      return tag satisfies never
  }
}

/** Words of 32 bits; never all zero, which would be no id. */
function randomHex(random: Random, words: number): string {
  let text = ''
  for (let word = 0; word < words; word++) {
    text += Math.floor(random.next() * 2 ** 32)
      .toString(16)
      .padStart(8, '0')
  }
  return /^0+$/.test(text) ? `${text.slice(1)}1` : text
}
