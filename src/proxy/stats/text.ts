/** Samples as Envoy's admin shows them: `name: value` lines, JSON, and Prometheus with the names' variable parts as labels. */
import { appendHistogram, family, formatLabels } from '../series.ts'
import { quantile } from './histogram.ts'
import type { Sample } from './store.ts'

type HistogramSample = Extract<Sample, { readonly kind: 'histogram' }>

const QUANTILES = [0, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 100] as const

/** Nobody counted it yet. Gauges at 0 count as used once they are there. */
export const isUsed = (sample: Sample): boolean =>
  sample.kind === 'histogram' ? sample.count > 0 : sample.kind === 'gauge' || sample.value > 0

/** Counters and gauges by name, then histograms. */
export function statLines(samples: readonly Sample[]): string {
  const lines: string[] = []
  for (const sample of samples) if (sample.kind !== 'histogram') lines.push(`${sample.name}: ${sample.value}`)
  for (const sample of samples) if (sample.kind === 'histogram') lines.push(`${sample.name}: ${summary(sample)}`)
  return lines.length === 0 ? '' : `${lines.join('\n')}\n`
}

function summary(sample: HistogramSample): string {
  if (sample.count === 0) return 'No recorded values'
  return QUANTILES.map((percent) => {
    const value = rounded(quantile(sample.buckets, percent / 100))
    return `P${percent}(${value},${value})`
  }).join(' ')
}

const rounded = (value: number): number => Math.round(value * 1_000) / 1_000

export function statJson(samples: readonly Sample[]): string {
  const stats: unknown[] = []
  const computed: unknown[] = []
  for (const sample of samples) {
    if (sample.kind !== 'histogram') stats.push({ name: sample.name, value: sample.value })
    else computed.push({ name: sample.name, values: QUANTILES.map((percent) => quantilePair(sample, percent)) })
  }
  if (computed.length > 0) {
    stats.push({ histograms: { supported_quantiles: QUANTILES, computed_quantiles: computed } })
  }
  return JSON.stringify({ stats })
}

function quantilePair(
  sample: HistogramSample,
  percent: number,
): { interval: number | null; cumulative: number | null } {
  const value = sample.count === 0 ? null : rounded(quantile(sample.buckets, percent / 100))
  return { interval: value, cumulative: value }
}

interface Tagged {
  readonly family: string
  readonly labels: Readonly<Record<string, string>>
}

const TAGGED = /^(cluster|http|listener|tcp)\.(.+)$/
/** Names of clusters hold dots; what follows them begins with one of these. */
const CLUSTER_REST =
  /^(.+?)\.((?:upstream_|membership_|lb_|update_|outlier_detection\.|health_check\.|circuit_breakers\.|external\.|internal\.|ssl\.|http2\.|assignment_|version$|warming_state$|max_host_weight$|original_dst_|retry_or_|ext_authz\.|ratelimit\.|isthmus_).*)$/
const CODE = /^(.*upstream_rq)_([1-9])(\d\d|xx)$/
const CLASS = /^(.*downstream_rq)_([1-5])xx$/

/** As Envoy's default tags: the name of the cluster, connection manager or listener becomes a label. */
function tagged(name: string): Tagged {
  const [, kind, rest = ''] = TAGGED.exec(name) ?? []
  if (kind === undefined) return { family: metricName(name), labels: {} }
  if (kind === 'cluster') return taggedCluster(rest)
  const at = kind === 'listener' ? listenerEnd(rest) : rest.indexOf('.')
  const scope = at < 0 ? rest : rest.slice(0, at)
  const stat = at < 0 ? '' : rest.slice(at + 1)
  const label =
    kind === 'http'
      ? { envoy_http_conn_manager_prefix: scope }
      : kind === 'tcp'
        ? { envoy_tcp_prefix: scope }
        : { envoy_listener_address: scope }
  const [, before, digit] = CLASS.exec(stat) ?? []
  if (before === undefined || digit === undefined) return { family: metricName(`${kind}.${stat}`), labels: label }
  return { family: metricName(`${kind}.${before}_xx`), labels: { envoy_response_code_class: digit, ...label } }
}

/** `10.0.0.1_80.downstream…`: dots belong to the address, up to the port. */
function listenerEnd(rest: string): number {
  const port = /_\d+\./.exec(rest)
  return port === null ? rest.indexOf('.') : port.index + port[0].length - 1
}

function taggedCluster(rest: string): Tagged {
  const [, name = rest, stat = ''] = CLUSTER_REST.exec(rest) ?? []
  const cluster = { envoy_cluster_name: name }
  const [, before, digit = '', more] = CODE.exec(stat) ?? []
  if (before === undefined) return { family: metricName(`cluster.${stat}`), labels: cluster }
  if (more === 'xx') {
    return { family: metricName(`cluster.${before}_xx`), labels: { envoy_response_code_class: digit, ...cluster } }
  }
  return {
    family: metricName(`cluster.${before}`),
    labels: { envoy_response_code: `${digit}${more ?? ''}`, ...cluster },
  }
}

const metricName = (name: string): string => `envoy_${name.replaceAll(/[^A-Za-z0-9_]/g, '_')}`

/** One TYPE line per family, with all its series behind it, as the text format asks. */
export function statExposition(samples: readonly Sample[]): string {
  const families = new Map<string, { kind: Sample['kind']; lines: string[] }>()
  for (const sample of samples) {
    const { family: name, labels } = tagged(sample.name)
    const found = families.get(name) ?? { kind: sample.kind, lines: [] }
    families.set(name, found)
    if (sample.kind === 'histogram') appendHistogram(found.lines, name, formatLabels(labels), sample)
    else found.lines.push(`${name}${braces(formatLabels(labels))} ${sample.value}`)
  }
  return [...families].flatMap(([name, { kind, lines }]) => family(name, kind, 'As Envoy counts it.', lines)).join('\n')
}

const braces = (labels: string): string => (labels === '' ? '' : `{${labels}}`)
