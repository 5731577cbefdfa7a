/**
 * Virtual hosts of an edge's route tables: what several servers say of one name is joined, redirects to HTTPS stand for
 * all else, and names that another certificate is for are answered 421. Pure.
 */
import type { Route, RoutedFilters, RouteTable, VirtualHost } from '../../../model/config.ts'
import { covers } from '../host-names.ts'
import type { EdgeServer } from './edge.ts'

const ANY = { kind: 'prefix', prefix: '/' } as const
const TO_HTTPS: Route = { match: ANY, redirect: { status: 301, scheme: 'https' } }
/** The client asks over a connection that was made for another name (RFC 9110 15.5.20). */
const MISDIRECTED: Route = { match: ANY, direct: { status: 421, body: '' } }

/** One name with all that is said of it. */
export interface JoinedHost {
  readonly domain: string
  readonly routes: readonly Route[]
  readonly filters?: RoutedFilters
}

export function joinedHosts(servers: readonly EdgeServer[]): readonly JoinedHost[] {
  const joined = new Map<string, JoinedHost>()
  for (const { serves, hosts } of servers) {
    if (serves.kind !== 'http') continue
    if (serves.redirectsToHttps === true) {
      for (const domain of hosts) if (!joined.has(domain)) joined.set(domain, { domain, routes: [TO_HTTPS] })
      continue
    }
    for (const { domains, routes, filters } of serves.hosts) {
      for (const domain of domains) {
        const known = joined.get(domain)
        const of = known?.filters ?? filters
        joined.set(domain, {
          domain,
          routes: known === undefined ? routes : openLast([...known.routes, ...routes]),
          ...(of !== undefined && { filters: of }),
        })
      }
    }
  }
  return [...joined.values()]
}

/** What takes everything would hide what others say of the same name, so it comes last, as in Istio. */
function openLast(routes: readonly Route[]): readonly Route[] {
  const isOpen = ({ match }: Route): boolean =>
    match.kind === 'prefix' && match.prefix === '/' && match.headers === undefined && match.query === undefined
  return [...routes.filter((route) => !isOpen(route)), ...routes.filter(isOpen)]
}

/**
 * For a server whose wildcard takes names that other servers of the port have for themselves: a request for one of them
 * belongs on a connection of theirs. Otherwise who need not show a certificate here would reach what asks for one there.
 */
export function withMisdirected(
  joined: readonly JoinedHost[],
  own: readonly string[],
  others: readonly string[],
): readonly JoinedHost[] {
  const foreign = [...new Set(others)].filter((host) => !own.includes(host) && own.some((one) => covers(one, host)))
  if (foreign.length === 0) return joined
  const kept = joined.filter(({ domain }) => !foreign.some((host) => covers(host, domain)))
  return [...kept, ...foreign.map((domain): JoinedHost => ({ domain, routes: [MISDIRECTED] }))]
}

/** Names of which the very same is said share a virtual host. */
export function tableOf(name: string, joined: readonly JoinedHost[]): RouteTable {
  const groups = new Map<string, { domains: string[]; of: JoinedHost }>()
  const known = new Map<unknown, number>()
  const idOf = (value: unknown): number => {
    const id = known.get(value) ?? known.size
    known.set(value, id)
    return id
  }
  for (const host of joined) {
    const key = [...host.routes.map(idOf), 'filters', idOf(host.filters)].join(' ')
    const group = groups.get(key)
    if (group === undefined) groups.set(key, { domains: [host.domain], of: host })
    else group.domains.push(host.domain)
  }
  const hosts = [...groups.values()].map(({ domains, of: { routes, filters } }): VirtualHost => {
    const host = { name: domains[0] ?? '', domains, routes }
    return filters === undefined ? host : Object.assign(host, { filters })
  })
  // Clients write the port that they know; which one it is behind a load balancer is no one's matter here.
  return { name, hosts, ignorePort: true }
}
