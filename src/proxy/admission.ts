/**
 * From a request's head to its route, in the order that keeps it safe: what we do not serve, where nobody may go, the
 * one form of the path, headers a client may not send; only then is a route chosen by what is left.
 */
import type { PathPolicy } from '../model/config.ts'
import type { CompiledHttp } from './compile.ts'
import type { DownstreamConnection, ExchangeServices } from './exchange-context.ts'
import { filterRequest } from './filters/chain.ts'
import { isForbiddenTarget } from './forbidden.ts'
import { configuredReply, type LocalAnswer, type Refusal, REFUSALS } from './local-reply.ts'
import { normalizePath } from './match/normal-path.ts'
import type { RequestHead } from './message.ts'
import { type CompiledRoute, findConnectRoute, findHost, findRoute } from './routes.ts'
import { mayUpgrade } from './upgrade.ts'

export type Admission = CompiledRoute | Refusal | LocalAnswer

export function isRoute(admission: Admission): admission is CompiledRoute {
  return 'kind' in admission && admission.kind === 'route'
}

export function admit(head: RequestHead, downstream: DownstreamConnection, services: ExchangeServices): Admission {
  const { mode, peer } = downstream
  const http = downstream.http()
  if (mode === 'reverse') return http === undefined ? REFUSALS.route : admitReverse(head, http)
  if (head.method === 'CONNECT') return admitConnect(head, downstream, services)
  if (mode === 'forward' && isForbiddenTarget(head.authority)) return REFUSALS.forbidden
  const host = http?.routes === undefined ? undefined : findHost(http.routes, head.authority)
  if (http === undefined || host === undefined) return mode === 'forward' ? REFUSALS.host : REFUSALS.route
  const refused = settlePath(head, http.paths)
  if (refused !== undefined) return refused
  filterRequest(head, { mode, peer, ownUri: services.ownUri() })
  return admitUpgrade(head, http, findRoute(host, head), REFUSALS.upgrade)
}

/** Only where a route of the host says that CONNECT ends here; it leads to the route's cluster, not where the client says. */
function admitConnect(head: RequestHead, downstream: DownstreamConnection, services: ExchangeServices): Admission {
  const { mode, peer } = downstream
  const routes = downstream.http()?.routes
  const host = routes === undefined ? undefined : findHost(routes, head.authority)
  const route = host === undefined ? undefined : findConnectRoute(host)
  if (route === undefined) return REFUSALS.connect
  if (mode !== 'reverse') filterRequest(head, { mode, peer, ownUri: services.ownUri() })
  return route
}

/** A generic listener: heads are made Envoy's before a virtual host is looked for. */
function admitReverse(head: RequestHead, http: CompiledHttp): Admission {
  const refused = head.method === 'CONNECT' ? undefined : settlePath(head, http.paths)
  if (refused !== undefined) return refused
  http.reverse?.request(head, { scheme: 'http' })
  const host = http.routes === undefined ? undefined : findHost(http.routes, head.authority)
  if (head.method === 'CONNECT') return (host && findConnectRoute(host)) ?? REFUSALS.route
  return admitUpgrade(head, http, host && findRoute(host, head), REFUSALS.upgradeFailed)
}

function admitUpgrade(
  head: RequestHead,
  http: CompiledHttp,
  route: CompiledRoute | undefined,
  refusal: Refusal,
): Admission {
  if (route === undefined) return REFUSALS.route
  return head.protocol === '' || mayUpgrade(head.protocol, http.upgrades, route.upgrades) ? route : refusal
}

/** The path in the form that all readers see, or the answer for one that has none. */
function settlePath(head: RequestHead, policy: PathPolicy): Refusal | LocalAnswer | undefined {
  const normal = normalizePath(head.path, policy)
  if (normal === undefined) return undefined
  if (normal.kind === 'refused') return REFUSALS.path
  head.path = normal.path
  return normal.kind === 'redirect' ? configuredReply(307, ['location', normal.path]) : undefined
}
