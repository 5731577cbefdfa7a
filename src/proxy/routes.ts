/**
 * Route tables compiled for lookup: a host is one map access, a route the first match. Immutable once built. What a
 * match leads to is already resolved, so that a request never looks a cluster up by name.
 */
import type {
  DescriptorAction,
  ForwardAction,
  Fraction,
  HashPolicy,
  HeaderMutations,
  PrincipalRule,
  Route,
  RouteTable,
  VirtualHost,
} from '../model/config.ts'
import type { Random } from '../runtime/random.ts'
import type { ClusterState } from './balance/cluster.ts'
import { compileHeaderSteps, type HeaderSteps } from './filters/header-steps.ts'
import { compileLevel, type FilterLevel, FilterWay } from './filter-chain.ts'
import { compileRedirect, compileRewrite, type HeadChange } from './filters/rewrite.ts'
import { configuredReply, type LocalAnswer } from './local-reply.ts'
import { type HeadTest, compileHeaders } from './match/headers.ts'
import { compileHosts, findByAuthority, type HostTable } from './match/hosts.ts'
import { compilePath, type PathTest, withoutQuery } from './match/paths.ts'
import { compileQuery, type QueryTest } from './match/query.ts'
import type { RequestHead } from './message.ts'
import { compileRetry, type RetryRule } from './retry.ts'
import { compileUpgrades, type UpgradeRules } from './upgrade.ts'

/** Envoy's stream_idle_timeout. */
export const IDLE_TIMEOUT_MS = 300_000

/** Where requests of a route go, with the header changes of all levels for this way. */
export interface RouteTarget {
  readonly weight: number
  readonly clusterName: string
  readonly cluster: ClusterState | undefined
  readonly requestHeaders: HeaderSteps | undefined
  readonly responseHeaders: HeaderSteps | undefined
  /** Undefined: no level says anything to filters. */
  readonly filters: FilterWay | undefined
}

export interface CompiledRoute {
  readonly kind: 'route'
  readonly name: string
  readonly connect: boolean
  readonly path: PathTest
  readonly headers: HeadTest | undefined
  readonly query: QueryTest | undefined
  readonly allow: PrincipalRule | undefined
  /** Redirect or direct response: nothing is forwarded. */
  readonly answer: ((head: RequestHead) => LocalAnswer) | undefined
  /** At least one; of an answering route only its header changes count. */
  readonly targets: readonly RouteTarget[]
  readonly weightTotal: number
  readonly timeoutMs: number
  readonly idleTimeoutMs: number
  readonly durationMaxMs: number
  readonly retry: RetryRule | undefined
  readonly rewrite: HeadChange | undefined
  readonly descriptors: readonly (readonly DescriptorAction[])[]
  readonly hash: readonly HashPolicy[] | undefined
  readonly mirrors: readonly CompiledMirror[]
  readonly upgrades: UpgradeRules
}

export interface CompiledMirror {
  readonly cluster: ClusterState | undefined
  readonly share: Fraction
  readonly keepHost: boolean
}

export interface CompiledHost {
  readonly name: string
  readonly routes: readonly CompiledRoute[]
}

export interface CompiledRoutes {
  readonly name: string
  readonly hosts: HostTable<CompiledHost>
}

type ClusterOf = (name: string) => ClusterState | undefined

export function compileRoutes(table: RouteTable, clusterOf: ClusterOf): CompiledRoutes {
  const domains: (readonly [string, CompiledHost])[] = []
  const around = compileLevel(table.filters, { clusterOf })
  for (const host of table.hosts) {
    const filters = [compileLevel(host.filters, { clusterOf }), around]
    const routes = host.routes.map((route) => compileRoute(route, { table, host, filters, clusterOf }))
    const compiled = { name: host.name, routes }
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

/** One draw per request: its retries stay with the cluster. */
export function pickTarget(route: CompiledRoute, random: Random): RouteTarget | undefined {
  const { targets } = route
  if (targets.length <= 1) return targets[0]
  let left = Math.floor(random.next() * route.weightTotal)
  for (const target of targets) {
    left -= target.weight
    if (left < 0) return target
  }
  return undefined
}

interface Levels {
  readonly table: RouteTable
  readonly host: VirtualHost
  readonly filters: readonly (FilterLevel | undefined)[]
  readonly clusterOf: ClusterOf
}

function compileRoute(route: Route, levels: Levels): CompiledRoute {
  const { match } = route
  const forward = 'cluster' in route ? route : undefined
  const targets = targetsOf(route, forward, levels)
  return {
    kind: 'route',
    name: route.name ?? '',
    connect: match.kind === 'connect',
    path: compilePath(match),
    headers: compileHeaders(match.headers),
    query: compileQuery(match.query),
    allow: route.allow,
    answer: compileAnswer(route),
    targets,
    weightTotal: targets.reduce((sum, target) => sum + target.weight, 0),
    descriptors: forward?.descriptors ?? levels.host.descriptors ?? [],
    upgrades: compileUpgrades(forward?.upgrades),
    rewrite: forward === undefined ? undefined : compileRewrite(match, forward),
    ...compileForward(forward, levels.clusterOf),
  }
}

type ForwardParts = 'timeoutMs' | 'idleTimeoutMs' | 'durationMaxMs' | 'retry' | 'hash' | 'mirrors'

function compileForward(
  forward: Partial<ForwardAction> | undefined,
  clusterOf: ClusterOf,
): Pick<CompiledRoute, ForwardParts> {
  const { timeoutMs = 0, idleTimeoutMs = IDLE_TIMEOUT_MS, durationMaxMs = 0, retry, hash, mirrors = [] } = forward ?? {}
  return {
    timeoutMs,
    idleTimeoutMs,
    durationMaxMs,
    retry: retry === undefined ? undefined : compileRetry(retry),
    hash,
    mirrors: mirrors.map(({ cluster, share, keepHost }) => ({
      cluster: clusterOf(cluster),
      share,
      keepHost: keepHost === true,
    })),
  }
}

function targetsOf(route: Route, forward: ForwardAction | undefined, levels: Levels): RouteTarget[] {
  const { cluster = '' } = forward ?? {}
  const choices =
    typeof cluster === 'string' ? [{ name: cluster, weight: 1, headers: undefined, filters: undefined }] : cluster
  const around = [compileLevel(route.filters, levels, route.allow), ...levels.filters]
  return choices.map(({ name, weight, headers, filters }) => {
    const way = new FilterWay([compileLevel(filters, levels), ...around])
    const changes: (HeaderMutations | undefined)[] = [headers, route.headers, levels.host.headers, levels.table.headers]
    if (levels.table.mostSpecificHeadersWin === true) changes.reverse()
    return {
      weight,
      clusterName: name,
      cluster: levels.clusterOf(name),
      requestHeaders: compileHeaderSteps(changes, 'request'),
      responseHeaders: compileHeaderSteps(changes, 'response'),
      filters: way.says ? way : undefined,
    }
  })
}

function compileAnswer(route: Route): CompiledRoute['answer'] {
  if ('redirect' in route) {
    const { status } = route.redirect
    const location = compileRedirect(route.match, route.redirect)
    return (head) => configuredReply(status, ['location', location(head)])
  }
  if (!('direct' in route)) return undefined
  const { status } = route.direct
  const body = Buffer.from(route.direct.body)
  return () => configuredReply(status, body.length === 0 ? [] : ['content-type', 'text/plain'], body)
}
