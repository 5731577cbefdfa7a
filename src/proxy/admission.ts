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
import { type CompiledRoute, findHost, findRoute } from './routes.ts'

export type Admission = CompiledRoute | Refusal | LocalAnswer

export function isRoute(admission: Admission): admission is CompiledRoute {
  return 'kind' in admission && admission.kind === 'route'
}

export function admit(head: RequestHead, downstream: DownstreamConnection, services: ExchangeServices): Admission {
  const { mode, peer } = downstream
  const http = downstream.http()
  if (mode === 'reverse') return http === undefined ? REFUSALS.route : admitReverse(head, http, downstream)
  if (head.method === 'CONNECT') return REFUSALS.connect
  if (head.protocol !== '') return REFUSALS.upgrade
  if (mode === 'forward' && isForbiddenTarget(head.authority)) return REFUSALS.forbidden
  const host = http?.routes === undefined ? undefined : findHost(http.routes, head.authority)
  if (http === undefined || host === undefined) return mode === 'forward' ? REFUSALS.host : REFUSALS.route
  const refused = settlePath(head, http.paths)
  if (refused !== undefined) return refused
  filterRequest(head, { mode, peer, ownUri: services.ownUri() })
  return findRoute(host, head) ?? REFUSALS.route
}

/** A generic listener: heads are made Envoy's before a virtual host is looked for. */
function admitReverse(head: RequestHead, http: CompiledHttp, { client }: DownstreamConnection): Admission {
  const refused = settlePath(head, http.paths)
  if (refused !== undefined) return refused
  http.reverse?.request(head, client)
  if (head.method === 'CONNECT') return REFUSALS.route
  if (head.protocol !== '') return REFUSALS.denied
  const host = http.routes === undefined ? undefined : findHost(http.routes, head.authority)
  return (host && findRoute(host, head)) ?? REFUSALS.route
}

/** The path in the form that all readers see, or the answer for one that has none. */
function settlePath(head: RequestHead, policy: PathPolicy): Refusal | LocalAnswer | undefined {
  const normal = normalizePath(head.path, policy)
  if (normal === undefined) return undefined
  if (normal.kind === 'refused') return REFUSALS.path
  head.path = normal.path
  return normal.kind === 'redirect' ? configuredReply(307, ['location', normal.path]) : undefined
}
