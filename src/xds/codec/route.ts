/**
 * RouteTable <-> envoy.config.route.v3.RouteConfiguration. Also carried inside a listener, where the table is fixed.
 * A route's `allow` is an RBAC override per route; the listener installs the filter it overrides.
 */
import { create } from '@bufbuild/protobuf'
import { type RouteConfiguration, RouteConfigurationSchema } from '#gen/envoy/config/route/v3/route_pb.js'
import {
  type Route as RouteMessage,
  RouteSchema,
  type VirtualHost as VirtualHostMessage,
  VirtualHostSchema,
} from '#gen/envoy/config/route/v3/route_components_pb.js'
import type { Route, RouteTable, VirtualHost } from '../../model/config.ts'
import { decodeMutations, encodeMutations, MUTATIONS_SHAPE } from './header-mutations.ts'
import { decodePerHost, decodePerRoute, encodePerRoute, said } from './per-route.ts'
import { decodeDescriptors, encodeDescriptors, RATE_LIMITS_SHAPE } from './descriptors.ts'
import { ACTION_SHAPES, decodeAction, encodeAction } from './route-action.ts'
import { decodeMatch, encodeMatch, MATCH_SHAPE } from './route-match.ts'
import { decodeRetry, encodeRetry, RETRY_SHAPE } from './retry.ts'
import { require, type Shape, within } from './shape.ts'

export const HOST_SHAPE: Shape = {
  name: true,
  domains: true,
  ...MUTATIONS_SHAPE,
  typed_per_filter_config: true,
  rate_limits: RATE_LIMITS_SHAPE,
  retry_policy: RETRY_SHAPE,
  include_request_attempt_count: true,
  include_attempt_count_in_response: true,
  routes: {
    match: MATCH_SHAPE,
    ...ACTION_SHAPES,
    ...MUTATIONS_SHAPE,
    name: true,
    typed_per_filter_config: true,
  },
}

export const ROUTE_SHAPE: Shape = {
  name: true,
  ignore_port_in_host_matching: true,
  most_specific_header_mutations_wins: true,
  ...MUTATIONS_SHAPE,
  typed_per_filter_config: true,
  virtual_hosts: HOST_SHAPE,
}

export function encodeRoute(table: RouteTable): RouteConfiguration {
  return create(RouteConfigurationSchema, {
    name: table.name,
    virtualHosts: table.hosts.map(encodeHost),
    ignorePortInHostMatching: table.ignorePort === true,
    mostSpecificHeaderMutationsWins: table.mostSpecificHeadersWin === true,
    ...encodeMutations(table.headers),
    typedPerFilterConfig: encodePerRoute(said(table.filters)),
  })
}

export function encodeHost(host: VirtualHost): VirtualHostMessage {
  return create(VirtualHostSchema, {
    name: host.name,
    domains: [...host.domains],
    routes: host.routes.map(encodeEntry),
    ...encodeMutations(host.headers),
    typedPerFilterConfig: encodePerRoute(said(host.filters)),
    rateLimits: encodeDescriptors(host.descriptors),
    ...(host.retry !== undefined && { retryPolicy: encodeRetry(host.retry) }),
    includeRequestAttemptCount: host.attemptCount?.request === true,
    includeAttemptCountInResponse: host.attemptCount?.response === true,
  })
}

function encodeEntry(route: Route): RouteMessage {
  return create(RouteSchema, {
    name: route.name ?? '',
    match: encodeMatch(route.match),
    action: encodeAction(route),
    ...encodeMutations(route.headers),
    typedPerFilterConfig: encodePerRoute(route),
  })
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
    ...decodePerHost(within(path, 'typed_per_filter_config'), message.typedPerFilterConfig),
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

export function decodeHost(path: string, host: VirtualHostMessage): VirtualHost {
  require(within(path, 'domains'), host.domains.length > 0, 'is required')
  const domains = host.domains.map((domain) => domain.toLowerCase())
  for (const domain of domains) {
    const star = domain.indexOf('*')
    const isAtEdge = star === -1 || star === 0 || star === domain.length - 1
    const isSupported = domain !== '' && isAtEdge && star === domain.lastIndexOf('*')
    require(within(path, 'domains'), isSupported, `${domain} is neither a name nor one with * at one end`)
  }
  const descriptors = decodeDescriptors(within(path, 'rate_limits'), host.rateLimits)
  return {
    name: host.name,
    domains,
    routes: host.routes.map((route, index) => decodeEntry(`${path}.routes[${index}]`, route)),
    ...decodeMutations(path, host),
    ...decodePerHost(within(path, 'typed_per_filter_config'), host.typedPerFilterConfig),
    ...(descriptors !== undefined && { descriptors }),
    ...(host.retryPolicy !== undefined && { retry: decodeRetry(within(path, 'retry_policy'), host.retryPolicy) }),
    ...decodeAttemptCount(host),
  }
}

function decodeAttemptCount(host: VirtualHostMessage): Pick<VirtualHost, 'attemptCount'> {
  const { includeRequestAttemptCount: request, includeAttemptCountInResponse: response } = host
  if (!request && !response) return {}
  return { attemptCount: { ...(request && { request }), ...(response && { response }) } }
}

function decodeEntry(path: string, route: RouteMessage): Route {
  const match = decodeMatch(within(path, 'match'), route.match)
  return {
    ...(route.name !== '' && { name: route.name }),
    match,
    ...decodeAction(path, route.action, match),
    ...decodePerRoute(within(path, 'typed_per_filter_config'), route.typedPerFilterConfig),
    ...decodeMutations(path, route),
  }
}
