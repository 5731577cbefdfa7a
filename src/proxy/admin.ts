/**
 * What people and probes may ask a data plane: readiness, metrics, and on the private port its configuration and
 * endpoints. Read only. Not on the data path: runtime/pages serves them.
 */
import { EXPOSITION, JSON_TYPE, type Page, type Pages, readinessPages } from '../runtime/pages.ts'
import type { ClusterState } from './balance/cluster.ts'
import { breakerExposition, breakerPage, type BreakerPage } from './breaker-pages.ts'
import type { Proxy } from './proxy.ts'
import { family, formatLabels } from './series.ts'

export interface AdminOptions {
  readonly proxy: Proxy
  /** Empty when ready; else what is awaited. */
  readonly awaited: () => readonly string[]
  readonly logLevel: () => string
  /** Lines of a role's own metrics. */
  readonly metrics?: () => string
}

export function metricsPages(options: AdminOptions): Pages {
  const page = (): Page => ({ type: EXPOSITION, body: exposition(options) })
  return { '/metrics': page, '/stats/prometheus': page }
}

export function adminPages(options: AdminOptions): Pages {
  const { proxy } = options
  return {
    ...readinessPages(options.awaited),
    ...metricsPages(options),
    '/config_dump': () => ({ type: JSON_TYPE, body: dump(proxy.state.snapshot.config) }),
    '/clusters': () => ({ type: JSON_TYPE, body: `${JSON.stringify({ clusters: clustersOf(proxy) }, null, 2)}\n` }),
    '/logging': () => ({ type: JSON_TYPE, body: `${JSON.stringify({ level: options.logLevel() })}\n` }),
  }
}

/** Maps become objects; nothing secret is in a configuration (keys never travel). */
function dump(config: unknown): string {
  const plain = (_key: string, value: unknown): unknown => (value instanceof Map ? Object.fromEntries(value) : value)
  return `${JSON.stringify(config, plain, 2)}\n`
}

export interface ClusterPage {
  readonly name: string
  readonly active: number
  readonly pending: number
  readonly connections: number
  readonly refused: Readonly<Record<string, number>>
  readonly breaker?: BreakerPage | undefined
  readonly endpoints: readonly EndpointPage[]
}

export interface EndpointPage {
  readonly address: string
  readonly transport: string
  readonly cluster: string
  readonly workload: string
  readonly locality: string
  readonly priority: number
  readonly weight: number
  readonly health: string
  readonly usable: boolean
  readonly ejected: boolean
  readonly failsCheck: boolean
  readonly active: number
  readonly connections: number
  readonly requests: number
  readonly errors: number
  readonly lastFailure: string
}

function clustersOf(proxy: Proxy): readonly ClusterPage[] {
  return [...proxy.state.snapshot.clusters.values()].map((cluster) => ({
    name: cluster.config.name,
    active: cluster.active,
    pending: cluster.limits.pending,
    connections: cluster.limits.connections,
    refused: cluster.limits.refused,
    breaker: breakerPage(cluster),
    endpoints: endpointsOf(cluster),
  }))
}

function endpointsOf(cluster: ClusterState): readonly EndpointPage[] {
  const pages: EndpointPage[] = []
  for (const state of cluster.endpoints.values()) {
    const { endpoint, transport } = state
    const place = cluster.assignment.localities.find(({ endpoints }) => endpoints.includes(endpoint))
    pages.push({
      address: `${endpoint.address}:${endpoint.port}`,
      transport: endpoint.transport,
      cluster: endpoint.workload.cluster,
      workload: endpoint.workload.workload,
      locality: place === undefined ? '' : `${place.locality.region}/${place.locality.zone}`,
      priority: place?.priority ?? 0,
      weight: endpoint.weight,
      health: endpoint.health,
      usable: state.usable,
      ejected: state.ejected,
      failsCheck: state.failsCheck,
      active: state.active,
      connections: transport.connections,
      requests: state.requests,
      errors: state.errors,
      lastFailure: transport.usable ? '' : transport.lastFailure,
    })
  }
  return pages
}

function exposition(options: AdminOptions): string {
  const { proxy } = options
  const captured = [...proxy.acceptor.captured.served].map(([key, count]) => {
    const [direction = '', as = ''] = key.split('|')
    return `isthmus_captured_connections_total{${formatLabels({ direction, as })}} ${count}`
  })
  const refused = [...proxy.acceptor.refused].map(
    ([reason, count]) => `isthmus_connections_refused_total{${formatLabels({ reason })}} ${count}`,
  )
  const links = proxy.links.entries().map((link) => {
    const [address = '', gateway = '', , use] = link.key.split('|')
    const labels = formatLabels({ gateway, address, ...(use === undefined ? {} : { carries: use }) })
    return `isthmus_gateway_link_up{${labels}} ${link.pool.usable ? 1 : 0}`
  })
  const overflows = [...proxy.state.snapshot.clusters.values()].flatMap(({ config, limits }) =>
    Object.entries(limits.refused)
      .filter(([, count]) => count > 0)
      .map(
        ([limit, count]) => `isthmus_cluster_overflow_total{${formatLabels({ cluster: config.name, limit })}} ${count}`,
      ),
  )
  const cpu = process.cpuUsage()
  return [
    proxy.recorder.metrics.exposition(),
    proxy.acceptor.tcp.exposition(),
    options.metrics?.() ?? '',
    ...family('isthmus_connections', 'gauge', 'Downstream connections open.', [
      `isthmus_connections ${proxy.activeConnections}`,
    ]),
    ...family('isthmus_captured_connections_total', 'counter', 'Captured connections, by what they spoke.', captured),
    ...family('isthmus_connections_refused_total', 'counter', 'Connections refused, by reason.', refused),
    ...family('isthmus_gateway_link_up', 'gauge', 'Whether a gateway of a peer answers.', links),
    ...family('isthmus_cluster_overflow_total', 'counter', 'Refused by a circuit breaker, by limit.', overflows),
    ...breakerExposition(proxy.state.snapshot.clusters.values()),
    ...family('isthmus_config_version', 'gauge', 'Configurations taken since the start.', [
      `isthmus_config_version ${proxy.state.snapshot.version}`,
    ]),
    ...family('process_resident_memory_bytes', 'gauge', 'Resident memory.', [
      `process_resident_memory_bytes ${process.memoryUsage.rss()}`,
    ]),
    ...family('process_cpu_seconds_total', 'counter', 'CPU time, user and system.', [
      `process_cpu_seconds_total ${(cpu.user + cpu.system) / 1e6}`,
    ]),
  ].join('\n')
}
