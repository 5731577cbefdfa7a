/**
 * LoadAssignment <-> envoy.config.endpoint.v3.ClusterLoadAssignment. What Envoy has no field for travels as metadata
 * (design, Wire contract, EDS metadata): the transport, the workload's facts, the tunnel, a locality's cloud.
 */
import { create, type JsonObject } from '@bufbuild/protobuf'
import { HealthStatus } from '#gen/envoy/config/core/v3/health_check_pb.js'
import {
  type LbEndpoint,
  LbEndpointSchema,
  type LocalityLbEndpoints,
  LocalityLbEndpointsSchema,
} from '#gen/envoy/config/endpoint/v3/endpoint_components_pb.js'
import { type ClusterLoadAssignment, ClusterLoadAssignmentSchema } from '#gen/envoy/config/endpoint/v3/endpoint_pb.js'
import type { Endpoint, LoadAssignment, LocalityEndpoints, Tunnel } from '../../model/config.ts'
import { ADDRESS_SHAPE, decodeAddress, decodeMetadata, encodeAddress, FieldReader } from './common.ts'
import { hostText } from './route-cluster.ts'
import { refuse, require, type Shape, within } from './shape.ts'

/** Key of the namespace `envoy.transport_socket_match` and of a cluster's matches. */
export const TRANSPORT_KEY = 'isthmus'
const TRANSPORT_METADATA = 'envoy.transport_socket_match'
const ENDPOINT_METADATA = 'isthmus.endpoint'
/** What Envoy's subsets and hash keys go by. */
const BALANCING_METADATA = 'envoy.lb'
const TUNNEL_METADATA = 'isthmus.tunnel'
const LOCALITY_METADATA = 'isthmus.locality'
/** Envoy's own limits (endpoint_components.proto). */
const PRIORITY_MAX = 128

export const ENDPOINTS_SHAPE: Shape = {
  cluster_name: true,
  endpoints: {
    locality: { region: true, zone: true },
    metadata: { filter_metadata: true },
    lb_endpoints: {
      endpoint: { address: ADDRESS_SHAPE, hostname: true },
      health_status: true,
      metadata: { filter_metadata: true },
      load_balancing_weight: true,
    },
    load_balancing_weight: true,
    priority: true,
  },
  policy: { overprovisioning_factor: true },
}

const HEALTH = {
  healthy: HealthStatus.HEALTHY,
  unhealthy: HealthStatus.UNHEALTHY,
  draining: HealthStatus.DRAINING,
} as const satisfies Record<Endpoint['health'], HealthStatus>

export function encodeEndpoints(assignment: LoadAssignment): ClusterLoadAssignment {
  return create(ClusterLoadAssignmentSchema, {
    clusterName: assignment.cluster,
    endpoints: assignment.localities.map(encodeLocality),
    ...(assignment.overprovisioningPercent !== undefined && {
      policy: { overprovisioningFactor: assignment.overprovisioningPercent },
    }),
  })
}

function encodeLocality(entry: LocalityEndpoints): LocalityLbEndpoints {
  const { cloud, region, zone } = entry.locality
  return create(LocalityLbEndpointsSchema, {
    locality: { region, zone },
    ...(cloud !== '' && { metadata: { filterMetadata: { [LOCALITY_METADATA]: { cloud } } } }),
    lbEndpoints: entry.endpoints.map(encodeEndpoint),
    // Envoy refuses 0; absent means no share.
    ...(entry.weight > 0 && { loadBalancingWeight: entry.weight }),
    priority: entry.priority,
  })
}

function encodeEndpoint(endpoint: Endpoint): LbEndpoint {
  const { workload, id, tunnel } = endpoint
  const metadata: Record<string, JsonObject> = {
    [TRANSPORT_METADATA]: { [TRANSPORT_KEY]: endpoint.transport },
    [ENDPOINT_METADATA]: { ...workload, ...(id !== undefined && { id }) },
  }
  if (endpoint.metadata !== undefined) metadata[BALANCING_METADATA] = endpoint.metadata as JsonObject
  if (tunnel !== undefined) metadata[TUNNEL_METADATA] = encodeTunnel(tunnel)
  return create(LbEndpointSchema, {
    hostIdentifier: {
      case: 'endpoint',
      value: { address: encodeAddress(endpoint.address, endpoint.port), hostname: endpoint.hostname ?? '' },
    },
    healthStatus: HEALTH[endpoint.health],
    metadata: { filterMetadata: metadata },
    loadBalancingWeight: endpoint.weight,
  })
}

function encodeTunnel(tunnel: Tunnel): JsonObject {
  return {
    authority: tunnel.authority,
    cluster: tunnel.cluster,
    trust_domain: tunnel.trustDomain,
    gateway_sni: tunnel.gatewaySni,
    gateway_identity: tunnel.gatewayIdentity,
    inner_sni: tunnel.innerSni,
    identities: [...tunnel.identities],
    endpoints: tunnel.endpoints,
  }
}

export function decodeEndpoints(path: string, message: ClusterLoadAssignment): LoadAssignment {
  const at = within(path, 'endpoints')
  const overprovisioningPercent = message.policy?.overprovisioningFactor
  require(within(path, 'policy.overprovisioning_factor'), overprovisioningPercent !== 0, 'must be above 0')
  return {
    cluster: message.clusterName,
    ...(overprovisioningPercent !== undefined && { overprovisioningPercent }),
    localities: message.endpoints.map((entry, index) => decodeLocality(`${at}[${index}]`, entry)),
  }
}

function decodeLocality(path: string, entry: LocalityLbEndpoints): LocalityEndpoints {
  const metadataPath = within(path, 'metadata')
  const metadata = decodeMetadata(metadataPath, entry.metadata, [LOCALITY_METADATA])
  const facts = new FieldReader(
    within(metadataPath, `filter_metadata["${LOCALITY_METADATA}"]`),
    metadata[LOCALITY_METADATA],
  )
  const cloud = facts.optionalString('cloud') ?? ''
  facts.end()
  require(within(path, 'priority'), entry.priority <= PRIORITY_MAX, `is above ${PRIORITY_MAX}`)
  return {
    locality: { cloud, region: entry.locality?.region ?? '', zone: entry.locality?.zone ?? '' },
    priority: entry.priority,
    weight: entry.loadBalancingWeight ?? 0,
    endpoints: entry.lbEndpoints.map((endpoint, index) => decodeEndpoint(`${path}.lb_endpoints[${index}]`, endpoint)),
  }
}

function decodeEndpoint(path: string, message: LbEndpoint): Endpoint {
  const host = message.hostIdentifier
  if (host.case !== 'endpoint') return refuse(within(path, 'endpoint'), 'is required')
  const metadataPath = within(path, 'metadata')
  const namespaces = [TRANSPORT_METADATA, ENDPOINT_METADATA, BALANCING_METADATA, TUNNEL_METADATA]
  const metadata = decodeMetadata(metadataPath, message.metadata, namespaces)
  const readerOf = (name: string): FieldReader =>
    new FieldReader(within(metadataPath, `filter_metadata["${name}"]`), metadata[name])
  const facts = readerOf(ENDPOINT_METADATA)
  const workload = {
    cluster: facts.optionalString('cluster') ?? '',
    namespace: facts.optionalString('namespace') ?? '',
    workload: facts.optionalString('workload') ?? '',
  }
  const id = facts.optionalString('id')
  facts.end()
  const transport = decodeTransport(readerOf(TRANSPORT_METADATA), metadataPath)
  const balancing = metadata[BALANCING_METADATA]
  const hasTunnel = metadata[TUNNEL_METADATA] !== undefined
  require(metadataPath, hasTunnel === (transport === 'tunnel'), 'a tunnel needs its metadata, and only a tunnel')
  return {
    ...decodeAddress(within(path, 'endpoint.address'), host.value.address),
    ...(host.value.hostname !== '' && { hostname: hostText(within(path, 'endpoint.hostname'), host.value.hostname) }),
    health: decodeHealth(within(path, 'health_status'), message.healthStatus),
    weight: decodeWeight(within(path, 'load_balancing_weight'), message.loadBalancingWeight),
    transport,
    workload,
    ...(balancing !== undefined && { metadata: balancing }),
    ...(id !== undefined && { id }),
    ...(hasTunnel && { tunnel: decodeTunnel(readerOf(TUNNEL_METADATA)) }),
  }
}

/** An endpoint without the key has no sidecar, as in Envoy, where no match falls through to plain. */
function decodeTransport(reader: FieldReader, path: string): Endpoint['transport'] {
  const transport = reader.optionalString(TRANSPORT_KEY) ?? 'plain'
  reader.end()
  if (transport === 'mtls' || transport === 'tunnel' || transport === 'plain') return transport
  return refuse(path, `transport ${transport} is not supported`)
}

function decodeHealth(path: string, status: HealthStatus): Endpoint['health'] {
  switch (status) {
    case HealthStatus.UNKNOWN:
    case HealthStatus.HEALTHY:
      return 'healthy'
    case HealthStatus.DRAINING:
      return 'draining'
    case HealthStatus.UNHEALTHY:
    case HealthStatus.TIMEOUT:
      return 'unhealthy'
    default:
      return refuse(path, `${status} is not supported`)
  }
}

function decodeWeight(path: string, weight: number | undefined): number {
  require(path, weight !== 0, 'must be at least 1')
  return weight ?? 1
}

function decodeTunnel(reader: FieldReader): Tunnel {
  const tunnel: Tunnel = {
    authority: reader.string('authority'),
    cluster: reader.string('cluster'),
    trustDomain: reader.string('trust_domain'),
    gatewaySni: reader.string('gateway_sni'),
    gatewayIdentity: reader.string('gateway_identity'),
    innerSni: reader.string('inner_sni'),
    identities: reader.strings('identities'),
    endpoints: reader.count('endpoints'),
  }
  reader.end()
  return tunnel
}
