/** The HTTP routes of a VirtualService to those of a virtual host, in their order; the first that matches counts. Pure. */
import type { DestinationSpec, HttpRouteSpec } from '../../../kube/kinds/networking.ts'
import type {
  ForwardAction,
  HashPolicy,
  HeaderChange,
  HeaderMutations,
  HostRewrite,
  MirrorPolicy,
  PathRewrite,
  Route,
  RouteMatch,
  WeightedCluster,
} from '../../../model/config.ts'
import { directOf, redirectOf } from './http-answers.ts'
import { filtersOf, fractionOf } from './http-filters.ts'
import { type Requests, routeMatches } from './http-match.ts'
import { milliseconds, retryOf } from './retries.ts'

/** What a destination is for one caller. One that does not exist has a cluster that no proxy knows: 503. */
export interface Target {
  readonly cluster: string
  /** What requests to it are placed by. */
  readonly hash?: HashPolicy
}
export type FindTarget = (destination: DestinationSpec) => Target

export interface HttpRoutesInput {
  readonly routes: readonly HttpRouteSpec[]
  readonly requests: Requests
  readonly find: FindTarget
}

export function httpRoutes({ routes, requests, find }: HttpRoutesInput): readonly Route[] {
  const built: Route[] = []
  for (const spec of routes) {
    const matches = routeMatches(spec.match, requests)
    const rest = matches.length === 0 ? undefined : withoutMatch(spec, requests, find)
    if (rest === undefined) continue
    for (const { match, name } of matches) built.push({ ...named(spec, name), match, ...rest })
    // Nothing behind it can be reached.
    if (matches.some(({ match }) => isCatchAll(match))) break
  }
  return built
}

const isCatchAll = (match: RouteMatch): boolean =>
  match.kind === 'prefix' && match.prefix === '/' && match.headers === undefined && match.query === undefined

/** As Istio has it, for access logs. */
function named({ name: own = '' }: HttpRouteSpec, match: string): Pick<Route, 'name'> {
  const name = [own, match].filter((part) => part !== '').join('.')
  return name === '' ? {} : { name }
}

type WithoutMatch<R> = R extends unknown ? Omit<R, 'match' | 'name'> : never

/** Undefined: the route says what is done with no request. */
function withoutMatch(spec: HttpRouteSpec, requests: Requests, find: FindTarget): WithoutMatch<Route> | undefined {
  const { mutations } = headersOf(spec.headers)
  const common = { ...(mutations !== undefined && { headers: mutations }), ...filtersOf(spec) }
  if (spec.redirect !== undefined) return { ...common, ...redirectOf(spec.redirect, requests.port) }
  if (spec.directResponse !== undefined) return { ...common, ...directOf(spec.directResponse) }
  return spec.route === undefined || spec.route.length === 0 ? undefined : { ...common, ...forwardOf(spec, find) }
}

function forwardOf(spec: HttpRouteSpec, find: FindTarget): ForwardAction {
  const targets = (spec.route ?? []).map(({ destination, weight = 0, headers }) =>
    Object.assign({ weight, headers }, find(destination)),
  )
  const hash = distinct(targets.flatMap((target) => target.hash ?? []))
  const mirrors = mirrorsOf(spec, find)
  const retry = retryOf(spec.retries)
  return {
    cluster: clustersOf(targets),
    timeoutMs: milliseconds(spec.timeout) ?? 0,
    ...(retry !== undefined && { retry }),
    ...rewriteOf(spec),
    ...(mirrors.length > 0 && { mirrors }),
    ...(hash.length > 0 && { hash }),
  }
}

type WeighedTarget = Target & { readonly weight: number; readonly headers: HttpRouteSpec['headers'] }

/** Weights are relative; a single destination needs none. */
function clustersOf(targets: readonly WeighedTarget[]): ForwardAction['cluster'] {
  const [only] = targets
  if (targets.length === 1 && only !== undefined && only.headers === undefined) return only.cluster
  const total = targets.reduce((sum, { weight }) => sum + weight, 0)
  const weighed = targets.map(({ cluster: name, weight, headers }): WeightedCluster => {
    const { mutations, host } = headersOf(headers)
    return {
      name,
      weight: total === 0 ? 1 : weight,
      ...(host !== undefined && { rewriteHost: { kind: 'literal', host } }),
      ...(mutations !== undefined && { headers: mutations }),
    }
  })
  return weighed.filter(({ weight }) => weight > 0)
}

function rewriteOf({ rewrite, headers }: HttpRouteSpec): Pick<ForwardAction, 'rewritePath' | 'rewriteHost'> {
  const path = rewrite && pathRewriteOf(rewrite)
  // Who writes the host as a header means the same.
  const host = rewrite?.authority ?? headersOf(headers).host
  const rewriteHost: HostRewrite | undefined = host === undefined || host === '' ? undefined : { kind: 'literal', host }
  return { ...(path !== undefined && { rewritePath: path }), ...(rewriteHost !== undefined && { rewriteHost }) }
}

function pathRewriteOf({ uri, uriRegexRewrite }: NonNullable<HttpRouteSpec['rewrite']>): PathRewrite | undefined {
  if (uriRegexRewrite?.match !== undefined && uriRegexRewrite.match !== '') {
    return { kind: 'regex', regex: uriRegexRewrite.match, substitution: uriRegexRewrite.rewrite ?? '' }
  }
  return uri === undefined || uri === '' ? undefined : { kind: 'prefix', prefix: uri }
}

function mirrorsOf(spec: HttpRouteSpec, find: FindTarget): readonly MirrorPolicy[] {
  const several = spec.mirrors?.map(({ destination, percentage }) => ({
    destination,
    percent: percentage?.value ?? (percentage === undefined ? 100 : 0),
  }))
  const one = spec.mirror && [{ destination: spec.mirror, percent: mirrorPercentOf(spec) }]
  return (several ?? one ?? [])
    .filter(({ percent }) => percent > 0)
    .map(({ destination, percent }) => ({ cluster: find(destination).cluster, share: fractionOf(percent) }))
}

/** Everything, unless said otherwise; the newer field counts where both are there. */
function mirrorPercentOf({ mirrorPercentage, mirrorPercent }: HttpRouteSpec): number {
  return mirrorPercentage === undefined ? (mirrorPercent ?? 100) : (mirrorPercentage.value ?? 0)
}

const HOST_NAMES = new Set(['host', ':authority'])

/** `host`: what `set` says about the host, which is no header to change. */
function headersOf(spec: HttpRouteSpec['headers']): { mutations?: HeaderMutations; host?: string } {
  const { request, response } = spec ?? {}
  const host = Object.entries(request?.set ?? {}).find(([name]) => HOST_NAMES.has(name.toLowerCase()))?.[1]
  const mutations: HeaderMutations = {
    ...changesOf(request, 'addRequest', 'removeRequest'),
    ...changesOf(response, 'addResponse', 'removeResponse'),
  }
  return {
    ...(Object.keys(mutations).length > 0 && { mutations }),
    ...(host !== undefined && { host }),
  }
}

type Operations = NonNullable<NonNullable<HttpRouteSpec['headers']>['request']>

function changesOf(
  spec: Operations | undefined,
  added: 'addRequest' | 'addResponse',
  removed: 'removeRequest' | 'removeResponse',
): HeaderMutations {
  const changes = [...changed(spec?.set, 'overwrite'), ...changed(spec?.add, 'append')]
  const names = (spec?.remove ?? []).map((name) => name.toLowerCase())
  return { ...(changes.length > 0 && { [added]: changes }), ...(names.length > 0 && { [removed]: names }) }
}

function changed(fields: Readonly<Record<string, string>> | undefined, action: HeaderChange['action']): HeaderChange[] {
  return Object.entries(fields ?? {})
    .filter(([name]) => !HOST_NAMES.has(name.toLowerCase()))
    .map(([name, value]) => ({ name: name.toLowerCase(), value, action }))
}

function distinct(policies: readonly HashPolicy[]): readonly HashPolicy[] {
  const seen = new Map(policies.map((policy) => [JSON.stringify(policy), policy]))
  return [...seen.values()]
}
