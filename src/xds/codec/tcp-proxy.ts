/** TcpProxy <-> envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy. */
import { create } from '@bufbuild/protobuf'
import { type Any, anyPack } from '@bufbuild/protobuf/wkt'
import { type Filter, FilterSchema } from '#gen/envoy/config/listener/v3/listener_components_pb.js'
import { TcpProxySchema } from '#gen/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy_pb.js'
import type { TcpProxy } from '../../model/config.ts'
import { ACCESS_LOG_SHAPE, decodeAccessLogs, encodeAccessLog } from './access-log.ts'
import { decodeDuration, encodeDuration } from './common.ts'
import { refuse, require, type Shape, unpackShaped, within } from './shape.ts'

export const TCP_PROXY = 'envoy.filters.network.tcp_proxy'

export const TCP_PROXY_SHAPE: Shape = {
  stat_prefix: true,
  cluster: true,
  idle_timeout: true,
  max_connect_attempts: true,
  max_downstream_connection_duration: true,
  access_log: ACCESS_LOG_SHAPE,
}

export function encodeTcpProxy(filter: TcpProxy): Filter {
  const { statPrefix, cluster, connectAttemptsMax, idleMs, durationMaxMs } = filter
  const proxy = create(TcpProxySchema, {
    statPrefix,
    clusterSpecifier: { case: 'cluster', value: cluster },
    accessLog: (filter.accessLogs ?? []).map(encodeAccessLog),
    ...(connectAttemptsMax !== undefined && { maxConnectAttempts: connectAttemptsMax }),
    ...(idleMs !== undefined && { idleTimeout: encodeDuration(idleMs) }),
    ...(durationMaxMs !== undefined && { maxDownstreamConnectionDuration: encodeDuration(durationMaxMs) }),
  })
  const value = anyPack(TcpProxySchema, proxy)
  return create(FilterSchema, { name: TCP_PROXY, configType: { case: 'typedConfig', value } })
}

export function decodeTcpProxy(path: string, config: Any | undefined): TcpProxy {
  const message = unpackShaped(TcpProxySchema, config, TCP_PROXY_SHAPE, path)
  const { statPrefix, clusterSpecifier, maxConnectAttempts, idleTimeout, maxDownstreamConnectionDuration } = message
  if (clusterSpecifier.case !== 'cluster') return refuse(within(path, 'cluster'), 'is required')
  require(within(path, 'max_connect_attempts'), maxConnectAttempts !== 0, 'must be at least 1')
  const durationPath = within(path, 'max_downstream_connection_duration')
  const durationMaxMs = maxDownstreamConnectionDuration && decodeDuration(durationPath, maxDownstreamConnectionDuration)
  // As Envoy's own validation has it.
  require(durationPath, durationMaxMs !== 0, 'must be at least 1 ms')
  return {
    kind: 'tcp',
    statPrefix,
    cluster: clusterSpecifier.value,
    ...(maxConnectAttempts !== undefined && { connectAttemptsMax: maxConnectAttempts }),
    ...(idleTimeout !== undefined && { idleMs: decodeDuration(within(path, 'idle_timeout'), idleTimeout) }),
    ...(durationMaxMs !== undefined && { durationMaxMs }),
    ...decodeAccessLogs(within(path, 'access_log'), message.accessLog),
  }
}
