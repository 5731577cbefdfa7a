/** TcpProxy <-> envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy. */
import { create } from '@bufbuild/protobuf'
import { type Any, anyPack } from '@bufbuild/protobuf/wkt'
import { type Filter, FilterSchema } from '#gen/envoy/config/listener/v3/listener_components_pb.js'
import {
  type TcpProxy as TcpProxyMessage,
  TcpProxySchema,
} from '#gen/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy_pb.js'
import type { Metadata, TcpProxy, WeightedTcpCluster } from '../../model/config.ts'
import { ACCESS_LOG_SHAPE, decodeAccessLogs, encodeAccessLog } from './access-log.ts'
import { decodeDuration, encodeDuration } from './common.ts'
import { decodeSubset, encodeSubset, METADATA_SHAPE } from './route-cluster.ts'
import { refuse, require, type Shape, unpackShaped, within } from './shape.ts'

export const TCP_PROXY = 'envoy.filters.network.tcp_proxy'

export const TCP_PROXY_SHAPE: Shape = {
  stat_prefix: true,
  cluster: true,
  weighted_clusters: { clusters: { name: true, weight: true, metadata_match: METADATA_SHAPE } },
  metadata_match: METADATA_SHAPE,
  hash_policy: { source_ip: {} },
  idle_timeout: true,
  max_connect_attempts: true,
  max_downstream_connection_duration: true,
  access_log: ACCESS_LOG_SHAPE,
}

export function encodeTcpProxy(filter: TcpProxy): Filter {
  const { statPrefix, connectAttemptsMax, idleMs, durationMaxMs, hashSourceIp } = filter
  const proxy = create(TcpProxySchema, {
    statPrefix,
    clusterSpecifier: specifierOf(filter),
    ...metadataMatch(filter.subset),
    ...(hashSourceIp === true && { hashPolicy: [{ policySpecifier: { case: 'sourceIp', value: {} } }] }),
    accessLog: (filter.accessLogs ?? []).map(encodeAccessLog),
    ...(connectAttemptsMax !== undefined && { maxConnectAttempts: connectAttemptsMax }),
    ...(idleMs !== undefined && { idleTimeout: encodeDuration(idleMs) }),
    ...(durationMaxMs !== undefined && { maxDownstreamConnectionDuration: encodeDuration(durationMaxMs) }),
  })
  const value = anyPack(TcpProxySchema, proxy)
  return create(FilterSchema, { name: TCP_PROXY, configType: { case: 'typedConfig', value } })
}

const metadataMatch = (subset: Metadata | undefined): { metadataMatch?: ReturnType<typeof encodeSubset> } =>
  subset === undefined ? {} : { metadataMatch: encodeSubset(subset) }

type SpecifierInit =
  | { case: 'cluster'; value: string }
  | { case: 'weightedClusters'; value: { clusters: { name: string; weight: number }[] } }

function specifierOf({ cluster, weighted }: TcpProxy): SpecifierInit {
  if (weighted === undefined) return { case: 'cluster', value: cluster }
  const clusters = weighted.map(({ name, weight, subset }) => Object.assign({ name, weight }, metadataMatch(subset)))
  return { case: 'weightedClusters', value: { clusters } }
}

export function decodeTcpProxy(path: string, config: Any | undefined): TcpProxy {
  const message = unpackShaped(TcpProxySchema, config, TCP_PROXY_SHAPE, path)
  const { statPrefix, maxConnectAttempts, idleTimeout, maxDownstreamConnectionDuration, hashPolicy } = message
  require(within(path, 'max_connect_attempts'), maxConnectAttempts !== 0, 'must be at least 1')
  require(within(path, 'hash_policy'), hashPolicy.length <= 1, 'has more than one policy')
  const durationPath = within(path, 'max_downstream_connection_duration')
  const durationMaxMs = maxDownstreamConnectionDuration && decodeDuration(durationPath, maxDownstreamConnectionDuration)
  // As Envoy's own validation has it.
  require(durationPath, durationMaxMs !== 0, 'must be at least 1 ms')
  return {
    kind: 'tcp',
    statPrefix,
    ...decodeSpecifier(path, message.clusterSpecifier),
    ...decodeSubset(within(path, 'metadata_match'), message.metadataMatch),
    ...(hashPolicy.length > 0 && { hashSourceIp: true }),
    ...(maxConnectAttempts !== undefined && { connectAttemptsMax: maxConnectAttempts }),
    ...(idleTimeout !== undefined && { idleMs: decodeDuration(within(path, 'idle_timeout'), idleTimeout) }),
    ...(durationMaxMs !== undefined && { durationMaxMs }),
    ...decodeAccessLogs(within(path, 'access_log'), message.accessLog),
  }
}

function decodeSpecifier(
  path: string,
  specifier: TcpProxyMessage['clusterSpecifier'],
): Pick<TcpProxy, 'cluster' | 'weighted'> {
  if (specifier.case === 'cluster') return { cluster: specifier.value }
  if (specifier.case !== 'weightedClusters') return refuse(within(path, 'cluster'), 'is required')
  const at = within(path, 'weighted_clusters.clusters')
  const { clusters } = specifier.value
  require(at, clusters.length > 0, 'is required')
  const weighted = clusters.map(({ name, weight, metadataMatch }, index): WeightedTcpCluster => {
    require(`${at}[${index}].name`, name !== '', 'is required')
    require(`${at}[${index}].weight`, weight > 0, 'must be at least 1')
    const subset = decodeSubset(`${at}[${index}].metadata_match`, metadataMatch)
    return Object.assign({ name, weight }, subset)
  })
  return { cluster: '', weighted }
}
