/**
 * What is settled before filters and routes, in the order that keeps it safe: what we do not serve, where nobody may
 * go, the one form of the path, headers a client may not send.
 */
import type { CompiledHttp } from './compile.ts'
import type { DownstreamConnection, ExchangeServices } from './exchange-context.ts'
import { filterRequest } from './filters/chain.ts'
import { isForbiddenTarget } from './forbidden.ts'
import { configuredReply, type LocalAnswer, type Refusal, REFUSALS } from './local-reply.ts'
import { normalizePath } from './match/normal-path.ts'
import type { RequestHead } from './message.ts'
import { type CompiledRoute, findHost, findRoute } from './routes.ts'

/** Undefined: filters and routes may see it. */
export function admit(
  head: RequestHead,
  http: CompiledHttp,
  { mode, peer }: DownstreamConnection,
  services: ExchangeServices,
): Refusal | LocalAnswer | undefined {
  if (head.method === 'CONNECT') return REFUSALS.connect
  if (head.protocol !== '') return REFUSALS.upgrade
  if (mode === 'forward' && isForbiddenTarget(head.authority)) return REFUSALS.forbidden
  const normal = normalizePath(head.path, http.paths)
  if (normal !== undefined) {
    if (normal.kind === 'refused') return REFUSALS.path
    head.path = normal.path
    if (normal.kind === 'redirect') return configuredReply(307, ['location', normal.path])
  }
  filterRequest(head, { mode, peer, ownUri: services.ownUri() })
  return undefined
}

/** May be asked again when a filter has changed the head. */
export function chooseRoute(head: RequestHead, { routes }: CompiledHttp): CompiledRoute | undefined {
  const host = routes === undefined ? undefined : findHost(routes, head.authority)
  return host === undefined ? undefined : findRoute(host, head)
}

/** Why no route was found. A host that no one serves is the gateway's matter, a path that it does not serve the service's. */
export function unrouted(head: RequestHead, http: CompiledHttp | undefined, mode: 'forward' | 'inbound'): Refusal {
  const known = http?.routes !== undefined && findHost(http.routes, head.authority) !== undefined
  return mode === 'forward' && !known ? REFUSALS.host : REFUSALS.route
}
