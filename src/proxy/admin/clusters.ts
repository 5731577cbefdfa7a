/** `/clusters`: every endpoint with its load, health and weight, in Envoy's text and JSON, and with what only we know. */
import type { Page } from '../../runtime/pages.ts'
import { JSON_TYPE, TEXT } from '../../runtime/pages.ts'
import type { LocalityEndpoints } from '../../model/config.ts'
import type { ClusterState } from '../balance/cluster.ts'
import type { EndpointState } from '../balance/endpoint.ts'
import { breakerPage, type BreakerPage } from '../breaker-pages.ts'

const PRIORITIES = ['default', 'high'] as const
const LIMIT = 1_024 // Envoy's defaults
const RETRIES = 3
const NO_RATE = -1

export function clustersPage(clusters: Iterable<ClusterState>, query: URLSearchParams): Page {
  const shown = [...clusters].filter(({ config }) => config.name.includes(query.get('filter') ?? ''))
  switch (query.get('format')) {
    case 'json':
      return { type: JSON_TYPE, body: `${JSON.stringify({ cluster_statuses: shown.map(statusOf) }, null, 1)}\n` }
    case 'isthmus':
      return { type: JSON_TYPE, body: `${JSON.stringify({ clusters: shown.map(clusterPage) }, null, 2)}\n` }
    default:
      return { type: TEXT, body: shown.map(textOf).join('') }
  }
}

interface Placed {
  readonly state: EndpointState
  readonly place: LocalityEndpoints | undefined
}

function placed(cluster: ClusterState): readonly Placed[] {
  const places = new Map<unknown, LocalityEndpoints>()
  for (const place of cluster.resolved.localities) for (const endpoint of place.endpoints) places.set(endpoint, place)
  return [...cluster.endpoints.values()].map((state) => ({ state, place: places.get(state.endpoint) }))
}

const addressOf = ({ endpoint: { address, port } }: EndpointState): string =>
  address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`

function limitsOf({ config }: ClusterState, priority: (typeof PRIORITIES)[number]) {
  const set = config.circuitBreakers?.[priority]
  return {
    max_connections: set?.connectionsMax ?? LIMIT,
    max_pending_requests: set?.pendingMax ?? LIMIT,
    max_requests: set?.requestsMax ?? LIMIT,
    max_retries: set?.retriesMax ?? RETRIES,
  }
}

/** Envoy's counters and gauges of a host. */
function countersOf({ state }: Placed) {
  const { transport, requests, errors, active } = state
  return {
    cx_connect_fail: transport.account?.connectFailures ?? 0,
    cx_total: transport.account?.connectionsTotal ?? 0,
    rq_error: errors,
    rq_success: requests - errors,
    rq_total: state.sent,
    cx_active: transport.connections,
    rq_active: active,
  }
}

const GAUGES: ReadonlySet<string> = new Set(['cx_active', 'rq_active'])

function healthFlags(state: EndpointState): string {
  const flags = [
    ...(state.failsCheck ? ['/failed_active_hc'] : []),
    ...(state.ejected ? ['/failed_outlier_check'] : []),
    ...(state.endpoint.health === 'healthy' ? [] : ['/failed_eds_health']),
  ]
  return flags.length === 0 ? 'healthy' : flags.join('')
}

function textOf(cluster: ClusterState): string {
  const { name } = cluster.config
  const lines = [`${name}::observability_name::${name}`]
  for (const priority of PRIORITIES) {
    for (const [limit, value] of Object.entries(limitsOf(cluster, priority))) {
      lines.push(`${name}::${priority}_priority::${limit}::${value}`)
    }
  }
  for (const found of placed(cluster)) {
    const { state, place } = found
    const host = `${name}::${addressOf(state)}::`
    const facts = {
      ...Object.fromEntries(Object.entries(countersOf(found)).sort(([one], [other]) => (one < other ? -1 : 1))),
      hostname: '',
      health_flags: healthFlags(state),
      weight: state.endpoint.weight,
      region: place?.locality.region ?? '',
      zone: place?.locality.zone ?? '',
      sub_zone: '',
      canary: false,
      priority: place?.priority ?? 0,
      success_rate: NO_RATE,
      local_origin_success_rate: NO_RATE,
    }
    for (const [key, value] of Object.entries(facts)) lines.push(`${host}${key}::${value}`)
  }
  return `${lines.join('\n')}\n`
}

function statusOf(cluster: ClusterState) {
  const { name } = cluster.config
  return {
    name,
    host_statuses: placed(cluster).map(hostStatus),
    circuit_breakers: {
      thresholds: [limitsOf(cluster, 'default'), { priority: 'HIGH', ...limitsOf(cluster, 'high') }],
    },
    observability_name: name,
  }
}

function statOf(name: string, value: number): object {
  return { ...(GAUGES.has(name) && { type: 'GAUGE' }), ...(value !== 0 && { value: String(value) }), name }
}

/** proto3 JSON: what is zero or empty is absent, and 64-bit integers are text. */
function hostStatus(found: Placed) {
  const { state, place } = found
  const { address, port, health, weight } = state.endpoint
  const { region = '', zone = '' } = place?.locality ?? {}
  const stats = Object.entries(countersOf(found)).map(([stat, value]) => statOf(stat, value))
  return {
    address: { socket_address: { address, port_value: port } },
    stats,
    health_status: {
      ...(state.failsCheck && { failed_active_health_check: true }),
      ...(state.ejected && { failed_outlier_check: true }),
      eds_health_status: health.toUpperCase(),
    },
    weight,
    ...(place !== undefined && place.priority > 0 && { priority: place.priority }),
    locality: { ...(region !== '' && { region }), ...(zone !== '' && { zone }) },
  }
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

function clusterPage(cluster: ClusterState): ClusterPage {
  return {
    name: cluster.config.name,
    active: cluster.active,
    pending: cluster.limits.pending,
    connections: cluster.limits.connections,
    refused: cluster.limits.refused,
    breaker: breakerPage(cluster),
    endpoints: placed(cluster).map(endpointPage),
  }
}

function endpointPage({ state, place }: Placed): EndpointPage {
  const { endpoint, transport } = state
  return {
    address: addressOf(state),
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
  }
}
