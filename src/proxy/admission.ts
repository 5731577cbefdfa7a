/**
 * What is settled before filters and routes, in the order that keeps it safe: what we do not serve, where nobody may
 * go, the one form of the path, headers a client may not send.
 */
import type { PathPolicy } from '../model/config.ts'
import type { CompiledHttp } from './compile.ts'
import type { DownstreamConnection, ExchangeServices } from './exchange-context.ts'
import { filterRequest, stripPeerFacts } from './filters/chain.ts'
import { isForbiddenTarget } from '../runtime/forbidden.ts'
import { configuredReply, type LocalAnswer, type Refusal, REFUSALS } from './local-reply.ts'
import { normalizePath } from './match/normal-path.ts'
import type { RequestHead } from './message.ts'
import { type CompiledRoute, findConnectRoute, findHost, findRoute } from './routes.ts'
import { mayUpgrade } from './upgrade.ts'

/** Undefined: filters and routes may see it. */
export function admit(
  head: RequestHead,
  http: CompiledHttp,
  downstream: DownstreamConnection,
  services: ExchangeServices,
): Refusal | LocalAnswer | undefined {
  const { mode, peer } = downstream
  const { tracer } = http.telemetry
  if (mode === 'reverse') {
    const refused = admitReverse(head, http, downstream)
    // At the edge of the mesh anyone could write what its proxies tell each other.
    if (services.ownUri() !== '') stripPeerFacts(head)
    if (refused === undefined && tracer !== undefined) tracer.begin(head)
    return refused
  }
  if (mode === 'forward' && isForbiddenTarget(head.authority)) return REFUSALS.forbidden
  const refused = settlePath(head, http.paths)
  if (refused !== undefined) return refused
  filterRequest(head, { mode, peer, ownUri: services.ownUri() })
  // With the request's id, and before anything reads the head to send it on.
  if (tracer !== undefined) tracer.begin(head)
  return undefined
}

/** May be asked again when a filter has changed the head. */
export function chooseRoute(head: RequestHead, { routes }: CompiledHttp, dialed: string): CompiledRoute | undefined {
  const host = routes === undefined ? undefined : findHost(routes, head.authority, dialed)
  if (host === undefined) return undefined
  return head.method === 'CONNECT' ? findConnectRoute(host) : findRoute(host, head)
}

/** Why no route was found. A host that no one serves is the gateway's matter, a path that it does not serve the service's. */
export function unrouted(
  head: RequestHead,
  http: CompiledHttp | undefined,
  { mode, dialed }: Pick<DownstreamConnection, 'mode' | 'dialed'>,
): Refusal {
  if (head.method === 'CONNECT' && mode !== 'reverse') return REFUSALS.connect
  const known = http?.routes !== undefined && findHost(http.routes, head.authority, dialed) !== undefined
  return mode === 'forward' && !known ? REFUSALS.host : REFUSALS.route
}

/** A tunnel that nobody allowed. CONNECT is allowed by the route that ends it, and leads to that route's cluster. */
export function tunnelRefusal(
  head: RequestHead,
  http: CompiledHttp,
  route: CompiledRoute | undefined,
): Refusal | undefined {
  if (route === undefined || head.protocol === '') return undefined
  if (mayUpgrade(head.protocol, http.upgrades, route.upgrades)) return undefined
  return http.mode === 'reverse' ? REFUSALS.upgradeFailed : REFUSALS.upgrade
}

/** A generic listener: heads are made Envoy's before a virtual host is looked for. */
function admitReverse(
  head: RequestHead,
  http: CompiledHttp,
  { client, remoteAddress }: DownstreamConnection,
): Refusal | LocalAnswer | undefined {
  const refused = settlePath(head, http.paths)
  if (refused !== undefined) return refused
  if (client !== undefined) http.reverse?.request(head, client, remoteAddress)
  return undefined
}

/** The path in the form that all readers see, or the answer for one that has none. */
function settlePath(head: RequestHead, policy: PathPolicy): Refusal | LocalAnswer | undefined {
  if (head.method === 'CONNECT') return undefined
  const normal = normalizePath(head.path, policy)
  if (normal === undefined) return undefined
  if (normal.kind === 'refused') return REFUSALS.path
  head.path = normal.path
  return normal.kind === 'redirect' ? configuredReply(307, ['location', normal.path]) : undefined
}
