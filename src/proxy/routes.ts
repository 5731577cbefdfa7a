/**
 * Route tables compiled for lookup: a host is one map access, a route the first match. Immutable once built. What a
 * match leads to is already resolved, so that a request never looks a cluster up by name.
 */
import type { PrincipalRule, RetryPolicy, Route, RouteTable, VirtualHost } from '../model/config.ts'
import type { ClusterState } from './balance/cluster.ts'

export interface RetryRule {
  readonly connectFailure: boolean
  readonly refusedStream: boolean
  readonly reset: boolean
  readonly gatewayError: boolean
  readonly retriesMax: number
}

export interface CompiledRoute {
  /** undefined: CONNECT. */
  readonly prefix: string | undefined
  readonly clusterName: string
  readonly cluster: ClusterState | undefined
  readonly timeoutMs: number
  readonly retry: RetryRule | undefined
  readonly allow: PrincipalRule | undefined
}

export interface CompiledHost {
  readonly name: string
  readonly routes: readonly CompiledRoute[]
}

export interface CompiledRoutes {
  readonly name: string
  readonly hosts: ReadonlyMap<string, CompiledHost>
  readonly rest: CompiledHost | undefined
}

export function compileRoutes(
  table: RouteTable,
  clusterOf: (name: string) => ClusterState | undefined,
): CompiledRoutes {
  const hosts = new Map<string, CompiledHost>()
  for (const host of table.hosts) {
    const compiled = compileHost(host, clusterOf)
    // As in Envoy a domain belongs to one virtual host; the first keeps it.
    for (const domain of host.domains) if (!hosts.has(domain)) hosts.set(domain, compiled)
  }
  return { name: table.name, hosts, rest: hosts.get('*') }
}

/** `authority` as the codec gives it: lower case, with the port if the client wrote one. */
export function findHost(routes: CompiledRoutes, authority: string): CompiledHost | undefined {
  return routes.hosts.get(authority) ?? routes.rest
}

export function findRoute(host: CompiledHost, method: string, path: string): CompiledRoute | undefined {
  if (method === 'CONNECT') return host.routes.find((route) => route.prefix === undefined)
  return host.routes.find((route) => route.prefix !== undefined && path.startsWith(route.prefix))
}

function compileHost(host: VirtualHost, clusterOf: (name: string) => ClusterState | undefined): CompiledHost {
  return { name: host.name, routes: host.routes.map((route) => compileRoute(route, clusterOf)) }
}

function compileRoute(route: Route, clusterOf: (name: string) => ClusterState | undefined): CompiledRoute {
  return {
    prefix: route.match.kind === 'connect' ? undefined : route.match.prefix,
    clusterName: route.cluster,
    cluster: clusterOf(route.cluster),
    timeoutMs: route.timeoutMs,
    retry: route.retry === undefined ? undefined : compileRetry(route.retry),
    allow: route.allow,
  }
}

export function compileRetry(policy: RetryPolicy): RetryRule {
  return {
    connectFailure: policy.on.includes('connect-failure'),
    refusedStream: policy.on.includes('refused-stream'),
    reset: policy.on.includes('reset-before-request'),
    gatewayError: policy.on.includes('gateway-error'),
    retriesMax: policy.retriesMax,
  }
}
