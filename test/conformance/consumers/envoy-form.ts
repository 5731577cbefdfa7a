/**
 * A proxy's configuration as one Envoy bootstrap that holds all of it, for `envoy --mode validate`: what would come over
 * RDS stands in listeners, what would come over EDS in static clusters, both made by the codec that serves them.
 */
import { createRegistry, type DescMessage, type JsonValue, type MessageShape, toJson } from '@bufbuild/protobuf'
import { entries } from '#gen/entries.js'
import { ClusterSchema } from '#gen/envoy/config/cluster/v3/cluster_pb.js'
import { ClusterLoadAssignmentSchema } from '#gen/envoy/config/endpoint/v3/endpoint_pb.js'
import { ListenerSchema } from '#gen/envoy/config/listener/v3/listener_pb.js'
import { RouteConfigurationSchema } from '#gen/envoy/config/route/v3/route_pb.js'
import { AGENT_SECRETS_CLUSTER, type ProxyConfig } from '../../../src/model/config.ts'
import { encodeCluster } from '../../../src/xds/codec/cluster.ts'
import { encodeEndpoints } from '../../../src/xds/codec/endpoints.ts'
import { encodeListener } from '../../../src/xds/codec/listener.ts'
import { encodeRoute } from '../../../src/xds/codec/route.ts'

const EXTENSION = 'type.googleapis.com/envoy.extensions'
const ADS_CLUSTER = 'xds'
/** Nothing binds in validation. */
const FIRST_PORT = 20_000

const registry = createRegistry(...entries)
const json = <D extends DescMessage>(schema: D, message: MessageShape<D>): JsonValue =>
  toJson(schema, message, { registry, useProtoFieldName: true })

export function envoyBootstrap({ listeners, routes, clusters, endpoints }: ProxyConfig): object {
  const tables = [...routes.values()].map((table) => json(RouteConfigurationSchema, encodeRoute(table)) as object)
  const assignments = [...endpoints.values()].map((one) => json(ClusterLoadAssignmentSchema, encodeEndpoints(one)))
  return {
    node: { id: 'validated', cluster: 'validated' },
    dynamic_resources: {
      ads_config: {
        api_type: 'DELTA_GRPC',
        transport_api_version: 'V3',
        grpc_services: [{ envoy_grpc: { cluster_name: ADS_CLUSTER } }],
      },
    },
    bootstrap_extensions: [
      {
        name: 'envoy.bootstrap.internal_listener',
        typed_config: { '@type': `${EXTENSION}.bootstrap.internal_listener.v3.InternalListener` },
      },
    ],
    static_resources: {
      listeners: [
        ...Array.from(listeners.values(), (listener) => json(ListenerSchema, encodeListener(listener))),
        ...tables.map(listenerFor),
      ],
      clusters: [
        ...Array.from(clusters.values(), (cluster) => json(ClusterSchema, encodeCluster(cluster))),
        ...assignments.map((load_assignment, index) => ({ name: `eds ${index}`, type: 'STATIC', load_assignment })),
        adsCluster(ADS_CLUSTER),
        adsCluster(AGENT_SECRETS_CLUSTER),
      ],
    },
  }
}

function listenerFor(table: object, index: number): object {
  const manager = {
    '@type': `${EXTENSION}.filters.network.http_connection_manager.v3.HttpConnectionManager`,
    stat_prefix: 'rds',
    // Clusters of other listeners and of other proxies are no business of this test.
    route_config: { ...table, validate_clusters: false },
    http_filters: [
      {
        name: 'envoy.filters.http.router',
        typed_config: { '@type': `${EXTENSION}.filters.http.router.v3.Router` },
      },
    ],
  }
  return {
    name: `rds ${index}`,
    address: { socket_address: { address: '127.0.0.1', port_value: FIRST_PORT + index } },
    filter_chains: [{ filters: [{ name: 'http', typed_config: manager }] }],
  }
}

function adsCluster(name: string): object {
  const options = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions'
  return {
    name,
    type: 'STATIC',
    typed_extension_protocol_options: {
      [options]: { '@type': `type.googleapis.com/${options}`, explicit_http_config: { http2_protocol_options: {} } },
    },
    load_assignment: {
      cluster_name: name,
      endpoints: [
        { lb_endpoints: [{ endpoint: { address: { socket_address: { address: '127.0.0.1', port_value: 1 } } } }] },
      ],
    },
  }
}
