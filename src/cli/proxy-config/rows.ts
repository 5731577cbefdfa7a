/** Tables of `isthmus proxy-config`: the dump's resources as rows, the first row the header. Pure. */
import type {
  ClusterByHeader,
  Cluster,
  FilterChain,
  Listener,
  LoadAssignment,
  Route,
  RouteMatch,
  RouteTable,
  ValidationContext,
} from '../../model/config.ts'

type ByName<T> = Readonly<Record<string, T>>

/** Body of the proxy's `/config_dump?format=model`: resources by name. */
export interface ConfigDump {
  readonly listeners: ByName<Listener>
  readonly routes: ByName<RouteTable>
  readonly clusters: ByName<Cluster>
  readonly endpoints: ByName<LoadAssignment>
  readonly secrets: ByName<ValidationContext>
}

type Rows = readonly (readonly string[])[]

export function listenerRows({ listeners }: ConfigDump): Rows {
  const rows = Object.values(listeners).flatMap((listener) =>
    listener.chains.map((chain) => [
      listener.name,
      `${listener.address}:${listener.port}`,
      chain.serverNames.join(',') || '*',
      chain.tls === undefined ? 'none' : 'mTLS 1.3',
      destinationOf(chain),
    ]),
  )
  return [['LISTENER', 'ADDRESS', 'SERVER NAMES', 'TLS', 'DESTINATION'], ...rows]
}

function destinationOf({ filter }: FilterChain): string {
  if (filter.kind === 'tcp') return `tcp ${filter.cluster}`
  return 'rds' in filter.routes ? `routes ${filter.routes.rds}` : `${filter.mode} ${filter.routes.name}`
}

export function routeRows({ routes }: ConfigDump): Rows {
  const rows = Object.values(routes).flatMap((table) =>
    table.hosts.flatMap((host) =>
      host.routes.map((route) => [
        table.name,
        host.name,
        matchText(route.match),
        actionText(route),
        'cluster' in route && route.retry !== undefined
          ? `${route.retry.retriesMax} on ${route.retry.on.join(',')}`
          : '-',
      ]),
    ),
  )
  return [['TABLE', 'HOST', 'MATCH', 'CLUSTER', 'RETRY'], ...rows]
}

function matchText(match: RouteMatch): string {
  switch (match.kind) {
    case 'connect':
      return 'CONNECT'
    case 'prefix':
      return `${match.prefix}*`
    case 'separated-prefix':
      return `${match.prefix}/*`
    case 'path':
      return match.path
    case 'regex':
      return `~ ${match.regex}`
    default:
      return match satisfies never
  }
}

function actionText(route: Route): string {
  if ('redirect' in route) return `redirect ${route.redirect.status}`
  if ('direct' in route) return `answer ${route.direct.status}`
  const { cluster } = route
  if (typeof cluster === 'string' || 'header' in cluster) return clusterText(cluster)
  return cluster.map(({ name, weight }) => `${weight}:${clusterText(name)}`).join(' ')
}

const clusterText = (name: string | ClusterByHeader): string =>
  typeof name === 'string' ? name : `by header ${name.header}`

export function clusterRows({ clusters }: ConfigDump): Rows {
  const rows = Object.values(clusters).map((cluster) => [
    cluster.name,
    cluster.endpoints === 'eds' ? 'EDS' : 'STATIC',
    cluster.lb,
    cluster.tls?.identities.join(',') || '-',
  ])
  return [['CLUSTER', 'DISCOVERY', 'BALANCING', 'IDENTITIES'], ...rows]
}

export function endpointRows({ endpoints }: ConfigDump): Rows {
  const rows = Object.values(endpoints).flatMap((assignment) =>
    assignment.localities.flatMap((group) =>
      group.endpoints.map((endpoint) => [
        `${endpoint.address}:${endpoint.port}`,
        endpoint.health,
        endpoint.workload.cluster,
        `${group.locality.region}/${group.locality.zone}`,
        String(group.priority),
        String(endpoint.weight),
        endpoint.transport,
        assignment.cluster,
      ]),
    ),
  )
  return [['ENDPOINT', 'HEALTH', 'CLUSTER OF', 'LOCALITY', 'PRIORITY', 'WEIGHT', 'TRANSPORT', 'CLUSTER'], ...rows]
}

export function secretRows({ secrets }: ConfigDump): Rows {
  const rows = Object.values(secrets).flatMap((secret) =>
    Object.entries(secret.roots).map(([trustDomain, roots]) => [
      secret.name,
      trustDomain,
      String(roots.length),
      secret.revokedTrustDomains.includes(trustDomain) ? 'revoked' : 'trusted',
    ]),
  )
  return [['SECRET', 'TRUST DOMAIN', 'ROOTS', 'STATE'], ...rows]
}

const SHORT = {
  listeners: listenerRows,
  routes: routeRows,
  clusters: clusterRows,
  endpoints: endpointRows,
  secrets: secretRows,
} as const

export type ConfigKind = keyof typeof SHORT

export const shortRows = (kind: ConfigKind, dump: ConfigDump): Rows => SHORT[kind](dump)

/** What `-o wide` shows beside, row for row. */
const BESIDE: Readonly<Record<ConfigKind, (dump: ConfigDump) => Rows>> = {
  listeners: ({ listeners }) => [
    ['CHAIN', 'ALPN', 'FILTERS'],
    ...Object.values(listeners).flatMap(({ chains }) =>
      chains.map((chain) => [chain.name, chain.tls?.alpn.join(',') ?? '-', filtersOf(chain)]),
    ),
  ],
  routes: ({ routes }) => [
    ['DOMAINS', 'TIMEOUT'],
    ...Object.values(routes).flatMap(({ hosts }) =>
      hosts.flatMap(({ domains, routes: own }) =>
        own.map((route) => [
          domains.join(','),
          'timeoutMs' in route && route.timeoutMs !== undefined && route.timeoutMs > 0 ? `${route.timeoutMs} ms` : '-',
        ]),
      ),
    ),
  ],
  clusters: ({ clusters }) => [
    ['CONNECT TIMEOUT', 'TLS', 'BREAKER'],
    ...Object.values(clusters).map((cluster) => [
      `${cluster.connectTimeoutMs} ms`,
      cluster.clientTls !== undefined ? 'own' : cluster.tls !== undefined ? 'mesh' : '-',
      cluster.breaker === undefined ? '-' : 'yes',
    ]),
  ],
  endpoints: ({ endpoints }) => [
    ['WORKLOAD', 'TUNNEL TO'],
    ...Object.values(endpoints).flatMap(({ localities }) =>
      localities.flatMap(({ endpoints: own }) =>
        own.map(({ workload, tunnel }) => [`${workload.namespace}/${workload.workload}`, tunnel?.authority ?? '-']),
      ),
    ),
  ],
  secrets: (dump) => secretRows(dump).map((_row, index) => (index === 0 ? ['KEYS'] : ['not shown'])),
}

const filtersOf = ({ filter }: FilterChain): string => {
  if (filter.kind === 'tcp') return '-'
  return filter.filters?.map(({ name }) => name).join(',') ?? 'default'
}

export function rowsOf(kind: ConfigKind, dump: ConfigDump): Rows {
  const beside = BESIDE[kind](dump)
  return shortRows(kind, dump).map((row, index) => row.concat(beside[index] ?? []))
}
