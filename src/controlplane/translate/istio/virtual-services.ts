/**
 * Which VirtualService speaks for a host in the mesh. The most specific name counts, and of two for one name the older;
 * what others delegate to is merged in, so that one object holds all routes. Pure.
 */
import type { HttpRouteSpec, VirtualServiceSpec } from '../../../kube/kinds/networking.ts'
import { byAge, type VirtualServiceFacts } from '../../observe/facts-networking.ts'
import { delegatedRoutes } from './delegates.ts'
import type { CallerMatch } from './http-match.ts'
import { isExportedTo, matchesHost, MESH_GATEWAY, resolveHost } from './names.ts'

/** A VirtualService with the parts it delegates to. */
export interface Led {
  readonly namespace: string
  readonly name: string
  readonly http: readonly HttpRouteSpec[]
  readonly tls: NonNullable<VirtualServiceSpec['tls']>
  readonly tcp: NonNullable<VirtualServiceSpec['tcp']>
  /** Every host that a route of it names, whole. */
  readonly destinations: readonly string[]
  /** Callers differ in what it says to them. */
  readonly asksCaller: boolean
}

export interface VirtualServiceIndex {
  readonly exact: ReadonlyMap<string, Led>
  /** Longest first. */
  readonly wildcards: readonly (readonly [string, Led])[]
}

type Table = ReadonlyMap<string, VirtualServiceFacts>

/** What is merged from the same objects stays the same object. */
export type Lead = (root: VirtualServiceFacts, parts: readonly VirtualServiceFacts[]) => Led

export function indexOf(
  table: Table,
  caller: string,
  { domain, lead }: { domain: string; lead: Lead },
): VirtualServiceIndex {
  const exact = new Map<string, Led>()
  const wildcards = new Map<string, Led>()
  for (const root of [...table.values()].filter((found) => isFor(found, caller)).sort(byAge)) {
    const led = lead(root, partsOf(root, table))
    for (const host of root.spec.hosts ?? []) {
      const name = resolveHost(host, root.namespace, domain)
      const names = name.startsWith('*') ? wildcards : exact
      if (!names.has(name)) names.set(name, led)
    }
  }
  return { exact, wildcards: [...wildcards].sort(([one], [other]) => other.length - one.length) }
}

/** Of sidecars, and seen from the caller's namespace. */
function isFor(found: VirtualServiceFacts, caller: string): boolean {
  const { gateways = [], hosts = [] } = found.spec
  const isMesh = gateways.length === 0 || gateways.includes(MESH_GATEWAY)
  return isMesh && hosts.length > 0 && isExportedTo(found, caller)
}

/** Those that it delegates to. */
export function partsOf(root: VirtualServiceFacts, table: Table): readonly VirtualServiceFacts[] {
  return (root.spec.http ?? []).flatMap(({ delegate }) => {
    const found = delegate && table.get(`${delegate.namespace ?? root.namespace}/${delegate.name ?? ''}`)
    return found === undefined || !isExportedTo(found, root.namespace) ? [] : [found]
  })
}

export function ledOf(root: VirtualServiceFacts, parts: readonly VirtualServiceFacts[], domain: string): Led {
  const { namespace, name, spec } = root
  const { http: routes = [], tls = [], tcp = [] } = spec
  const http = routes.flatMap((route) => (route.delegate === undefined ? [route] : delegatedRoutes(root, route, parts)))
  const matches = [...http, ...tls, ...tcp].flatMap(({ match }): readonly CallerMatch[] => match ?? [])
  return {
    namespace,
    name,
    http,
    tls,
    tcp,
    destinations: destinationsOf({ http, tls, tcp }).map((host) => resolveHost(host, namespace, domain)),
    asksCaller: matches.some(({ sourceLabels, sourceNamespace }) => sourceLabels ?? sourceNamespace),
  }
}

function destinationsOf({ http, tls, tcp }: Pick<Led, 'http' | 'tls' | 'tcp'>): readonly string[] {
  const routed = [...http, ...tls, ...tcp].flatMap(({ route = [] }) => route.map(({ destination }) => destination))
  const copied = http.flatMap(({ mirror, mirrors = [] }) => [
    ...(mirror === undefined ? [] : [mirror]),
    ...mirrors.map(({ destination }) => destination),
  ])
  return [...new Set([...routed, ...copied].map(({ host }) => host))]
}

/** The one that speaks for a host. */
export function ledFor({ exact, wildcards }: VirtualServiceIndex, host: string): Led | undefined {
  return exact.get(host) ?? wildcards.find(([pattern]) => matchesHost(pattern, host))?.[1]
}
