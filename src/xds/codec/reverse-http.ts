/**
 * The HTTP connection manager of a generic listener: mode `reverse`, where every field is Envoy's and an absent one is
 * Envoy's default. The mesh's own chains are http-connection-manager.ts's.
 */
import { create } from '@bufbuild/protobuf'
import { anyPack, type Any } from '@bufbuild/protobuf/wkt'
import {
  type HttpConnectionManager,
  HttpConnectionManager_CodecType as CodecType,
  HttpConnectionManagerSchema,
} from '#gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js'
import type { HttpFilterChain, HttpSettings, PathPolicy } from '../../model/config.ts'
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
import { ROUTE_SHAPE } from './route.ts'
import { decodeTracing, encodeTracing, TRACING_SHAPE } from './tracing.ts'
import { refuse, type Shape, unpackShaped, within } from './shape.ts'
import { decodeUpgrades, encodeUpgrades, LISTENER_UPGRADES_SHAPE } from './upgrades.ts'

export const REVERSE_HTTP_SHAPE: Shape = {
  codec_type: true,
  stat_prefix: true,
  rds: { config_source: ADS_SHAPE, route_config_name: true },
  route_config: ROUTE_SHAPE,
  http_filters: { name: true, typed_config: true, disabled: true },
  normalize_path: true,
  merge_slashes: true,
  path_with_escaped_slashes_action: true,
  access_log: ACCESS_LOG_SHAPE,
  tracing: TRACING_SHAPE,
  upgrade_configs: LISTENER_UPGRADES_SHAPE,
  http_protocol_options: { accept_http_10: true },
  http2_protocol_options: { allow_connect: true },
  proxy_100_continue: true,
}

const CODECS: Readonly<Record<NonNullable<HttpSettings['codec']>, CodecType>> = {
  http1: CodecType.HTTP1,
  http2: CodecType.HTTP2,
}

/** What Envoy does with a path when told nothing. */
const UNTOUCHED: PathPolicy = { normalize: false, mergeSlashes: false, escapedSlashes: 'keep' }

export function encodeReverse(chain: HttpFilterChain): Any {
  const { http = {}, paths = UNTOUCHED } = chain
  const manager = create(HttpConnectionManagerSchema, {
    statPrefix: chain.statPrefix,
    codecType: http.codec === undefined ? CodecType.AUTO : CODECS[http.codec],
    routeSpecifier: encodeRoutes(chain.routes),
    normalizePath: paths.normalize !== false,
    mergeSlashes: paths.mergeSlashes,
    pathWithEscapedSlashesAction: encodeEscaped(paths.escapedSlashes),
    httpFilters: encodeFilters(chain.filters),
    accessLog: (chain.accessLogs ?? []).map(encodeAccessLog),
    ...(chain.tracing !== undefined && { tracing: encodeTracing(chain.tracing) }),
    upgradeConfigs: encodeUpgrades(chain.upgrades ?? []),
    httpProtocolOptions: { acceptHttp10: http.http10 === true },
    ...(http.allowConnect === true && { http2ProtocolOptions: { allowConnect: true } }),
    proxy100Continue: http.proxyContinue === true,
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

function decodeSettings(path: string, manager: HttpConnectionManager): HttpSettings {
  const codec = decodeCodec(within(path, 'codec_type'), manager.codecType)
  const allowConnect = manager.http2ProtocolOptions?.allowConnect === true
  const { httpProtocolOptions: http1 } = manager
  return {
    ...(codec !== undefined && { codec }),
    ...(allowConnect && { allowConnect }),
    ...(http1?.acceptHttp10 === true && { http10: true }),
    ...(manager.proxy100Continue && { proxyContinue: true }),
  }
}

function decodeCodec(path: string, type: CodecType): HttpSettings['codec'] {
  if (type === CodecType.AUTO) return undefined
  if (type === CodecType.HTTP1) return 'http1'
  return type === CodecType.HTTP2 ? 'http2' : refuse(path, 'only AUTO, HTTP1 and HTTP2 are supported')
}
