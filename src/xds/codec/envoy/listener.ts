/**
 * Listeners inside an Envoy. The tunnel's ends each connection in a CONNECT stream to a gateway, whose authority comes
 * with the endpoint that was dialled (design, The wire contract); the bridge's makes HTTP/1.1 of the mesh's HTTP/2, for
 * endpoints without a sidecar.
 */
import { create } from '@bufbuild/protobuf'
import { type Any, anyPack } from '@bufbuild/protobuf/wkt'
import { HeaderValueOption_HeaderAppendAction as Append } from '#gen/envoy/config/core/v3/base_pb.js'
import { type Filter, FilterSchema } from '#gen/envoy/config/listener/v3/listener_components_pb.js'
import { type Listener, ListenerSchema } from '#gen/envoy/config/listener/v3/listener_pb.js'
import { RouterSchema } from '#gen/envoy/extensions/filters/http/router/v3/router_pb.js'
import { HttpConnectionManagerSchema } from '#gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js'
import { TcpProxySchema } from '#gen/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy_pb.js'
import type { InternalListener } from '../../../model/config.ts'
import { encodeDuration } from '../common.ts'
import { TUNNEL_METADATA } from '../endpoints.ts'

const HTTP_CONNECTION_MANAGER = 'envoy.filters.network.http_connection_manager'
const TCP_PROXY = 'envoy.filters.network.tcp_proxy'
const ROUTER = 'envoy.filters.http.router'
const VERSION = { key: 'isthmus-version', value: '1' }

export function encodeInternalListener(name: string, { kind, cluster }: InternalListener): Listener {
  const filter = kind === 'tunnel' ? tunnel(name, cluster) : bridge(name, cluster)
  return create(ListenerSchema, {
    name,
    listenerSpecifier: { case: 'internalListener', value: {} },
    filterChains: [{ filters: [filter] }],
  })
}

function tunnel(statPrefix: string, cluster: string): Filter {
  const proxy = create(TcpProxySchema, {
    statPrefix,
    clusterSpecifier: { case: 'cluster', value: cluster },
    tunnelingConfig: {
      hostname: `%DYNAMIC_METADATA(${TUNNEL_METADATA}:authority)%`,
      headersToAdd: [{ header: VERSION, appendAction: Append.OVERWRITE_IF_EXISTS_OR_ADD }],
    },
    // The inner connection is pooled; when it goes is its owner's to say.
    idleTimeout: encodeDuration(0),
  })
  return filterOf(TCP_PROXY, anyPack(TcpProxySchema, proxy))
}

function bridge(statPrefix: string, cluster: string): Filter {
  const manager = create(HttpConnectionManagerSchema, {
    statPrefix,
    http2ProtocolOptions: { allowConnect: true },
    upgradeConfigs: [{ upgradeType: 'websocket' }],
    // What the request is, the listener before has made of it.
    generateRequestId: false,
    routeSpecifier: {
      case: 'routeConfig',
      value: {
        name: statPrefix,
        virtualHosts: [
          {
            name: statPrefix,
            domains: ['*'],
            routes: [
              {
                match: { pathSpecifier: { case: 'prefix', value: '/' } },
                action: {
                  case: 'route',
                  value: {
                    clusterSpecifier: { case: 'cluster', value: cluster },
                    timeout: encodeDuration(0),
                    idleTimeout: encodeDuration(0),
                  },
                },
              },
            ],
          },
        ],
      },
    },
    httpFilters: [
      { name: ROUTER, configType: { case: 'typedConfig', value: anyPack(RouterSchema, create(RouterSchema)) } },
    ],
  })
  return filterOf(HTTP_CONNECTION_MANAGER, anyPack(HttpConnectionManagerSchema, manager))
}

const filterOf = (name: string, value: Any): Filter =>
  create(FilterSchema, { name, configType: { case: 'typedConfig', value } })
