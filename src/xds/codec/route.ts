/**
 * RouteTable <-> envoy.config.route.v3.RouteConfiguration. Also carried inside a listener, where the table is fixed.
 * A route's `allow` is an RBAC override per route; the listener installs the filter it overrides.
 */
import { create } from '@bufbuild/protobuf'
import { anyPack, type Any } from '@bufbuild/protobuf/wkt'
import { type RouteConfiguration, RouteConfigurationSchema } from '#gen/envoy/config/route/v3/route_pb.js'
import {
  type Route as RouteMessage,
  RouteSchema,
  type VirtualHost as VirtualHostMessage,
  VirtualHostSchema,
} from '#gen/envoy/config/route/v3/route_components_pb.js'
import { RBACPerRouteSchema } from '#gen/envoy/extensions/filters/http/rbac/v3/rbac_pb.js'
import type { PrincipalRule, Route, RouteTable, VirtualHost } from '../../model/config.ts'
import { decodeMutations, encodeMutations, MUTATIONS_SHAPE } from './header-mutations.ts'
import { decodeRules, encodeRules, RULES_SHAPE } from './principals.ts'
import { ACTION_SHAPES, decodeAction, encodeAction } from './route-action.ts'
import { decodeMatch, encodeMatch, MATCH_SHAPE } from './route-match.ts'
import { present, require, type Shape, unpackShaped, within } from './shape.ts'

export const HTTP_RBAC_FILTER = 'envoy.filters.http.rbac'
export const CONNECT = 'CONNECT'

export const ROUTE_SHAPE: Shape = {
  name: true,
  ignore_port_in_host_matching: true,
  most_specific_header_mutations_wins: true,
  ...MUTATIONS_SHAPE,
  virtual_hosts: {
    name: true,
    domains: true,
    ...MUTATIONS_SHAPE,
    routes: {
      match: MATCH_SHAPE,
      ...ACTION_SHAPES,
      ...MUTATIONS_SHAPE,
      name: true,
      typed_per_filter_config: true,
    },
  },
}
const PER_ROUTE_RBAC_SHAPE: Shape = { rbac: { rules: RULES_SHAPE } }

export function encodeRoute(table: RouteTable): RouteConfiguration {
  return create(RouteConfigurationSchema, {
    name: table.name,
    virtualHosts: table.hosts.map(encodeHost),
    ignorePortInHostMatching: table.ignorePort === true,
    mostSpecificHeaderMutationsWins: table.mostSpecificHeadersWin === true,
    ...encodeMutations(table.headers),
  })
}

function encodeHost(host: VirtualHost): VirtualHostMessage {
  return create(VirtualHostSchema, {
    name: host.name,
    domains: [...host.domains],
    routes: host.routes.map(encodeEntry),
    ...encodeMutations(host.headers),
  })
}

function encodeEntry(route: Route): RouteMessage {
  return create(RouteSchema, {
    name: route.name ?? '',
    match: encodeMatch(route.match),
    action: encodeAction(route),
    ...encodeMutations(route.headers),
    ...(route.allow !== undefined && { typedPerFilterConfig: { [HTTP_RBAC_FILTER]: encodeAllow(route.allow) } }),
  })
}

function encodeAllow(allow: PrincipalRule): Any {
  return anyPack(RBACPerRouteSchema, create(RBACPerRouteSchema, { rbac: { rules: encodeRules(allow) } }))
}

/** The message's shape was checked by whoever parsed it: the resource itself, or the listener around it. */
export function decodeRoute(path: string, message: RouteConfiguration): RouteTable {
  const at = within(path, 'virtual_hosts')
  const hosts = message.virtualHosts.map((host, index) => decodeHost(`${at}[${index}]`, host))
  requireDistinctDomains(at, hosts)
  return {
    name: message.name,
    hosts,
    ...(message.ignorePortInHostMatching && { ignorePort: true }),
    ...(message.mostSpecificHeaderMutationsWins && { mostSpecificHeadersWin: true }),
    ...decodeMutations(path, message),
  }
}

/** Two hosts with one domain have no order; Envoy refuses them too. */
function requireDistinctDomains(path: string, hosts: readonly VirtualHost[]): void {
  const seen = new Set<string>()
  for (const [index, host] of hosts.entries()) {
    for (const domain of host.domains) {
      require(`${path}[${index}].domains`, !seen.has(domain), `${domain} is in the table twice`)
      seen.add(domain)
    }
  }
}

function decodeHost(path: string, host: VirtualHostMessage): VirtualHost {
  require(within(path, 'domains'), host.domains.length > 0, 'is required')
  const domains = host.domains.map((domain) => domain.toLowerCase())
  for (const domain of domains) {
    const star = domain.indexOf('*')
    const isAtEdge = star === -1 || star === 0 || star === domain.length - 1
    const isSupported = domain !== '' && isAtEdge && star === domain.lastIndexOf('*')
    require(within(path, 'domains'), isSupported, `${domain} is neither a name nor one with * at one end`)
  }
  return {
    name: host.name,
    domains,
    routes: host.routes.map((route, index) => decodeEntry(`${path}.routes[${index}]`, route)),
    ...decodeMutations(path, host),
  }
}

function decodeEntry(path: string, route: RouteMessage): Route {
  const match = decodeMatch(within(path, 'match'), route.match)
  const allow = decodeAllow(within(path, 'typed_per_filter_config'), route.typedPerFilterConfig)
  return {
    ...(route.name !== '' && { name: route.name }),
    match,
    ...decodeAction(path, route.action, match),
    ...(allow !== undefined && { allow }),
    ...decodeMutations(path, route),
  }
}

function decodeAllow(path: string, configs: Readonly<Record<string, Any>>): PrincipalRule | undefined {
  for (const name of Object.keys(configs)) {
    require(`${path}["${name}"]`, name === HTTP_RBAC_FILTER, 'is not supported')
  }
  if (!Object.hasOwn(configs, HTTP_RBAC_FILTER)) return undefined
  const at = `${path}["${HTTP_RBAC_FILTER}"]`
  const perRoute = unpackShaped(RBACPerRouteSchema, configs[HTTP_RBAC_FILTER], PER_ROUTE_RBAC_SHAPE, at)
  const rules = present(within(at, 'rbac.rules'), perRoute.rbac?.rules)
  return decodeRules(within(at, 'rbac.rules'), rules)
}
