/**
 * Cluster <-> envoy.config.cluster.v3.Cluster: discovery (EDS over ADS, or endpoints inside), transport, outliers. A
 * meshed cluster has three transport sockets, of which an endpoint's metadata picks one (`mtls`, `tunnel`, `plain`);
 * a tunnel's inner handshake takes its names from the endpoint's metadata, since Envoy has no field for them.
 */
import { create, type JsonObject } from '@bufbuild/protobuf'
import {
  type Cluster as ClusterMessage,
  Cluster_DiscoveryType as DiscoveryType,
  type Cluster_TransportSocketMatch as SocketMatch,
  Cluster_TransportSocketMatchSchema as SocketMatchSchema,
  ClusterSchema,
} from '#gen/envoy/config/cluster/v3/cluster_pb.js'
import type { TransportSocket } from '#gen/envoy/config/core/v3/base_pb.js'
import { RawBufferSchema } from '#gen/envoy/extensions/transport_sockets/raw_buffer/v3/raw_buffer_pb.js'
import type { ClientTls, Cluster, Endpoint, UpstreamTls } from '../../model/config.ts'
import { BALANCING_SHAPE, decodeBalancing, encodeBalancing } from './cluster-balancing.ts'
import { CLUSTER_METADATA_SHAPE, decodeBreaker, encodeBreaker } from './cluster-breaker.ts'
import { CIRCUIT_BREAKERS_SHAPE, decodeCircuitBreakers, encodeCircuitBreakers } from './cluster-limits.ts'
import { decodeHttpOptions, encodeHttpOptions, HTTP_PROTOCOL_OPTIONS, type HttpOptions } from './cluster-protocol.ts'
import { decodeOutlier, encodeOutlier, OUTLIER_SHAPE } from './cluster-outlier.ts'
import { decodeDns, discoveryType, encodeDns } from './cluster-dns.ts'
import { decodeHealthCheck, encodeHealthCheck, HEALTH_SHAPE } from './cluster-health.ts'
import { decodeOriginalDst, encodeOriginalDst, isOriginalDst, ORIGINAL_DST_SHAPE } from './cluster-original-dst.ts'
import { ADS_SHAPE, decodeDuration, encodeAds, encodeDuration, requireAds } from './common.ts'
import { decodeEndpoints, encodeEndpoints, ENDPOINTS_SHAPE, FILE_ENDPOINTS_SHAPE, TRANSPORT_KEY } from './endpoints.ts'
import { decodeClientTls, encodeClientTls } from './generic-tls.ts'
import { encodeEnvoyMatches } from './envoy/cluster.ts'
import { decodeProxyHeader, encodeProxyHeader } from './proxy-protocol.ts'
import { present, refuse, require, type Shape, typeOf, unpackShaped, within } from './shape.ts'
import { configOf, decodeUpstreamTls, encodeUpstreamTls, rawBuffer } from './tls.ts'

const ALPN_H2 = 'h2'
const CONNECT_TIMEOUT_MS = 5_000 // Envoy's default

/** Of a file: without what only a control plane of the mesh says. */
export const FILE_CLUSTER_SHAPE: Shape = {
  name: true,
  type: true,
  eds_cluster_config: { eds_config: ADS_SHAPE },
  load_assignment: FILE_ENDPOINTS_SHAPE,
  dns_refresh_rate: true,
  respect_dns_ttl: true,
  dns_lookup_family: true,
  connect_timeout: true,
  ...BALANCING_SHAPE,
  ...ORIGINAL_DST_SHAPE,
  transport_socket: { name: true, typed_config: true },
  typed_extension_protocol_options: true,
  circuit_breakers: CIRCUIT_BREAKERS_SHAPE,
  health_checks: HEALTH_SHAPE,
  outlier_detection: OUTLIER_SHAPE,
  metadata: CLUSTER_METADATA_SHAPE,
}
export const CLUSTER_SHAPE: Shape = {
  ...FILE_CLUSTER_SHAPE,
  load_assignment: ENDPOINTS_SHAPE,
  transport_socket_matches: { name: true, match: true, transport_socket: { name: true, typed_config: true } },
}

/** In the order that the wire has them; a decoder accepts any. */
const TRANSPORTS = ['mtls', 'tunnel', 'plain'] as const satisfies Endpoint['transport'][]

export function encodeCluster(cluster: Cluster): ClusterMessage {
  const { tls, endpoints } = cluster
  const { connections: settings } = cluster
  const protocol = tls?.alpn.includes(ALPN_H2) === true ? 'http2' : (cluster.protocol ?? 'http1')
  return create(ClusterSchema, {
    name: cluster.name,
    clusterDiscoveryType: { case: 'type', value: discoveryType(cluster) },
    ...(endpoints === 'eds'
      ? { edsClusterConfig: { edsConfig: encodeAds() } }
      : cluster.originalDst === undefined && { loadAssignment: encodeEndpoints(endpoints) }),
    connectTimeout: encodeDuration(cluster.connectTimeoutMs),
    ...(cluster.dns !== undefined && encodeDns(cluster.dns)),
    ...(cluster.originalDst === undefined ? encodeBalancing(cluster) : encodeOriginalDst(cluster.originalDst)),
    transportSocketMatches:
      tls === undefined
        ? []
        : cluster.envoy === undefined
          ? encodeMatches(tls)
          : encodeEnvoyMatches(tls, cluster.envoy),
    ...encodeSocket(cluster),
    // Envoy speaks HTTP/1.1 to a cluster without this, whatever ALPN agreed on.
    healthChecks: cluster.healthCheck === undefined ? [] : [encodeHealthCheck(cluster.healthCheck)],
    typedExtensionProtocolOptions: encodeHttpOptions({ protocol, settings, tellsPeer: cluster.envoy !== undefined }),
    ...(cluster.circuitBreakers !== undefined && { circuitBreakers: encodeCircuitBreakers(cluster.circuitBreakers) }),
    ...(cluster.outlier !== undefined && { outlierDetection: encodeOutlier(cluster.outlier) }),
    ...(cluster.breaker !== undefined && { metadata: encodeBreaker(cluster.breaker) }),
  })
}

function encodeSocket({ clientTls, proxyHeader }: Cluster): { transportSocket?: TransportSocket } {
  const inner = clientTls && encodeClientTls(clientTls)
  if (proxyHeader !== undefined) return { transportSocket: encodeProxyHeader(proxyHeader, inner ?? rawBuffer()) }
  return inner === undefined ? {} : { transportSocket: inner }
}

function encodeMatches(tls: UpstreamTls): SocketMatch[] {
  const meshed = encodeUpstreamTls(tls)
  return TRANSPORTS.map((transport) =>
    create(SocketMatchSchema, {
      name: transport,
      match: { [TRANSPORT_KEY]: transport },
      transportSocket: transport === 'plain' ? rawBuffer() : meshed,
    }),
  )
}

export function decodeCluster(path: string, message: ClusterMessage): Cluster {
  const tls = decodeMatches(within(path, 'transport_socket_matches'), message.transportSocketMatches)
  const { clientTls, proxyHeader } = decodeSocket(within(path, 'transport_socket'), message)
  const options = decodeHttpOptions(
    within(path, 'typed_extension_protocol_options'),
    message.typedExtensionProtocolOptions,
  )
  requireProtocol(path, options, { tls, clientTls })
  const { protocol, settings } = options
  const breakersPath = within(path, 'circuit_breakers')
  const outlierPath = within(path, 'outlier_detection')
  return {
    name: message.name,
    ...(isOriginalDst(message)
      ? decodeOriginalDst(path, message)
      : { endpoints: decodeDiscovery(path, message), ...decodeBalancing(path, message) }),
    ...decodeDns(path, message),
    connectTimeoutMs:
      message.connectTimeout === undefined
        ? CONNECT_TIMEOUT_MS
        : decodeDuration(within(path, 'connect_timeout'), message.connectTimeout),
    ...(tls !== undefined && { tls }),
    ...(clientTls !== undefined && { clientTls }),
    ...(proxyHeader !== undefined && { proxyHeader }),
    ...(tls === undefined && protocol !== 'http1' && { protocol }),
    ...(message.outlierDetection !== undefined && { outlier: decodeOutlier(outlierPath, message.outlierDetection) }),
    ...(message.circuitBreakers !== undefined && {
      circuitBreakers: decodeCircuitBreakers(breakersPath, message.circuitBreakers),
    }),
    ...decodeHealth(within(path, 'health_checks'), message, protocol === 'http2'),
    ...decodeBreaker(within(path, 'metadata'), message.metadata),
    ...(settings !== undefined && { connections: settings }),
  }
}

function decodeDiscovery(path: string, message: ClusterMessage): Cluster['endpoints'] {
  const { clusterDiscoveryType: discovery, edsClusterConfig, loadAssignment } = message
  // Unset is Envoy's default.
  const type = discovery.case === undefined ? DiscoveryType.STATIC : discovery.case === 'type' && discovery.value
  if (type === DiscoveryType.EDS) {
    const at = within(path, 'eds_cluster_config.eds_config')
    requireAds(at, edsClusterConfig?.edsConfig)
    require(within(path, 'load_assignment'), loadAssignment === undefined, 'is not supported with EDS')
    return 'eds'
  }
  const isInline =
    type === DiscoveryType.STATIC || type === DiscoveryType.STRICT_DNS || type === DiscoveryType.LOGICAL_DNS
  require(within(path, 'type'), isInline, 'only EDS, STATIC, STRICT_DNS, LOGICAL_DNS and ORIGINAL_DST are supported')
  require(within(path, 'eds_cluster_config'), edsClusterConfig === undefined, 'is supported with EDS only')
  const at = within(path, 'load_assignment')
  return decodeEndpoints(at, present(at, loadAssignment))
}

function decodeMatches(path: string, matches: readonly SocketMatch[]): UpstreamTls | undefined {
  if (matches.length === 0) return undefined
  const found = new Map<string, UpstreamTls | 'plain'>()
  for (const [index, match] of matches.entries()) {
    const at = `${path}[${index}]`
    const transport = transportOf(within(at, 'match'), match.match)
    require(at, !found.has(transport), `${transport} is matched twice`)
    const socketPath = within(at, 'transport_socket')
    const socket = present(socketPath, match.transportSocket)
    if (transport === 'plain') unpackShaped(RawBufferSchema, configOf(socket), {}, within(socketPath, 'typed_config'))
    found.set(transport, transport === 'plain' ? 'plain' : decodeUpstreamTls(socketPath, socket))
  }
  const [mtls, tunnel, plain] = TRANSPORTS.map((transport) => found.get(transport))
  if (mtls === undefined || mtls === 'plain' || tunnel === undefined || plain === undefined) {
    return refuse(path, `must be ${TRANSPORTS.join(', ')}`)
  }
  require(path, JSON.stringify(tunnel) === JSON.stringify(mtls), 'mtls and tunnel must have the same context')
  return mtls
}

function transportOf(path: string, match: JsonObject | undefined): Endpoint['transport'] {
  const keys = Object.keys(match ?? {})
  const value = match?.[TRANSPORT_KEY]
  const transport = TRANSPORTS.find((candidate) => candidate === value)
  if (keys.length !== 1 || transport === undefined) {
    return refuse(path, `must be {${TRANSPORT_KEY}: ${TRANSPORTS.join('|')}}`)
  }
  return transport
}

/** What Envoy would speak must be what ALPN offers in the mesh; elsewhere what is spoken decides what is offered. */
function requireProtocol(path: string, { protocol }: HttpOptions, { tls, clientTls }: Sockets): void {
  const at = within(path, 'typed_extension_protocol_options')
  const isOffered = tls?.alpn.includes(ALPN_H2) ?? false
  require(at, tls === undefined ||
    (protocol === 'http2') === isOffered, 'HTTP/2 must be set exactly where ALPN offers h2')
  const auto = `${at}["${HTTP_PROTOCOL_OPTIONS}"].auto_config`
  require(auto, protocol !== 'auto' || clientTls !== undefined, 'needs TLS: ALPN chooses')
  const sockets = within(path, 'transport_socket')
  require(sockets, tls === undefined || clientTls === undefined, 'and transport_socket_matches exclude each other')
}

interface Sockets {
  readonly tls: UpstreamTls | undefined
  readonly clientTls: ClientTls | undefined
}

function decodeSocket(path: string, { transportSocket }: ClusterMessage): Pick<Cluster, 'clientTls' | 'proxyHeader'> {
  if (transportSocket === undefined) return {}
  const headered = decodeProxyHeader(path, transportSocket)
  if (headered === undefined) return decodeInner(path, transportSocket)
  const inner = decodeInner(within(path, 'typed_config.transport_socket'), headered.inner)
  return { ...inner, proxyHeader: headered.version }
}

function decodeInner(path: string, socket: TransportSocket): Pick<Cluster, 'clientTls'> {
  if (typeOf(configOf(socket)) !== RawBufferSchema.typeName) return { clientTls: decodeClientTls(path, socket) }
  unpackShaped(RawBufferSchema, configOf(socket), {}, within(path, 'typed_config'))
  return {}
}

function decodeHealth(
  path: string,
  { healthChecks }: ClusterMessage,
  speaksHttp2: boolean,
): Pick<Cluster, 'healthCheck'> {
  const [check] = healthChecks
  if (check === undefined) return {}
  require(path, healthChecks.length === 1, 'only one is supported')
  const healthCheck = decodeHealthCheck(`${path}[0]`, check)
  const isPossible = healthCheck.check.kind !== 'grpc' || speaksHttp2
  require(`${path}[0].grpc_health_check`, isPossible, 'needs HTTP/2')
  return { healthCheck }
}
