/** The tracers of a process: compiled per connection manager, with exporters that outlive configurations. */
import type { TraceProvider, Tracing } from '../../model/config.ts'
import type { Random } from '../../runtime/random.ts'
import type { ClusterState } from '../balance/cluster.ts'
import type { HttpStats } from '../stats/scopes.ts'
import type { Stats } from '../stats/store.ts'
import type { TimerWheel } from '../timer-wheel.ts'
import { EXPORT_NAMES, SpanExporter } from './exporter.ts'
import type { SpanKind } from './otlp.ts'
import { HttpTracer, type TracerParts } from './tracer.ts'

/** What a configuration is compiled with. */
export interface TracerCompiler {
  compile(
    tracing: Tracing | undefined,
    of: { readonly stats: HttpStats; readonly kind: SpanKind },
  ): HttpTracer | undefined
  settle(): void
}

/** Where configurations are only judged. */
export const NO_TRACERS: TracerCompiler = { compile: () => undefined, settle: () => {} }

export interface TracersParts {
  readonly timers: TimerWheel
  readonly random: Random
  readonly clusterOf: (name: string) => ClusterState | undefined
  readonly stats: Stats
  readonly tags: TracerParts['tags']
}

export class Tracers implements TracerCompiler {
  readonly #parts: TracersParts
  readonly #exporters = new Map<string, SpanExporter>()
  #used = new Set<string>()

  constructor(parts: TracersParts) {
    this.#parts = parts
  }

  compile(tracing: Tracing | undefined, { stats, kind }: { stats: HttpStats; kind: SpanKind }): HttpTracer | undefined {
    if (tracing === undefined) return undefined
    const { random, tags } = this.#parts
    const exporter = tracing.provider && this.#exporterOf(tracing.provider)
    return new HttpTracer(tracing, { random, stats, kind, tags, exporter })
  }

  /** After a configuration was compiled: what it does not name is closed. */
  settle(): void {
    for (const [key, exporter] of this.#exporters) {
      if (this.#used.has(key)) continue
      this.#exporters.delete(key)
      exporter.close()
    }
    this.#used = new Set()
  }

  flush(): void {
    for (const exporter of this.#exporters.values()) exporter.flush()
  }

  close(): void {
    for (const exporter of this.#exporters.values()) exporter.close()
    this.#exporters.clear()
  }

  #exporterOf(provider: TraceProvider): SpanExporter {
    const key = JSON.stringify(provider)
    this.#used.add(key)
    const known = this.#exporters.get(key)
    if (known !== undefined) return known
    const { timers, clusterOf, stats } = this.#parts
    const counters = stats.counters('tracing.opentelemetry.', EXPORT_NAMES)
    const made = new SpanExporter(provider, { timers, clusterOf, counters })
    this.#exporters.set(key, made)
    return made
  }
}
