/**
 * HttpFilterChain <-> the HTTP connection manager. A chain without filters of its own lists DEFAULT_FILTERS, which do
 * nothing until a route says something to them, and ends in the router as every chain does.
 */
import { create, type MessageInitShape } from '@bufbuild/protobuf'
import { anyPack, type Any } from '@bufbuild/protobuf/wkt'
import { RouterSchema } from '#gen/envoy/extensions/filters/http/router/v3/router_pb.js'
import {
  type HttpConnectionManager,
  HttpConnectionManager_CodecType as CodecType,
  HttpConnectionManager_ForwardClientCertDetails as Forward,
  HttpConnectionManager_PathWithEscapedSlashesAction as Escaped,
  HttpConnectionManager_ServerHeaderTransformation as ServerHeader,
  HttpConnectionManagerSchema,
  type HttpFilter,
  HttpFilterSchema,
  RdsSchema,
} from '#gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js'
import {
  DEFAULT_FILTERS,
  DEFAULT_PATHS,
  type HttpFilterChain,
  type ListedFilter,
  MESH_UPGRADES,
  type PathPolicy,
} from '../../model/config.ts'
import { ACCESS_LOG_SHAPE, decodeAccessLogs, encodeAccessLog } from './access-log.ts'
import { ADS_SHAPE, encodeAds, requireAds } from './common.ts'
import { decodeRoute, encodeRoute, ROUTE_SHAPE } from './route.ts'
import { decodeListed, encodeListed } from './http-filters.ts'
import { decodeTracing, encodeTracing, TRACING_SHAPE } from './tracing.ts'
import { refuse, require, type Shape, unpackShaped, within } from './shape.ts'
import { CONNECT, decodeMeshUpgrades, encodeUpgrades, LISTENER_UPGRADES_SHAPE } from './upgrades.ts'

export const HTTP_CONNECTION_MANAGER = 'envoy.filters.network.http_connection_manager'
const ROUTER_FILTER = 'envoy.filters.http.router'

/** Of a listener that only names a route table. */
export function encodeApiManager(rds: string): Any {
  const router = create(HttpFilterSchema, {
    name: ROUTER_FILTER,
    configType: { case: 'typedConfig', value: anyPack(RouterSchema, create(RouterSchema)) },
  })
  const manager = create(HttpConnectionManagerSchema, {
    statPrefix: rds,
    routeSpecifier: { case: 'rds', value: create(RdsSchema, { routeConfigName: rds, configSource: encodeAds() }) },
    httpFilters: [router],
  })
  return anyPack(HttpConnectionManagerSchema, manager)
}

export const HTTP_CONNECTION_MANAGER_SHAPE: Shape = {
  codec_type: true,
  stat_prefix: true,
  rds: { config_source: ADS_SHAPE, route_config_name: true },
  route_config: ROUTE_SHAPE,
  http_filters: { name: true, typed_config: true, disabled: true },
  http_protocol_options: { allow_absolute_url: true },
  http2_protocol_options: { allow_connect: true },
  upgrade_configs: LISTENER_UPGRADES_SHAPE,
  normalize_path: true,
  merge_slashes: true,
  path_with_escaped_slashes_action: true,
  access_log: ACCESS_LOG_SHAPE,
  tracing: TRACING_SHAPE,
}

const ESCAPED_SLASHES: Readonly<Record<PathPolicy['escapedSlashes'], Escaped>> = {
  reject: Escaped.REJECT_REQUEST,
  keep: Escaped.KEEP_UNCHANGED,
  unescape: Escaped.UNESCAPE_AND_FORWARD,
  redirect: Escaped.UNESCAPE_AND_REDIRECT,
}
const ACTIONS = new Map(
  Object.entries(ESCAPED_SLASHES).map(([name, action]) => [action, name as PathPolicy['escapedSlashes']]),
)

type Init = MessageInitShape<typeof HttpConnectionManagerSchema>

type MeshMode = Exclude<HttpFilterChain['mode'], 'reverse'>

const MODE_SETTINGS = {
  forward: { httpProtocolOptions: { allowAbsoluteUrl: true } },
  inbound: { httpProtocolOptions: { allowAbsoluteUrl: false } },
  tunnel: {
    httpProtocolOptions: { allowAbsoluteUrl: false },
    http2ProtocolOptions: { allowConnect: true },
    upgradeConfigs: [{ upgradeType: CONNECT }],
  },
} satisfies Readonly<Record<MeshMode, Init>>

export function encodeHttp(chain: HttpFilterChain): Any {
  if (chain.mode === 'reverse') throw new Error(`${chain.statPrefix}: a chain of the mesh has no mode reverse`)
  const paths = chain.paths ?? DEFAULT_PATHS
  const upgrades = chain.mode === 'tunnel' ? [] : (chain.upgrades ?? MESH_UPGRADES)
  const manager = create(HttpConnectionManagerSchema, {
    ...MODE_SETTINGS[chain.mode],
    // Envoy takes upgrades over HTTP/2 where extended CONNECT is allowed.
    ...(upgrades.length > 0 && {
      upgradeConfigs: encodeUpgrades(upgrades),
      http2ProtocolOptions: { allowConnect: true },
    }),
    codecType: CodecType.AUTO,
    statPrefix: chain.statPrefix,
    routeSpecifier: encodeRoutes(chain.routes),
    normalizePath: true,
    mergeSlashes: paths.mergeSlashes,
    pathWithEscapedSlashesAction: encodeEscaped(paths.escapedSlashes),
    httpFilters: encodeFilters(chain.filters, { isQuiet: chain.envoy === true }),
    ...(chain.envoy === true && envoySettings(chain.mode)),
    accessLog: (chain.accessLogs ?? []).map(encodeAccessLog),
    ...(chain.tracing !== undefined && { tracing: encodeTracing(chain.tracing) }),
  })
  return anyPack(HttpConnectionManagerSchema, manager)
}

/** What our proxy does by itself: who called stands in a header, and servers keep their names. */
function envoySettings(
  mode: MeshMode,
): Pick<Init, 'serverHeaderTransformation' | 'forwardClientCertDetails' | 'setCurrentClientCertDetails'> {
  return {
    serverHeaderTransformation: ServerHeader.PASS_THROUGH,
    ...(mode === 'inbound' && {
      forwardClientCertDetails: Forward.SANITIZE_SET,
      setCurrentClientCertDetails: { uri: true },
    }),
  }
}

export function encodeRoutes(routes: HttpFilterChain['routes']): HttpConnectionManager['routeSpecifier'] {
  if (!('rds' in routes)) return { case: 'routeConfig', value: encodeRoute(routes) }
  return { case: 'rds', value: create(RdsSchema, { configSource: encodeAds(), routeConfigName: routes.rds }) }
}

function filterOf(name: string, value: Any): HttpFilter {
  return create(HttpFilterSchema, { name, configType: { case: 'typedConfig', value } })
}

export function decodeHttp(path: string, config: Any | undefined): HttpFilterChain {
  const manager = unpackShaped(HttpConnectionManagerSchema, config, HTTP_CONNECTION_MANAGER_SHAPE, path)
  require(within(path, 'codec_type'), manager.codecType === CodecType.AUTO, 'only AUTO is supported')
  return {
    kind: 'http',
    statPrefix: manager.statPrefix,
    ...decodeMode(path, manager),
    routes: decodeRoutes(path, manager),
    ...decodePaths(path, manager),
    ...decodeFilters(within(path, 'http_filters'), manager.httpFilters),
    ...decodeAccessLogs(within(path, 'access_log'), manager.accessLog),
    ...decodeTracing(within(path, 'tracing'), manager.tracing),
  }
}

/** Unset is our own default, where Envoy's would leave paths as they came; see docs/reference/paths.md. */
function decodePaths(path: string, manager: HttpConnectionManager): Pick<HttpFilterChain, 'paths'> {
  require(within(path, 'normalize_path'), manager.normalizePath !== false, 'must not be false: policies need one path')
  const { mergeSlashes, pathWithEscapedSlashesAction: action } = manager
  const escapedSlashes = decodeEscaped(within(path, 'path_with_escaped_slashes_action'), action) ?? 'reject'
  const isDefault = mergeSlashes === DEFAULT_PATHS.mergeSlashes && escapedSlashes === DEFAULT_PATHS.escapedSlashes
  return isDefault ? {} : { paths: { mergeSlashes, escapedSlashes } }
}

export function encodeEscaped(action: PathPolicy['escapedSlashes']): Escaped {
  return ESCAPED_SLASHES[action]
}

/** Undefined: whoever reads it may choose. */
export function decodeEscaped(path: string, action: Escaped): PathPolicy['escapedSlashes'] | undefined {
  if (action === Escaped.IMPLEMENTATION_SPECIFIC_DEFAULT) return undefined
  return ACTIONS.get(action) ?? refuse(path, 'is unknown')
}

export function decodeRoutes(path: string, { routeSpecifier }: HttpConnectionManager): HttpFilterChain['routes'] {
  if (routeSpecifier.case === 'routeConfig') return decodeRoute(within(path, 'route_config'), routeSpecifier.value)
  if (routeSpecifier.case !== 'rds') return refuse(path, 'rds or route_config is required')
  requireAds(within(path, 'rds.config_source'), routeSpecifier.value.configSource)
  const name = routeSpecifier.value.routeConfigName
  require(within(path, 'rds.route_config_name'), name !== '', 'is required')
  return { rds: name }
}

function decodeMode(path: string, manager: HttpConnectionManager): Pick<HttpFilterChain, 'mode' | 'upgrades'> {
  // Envoy's default is true.
  const takesAbsoluteUrls = manager.httpProtocolOptions?.allowAbsoluteUrl ?? true
  const allowsConnect = manager.http2ProtocolOptions?.allowConnect ?? false
  const at = within(path, 'upgrade_configs')
  const allowed = within(path, 'http2_protocol_options.allow_connect')
  const configs = manager.upgradeConfigs
  require(allowed, allowsConnect === configs.length > 0, 'and upgrade_configs need each other')
  if (!configs.some(({ upgradeType }) => upgradeType.toUpperCase() === CONNECT)) {
    return { mode: takesAbsoluteUrls ? 'forward' : 'inbound', ...decodeMeshUpgrades(at, configs) }
  }
  require(at, configs.length === 1 && configs[0]?.enabled !== false, 'CONNECT stands alone, for a tunnel')
  require(within(path, 'http_protocol_options.allow_absolute_url'), !takesAbsoluteUrls, 'must be false for a tunnel')
  return { mode: 'tunnel' }
}

/** `isQuiet`: Envoy adds no headers of its own, as our proxy adds none. */
export function encodeFilters(
  filters: readonly ListedFilter[] = DEFAULT_FILTERS,
  { isQuiet = false }: { readonly isQuiet?: boolean } = {},
): HttpFilter[] {
  const listed = filters.map((filter) =>
    create(HttpFilterSchema, {
      name: filter.name,
      configType: { case: 'typedConfig', value: encodeListed(filter) },
      disabled: filter.disabled === true,
    }),
  )
  return [
    ...listed,
    filterOf(ROUTER_FILTER, anyPack(RouterSchema, create(RouterSchema, { suppressEnvoyHeaders: isQuiet }))),
  ]
}

/** To be spread. */
export function decodeFilters(path: string, filters: readonly HttpFilter[]): Pick<HttpFilterChain, 'filters'> {
  const router = filters.at(-1)
  if (router === undefined) return refuse(path, 'must end in the router')
  const at = `${path}[${filters.length - 1}]`
  unpackShaped(RouterSchema, configOf(router), {}, within(at, 'typed_config'))
  require(within(at, 'disabled'), !router.disabled, 'the router cannot be disabled')
  const listed = filters.slice(0, -1).map((filter, index): ListedFilter => {
    const one = decodeListed(`${path}[${index}].typed_config`, filter.name, configOf(filter))
    return filter.disabled ? Object.assign(one, { disabled: true as const }) : one
  })
  return JSON.stringify(listed) === JSON.stringify(DEFAULT_FILTERS) ? {} : { filters: listed }
}

function configOf({ configType }: HttpFilter): Any | undefined {
  return configType.case === 'typedConfig' ? configType.value : undefined
}
