/**
 * The HTTP connection manager of a generic listener: mode `reverse`, where every field is Envoy's and an absent one is
 * Envoy's default. The mesh's own chains are http-connection-manager.ts's.
 */
import { create } from '@bufbuild/protobuf'
import { anyPack, type Any } from '@bufbuild/protobuf/wkt'
import {
  type HttpConnectionManager,
  HttpConnectionManager_UpgradeConfigSchema as UpgradeConfigSchema,
  HttpConnectionManagerSchema,
} from '#gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js'
import type { HttpFilterChain, PathPolicy } from '../../model/config.ts'
import { ACCESS_LOG_SHAPE, decodeAccessLogs, encodeAccessLog } from './access-log.ts'
import { ADS_SHAPE } from './common.ts'
import {
  decodeEscaped,
  decodeFilters,
  decodeRoutes,
  encodeEscaped,
  encodeFilters,
  encodeRoutes,
} from './http-connection-manager.ts'
import { decodeSettings, encodeSettings, SETTINGS_SHAPE } from './http-settings.ts'
import { decodeLocalReply, encodeLocalReply, LOCAL_REPLY_SHAPE } from './local-reply.ts'
import { ROUTE_SHAPE } from './route.ts'
import { decodeTracing, encodeTracing, TRACING_SHAPE } from './tracing.ts'
import { type Shape, unpackShaped, within } from './shape.ts'
import { decodeUpgrades, encodeUpgrades, LISTENER_UPGRADES_SHAPE } from './upgrades.ts'

export const REVERSE_HTTP_SHAPE: Shape = {
  ...SETTINGS_SHAPE,
  stat_prefix: true,
  rds: { config_source: ADS_SHAPE, route_config_name: true },
  route_config: ROUTE_SHAPE,
  http_filters: { name: true, typed_config: true, disabled: true },
  normalize_path: true,
  merge_slashes: true,
  path_with_escaped_slashes_action: true,
  access_log: ACCESS_LOG_SHAPE,
  tracing: TRACING_SHAPE,
  local_reply_config: LOCAL_REPLY_SHAPE,
  upgrade_configs: LISTENER_UPGRADES_SHAPE,
}

/** What Envoy does with a path when told nothing. */
const UNTOUCHED: PathPolicy = { normalize: false, mergeSlashes: false, escapedSlashes: 'keep' }

export function encodeReverse(chain: HttpFilterChain): Any {
  const { http = {}, paths = UNTOUCHED } = chain
  const manager = create(HttpConnectionManagerSchema, {
    ...encodeSettings(http),
    statPrefix: chain.statPrefix,
    routeSpecifier: encodeRoutes(chain.routes),
    normalizePath: paths.normalize !== false,
    mergeSlashes: paths.mergeSlashes,
    pathWithEscapedSlashesAction: encodeEscaped(paths.escapedSlashes),
    httpFilters: encodeFilters(chain.filters),
    accessLog: (chain.accessLogs ?? []).map(encodeAccessLog),
    ...(chain.tracing !== undefined && { tracing: encodeTracing(chain.tracing) }),
    ...(chain.localReply !== undefined && { localReplyConfig: encodeLocalReply(chain.localReply) }),
    upgradeConfigs: encodeUpgrades(chain.upgrades ?? []).map((one) => create(UpgradeConfigSchema, one)),
  })
  return anyPack(HttpConnectionManagerSchema, manager)
}

export function decodeReverse(path: string, config: Any): HttpFilterChain {
  const manager = unpackShaped(HttpConnectionManagerSchema, config, REVERSE_HTTP_SHAPE, path)
  const upgrades = decodeUpgrades(within(path, 'upgrade_configs'), manager.upgradeConfigs)
  return {
    kind: 'http',
    statPrefix: manager.statPrefix,
    mode: 'reverse',
    routes: decodeRoutes(path, manager),
    paths: decodePaths(path, manager),
    ...decodeFilters(within(path, 'http_filters'), manager.httpFilters),
    ...decodeAccessLogs(within(path, 'access_log'), manager.accessLog),
    ...decodeTracing(within(path, 'tracing'), manager.tracing),
    ...decodeLocalReply(within(path, 'local_reply_config'), manager.localReplyConfig),
    ...(upgrades.length > 0 && { upgrades }),
    http: decodeSettings(path, manager),
  }
}

function decodePaths(path: string, manager: HttpConnectionManager): PathPolicy {
  const at = within(path, 'path_with_escaped_slashes_action')
  const escapedSlashes = decodeEscaped(at, manager.pathWithEscapedSlashesAction) ?? 'keep'
  const { mergeSlashes } = manager
  return { ...(manager.normalizePath !== true && { normalize: false }), mergeSlashes, escapedSlashes }
}
