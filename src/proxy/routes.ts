/**
 * Route tables compiled for lookup: a host is one map access, a route the first match. Immutable once built. What a
 * match leads to is already resolved, so that a request never looks a cluster up by name.
 */
import type { PrincipalRule, RetryPolicy, Route, RouteTable, VirtualHost } from '../model/config.ts'
import type { ClusterState } from './balance/cluster.ts'
import { type HeadTest, compileHeaders } from './match/headers.ts'
import { compileHosts, findByAuthority, type HostTable } from './match/hosts.ts'
import { compilePath, type PathTest, withoutQuery } from './match/paths.ts'
import { compileQuery, type QueryTest } from './match/query.ts'
import type { RequestHead } from './message.ts'

export interface RetryRule {
  readonly connectFailure: boolean
  readonly refusedStream: boolean
  readonly reset: boolean
  readonly gatewayError: boolean
  readonly retriesMax: number
}

export interface CompiledRoute {
  readonly connect: boolean
  readonly path: PathTest
  readonly headers: HeadTest | undefined
  readonly query: QueryTest | undefined
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
  readonly hosts: HostTable<CompiledHost>
}

export function compileRoutes(
  table: RouteTable,
  clusterOf: (name: string) => ClusterState | undefined,
): CompiledRoutes {
  const domains: (readonly [string, CompiledHost])[] = []
  for (const host of table.hosts) {
    const compiled = compileHost(host, clusterOf)
    for (const domain of host.domains) domains.push([domain, compiled])
  }
  return { name: table.name, hosts: compileHosts(domains, table.ignorePort === true) }
}

/** `authority` as the codec gives it: lower case, with the port if the client wrote one. */
export function findHost(routes: CompiledRoutes, authority: string): CompiledHost | undefined {
  return findByAuthority(routes.hosts, authority)
}

/** For requests other than CONNECT; the path is normal already. */
export function findRoute(host: CompiledHost, head: RequestHead): CompiledRoute | undefined {
  const path = withoutQuery(head.path)
  for (const route of host.routes) {
    if (route.connect || !route.path(path)) continue
    if (route.headers !== undefined && !route.headers(head)) continue
    if (route.query === undefined || route.query(head.path)) return route
  }
  return undefined
}

export function findConnectRoute(host: CompiledHost): CompiledRoute | undefined {
  return host.routes.find((route) => route.connect)
}

function compileHost(host: VirtualHost, clusterOf: (name: string) => ClusterState | undefined): CompiledHost {
  return { name: host.name, routes: host.routes.map((route) => compileRoute(route, clusterOf)) }
}

function compileRoute(route: Route, clusterOf: (name: string) => ClusterState | undefined): CompiledRoute {
  const { match } = route
  return {
    connect: match.kind === 'connect',
    path: compilePath(match),
    headers: compileHeaders(match.headers),
    query: compileQuery(match.query),
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
