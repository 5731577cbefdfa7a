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
