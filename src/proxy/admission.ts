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
import { type CompiledRoute, findHost, findRoute } from './routes.ts'

export type Admission = CompiledRoute | Refusal | LocalAnswer

export function isRoute(admission: Admission): admission is CompiledRoute {
  return 'kind' in admission && admission.kind === 'route'
}

export function admit(head: RequestHead, downstream: DownstreamConnection, services: ExchangeServices): Admission {
  const { mode, peer } = downstream
  if (head.method === 'CONNECT') return REFUSALS.connect
  if (head.protocol !== '') return REFUSALS.upgrade
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
  if (http.reverse !== undefined) http.reverse.request(head, { scheme: 'http' })
  else if (mode !== 'reverse') filterRequest(head, { mode, peer, ownUri: services.ownUri() })
  return findRoute(host, head) ?? REFUSALS.route
}
