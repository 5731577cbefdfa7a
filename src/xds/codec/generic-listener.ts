/**
 * Listeners that are not the mesh's own <-> envoy.config.listener.v3.Listener: any that Envoy would run with the fields
 * below. Filters are known by the type of their configuration, as in Envoy; their names are for people.
 */
import { create } from '@bufbuild/protobuf'
import type { Any } from '@bufbuild/protobuf/wkt'
import type { TransportSocket } from '#gen/envoy/config/core/v3/base_pb.js'
import {
  type Filter,
  type FilterChain as FilterChainMessage,
  FilterChainSchema,
  FilterSchema,
} from '#gen/envoy/config/listener/v3/listener_components_pb.js'
import { type Listener as ListenerMessage, ListenerSchema } from '#gen/envoy/config/listener/v3/listener_pb.js'
import { HttpConnectionManagerSchema } from '#gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js'
import { TcpProxySchema } from '#gen/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy_pb.js'
import { RawBufferSchema } from '#gen/envoy/extensions/transport_sockets/raw_buffer/v3/raw_buffer_pb.js'
import type { GenericChain, GenericListener, Listener } from '../../model/config.ts'
import { ACCESS_LOG_SHAPE, decodeAccessLogs, encodeAccessLog } from './access-log.ts'
import { ADDRESS_SHAPE, decodeAddress, decodeDuration, encodeAddress, encodeDuration } from './common.ts'
import { decodeServerTls, encodeServerTls } from './generic-tls.ts'
import { decodeInspection, encodeInspection } from './inspection.ts'
import { decodeMatch, encodeMatch, GENERIC_MATCH_SHAPE } from './chain-match.ts'
import { decodeNetworkFilter, encodeNetworkFilter } from './network-filters.ts'
import { decodeReverse, encodeReverse } from './reverse-http.ts'
import { present, refuse, require, type Shape, typeOf, unpackShaped, within } from './shape.ts'
import { decodeTcpProxy, encodeTcpProxy } from './tcp-proxy.ts'
import { configOf } from './tls.ts'

const CHAIN_SHAPE: Shape = {
  name: true,
  filter_chain_match: GENERIC_MATCH_SHAPE,
  transport_socket: { name: true, typed_config: true },
  transport_socket_connect_timeout: true,
  filters: { name: true, typed_config: true },
}

export const GENERIC_LISTENER_SHAPE: Shape = {
  name: true,
  address: ADDRESS_SHAPE,
  listener_filters: { name: true, typed_config: true },
  listener_filters_timeout: true,
  continue_on_listener_filters_timeout: true,
  filter_chains: CHAIN_SHAPE,
  default_filter_chain: CHAIN_SHAPE,
  access_log: ACCESS_LOG_SHAPE,
}

export function encodeGeneric(listener: Listener, generic: GenericListener): ListenerMessage {
  return create(ListenerSchema, {
    name: listener.name,
    address: encodeAddress(listener.address, listener.port),
    ...encodeInspection(generic.inspect),
    filterChains: generic.chains.map(encodeChain),
    accessLog: (listener.accessLogs ?? []).map(encodeAccessLog),
    ...(generic.defaultChain !== undefined && { defaultFilterChain: encodeChain(generic.defaultChain) }),
  })
}

function encodeChain(chain: GenericChain): FilterChainMessage {
  return create(FilterChainSchema, {
    name: chain.name,
    ...(chain.match !== undefined && { filterChainMatch: encodeMatch(chain.match) }),
    ...(chain.tls !== undefined && { transportSocket: encodeServerTls(chain.tls) }),
    ...(chain.handshakeMs !== undefined && { transportSocketConnectTimeout: encodeDuration(chain.handshakeMs) }),
    filters: [...(chain.network ?? []).map(encodeNetworkFilter), encodeTerminal(chain.filter)],
  })
}

function encodeTerminal(filter: GenericChain['filter']): Filter {
  if (filter.kind === 'http') return filterOf('envoy.filters.network.http_connection_manager', encodeReverse(filter))
  return encodeTcpProxy(filter)
}

function filterOf(name: string, value: Any): Filter {
  return create(FilterSchema, { name, configType: { case: 'typedConfig', value } })
}

export function decodeGeneric(path: string, message: ListenerMessage): Listener {
  const { address, port } = decodeAddress(within(path, 'address'), message.address)
  const chains = message.filterChains.map((chain, index) =>
    decodeChain(`${within(path, 'filter_chains')}[${index}]`, chain),
  )
  const { defaultFilterChain } = message
  require(within(path, 'filter_chains'), chains.length > 0 || defaultFilterChain !== undefined, 'is required')
  const generic: GenericListener = {
    inspect: decodeInspection(path, message),
    chains,
    ...(defaultFilterChain !== undefined && {
      defaultChain: decodeChain(within(path, 'default_filter_chain'), defaultFilterChain),
    }),
  }
  // Envoy makes a name of its own; ours is as good, and stays the same from one reading to the next.
  const name = message.name === '' ? `${address}:${port}` : message.name
  return {
    name,
    address,
    port,
    chains: [],
    generic,
    ...decodeAccessLogs(within(path, 'access_log'), message.accessLog),
  }
}

function decodeChain(path: string, chain: FilterChainMessage): GenericChain {
  const last = chain.filters.at(-1)
  const at = within(path, 'filters')
  if (last === undefined) return refuse(at, 'must end in a terminal filter')
  const network = chain.filters.slice(0, -1).map((filter, index) => decodeNetworkFilter(`${at}[${index}]`, filter))
  const { filterChainMatch, transportSocket, transportSocketConnectTimeout: timeout } = chain
  const socket = within(path, 'transport_socket')
  const handshakeMs = timeout && decodeDuration(within(path, 'transport_socket_connect_timeout'), timeout)
  const tls = transportSocket && decodeSocket(socket, transportSocket)
  return {
    name: chain.name,
    ...(filterChainMatch !== undefined && {
      match: decodeMatch(within(path, 'filter_chain_match'), filterChainMatch),
    }),
    ...(tls !== undefined && { tls }),
    // 0 is Envoy's default: no limit of its own.
    ...(handshakeMs !== undefined && handshakeMs > 0 && { handshakeMs }),
    ...(network.length > 0 && { network }),
    filter: decodeTerminal(`${at}[${chain.filters.length - 1}]`, last),
  }
}

function decodeSocket(path: string, socket: TransportSocket): GenericChain['tls'] {
  const config = configOf(socket)
  if (config !== undefined && typeOf(config) === RawBufferSchema.typeName) {
    unpackShaped(RawBufferSchema, config, {}, within(path, 'typed_config'))
    return undefined
  }
  return decodeServerTls(path, socket)
}

function decodeTerminal(path: string, filter: Filter): GenericChain['filter'] {
  const at = within(path, 'typed_config')
  const config = present(at, filter.configType.case === 'typedConfig' ? filter.configType.value : undefined)
  switch (typeOf(config)) {
    case HttpConnectionManagerSchema.typeName:
      return decodeReverse(at, config)
    case TcpProxySchema.typeName:
      return decodeTcpProxy(at, config)
    default:
      return refuse(at, `filter ${config.typeUrl} is not supported`)
  }
}
