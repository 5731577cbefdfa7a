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
import type { Endpoint, LoadAssignment, LocalityEndpoints, Tunnel, WorkloadFacts } from '../../model/config.ts'
import { ADDRESS_SHAPE, decodeAddress, decodeMetadata, encodeAddress, FieldReader } from './common.ts'
import { BRIDGE_METADATA, encodeInternal, socketNameOf } from './envoy/internal.ts'
import { hostText } from './route-cluster.ts'
import { refuse, require, type Shape, within } from './shape.ts'

/** Key of the namespace `envoy.transport_socket_match` and of a cluster's matches. */
export const TRANSPORT_KEY = 'isthmus'
const TRANSPORT_METADATA = 'envoy.transport_socket_match'
const ENDPOINT_METADATA = 'isthmus.endpoint'
/** What Envoy's subsets and hash keys go by. */
const BALANCING_METADATA = 'envoy.lb'
export const TUNNEL_METADATA = 'isthmus.tunnel'
const LOCALITY_METADATA = 'isthmus.locality'
/** What the transport of an endpoint is where nothing says, as in Envoy, where no match falls through to plain. */
const TRANSPORT_DEFAULT = 'plain'
const WORKLOAD_FIELDS = ['cluster', 'namespace', 'workload'] as const satisfies readonly (keyof WorkloadFacts)[]
/** Envoy's own limits (endpoint_components.proto). */
const PRIORITY_MAX = 128

const LOCALITY_SHAPE: Shape = {
  locality: { region: true, zone: true },
  lb_endpoints: {
    endpoint: { address: ADDRESS_SHAPE, hostname: true },
    health_status: true,
    metadata: { filter_metadata: true },
    load_balancing_weight: true,
  },
  load_balancing_weight: true,
  priority: true,
}
const assignmentShape = (endpoints: Shape): Shape => ({
  cluster_name: true,
  endpoints,
  policy: { overprovisioning_factor: true },
})
/** A locality's metadata names the gateway that leads there. */
export const ENDPOINTS_SHAPE: Shape = assignmentShape({ ...LOCALITY_SHAPE, metadata: { filter_metadata: true } })
/** Of a file, which knows no gateways. */
export const FILE_ENDPOINTS_SHAPE: Shape = assignmentShape(LOCALITY_SHAPE)

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

/** What all endpoints of a locality share is said once, for the locality; Envoy matches transports by both. */
function encodeLocality(entry: LocalityEndpoints): LocalityLbEndpoints {
  const { cloud, region, zone } = entry.locality
  const common = commonOf(entry.endpoints)
  return create(LocalityLbEndpointsSchema, {
    locality: { region, zone },
    ...metadataOf({
      [LOCALITY_METADATA]: cloud === '' ? undefined : { cloud },
      [TRANSPORT_METADATA]: common.transport === undefined ? undefined : { [TRANSPORT_KEY]: common.transport },
      [ENDPOINT_METADATA]: someOf(common.workload),
    }),
    lbEndpoints: entry.endpoints.map((endpoint) => encodeEndpoint(endpoint, common)),
    // Envoy refuses 0; absent means no share.
    ...(entry.weight > 0 && { loadBalancingWeight: entry.weight }),
    priority: entry.priority,
  })
}

interface Common {
  /** The name of the transport socket's match. */
  readonly transport?: string
  readonly workload: Partial<WorkloadFacts>
}

function commonOf(endpoints: readonly Endpoint[]): Common {
  const [first] = endpoints
  if (first === undefined) return { workload: {} }
  const workload: { -readonly [K in keyof WorkloadFacts]?: string } = {}
  for (const field of WORKLOAD_FIELDS) {
    const value = first.workload[field]
    if (value !== '' && endpoints.every((endpoint) => endpoint.workload[field] === value)) workload[field] = value
  }
  const transport = socketNameOf(first)
  const isShared =
    transport !== TRANSPORT_DEFAULT && endpoints.every((endpoint) => socketNameOf(endpoint) === transport)
  return { ...(isShared && { transport }), workload }
}

/** To be spread; namespaces that say nothing are left out. */
function metadataOf(namespaces: Readonly<Record<string, JsonObject | undefined>>): {
  metadata?: { filterMetadata: Record<string, JsonObject> }
} {
  const filterMetadata: Record<string, JsonObject> = {}
  for (const [name, fields] of Object.entries(namespaces)) if (fields !== undefined) filterMetadata[name] = fields
  return Object.keys(filterMetadata).length === 0 ? {} : { metadata: { filterMetadata } }
}

const someOf = (fields: JsonObject): JsonObject | undefined => (Object.keys(fields).length === 0 ? undefined : fields)

function encodeEndpoint(endpoint: Endpoint, common: Common): LbEndpoint {
  const { id, tunnel, hostname, weight, health, internal } = endpoint
  const transport = socketNameOf(endpoint)
  const own: Record<string, string> = id === undefined ? {} : { id }
  for (const field of WORKLOAD_FIELDS) {
    if ((common.workload[field] ?? '') !== endpoint.workload[field]) own[field] = endpoint.workload[field]
  }
  return create(LbEndpointSchema, {
    hostIdentifier: {
      case: 'endpoint',
      value: {
        address: internal === undefined ? encodeAddress(endpoint.address, endpoint.port) : encodeInternal(internal),
        hostname: hostname ?? '',
      },
    },
    // What is usual is not said: healthy, with weight 1.
    ...(health !== 'healthy' && { healthStatus: HEALTH[health] }),
    ...(weight !== 1 && { loadBalancingWeight: weight }),
    ...metadataOf({
      [TRANSPORT_METADATA]:
        transport === (common.transport ?? TRANSPORT_DEFAULT) ? undefined : { [TRANSPORT_KEY]: transport },
      [ENDPOINT_METADATA]: someOf(own),
      [BALANCING_METADATA]: endpoint.metadata as JsonObject | undefined,
      [TUNNEL_METADATA]: tunnel === undefined ? undefined : encodeTunnel(tunnel),
      [BRIDGE_METADATA]:
        internal === undefined || tunnel !== undefined
          ? undefined
          : { address: `${endpoint.address}:${endpoint.port}` },
    }),
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
  const at = within(path, 'metadata')
  const metadata = decodeMetadata(at, entry.metadata, [LOCALITY_METADATA, TRANSPORT_METADATA, ENDPOINT_METADATA])
  const facts = readerIn(at, metadata, LOCALITY_METADATA)
  const cloud = facts.optionalString('cloud') ?? ''
  facts.end()
  const transport = decodeTransport(readerIn(at, metadata, TRANSPORT_METADATA), at, TRANSPORT_DEFAULT)
  const shared = readerIn(at, metadata, ENDPOINT_METADATA)
  const workload = decodeWorkload(shared, NO_WORKLOAD)
  shared.end()
  require(within(path, 'priority'), entry.priority <= PRIORITY_MAX, `is above ${PRIORITY_MAX}`)
  return {
    locality: { cloud, region: entry.locality?.region ?? '', zone: entry.locality?.zone ?? '' },
    priority: entry.priority,
    weight: entry.loadBalancingWeight ?? 0,
    endpoints: entry.lbEndpoints.map((endpoint, index) =>
      decodeEndpoint(`${path}.lb_endpoints[${index}]`, endpoint, { transport, workload }),
    ),
  }
}

const NO_WORKLOAD: WorkloadFacts = { cluster: '', namespace: '', workload: '' }

function readerIn(path: string, metadata: Readonly<Record<string, unknown>>, name: string): FieldReader {
  return new FieldReader(within(path, `filter_metadata["${name}"]`), metadata[name])
}

function decodeWorkload(facts: FieldReader, common: WorkloadFacts): WorkloadFacts {
  return {
    cluster: facts.optionalString('cluster') ?? common.cluster,
    namespace: facts.optionalString('namespace') ?? common.namespace,
    workload: facts.optionalString('workload') ?? common.workload,
  }
}

function decodeEndpoint(path: string, message: LbEndpoint, common: Inherited): Endpoint {
  const host = message.hostIdentifier
  if (host.case !== 'endpoint') return refuse(within(path, 'endpoint'), 'is required')
  const metadataPath = within(path, 'metadata')
  const namespaces = [TRANSPORT_METADATA, ENDPOINT_METADATA, BALANCING_METADATA, TUNNEL_METADATA]
  const metadata = decodeMetadata(metadataPath, message.metadata, namespaces)
  const facts = readerIn(metadataPath, metadata, ENDPOINT_METADATA)
  const workload = decodeWorkload(facts, common.workload)
  const id = facts.optionalString('id')
  facts.end()
  const reader = readerIn(metadataPath, metadata, TRANSPORT_METADATA)
  const transport = decodeTransport(reader, metadataPath, common.transport)
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
    ...(hasTunnel && { tunnel: decodeTunnel(readerIn(metadataPath, metadata, TUNNEL_METADATA)) }),
  }
}

/** What the locality says for those endpoints that say nothing themselves. */
interface Inherited {
  readonly transport: Endpoint['transport']
  readonly workload: WorkloadFacts
}

function decodeTransport(reader: FieldReader, path: string, inherited: Endpoint['transport']): Endpoint['transport'] {
  const transport = reader.optionalString(TRANSPORT_KEY) ?? inherited
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
