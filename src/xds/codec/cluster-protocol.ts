/**
 * How a cluster's connections speak and live: the HttpProtocolOptions among its extension protocol options, to the IR
 * and back.
 */
import { create } from '@bufbuild/protobuf'
import { type Any, anyPack } from '@bufbuild/protobuf/wkt'
import {
  type Http1ProtocolOptions,
  type Http2ProtocolOptions,
  Http2ProtocolOptionsSchema,
  type HttpProtocolOptions as CommonMessage,
  HttpProtocolOptionsSchema as CommonSchema,
  type KeepaliveSettings as KeepAliveMessage,
} from '#gen/envoy/config/core/v3/protocol_pb.js'
import {
  type HttpProtocolOptions,
  HttpProtocolOptionsSchema,
} from '#gen/envoy/extensions/upstreams/http/v3/http_protocol_options_pb.js'
import type { ConnectionSettings, UpstreamProtocol } from '../../model/config.ts'
import { decodeDuration, encodeDuration } from './common.ts'
import { peerFilters } from './envoy/peer.ts'
import { present, refuse, require, type Shape, unpackShaped, within } from './shape.ts'

export const HTTP_PROTOCOL_OPTIONS = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions'

const PROTOCOLS_SHAPE: Shape = {
  http_protocol_options: { enable_trailers: true },
  http2_protocol_options: {
    max_concurrent_streams: true,
    connection_keepalive: { interval: true, timeout: true },
  },
}
export const HTTP_OPTIONS_SHAPE: Shape = {
  explicit_http_config: PROTOCOLS_SHAPE,
  auto_config: PROTOCOLS_SHAPE,
  use_downstream_protocol_config: PROTOCOLS_SHAPE,
  common_http_protocol_options: {
    idle_timeout: true,
    max_connection_duration: true,
    max_requests_per_connection: true,
  },
}

export interface HttpOptions {
  readonly protocol: UpstreamProtocol
  readonly settings: ConnectionSettings | undefined
  /** For Envoy only: each request tells the peer what our proxies tell each other. */
  readonly tellsPeer?: boolean
}

/** Absent where Envoy's own default, HTTP/1.1 with nothing special, is meant. */
export function encodeHttpOptions({ protocol, settings, tellsPeer }: HttpOptions): Record<string, Any> {
  if (protocol === 'http1' && settings === undefined) return {}
  const options = create(HttpProtocolOptionsSchema, {
    upstreamProtocolOptions: encodeProtocol(protocol, settings),
    ...(settings !== undefined && { commonHttpProtocolOptions: encodeCommon(settings) }),
    ...(tellsPeer === true && protocol === 'http2' && { httpFilters: peerFilters() }),
  })
  return { [HTTP_PROTOCOL_OPTIONS]: anyPack(HttpProtocolOptionsSchema, options) }
}

function encodeProtocol(
  protocol: UpstreamProtocol,
  settings: ConnectionSettings | undefined,
): HttpProtocolOptions['upstreamProtocolOptions'] {
  const http2ProtocolOptions = encodeHttp2(settings)
  const httpProtocolOptions = { enableTrailers: settings?.http1Trailers === true }
  const both = { httpProtocolOptions, http2ProtocolOptions }
  const message = create(HttpProtocolOptionsSchema, {
    upstreamProtocolOptions:
      protocol === 'auto'
        ? { case: 'autoConfig', value: both }
        : protocol === 'downstream'
          ? { case: 'useDownstreamProtocolConfig', value: both }
          : {
              case: 'explicitHttpConfig',
              value: {
                protocolConfig:
                  protocol === 'http2'
                    ? { case: 'http2ProtocolOptions', value: http2ProtocolOptions }
                    : { case: 'httpProtocolOptions', value: httpProtocolOptions },
              },
            },
  })
  return message.upstreamProtocolOptions
}

function encodeHttp2(settings: ConnectionSettings | undefined): Http2ProtocolOptions {
  const { keepAlive, streamsMax } = settings ?? {}
  return create(Http2ProtocolOptionsSchema, {
    ...(streamsMax !== undefined && { maxConcurrentStreams: streamsMax }),
    ...(keepAlive !== undefined && {
      connectionKeepalive: {
        interval: encodeDuration(keepAlive.intervalMs),
        timeout: encodeDuration(keepAlive.timeoutMs),
      },
    }),
  })
}

function encodeCommon({ idleMs, durationMaxMs, requestsMax }: ConnectionSettings): CommonMessage {
  return create(CommonSchema, {
    ...(idleMs !== undefined && { idleTimeout: encodeDuration(idleMs) }),
    ...(durationMaxMs !== undefined && { maxConnectionDuration: encodeDuration(durationMaxMs) }),
    ...(requestsMax !== undefined && { maxRequestsPerConnection: requestsMax }),
  })
}

export function decodeHttpOptions(path: string, options: Readonly<Record<string, Any>>): HttpOptions {
  for (const name of Object.keys(options)) {
    require(`${path}["${name}"]`, name === HTTP_PROTOCOL_OPTIONS, 'is not supported')
  }
  if (!Object.hasOwn(options, HTTP_PROTOCOL_OPTIONS)) return { protocol: 'http1', settings: undefined }
  const at = `${path}["${HTTP_PROTOCOL_OPTIONS}"]`
  const config = unpackShaped(HttpProtocolOptionsSchema, options[HTTP_PROTOCOL_OPTIONS], HTTP_OPTIONS_SHAPE, at)
  const { protocol, http1, http2, http2Path } = decodeProtocol(at, config)
  const settings = {
    ...decodeCommon(within(at, 'common_http_protocol_options'), config.commonHttpProtocolOptions),
    ...(http1?.enableTrailers === true && { http1Trailers: true as const }),
    ...(http2 !== undefined && decodeHttp2(http2Path, http2)),
  }
  return { protocol, settings: Object.keys(settings).length === 0 ? undefined : settings }
}

interface ProtocolChoice {
  readonly protocol: UpstreamProtocol
  readonly http1: Http1ProtocolOptions | undefined
  readonly http2: Http2ProtocolOptions | undefined
  readonly http2Path: string
}

function decodeProtocol(path: string, { upstreamProtocolOptions: choice }: HttpProtocolOptions): ProtocolChoice {
  const at = (field: string): string => within(path, `${field}.http2_protocol_options`)
  switch (choice.case) {
    case 'explicitHttpConfig': {
      const { protocolConfig } = choice.value
      const http2Path = at('explicit_http_config')
      if (protocolConfig.case === 'httpProtocolOptions') {
        return { protocol: 'http1', http1: protocolConfig.value, http2: undefined, http2Path }
      }
      if (protocolConfig.case === 'http2ProtocolOptions') {
        return { protocol: 'http2', http1: undefined, http2: protocolConfig.value, http2Path }
      }
      return refuse(within(path, 'explicit_http_config'), 'must name HTTP/1.1 or HTTP/2')
    }
    case 'autoConfig':
      return { protocol: 'auto', ...partsOf(choice.value), http2Path: at('auto_config') }
    case 'useDownstreamProtocolConfig': {
      const http2Path = at('use_downstream_protocol_config')
      return { protocol: 'downstream', ...partsOf(choice.value), http2Path }
    }
    case undefined:
      return refuse(within(path, 'explicit_http_config'), 'is required')
    default:
      return choice satisfies never
  }
}

type Parts = Pick<ProtocolChoice, 'http1' | 'http2'>

const partsOf = (config: {
  readonly httpProtocolOptions?: Http1ProtocolOptions | undefined
  readonly http2ProtocolOptions?: Http2ProtocolOptions | undefined
}): Parts => ({ http1: config.httpProtocolOptions, http2: config.http2ProtocolOptions })

function decodeHttp2(path: string, message: Http2ProtocolOptions): ConnectionSettings {
  const { maxConcurrentStreams: streamsMax, connectionKeepalive } = message
  require(within(path, 'max_concurrent_streams'), streamsMax !== 0, 'must be at least 1')
  return {
    ...(streamsMax !== undefined && { streamsMax }),
    ...(connectionKeepalive !== undefined && {
      keepAlive: decodeKeepAlive(within(path, 'connection_keepalive'), connectionKeepalive),
    }),
  }
}

function decodeCommon(path: string, message: CommonMessage | undefined): ConnectionSettings {
  if (message === undefined) return {}
  const { idleTimeout, maxConnectionDuration, maxRequestsPerConnection: requestsMax } = message
  const durationPath = within(path, 'max_connection_duration')
  const durationMaxMs = maxConnectionDuration && decodeDuration(durationPath, maxConnectionDuration)
  require(durationPath, durationMaxMs !== 0, 'must be above 0')
  return {
    ...(idleTimeout !== undefined && { idleMs: decodeDuration(within(path, 'idle_timeout'), idleTimeout) }),
    ...(durationMaxMs !== undefined && { durationMaxMs }),
    // 0 means no limit, as does its absence.
    ...(requestsMax !== undefined && requestsMax > 0 && { requestsMax }),
  }
}

function decodeKeepAlive(path: string, message: KeepAliveMessage): NonNullable<ConnectionSettings['keepAlive']> {
  const intervalMs = decodeDuration(within(path, 'interval'), present(within(path, 'interval'), message.interval))
  const timeoutMs = decodeDuration(within(path, 'timeout'), message.timeout)
  // The proxy's timers tick every 50 ms.
  require(within(path, 'interval'), intervalMs >= 100, 'must be at least 100 ms')
  require(within(path, 'timeout'), timeoutMs >= 100, 'must be at least 100 ms')
  return { intervalMs, timeoutMs }
}
