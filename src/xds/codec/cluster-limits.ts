/**
 * What a cluster may have under way and how its connections live: circuit_breakers, and the HttpProtocolOptions among
 * the extension protocol options, to the IR and back.
 */
import { create } from '@bufbuild/protobuf'
import { type Any, anyPack } from '@bufbuild/protobuf/wkt'
import {
  type CircuitBreakers as BreakersMessage,
  type CircuitBreakers_Thresholds as ThresholdsMessage,
  CircuitBreakers_ThresholdsSchema as ThresholdsSchema,
  CircuitBreakersSchema,
} from '#gen/envoy/config/cluster/v3/circuit_breaker_pb.js'
import { RoutingPriority } from '#gen/envoy/config/core/v3/base_pb.js'
import {
  type HttpProtocolOptions as CommonMessage,
  HttpProtocolOptionsSchema as CommonSchema,
  type KeepaliveSettings as KeepAliveMessage,
} from '#gen/envoy/config/core/v3/protocol_pb.js'
import { HttpProtocolOptionsSchema } from '#gen/envoy/extensions/upstreams/http/v3/http_protocol_options_pb.js'
import type { CircuitBreakers, ConnectionSettings, Thresholds } from '../../model/config.ts'
import { decodeDuration, encodeDuration } from './common.ts'
import { present, refuse, require, type Shape, unpackShaped, within } from './shape.ts'

export const HTTP_PROTOCOL_OPTIONS = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions'

export const CIRCUIT_BREAKERS_SHAPE: Shape = {
  thresholds: {
    priority: true,
    max_connections: true,
    max_pending_requests: true,
    max_requests: true,
    max_retries: true,
    retry_budget: { budget_percent: true, min_retry_concurrency: true },
  },
  per_host_thresholds: { max_connections: true },
}

const HTTP_OPTIONS_SHAPE: Shape = {
  explicit_http_config: {
    http_protocol_options: {},
    http2_protocol_options: { connection_keepalive: { interval: true, timeout: true } },
  },
  common_http_protocol_options: {
    idle_timeout: true,
    max_connection_duration: true,
    max_requests_per_connection: true,
  },
}

export function encodeCircuitBreakers(breakers: CircuitBreakers): BreakersMessage {
  const { default: usual, high, hostConnectionsMax } = breakers
  const thresholds: ThresholdsMessage[] = []
  if (usual !== undefined) thresholds.push(encodeThresholds(usual, RoutingPriority.DEFAULT))
  if (high !== undefined) thresholds.push(encodeThresholds(high, RoutingPriority.HIGH))
  return create(CircuitBreakersSchema, {
    thresholds,
    perHostThresholds: hostConnectionsMax === undefined ? [] : [{ maxConnections: hostConnectionsMax }],
  })
}

function encodeThresholds(thresholds: Thresholds, priority: RoutingPriority): ThresholdsMessage {
  const { connectionsMax, pendingMax, requestsMax, retriesMax, retryBudget } = thresholds
  return create(ThresholdsSchema, {
    priority,
    ...(connectionsMax !== undefined && { maxConnections: connectionsMax }),
    ...(pendingMax !== undefined && { maxPendingRequests: pendingMax }),
    ...(requestsMax !== undefined && { maxRequests: requestsMax }),
    ...(retriesMax !== undefined && { maxRetries: retriesMax }),
    ...(retryBudget !== undefined && {
      retryBudget: {
        ...(retryBudget.percent !== undefined && { budgetPercent: { value: retryBudget.percent } }),
        ...(retryBudget.concurrencyMin !== undefined && { minRetryConcurrency: retryBudget.concurrencyMin }),
      },
    }),
  })
}

export function decodeCircuitBreakers(path: string, message: BreakersMessage): CircuitBreakers {
  const byPriority = new Map<RoutingPriority, Thresholds>()
  for (const [index, thresholds] of message.thresholds.entries()) {
    const at = `${within(path, 'thresholds')}[${index}]`
    // Envoy would take the first and forget the second.
    require(within(at, 'priority'), !byPriority.has(thresholds.priority), 'is there twice')
    byPriority.set(thresholds.priority, decodeThresholds(at, thresholds))
  }
  const hostPath = within(path, 'per_host_thresholds')
  require(hostPath, message.perHostThresholds.length <= 1, 'only one is supported')
  const hostConnectionsMax = message.perHostThresholds[0]?.maxConnections
  const usual = byPriority.get(RoutingPriority.DEFAULT)
  const high = byPriority.get(RoutingPriority.HIGH)
  return {
    ...(usual !== undefined && { default: usual }),
    ...(high !== undefined && { high }),
    ...(hostConnectionsMax !== undefined && { hostConnectionsMax }),
  }
}

function decodeThresholds(path: string, message: ThresholdsMessage): Thresholds {
  const { maxConnections, maxPendingRequests, maxRequests, maxRetries, retryBudget } = message
  const percent = retryBudget?.budgetPercent?.value
  const concurrencyMin = retryBudget?.minRetryConcurrency
  const inRange = percent === undefined || (percent >= 0 && percent <= 100)
  require(within(path, 'retry_budget.budget_percent'), inRange, 'must be from 0 to 100')
  return {
    ...(maxConnections !== undefined && { connectionsMax: maxConnections }),
    ...(maxPendingRequests !== undefined && { pendingMax: maxPendingRequests }),
    ...(maxRequests !== undefined && { requestsMax: maxRequests }),
    ...(maxRetries !== undefined && { retriesMax: maxRetries }),
    ...(retryBudget !== undefined && {
      retryBudget: {
        ...(percent !== undefined && { percent }),
        ...(concurrencyMin !== undefined && { concurrencyMin }),
      },
    }),
  }
}

/** Absent where Envoy's own default, HTTP/1.1 with nothing special, is meant. */
export function encodeHttpOptions(isHttp2: boolean, settings: ConnectionSettings | undefined): Record<string, Any> {
  if (!isHttp2 && settings === undefined) return {}
  const keepAlive = settings?.keepAlive
  const keepalive = keepAlive && {
    interval: encodeDuration(keepAlive.intervalMs),
    timeout: encodeDuration(keepAlive.timeoutMs),
  }
  const options = create(HttpProtocolOptionsSchema, {
    upstreamProtocolOptions: {
      case: 'explicitHttpConfig',
      value: {
        protocolConfig: isHttp2
          ? { case: 'http2ProtocolOptions', value: keepalive === undefined ? {} : { connectionKeepalive: keepalive } }
          : { case: 'httpProtocolOptions', value: {} },
      },
    },
    ...(settings !== undefined && { commonHttpProtocolOptions: encodeCommon(settings) }),
  })
  return { [HTTP_PROTOCOL_OPTIONS]: anyPack(HttpProtocolOptionsSchema, options) }
}

function encodeCommon({ idleMs, durationMaxMs, requestsMax }: ConnectionSettings): CommonMessage {
  return create(CommonSchema, {
    ...(idleMs !== undefined && { idleTimeout: encodeDuration(idleMs) }),
    ...(durationMaxMs !== undefined && { maxConnectionDuration: encodeDuration(durationMaxMs) }),
    ...(requestsMax !== undefined && { maxRequestsPerConnection: requestsMax }),
  })
}

export interface HttpOptions {
  readonly isHttp2: boolean
  readonly settings: ConnectionSettings | undefined
}

export function decodeHttpOptions(path: string, options: Readonly<Record<string, Any>>): HttpOptions {
  for (const name of Object.keys(options)) {
    require(`${path}["${name}"]`, name === HTTP_PROTOCOL_OPTIONS, 'is not supported')
  }
  if (!Object.hasOwn(options, HTTP_PROTOCOL_OPTIONS)) return { isHttp2: false, settings: undefined }
  const at = `${path}["${HTTP_PROTOCOL_OPTIONS}"]`
  const config = unpackShaped(HttpProtocolOptionsSchema, options[HTTP_PROTOCOL_OPTIONS], HTTP_OPTIONS_SHAPE, at)
  const upstream = config.upstreamProtocolOptions
  const protocolPath = within(at, 'explicit_http_config')
  if (upstream.case !== 'explicitHttpConfig') return refuse(protocolPath, 'is required')
  const { protocolConfig } = upstream.value
  if (protocolConfig.case === undefined) return refuse(protocolPath, 'must name a protocol')
  const isHttp2 = protocolConfig.case === 'http2ProtocolOptions'
  const keepalive = isHttp2 ? protocolConfig.value.connectionKeepalive : undefined
  const keepalivePath = within(protocolPath, 'http2_protocol_options.connection_keepalive')
  const settings = {
    ...decodeCommon(within(at, 'common_http_protocol_options'), config.commonHttpProtocolOptions),
    ...(keepalive !== undefined && { keepAlive: decodeKeepAlive(keepalivePath, keepalive) }),
  }
  return { isHttp2, settings: Object.keys(settings).length === 0 ? undefined : settings }
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
