/**
 * One resource of the IR to bytes and back. Encoding is total; decoding is strict and returns a `Rejection` for
 * anything it does not fully understand. Not a cache: the server remembers what it serialised, by object.
 */
import { create, fromBinary, type JsonObject, toBinary } from '@bufbuild/protobuf'
import { type Any, anyPack } from '@bufbuild/protobuf/wkt'
import { ClusterSchema } from '#gen/envoy/config/cluster/v3/cluster_pb.js'
import { ClusterLoadAssignmentSchema } from '#gen/envoy/config/endpoint/v3/endpoint_pb.js'
import { ListenerSchema } from '#gen/envoy/config/listener/v3/listener_pb.js'
import { VirtualHostSchema } from '#gen/envoy/config/route/v3/route_components_pb.js'
import { RouteConfigurationSchema } from '#gen/envoy/config/route/v3/route_pb.js'
import { SecretSchema } from '#gen/envoy/extensions/transport_sockets/tls/v3/secret_pb.js'
import { type Resource, ResourceSchema } from '#gen/envoy/service/discovery/v3/discovery_pb.js'
import { NameSchema } from '#gen/isthmus/dns/v1/name_pb.js'
import type {
  Cluster,
  Listener,
  LoadAssignment,
  Rejection,
  ResourceKind,
  RouteTable,
  Secret,
  VirtualHost,
} from '../../model/config.ts'
import type { DnsName } from '../../model/dns.ts'
import { TYPE_URLS } from '../resources.ts'
import { CLUSTER_SHAPE, decodeCluster, encodeCluster } from './cluster.ts'
import { decodeMetadata } from './common.ts'
import { decodeEndpoints, encodeEndpoints, ENDPOINTS_SHAPE } from './endpoints.ts'
import { decodeListener, encodeListener, shapeOfListener } from './listener.ts'
import { decodeName, encodeName, NAME_SHAPE } from './name.ts'
import { decodeHost, encodeHost, HOST_SHAPE } from './route.ts'
import { decodeSecret, encodeRevocations, encodeSecret, REVOCATIONS_METADATA, SECRET_SHAPE } from './secret.ts'
import { decodeRouteResource, encodeRouteResource, ROUTE_RESOURCE_SHAPE } from './split-route.ts'
import { checkShape, parseShaped, present, Refusal, require, type Shape } from './shape.ts'

export interface ResourceTypes {
  readonly cluster: Cluster
  readonly endpoints: LoadAssignment
  readonly host: VirtualHost
  readonly listener: Listener
  readonly name: DnsName
  readonly route: RouteTable
  readonly secret: Secret
}

/** A resource with the kind that says what it is. */
export type ModelResource = {
  [K in ResourceKind]: { readonly kind: K; readonly value: ResourceTypes[K] }
}[ResourceKind]

export type Decoded = ModelResource | { readonly rejection: Rejection }

/** Only ever written: which state of its cluster an assignment is for. */
const CLUSTER_METADATA = 'isthmus.cluster'

/** What the discovery service's own envelope may set. */
const RESOURCE_SHAPE: Shape = {
  name: true,
  version: true,
  resource: { type_url: true, value: true },
  metadata: { filter_metadata: true },
}

/** An endpoint assignment is named after its cluster; all others carry their name. */
export function nameOf(resource: ModelResource): string {
  return resource.kind === 'endpoints' ? resource.value.cluster : resource.value.name
}

export function encodeResource(resource: ModelResource, version = ''): Resource {
  const metadata = metadataOf(resource)
  return create(ResourceSchema, {
    name: nameOf(resource),
    version,
    resource: pack(resource),
    ...(metadata !== undefined && { metadata: { filterMetadata: metadata } }),
  })
}

/** What the resource itself has no field for. */
function metadataOf(resource: ModelResource): Record<string, JsonObject> | undefined {
  if (resource.kind === 'secret') {
    const revocations = encodeRevocations(resource.value)
    return revocations === undefined ? undefined : { [REVOCATIONS_METADATA]: revocations }
  }
  const state = resource.kind === 'endpoints' ? resource.value.clusterState : undefined
  return state === undefined ? undefined : { [CLUSTER_METADATA]: { state } }
}

function pack(resource: ModelResource): Any {
  switch (resource.kind) {
    case 'cluster':
      return anyPack(ClusterSchema, encodeCluster(resource.value))
    case 'endpoints':
      return anyPack(ClusterLoadAssignmentSchema, encodeEndpoints(resource.value))
    case 'listener':
      return anyPack(ListenerSchema, encodeListener(resource.value))
    case 'route':
      return anyPack(RouteConfigurationSchema, encodeRouteResource(resource.value))
    case 'host':
      return anyPack(VirtualHostSchema, encodeHost(resource.value))
    case 'name':
      return anyPack(NameSchema, encodeName(resource.value))
    case 'secret':
      return anyPack(SecretSchema, encodeSecret(resource.value))
    default:
      return resource satisfies never
  }
}

/** Decodes a resource of the kind subscribed to; never throws for what a server can send. */
export function decodeResource(kind: ResourceKind, resource: Resource): Decoded {
  try {
    const decoded = unpack(kind, resource)
    require('name', nameOf(decoded) === resource.name, `the resource inside is named ${nameOf(decoded)}`)
    return decoded
  } catch (error) {
    if (!(error instanceof Refusal)) throw error
    return { rejection: { kind, resource: resource.name, path: error.path, message: error.message } }
  }
}

function unpack(kind: ResourceKind, resource: Resource): ModelResource {
  checkShape(ResourceSchema, resource, RESOURCE_SHAPE, '')
  const any = present('resource', resource.resource)
  require('resource.type_url', any.typeUrl === TYPE_URLS[kind], `must be ${TYPE_URLS[kind]}`)
  const metadata = decodeMetadata('metadata', resource.metadata, kind === 'secret' ? [REVOCATIONS_METADATA] : [])
  return DECODERS[kind](any.value, metadata[REVOCATIONS_METADATA])
}

/** Paths start at the resource itself. */
const TOP = ''

const DECODERS: Readonly<Record<ResourceKind, (bytes: Uint8Array, revocations: unknown) => ModelResource>> = {
  cluster: (bytes) => ({
    kind: 'cluster',
    value: decodeCluster(TOP, parseShaped(ClusterSchema, bytes, CLUSTER_SHAPE, TOP)),
  }),
  endpoints: (bytes) => ({
    kind: 'endpoints',
    value: decodeEndpoints(TOP, parseShaped(ClusterLoadAssignmentSchema, bytes, ENDPOINTS_SHAPE, TOP)),
  }),
  listener: (bytes) => ({
    kind: 'listener',
    value: decodeListener(TOP, parseShaped(ListenerSchema, bytes, shapeOfListener, TOP)),
  }),
  route: (bytes) => ({
    kind: 'route',
    value: decodeRouteResource(TOP, parseShaped(RouteConfigurationSchema, bytes, ROUTE_RESOURCE_SHAPE, TOP)),
  }),
  host: (bytes) => ({
    kind: 'host',
    value: decodeHost(TOP, parseShaped(VirtualHostSchema, bytes, HOST_SHAPE, TOP)),
  }),
  name: (bytes) => ({ kind: 'name', value: decodeName(parseShaped(NameSchema, bytes, NAME_SHAPE, TOP)) }),
  secret: (bytes, revocations) => ({
    kind: 'secret',
    value: decodeSecret(TOP, parseShaped(SecretSchema, bytes, SECRET_SHAPE, TOP), revocations),
  }),
}

/** Bytes of a whole `Resource`, as in a response or in the snapshot on disk. */
export const resourceToBytes = (resource: Resource): Uint8Array => toBinary(ResourceSchema, resource)
export const resourceFromBytes = (bytes: Uint8Array): Resource => fromBinary(ResourceSchema, bytes)
