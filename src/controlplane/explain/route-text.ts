/**
 * VirtualServices in words: each rule's match, where it leads, and what else it does. Every field of a rule shows, also
 * those that this file has never heard of: what is left out of a description is what somebody searches for. Pure.
 */
import type { DestinationSpec, HttpRouteSpec } from '../../kube/kinds/networking.ts'
import type { RouteText, ServiceReport } from '../../model/explain.ts'
import type { Led } from '../translate/istio/virtual-services.ts'

const ANYTHING = 'everything'
/** Fields that match and destination show already. */
const SHOWN = new Set(['name', 'match', 'route', 'redirect', 'directResponse', 'delegate'])

/** `uri.prefix=/a, headers.x-user.exact=ann`: leaves by their paths. */
export function compact(value: unknown, path = ''): string {
  if (Array.isArray(value)) return value.map((item) => compact(item, path)).join(' or ')
  if (typeof value !== 'object' || value === null) return path === '' ? String(value) : `${path}=${String(value)}`
  const parts = Object.entries(value).map(([key, inner]) => compact(inner, path === '' ? key : `${path}.${key}`))
  return parts.length === 0 ? path : parts.join(', ')
}

function matchText(matches: readonly object[] | undefined): string {
  if (matches === undefined || matches.length === 0) return ANYTHING
  return matches.map((match) => compact(match) || ANYTHING).join(' | ')
}

interface Weighted {
  readonly destination: DestinationSpec
  readonly weight?: number
}

function destinationsText(route: readonly Weighted[]): string {
  return route
    .map(({ destination: { host, port, subset }, weight }) => {
      const at = `${host}${port?.number === undefined ? '' : `:${port.number}`}`
      return [at, ...(subset ? [`subset ${subset}`] : []), ...(weight === undefined ? [] : [`weight ${weight}`])].join(
        ' ',
      )
    })
    .join(', ')
}

function httpTarget({ route, redirect, directResponse }: HttpRouteSpec): string {
  if (redirect !== undefined) return `redirect ${compact(redirect)}`
  if (directResponse !== undefined) return `answer ${directResponse.status}`
  return route === undefined || route.length === 0 ? 'nowhere' : destinationsText(route)
}

function httpText(route: HttpRouteSpec): RouteText {
  const extras = Object.entries(route).filter(([field]) => !SHOWN.has(field))
  return {
    match: matchText(route.match),
    to: httpTarget(route),
    with: extras.map(([field, value]) => compact(value, field)),
  }
}

/** In the order in which a proxy asks them: the first that matches counts. */
export function routesOf({ http, tls, tcp }: Led, source: string): ServiceReport['routes'] {
  const bytes = (rules: readonly { match?: readonly object[]; route?: readonly Weighted[] }[]): RouteText[] =>
    rules.map(({ match, route = [] }) => ({ match: matchText(match), to: destinationsText(route), with: [] }))
  return [
    { source, protocol: 'http' as const, rules: http.map(httpText) },
    { source, protocol: 'tls' as const, rules: bytes(tls) },
    { source, protocol: 'tcp' as const, rules: bytes(tcp) },
  ].filter(({ rules }) => rules.length > 0)
}
