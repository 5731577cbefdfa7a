/**
 * RouteTable <-> envoy.config.route.v3.RouteConfiguration. Also carried inside a listener, where the table is fixed.
 * A route's `allow` is an RBAC override per route; the listener installs the filter it overrides.
 */
import { create } from '@bufbuild/protobuf'
import { anyPack, type Any } from '@bufbuild/protobuf/wkt'
import { type RouteConfiguration, RouteConfigurationSchema } from '#gen/envoy/config/route/v3/route_pb.js'
import {
  type RetryPolicy as RetryPolicyMessage,
  type Route as RouteMessage,
  type RouteAction,
  type RouteAction_UpgradeConfig as UpgradeConfig,
  RouteSchema,
  type VirtualHost as VirtualHostMessage,
  VirtualHostSchema,
} from '#gen/envoy/config/route/v3/route_components_pb.js'
import { RBACPerRouteSchema } from '#gen/envoy/extensions/filters/http/rbac/v3/rbac_pb.js'
import type { PrincipalRule, RetryPolicy, Route, RouteTable, VirtualHost } from '../../model/config.ts'
import { decodeDuration, encodeDuration } from './common.ts'
import { decodeRules, encodeRules, RULES_SHAPE } from './principals.ts'
import { decodeMatch, encodeMatch, MATCH_SHAPE } from './route-match.ts'
import { present, refuse, require, type Shape, unpackShaped, within } from './shape.ts'

export const HTTP_RBAC_FILTER = 'envoy.filters.http.rbac'
export const CONNECT = 'CONNECT'

export const ROUTE_SHAPE: Shape = {
  name: true,
  ignore_port_in_host_matching: true,
  virtual_hosts: {
    name: true,
    domains: true,
    routes: {
      match: MATCH_SHAPE,
      route: {
        cluster: true,
        timeout: true,
        retry_policy: { retry_on: true, num_retries: true },
        upgrade_configs: { upgrade_type: true, connect_config: {} },
      },
      typed_per_filter_config: true,
    },
  },
}
const PER_ROUTE_RBAC_SHAPE: Shape = { rbac: { rules: RULES_SHAPE } }

const RETRY_CONDITIONS: readonly string[] = [
  'connect-failure',
  'refused-stream',
  'reset-before-request',
  'gateway-error',
] satisfies RetryPolicy['on'][number][]

export function encodeRoute(table: RouteTable): RouteConfiguration {
  return create(RouteConfigurationSchema, {
    name: table.name,
    virtualHosts: table.hosts.map(encodeHost),
    ignorePortInHostMatching: table.ignorePort === true,
  })
}

function encodeHost(host: VirtualHost): VirtualHostMessage {
  return create(VirtualHostSchema, {
    name: host.name,
    domains: [...host.domains],
    routes: host.routes.map(encodeEntry),
  })
}

function encodeEntry(route: Route): RouteMessage {
  const isConnect = route.match.kind === 'connect'
  return create(RouteSchema, {
    match: encodeMatch(route.match),
    action: {
      case: 'route',
      value: {
        clusterSpecifier: { case: 'cluster', value: route.cluster },
        timeout: encodeDuration(route.timeoutMs),
        ...(route.retry !== undefined && {
          retryPolicy: { retryOn: route.retry.on.join(','), numRetries: route.retry.retriesMax },
        }),
        // Without it Envoy would forward the CONNECT instead of ending it and splicing.
        upgradeConfigs: isConnect ? [{ upgradeType: CONNECT, connectConfig: {} }] : [],
      },
    },
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
  return { name: message.name, hosts, ...(message.ignorePortInHostMatching && { ignorePort: true }) }
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
  }
}

function decodeEntry(path: string, route: RouteMessage): Route {
  const match = decodeMatch(within(path, 'match'), route.match)
  if (route.action.case !== 'route') return refuse(within(path, 'route'), 'is required')
  const action = route.action.value
  const at = within(path, 'route')
  if (action.clusterSpecifier.case !== 'cluster') return refuse(within(at, 'cluster'), 'is required')
  requireConnectConfig(within(at, 'upgrade_configs'), action, match)
  const allow = decodeAllow(within(path, 'typed_per_filter_config'), route.typedPerFilterConfig)
  return {
    match,
    cluster: action.clusterSpecifier.value,
    timeoutMs: decodeDuration(within(at, 'timeout'), action.timeout),
    ...(action.retryPolicy !== undefined && { retry: decodeRetry(within(at, 'retry_policy'), action.retryPolicy) }),
    ...(allow !== undefined && { allow }),
  }
}

function requireConnectConfig(path: string, action: RouteAction, match: Route['match']): void {
  const isEnding = (config: UpgradeConfig): boolean =>
    config.upgradeType.toUpperCase() === CONNECT && config.connectConfig !== undefined
  const [first, ...rest] = action.upgradeConfigs
  if (match.kind !== 'connect') return require(path, first === undefined, 'is supported on CONNECT routes only')
  require(path, first !== undefined && rest.length === 0 && isEnding(first), 'a CONNECT route must end the CONNECT')
}

function decodeRetry(path: string, policy: RetryPolicyMessage): RetryPolicy {
  const on = policy.retryOn.split(',').filter((condition) => condition !== '')
  for (const condition of on) {
    require(within(path, 'retry_on'), RETRY_CONDITIONS.includes(condition), `${condition} is not supported`)
  }
  // Envoy's own default of one retry.
  return { on: on as RetryPolicy['on'], retriesMax: policy.numRetries ?? 1 }
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
