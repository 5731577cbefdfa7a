/**
 * What a proxyless gRPC client gets: the outbound side of a sidecar in gRPC's form. `xds:///<service>.<namespace>.svc.
 * <domain>:<port>` names a listener, which names a route table of one host, whose clusters have endpoints that are dialled
 * directly. gRPC has no sidecar's certificate and picks no transport by endpoint, so it calls application ports in
 * plaintext, and only within its cluster: endpoints behind gateways are left out. Pure.
 */
import {
  ANY_HOST,
  type Cluster,
  type Endpoint,
  type Listener,
  type LoadAssignment,
  PASSTHROUGH_CLUSTER,
  type ProxyConfig,
  type Route,
  type RouteTable,
  type VirtualHost,
} from '../../model/config.ts'
import type { SliceFacts } from '../observe/facts.ts'
import type { Outbound } from './outbound-side.ts'
import { byCluster, named } from './tables.ts'

/** Where an endpoint's application listens; undefined: not known, and then it is not called. */
type TargetPort = (host: string, port: number, address: string) => number | undefined

export function grpcConfig(
  outbound: Outbound,
  { slices, ports }: { readonly slices: Iterable<SliceFacts>; readonly ports: PortNames },
): Omit<ProxyConfig, 'secrets'> {
  const hosts = [...outbound.routes.values()].flatMap((table) => table.hosts).filter(({ name }) => name !== ANY_HOST)
  const targetPort = targetPorts(slices, ports)
  return {
    listeners: named(hosts.map(apiListener)),
    routes: named(hosts.map(tableOf)),
    clusters: named(outbound.clusters.filter(({ name }) => name !== PASSTHROUGH_CLUSTER).map(clusterOf)),
    endpoints: byCluster(Array.from(outbound.endpoints.values(), (assignment) => reachable(assignment, targetPort))),
  }
}

/** Names of the ports of each service, by its key `<namespace>/<name>` and number. */
export type PortNames = (key: string, port: number) => string | undefined

function apiListener({ name }: VirtualHost): Listener {
  return { name, address: '', port: 0, chains: [], api: { rds: name } }
}

/** One table for each name, with the name itself as the only host that matters. */
function tableOf(host: VirtualHost): RouteTable {
  return { name: host.name, hosts: [{ name: host.name, domains: ['*'], routes: host.routes.map(routeOf) }] }
}

/** Filters are HTTP proxies' own. */
function routeOf(route: Route): Route {
  const { filters: _filters, ...rest } = route
  return rest
}

/** No transport, since gRPC knows none of the mesh's; balancing that every gRPC client knows. */
function clusterOf({ name, connectTimeoutMs, outlier }: Cluster): Cluster {
  return {
    name,
    endpoints: 'eds',
    lb: 'round-robin',
    connectTimeoutMs,
    protocol: 'http2',
    ...(outlier !== undefined && { outlier }),
  }
}

function reachable(assignment: LoadAssignment, targetPort: TargetPort): LoadAssignment {
  const { cluster } = assignment
  const [, port = '', , host = ''] = cluster.split('|')
  const localities = assignment.localities.flatMap((locality) => {
    const endpoints = locality.endpoints.flatMap((endpoint) => dialled(endpoint, host, Number(port), targetPort))
    return endpoints.length === 0 ? [] : [Object.assign({}, locality, { endpoints })]
  })
  // gRPC refuses priorities with gaps (gRFC A27).
  const priorities = [...new Set(localities.map(({ priority }) => priority))].sort((a, b) => a - b)
  const closed = localities.map((locality) =>
    Object.assign(locality, { priority: priorities.indexOf(locality.priority), weight: Math.max(locality.weight, 1) }),
  )
  return { cluster, localities: closed }
}

function dialled(endpoint: Endpoint, host: string, port: number, targetPort: TargetPort): readonly Endpoint[] {
  if (endpoint.transport === 'tunnel' || endpoint.health !== 'healthy') return []
  if (endpoint.transport === 'plain') return [endpoint]
  const target = targetPort(host, port, endpoint.address)
  return target === undefined ? [] : [{ ...endpoint, port: target, transport: 'plain' }]
}

function targetPorts(slices: Iterable<SliceFacts>, names: PortNames): TargetPort {
  const byService = new Map<string, SliceFacts[]>()
  for (const slice of slices) {
    if (slice.imported !== undefined) continue
    const key = `${slice.namespace}/${slice.service}`
    const known = byService.get(key)
    if (known === undefined) byService.set(key, [slice])
    else known.push(slice)
  }
  return (host, port, address) => {
    const [service = '', namespace = ''] = host.split('.')
    const key = `${namespace}/${service}`
    const name = names(key, port)
    const slice = byService.get(key)?.find(({ endpoints }) => endpoints.some((found) => found.address === address))
    return name === undefined ? undefined : slice?.ports[name]
  }
}
