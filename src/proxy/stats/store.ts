/**
 * Everything that is counted, by name: scopes are handed out to who compiles a configuration and read when someone
 * asks. A sample is plain data, so that the samples of several workers add up to those of one.
 */
import { Histogram } from './histogram.ts'
import { type Counters, isGauge, zeroes } from './names.ts'
import {
  ClusterStats,
  HttpStats,
  type ListenerCounters,
  listenerCounters,
  type TcpCounters,
  tcpCounters,
} from './scopes.ts'

export type Sample =
  | { readonly kind: 'counter' | 'gauge'; readonly name: string; readonly value: number }
  | {
      readonly kind: 'histogram'
      readonly name: string
      readonly count: number
      readonly sum: number
      readonly buckets: readonly number[]
    }

export type Take = (name: string, value: number) => void

export class Stats {
  readonly #http = new Map<string, HttpStats>()
  readonly #clusters = new Map<string, ClusterStats>()
  readonly #listeners = new Map<string, ListenerCounters>()
  readonly #tcp = new Map<string, TcpCounters>()
  readonly #others = new Map<string, Counters<string>>()
  readonly #sources: ((take: Take) => void)[] = []

  http(statPrefix: string): HttpStats {
    return madeOnce(this.#http, statPrefix, () => new HttpStats())
  }

  cluster(name: string): ClusterStats {
    return madeOnce(this.#clusters, name, () => new ClusterStats())
  }

  /** By address and port, with underscores for colons, as Envoy names it. */
  listener(address: string, port: number): ListenerCounters {
    const host = address.includes(':') ? `[${address.replaceAll(':', '_')}]` : address
    return madeOnce(this.#listeners, `${host}_${port}`, listenerCounters)
  }

  tcp(statPrefix: string): TcpCounters {
    return madeOnce(this.#tcp, statPrefix, tcpCounters)
  }

  /** Counters of anything else, such as a filter: `counters('http.ingress.rbac.', ['allowed', 'denied'])`. */
  counters<N extends string>(scope: string, names: readonly N[]): Counters<N> {
    const counters = madeOnce(this.#others, scope, () => zeroes<string>(names))
    // Two who count in one scope each bring their names.
    for (const name of names) counters[name] ??= 0
    return counters
  }

  /** Figures that someone else keeps anyway are asked for when someone looks. */
  addSource(source: (take: Take) => void): void {
    this.#sources.push(source)
  }

  /** Of clusters that are gone; a name that comes back begins at zero, as in Envoy. */
  forgetCluster(name: string): void {
    this.#clusters.delete(name)
  }

  /** In the order of their names. */
  samples(): Sample[] {
    const samples: Sample[] = []
    const take: Take = (name, value) => samples.push({ kind: isGauge(name) ? 'gauge' : 'counter', name, value })
    const takeHistogram = (name: string, { count, sum, buckets }: Histogram): void => {
      samples.push({ kind: 'histogram', name, count, sum, buckets })
    }
    for (const [prefix, stats] of this.#http) {
      takeAll(`http.${prefix}.`, stats.counters, take)
      takeHistogram(`http.${prefix}.downstream_rq_time`, stats.requestTime)
      takeHistogram(`http.${prefix}.downstream_cx_length_ms`, stats.connectionLength)
    }
    for (const [name, stats] of this.#clusters) {
      const scope = `cluster.${name}.`
      takeAll(scope, stats.counters, take)
      stats.eachCode((code, count) => take(`${scope}upstream_rq_${code}`, count))
      takeHistogram(`${scope}upstream_rq_time`, stats.requestTime)
      takeHistogram(`${scope}upstream_cx_connect_ms`, stats.connectTime)
      takeHistogram(`${scope}upstream_cx_length_ms`, stats.connectionLength)
    }
    for (const [name, counters] of this.#listeners) takeAll(`listener.${name}.`, counters, take)
    for (const [name, counters] of this.#tcp) takeAll(`tcp.${name}.`, counters, take)
    for (const [scope, counters] of this.#others) takeAll(scope, counters, take)
    for (const source of this.#sources) source(take)
    return samples.sort((one, other) => (one.name < other.name ? -1 : one.name > other.name ? 1 : 0))
  }

  /** Counters and histograms begin again; gauges say what is. */
  reset(): void {
    const sets: Counters<string>[] = [...this.#listeners.values(), ...this.#tcp.values(), ...this.#others.values()]
    for (const stats of [...this.#http.values(), ...this.#clusters.values()]) {
      sets.push(stats.counters)
      stats.requestTime.clear()
      stats.connectionLength.clear()
      if (stats instanceof HttpStats) continue
      stats.connectTime.clear()
      stats.clear()
    }
    for (const counters of sets) for (const name of Object.keys(counters)) if (!isGauge(name)) counters[name] = 0
  }
}

function madeOnce<T>(map: Map<string, T>, name: string, make: () => T): T {
  const known = map.get(name)
  if (known !== undefined) return known
  const made = make()
  map.set(name, made)
  return made
}

function takeAll(scope: string, counters: Counters<string>, take: Take): void {
  for (const [name, value] of Object.entries(counters)) take(scope + name, value)
}

/** What several processes counted, as one would have; gauges add up too, for each holds its own connections. */
export function mergeSamples(lists: readonly (readonly Sample[])[]): Sample[] {
  const merged = new Map<string, Sample>()
  for (const samples of lists) {
    for (const sample of samples) {
      const before = merged.get(sample.name)
      merged.set(sample.name, before === undefined ? sample : sum(before, sample))
    }
  }
  return [...merged.values()].sort((one, other) => (one.name < other.name ? -1 : one.name > other.name ? 1 : 0))
}

function sum(one: Sample, other: Sample): Sample {
  if (one.kind !== 'histogram' || other.kind !== 'histogram') {
    return one.kind === 'histogram' || other.kind === 'histogram' ? one : { ...one, value: one.value + other.value }
  }
  const [longer, shorter] = one.buckets.length >= other.buckets.length ? [one, other] : [other, one]
  return {
    ...one,
    count: one.count + other.count,
    sum: one.sum + other.sum,
    buckets: longer.buckets.map((value, index) => value + (shorter.buckets[index] ?? 0)),
  }
}
