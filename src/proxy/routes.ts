/**
 * Route tables compiled for lookup: a host is one map access, a route the first match. Immutable once built. What a
 * match leads to is already resolved, so that a request never looks a cluster up by name.
 */
import type {
  ForwardAction,
  Fraction,
  HashPolicy,
  HeaderMutations,
  Metadata,
  PrincipalRule,
  Route,
  RouteTable,
  VirtualHost,
  WeightedCluster,
} from '../model/config.ts'
import type { Random } from '../runtime/random.ts'
import type { ClusterState } from './balance/cluster.ts'
import type { Priority } from './balance/limits.ts'
import { compileHeaderSteps, type HeaderSteps } from './filters/header-steps.ts'
import {
  type CompiledDescriptor,
  compileDescriptors,
  NO_DESCRIPTORS,
  type RouteDescriptors,
} from './filters/descriptors.ts'
import { compileLevel, type FilterLevel, FilterWay } from './filter-chain.ts'
import type { FilterEnvironment } from './filters/kind.ts'
import { compileRedirect, compileRewrite, type HeadChange } from './filters/rewrite.ts'
import { configuredReply, type LocalAnswer, type Refusal, REFUSALS } from './local-reply.ts'
import { type HeadTest, compileHeaders, fieldOf } from './match/headers.ts'
import { compileHosts, findByAuthority, type HostTable } from './match/hosts.ts'
import { compilePath, type PathTest, withoutQuery } from './match/paths.ts'
import { compileQuery, type QueryTest } from './match/query.ts'
import { headerOf, type RequestHead } from './message.ts'
import { compileRetry, type RetryRule } from './retry.ts'
import { compileUpgrades, type UpgradeRules } from './upgrade.ts'

/** Envoy's stream_idle_timeout. */
export const IDLE_TIMEOUT_MS = 300_000

/** What the way of a request says about its attempts. */
export interface AttemptTerms {
  readonly subset: Metadata | undefined
  readonly priority: Priority | undefined
  /** The host becomes the endpoint's own; `tell`: the client's goes along. */
  readonly endpointHost: 'set' | 'tell' | undefined
  /** The endpoint is told which attempt it is. */
  readonly counts: boolean
  /** The client is told how many there were. */
  readonly tells: boolean
}

export const NO_TERMS: AttemptTerms = {
  subset: undefined,
  priority: undefined,
  endpointHost: undefined,
  counts: false,
  tells: false,
}

/** Where requests of a route go, with the header changes of all levels for this way. */
export interface RouteTarget {
  readonly weight: number
  readonly clusterName: string
  readonly cluster: ClusterState | undefined
  /** The cluster is the one that a header of the request names. */
  readonly byHeader: ((head: RequestHead) => RouteTarget) | undefined
  readonly terms: AttemptTerms
  readonly rewrite: HeadChange | undefined
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
  /** A header whose number stands for the draw. */
  readonly drawHeader: string | undefined
  readonly unknownCluster: Refusal
  readonly grpcTimeout: ForwardAction['grpcTimeout']
  readonly timeoutMs: number
  /** Undefined: the listener's, or Envoy's. */
  readonly idleTimeoutMs: number | undefined
  readonly durationMaxMs: number | undefined
  readonly retry: RetryRule | undefined
  readonly descriptors: RouteDescriptors
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
  /** It is known by an address: captured connections to another address are not for it, whatever they say. */
  readonly placed: boolean
  readonly routes: readonly CompiledRoute[]
}

export interface CompiledRoutes {
  readonly name: string
  /** What of it outlives it; see Survivors. */
  readonly kept: readonly string[]
  readonly hosts: HostTable<CompiledHost>
}

export function compileRoutes(
  table: RouteTable,
  environment: FilterEnvironment,
  kept: readonly string[] = [],
): CompiledRoutes {
  const domains: (readonly [string, CompiledHost])[] = []
  const around = compileLevel(table.filters, environment)
  for (const host of table.hosts) {
    const filters = [compileLevel(host.filters, environment), around]
    const descriptors = compileDescriptors(host.descriptors)
    const levels = { table, host, filters, descriptors, ...environment }
    const routes = host.routes.map((route) => compileRoute(route, levels))
    const compiled = { name: host.name, routes, placed: host.domains.some(isPlace) }
    for (const domain of host.domains) domains.push([domain, compiled])
  }
  return { name: table.name, kept, hosts: compileHosts(domains, table.ignorePort === true) }
}

/**
 * `authority` as the codec gives it: lower case, with the port if the client wrote one. `dialed`: the address and port
 * that a captured connection was made to; a table that knows it goes by it, whatever host the request names.
 */
export function findHost(routes: CompiledRoutes, authority: string, dialed = ''): CompiledHost | undefined {
  const place = dialed === '' ? undefined : routes.hosts.exact.get(dialed)
  if (place !== undefined) return place
  const named = findByAuthority(routes.hosts, authority)
  return dialed !== '' && named?.placed === true ? undefined : named
}

/** `10.0.0.1:80`, `[::1]:80` */
const isPlace = (domain: string): boolean => /^(?:[0-9]+(?:\.[0-9]+){3}|\[[0-9a-f:.]+\]):[0-9]+$/.test(domain)

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
export function pickTarget(route: CompiledRoute, head: RequestHead, random: Random): RouteTarget | undefined {
  const target = route.targets.length <= 1 ? route.targets[0] : drawTarget(route, head, random)
  return target?.byHeader === undefined ? target : target.byHeader(head)
}

function drawTarget(route: CompiledRoute, head: RequestHead, random: Random): RouteTarget | undefined {
  let left = drawnBy(route, head) ?? Math.floor(random.next() * route.weightTotal)
  for (const target of route.targets) {
    left -= target.weight
    if (left < 0) return target
  }
  return undefined
}

/** Clients choose the number, so it is only ever a choice among what the weights admit. */
function drawnBy({ drawHeader, weightTotal }: CompiledRoute, head: RequestHead): number | undefined {
  const text = drawHeader === undefined ? undefined : headerOf(head.headers, drawHeader)
  if (text === undefined || !/^[0-9]{1,20}$/.test(text)) return undefined
  const number = BigInt(text)
  return number > 0xffff_ffff_ffff_ffffn ? undefined : Number(number % BigInt(weightTotal))
}

function routeDescriptors(forward: ForwardAction | undefined, host: readonly CompiledDescriptor[]): RouteDescriptors {
  const own = compileDescriptors(forward?.descriptors)
  const both = forward?.hostDescriptors === true
  return own.length === 0 && host.length === 0 ? NO_DESCRIPTORS : { own, host, both }
}

interface Levels extends FilterEnvironment {
  readonly descriptors: readonly CompiledDescriptor[]
  readonly table: RouteTable
  readonly host: VirtualHost
  readonly filters: readonly (FilterLevel | undefined)[]
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
    descriptors: routeDescriptors(forward, levels.descriptors),
    upgrades: compileUpgrades(forward?.upgrades),
    ...compileForward(forward, levels),
  }
}

type ForwardParts =
  | 'timeoutMs'
  | 'idleTimeoutMs'
  | 'durationMaxMs'
  | 'grpcTimeout'
  | 'retry'
  | 'hash'
  | 'mirrors'
  | 'drawHeader'
  | 'unknownCluster'

function compileForward(forward: Partial<ForwardAction> = {}, levels: Levels): Pick<CompiledRoute, ForwardParts> {
  const { timeoutMs = 0, idleTimeoutMs, durationMaxMs, grpcTimeout, mirrors = [] } = forward
  // As in Envoy, who limits the stream gives up the limit on the answer.
  const limitsStream = durationMaxMs !== undefined || grpcTimeout !== undefined
  return {
    timeoutMs: limitsStream ? 0 : timeoutMs,
    idleTimeoutMs,
    durationMaxMs,
    grpcTimeout,
    retry: retryOf(forward, levels.host),
    hash: forward.hash,
    mirrors: mirrors.map(({ cluster, share, keepHost }) => ({
      cluster: levels.clusterOf(cluster),
      share,
      keepHost: keepHost === true,
    })),
    drawHeader: forward.drawHeader,
    unknownCluster: unknownCluster(forward.unknownClusterStatus),
  }
}

/** A route that forwards nothing retries nothing. */
function retryOf({ cluster, retry }: Partial<ForwardAction>, host: VirtualHost): RetryRule | undefined {
  const policy = retry ?? host.retry
  return cluster === undefined || policy === undefined ? undefined : compileRetry(policy)
}

const unknownCluster = (status: ForwardAction['unknownClusterStatus']): Refusal =>
  status === undefined ? REFUSALS.cluster : { ...REFUSALS.cluster, status }

function targetsOf(route: Route, forward: ForwardAction | undefined, levels: Levels): RouteTarget[] {
  const { cluster = '' } = forward ?? {}
  const isOne = typeof cluster === 'string' || 'header' in cluster
  const choices: readonly WeightedCluster[] = isOne ? [{ name: cluster, weight: 1 }] : cluster
  const around = [compileLevel(route.filters, levels, route.allow), ...levels.filters]
  return choices.map((choice) => {
    const filters = new FilterWay([compileLevel(choice.filters, levels), ...around])
    return compileTarget(choice, { route, forward, levels, filters })
  })
}

interface Way {
  readonly route: Route
  readonly forward: ForwardAction | undefined
  readonly levels: Levels
  readonly filters: FilterWay
}

function compileTarget(
  { name, weight, headers, subset, rewriteHost }: WeightedCluster,
  { route, forward, levels, filters }: Way,
): RouteTarget {
  const changes: (HeaderMutations | undefined)[] = [headers, route.headers, levels.host.headers, levels.table.headers]
  if (levels.table.mostSpecificHeadersWin === true) changes.reverse()
  const target: RouteTarget = {
    weight,
    clusterName: typeof name === 'string' ? name : '',
    cluster: typeof name === 'string' ? levels.clusterOf(name) : undefined,
    byHeader: undefined,
    terms: compileTerms(forward, mergeSubsets(forward?.subset, subset), levels.host),
    rewrite: bothRewrites(
      rewriteHost && compileRewrite(route.match, { rewriteHost }),
      forward && compileRewrite(route.match, forward),
    ),
    requestHeaders: compileHeaderSteps(changes, 'request'),
    responseHeaders: compileHeaderSteps(changes, 'response'),
    filters: filters.says ? filters : undefined,
  }
  if (typeof name === 'string') return target
  return {
    ...target,
    byHeader: (head) => {
      const clusterName =
        (name.header.startsWith(':') ? fieldOf(head, name.header) : headerOf(head.headers, name.header)) ?? ''
      return { ...target, clusterName, cluster: levels.clusterOf(clusterName) }
    },
  }
}

/** As in Envoy the route has the last word. */
function bothRewrites(own: HeadChange | undefined, around: HeadChange | undefined): HeadChange | undefined {
  if (own === undefined || around === undefined) return own ?? around
  return (head) => {
    own(head)
    around(head)
  }
}

function compileTerms(
  forward: Partial<ForwardAction> | undefined,
  subset: Metadata | undefined,
  { attemptCount }: VirtualHost,
): AttemptTerms {
  const { priority, rewriteHost, forwardedHost } = forward ?? {}
  const usesEndpoint = rewriteHost?.kind === 'endpoint'
  const counts = attemptCount?.request === true
  const tells = attemptCount?.response === true
  if (subset === undefined && priority === undefined && !usesEndpoint && !counts && !tells) return NO_TERMS
  const endpointHost = usesEndpoint ? (forwardedHost === true ? 'tell' : 'set') : undefined
  return { subset, priority, endpointHost, counts, tells }
}

function mergeSubsets(around: Metadata | undefined, own: Metadata | undefined): Metadata | undefined {
  return around === undefined || own === undefined ? (own ?? around) : { ...around, ...own }
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
