/**
 * Envoy's bootstrap, and that of gRPC clients: who they are, and that configuration and secrets come over the agent's
 * socket. Pure; no secret is in either, nor the address of the control plane.
 */
import { PORTS } from '../model/ports.ts'
import { loopbackOf } from '../runtime/network.ts'
import { FILES } from './files.ts'

export interface NodeFacts {
  readonly podName: string
  readonly podNamespace: string
  readonly podIp: string
  readonly serviceAccount: string
  readonly cluster: string
  readonly mesh: string
  readonly workload: string
  readonly version: string
  readonly region: string
  readonly zone: string
  readonly labels: Readonly<Record<string, string>>
}

/** `delta` sends what changed, `sotw` all of it; both say the same. */
export type AdsProtocol = 'delta' | 'sotw'

export interface EnvoyBootstrapOptions {
  readonly facts: NodeFacts
  readonly protocol: AdsProtocol
  /** Of the agent, as Envoy opens it. */
  readonly socket: string
}

/** As Istio's bootstraps call them: what refers to secrets knows the second by its name. */
const XDS_CLUSTER = 'xds-grpc'
const SDS_CLUSTER = 'sds-grpc'
const EXTENSIONS = 'type.googleapis.com/envoy.extensions'
/** A silent agent is noticed; it is on the same machine. */
const KEEPALIVE = { interval: '30s', timeout: '10s' }
/** Envoy answers at its admin port only to whoever is in the pod. */
const DOWNSTREAM_CONNECTIONS_MAX = 50_000

/** Istio's form, first part of the protocol with the control plane. */
export const nodeId = ({ podIp, podName, podNamespace }: NodeFacts): string =>
  `sidecar~${podIp}~${podName}.${podNamespace}~${podNamespace}.svc.cluster.local`

/** Names of Istio's metadata. */
export function nodeMetadata(facts: NodeFacts): Record<string, unknown> {
  const { podName, podNamespace, podIp, serviceAccount, cluster, mesh, workload, labels } = facts
  return {
    NAME: podName,
    NAMESPACE: podNamespace,
    INSTANCE_IPS: podIp,
    SERVICE_ACCOUNT: serviceAccount,
    CLUSTER_ID: cluster,
    MESH_ID: mesh,
    WORKLOAD_NAME: workload,
    LABELS: labels,
  }
}

export function envoyBootstrap({ facts, protocol, socket }: EnvoyBootstrapOptions): object {
  const { podIp, cluster, region, zone } = facts
  const ads = { ads: {}, initial_fetch_timeout: '0s', resource_api_version: 'V3' }
  return {
    node: {
      id: nodeId(facts),
      cluster,
      locality: { region, zone },
      metadata: nodeMetadata(facts),
    },
    admin: { address: socketAddress(loopbackOf(podIp), PORTS.admin) },
    dynamic_resources: {
      lds_config: ads,
      cds_config: ads,
      ads_config: {
        api_type: protocol === 'delta' ? 'DELTA_GRPC' : 'GRPC',
        transport_api_version: 'V3',
        set_node_on_first_message_only: true,
        grpc_services: [{ envoy_grpc: { cluster_name: XDS_CLUSTER } }],
      },
    },
    static_resources: { clusters: [pipeCluster(XDS_CLUSTER, socket), pipeCluster(SDS_CLUSTER, socket)] },
    // Tunnels to other clusters go through listeners inside the process.
    bootstrap_extensions: [
      {
        name: 'envoy.bootstrap.internal_listener',
        typed_config: { '@type': `${EXTENSIONS}.bootstrap.internal_listener.v3.InternalListener` },
      },
    ],
    overload_manager: {
      resource_monitors: [
        {
          name: 'envoy.resource_monitors.global_downstream_max_connections',
          typed_config: {
            '@type': `${EXTENSIONS}.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig`,
            max_active_downstream_connections: DOWNSTREAM_CONNECTIONS_MAX,
          },
        },
      ],
    },
  }
}

function pipeCluster(name: string, path: string): object {
  const options = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions'
  const http2 = { connection_keepalive: KEEPALIVE }
  return {
    name,
    type: 'STATIC',
    connect_timeout: '1s',
    typed_extension_protocol_options: {
      [options]: { '@type': `type.googleapis.com/${options}`, explicit_http_config: { http2_protocol_options: http2 } },
    },
    load_assignment: {
      cluster_name: name,
      endpoints: [{ lb_endpoints: [{ endpoint: { address: { pipe: { path } } } }] }],
    },
  }
}

const socketAddress = (address: string, port: number): object => ({
  socket_address: { address, port_value: port },
})

/** For GRPC_XDS_BOOTSTRAP: gRPC clients and servers without any proxy (gRFC A27, A29, A65). */
export function grpcBootstrap(facts: NodeFacts, socketPath: string, directory: string): object {
  return {
    xds_servers: [
      // The socket is the pod's own: TLS over it would prove nothing.
      { server_uri: `unix://${socketPath}`, channel_creds: [{ type: 'insecure' }], server_features: ['xds_v3'] },
    ],
    node: {
      id: nodeId(facts),
      cluster: facts.cluster,
      // grpc-js-xds wants one.
      locality: { region: facts.region, zone: facts.zone },
      metadata: { ...nodeMetadata(facts), GENERATOR: 'grpc' },
    },
    certificate_providers: {
      default: {
        plugin_name: 'file_watcher',
        config: {
          certificate_file: `${directory}/${FILES.chain}`,
          private_key_file: `${directory}/${FILES.key}`,
          ca_certificate_file: `${directory}/${FILES.roots}`,
          refresh_interval: '60s',
        },
      },
    },
  }
}
