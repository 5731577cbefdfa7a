/**
 * From a request's head to its route, in the order that keeps it safe: what we do not serve, where nobody may go, the
 * one form of the path, headers a client may not send; only then is a route chosen by what is left.
 */
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
  if (head.method === 'CONNECT') return admitConnect(head, downstream, services)
  if (mode === 'forward' && isForbiddenTarget(head.authority)) return REFUSALS.forbidden
  const http = downstream.http()
  const host = http?.routes === undefined ? undefined : findHost(http.routes, head.authority)
  if (http === undefined || host === undefined) return mode === 'forward' ? REFUSALS.host : REFUSALS.route
  const normal = normalizePath(head.path, http.paths)
  if (normal !== undefined) {
    if (normal.kind === 'refused') return REFUSALS.path
    head.path = normal.path
    if (normal.kind === 'redirect') return configuredReply(307, ['location', normal.path])
  }
  filterRequest(head, { mode, peer, ownUri: services.ownUri() })
  const route = findRoute(host, head)
  if (route === undefined) return REFUSALS.route
  const refused = head.protocol !== '' && !mayUpgrade(head.protocol, http.upgrades, route.upgrades)
  return refused ? REFUSALS.upgrade : route
}

/** Only where a route of the host says that CONNECT ends here; it leads to the route's cluster, not where the client says. */
function admitConnect(head: RequestHead, downstream: DownstreamConnection, services: ExchangeServices): Admission {
  const { mode, peer } = downstream
  const routes = downstream.http()?.routes
  const host = routes === undefined ? undefined : findHost(routes, head.authority)
  const route = host === undefined ? undefined : findConnectRoute(host)
  if (route === undefined) return REFUSALS.connect
  filterRequest(head, { mode, peer, ownUri: services.ownUri() })
  return route
}
