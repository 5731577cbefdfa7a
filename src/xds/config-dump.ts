/**
 * A configuration as Envoy's `/config_dump` shows one: sections of envoy.admin.v3 around the resources that the codec
 * would send. Loaded when someone asks; redacting what is secret is the page's (proxy/admin/config-dump.ts).
 */
import { createRegistry, type DescMessage, type JsonObject, type MessageShape, toJson } from '@bufbuild/protobuf'
import { ClusterSchema } from '#gen/envoy/config/cluster/v3/cluster_pb.js'
import { ClusterLoadAssignmentSchema } from '#gen/envoy/config/endpoint/v3/endpoint_pb.js'
import { ListenerSchema } from '#gen/envoy/config/listener/v3/listener_pb.js'
import { RouteConfigurationSchema } from '#gen/envoy/config/route/v3/route_pb.js'
import { SecretSchema } from '#gen/envoy/extensions/transport_sockets/tls/v3/secret_pb.js'
import { entries } from '#gen/entries.js'
import type { ProxyConfig } from '../model/config.ts'
import { encodeCluster } from './codec/cluster.ts'
import { encodeEndpoints } from './codec/endpoints.ts'
import { encodeListener } from './codec/listener.ts'
import { encodeRoute } from './codec/route.ts'
import { encodeSecret } from './codec/secret.ts'
import { TYPE_URLS } from './resources.ts'

export interface DumpOptions {
  /** From a file, not from a control plane. */
  readonly isStatic: boolean
  /** When the configuration came, wall clock. */
  readonly updatedAtMs: number
  /** What the file said beside its resources. */
  readonly bootstrap?: JsonObject
}

const TYPE = 'type.googleapis.com/'
const ADMIN = `${TYPE}envoy.admin.v3.`

export function configDump(config: ProxyConfig, options: DumpOptions): readonly object[] {
  const registry = createRegistry(...entries)
  const last_updated = new Date(options.updatedAtMs).toISOString()
  const inJson = <D extends DescMessage>(schema: D, typeUrl: string, message: MessageShape<D>): object => ({
    '@type': typeUrl,
    ...(toJson(schema, message, { registry, useProtoFieldName: true }) as JsonObject),
  })
  const clusters = [...config.clusters.values()].map((one) => ({
    cluster: inJson(ClusterSchema, TYPE_URLS.cluster, encodeCluster(one)),
    last_updated,
  }))
  const listeners = [...config.listeners.values()].map((one) => ({
    name: one.name,
    state: { listener: inJson(ListenerSchema, TYPE_URLS.listener, encodeListener(one)), last_updated },
  }))
  const routes = [...config.routes.values()].map((one) => ({
    route_config: inJson(RouteConfigurationSchema, TYPE_URLS.route, encodeRoute(one)),
    last_updated,
  }))
  const endpoints = [...config.endpoints.values()].map((one) => ({
    endpoint_config: inJson(ClusterLoadAssignmentSchema, TYPE_URLS.endpoints, encodeEndpoints(one)),
    last_updated,
  }))
  const secrets = [...config.secrets.values()].map((one) => ({
    name: one.name,
    secret: inJson(SecretSchema, TYPE_URLS.secret, encodeSecret(one)),
    last_updated,
  }))
  return [
    { '@type': `${ADMIN}BootstrapConfigDump`, bootstrap: options.bootstrap ?? {}, last_updated },
    { '@type': `${ADMIN}ClustersConfigDump`, ...listed(options, 'clusters', clusters) },
    { '@type': `${ADMIN}ListenersConfigDump`, ...listenerSection(options, listeners) },
    { '@type': `${ADMIN}RoutesConfigDump`, ...listed(options, 'route_configs', routes) },
    { '@type': `${ADMIN}EndpointsConfigDump`, dynamic_endpoint_configs: endpoints },
    { '@type': `${ADMIN}SecretsConfigDump`, dynamic_active_secrets: secrets },
  ]
}

function listed({ isStatic }: DumpOptions, name: 'clusters' | 'route_configs', items: readonly object[]): object {
  if (items.length === 0) return {}
  if (isStatic) return { [`static_${name}`]: items }
  return name === 'clusters' ? { dynamic_active_clusters: items } : { dynamic_route_configs: items }
}

function listenerSection(
  { isStatic }: DumpOptions,
  listeners: readonly { readonly name: string; readonly state: object }[],
): object {
  if (listeners.length === 0) return {}
  if (isStatic) return { static_listeners: listeners.map(({ state }) => state) }
  return { dynamic_listeners: listeners.map(({ name, state }) => ({ name, active_state: state })) }
}
