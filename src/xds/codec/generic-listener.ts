/**
 * Listeners that are not the mesh's own <-> envoy.config.listener.v3.Listener: any that Envoy would run with the fields
 * below. Filters are known by the type of their configuration, as in Envoy; their names are for people.
 */
import { create } from '@bufbuild/protobuf'
import { type Any, anyPack } from '@bufbuild/protobuf/wkt'
import {
  type Filter,
  type FilterChain as FilterChainMessage,
  FilterChainSchema,
  FilterSchema,
} from '#gen/envoy/config/listener/v3/listener_components_pb.js'
import { type Listener as ListenerMessage, ListenerSchema } from '#gen/envoy/config/listener/v3/listener_pb.js'
import { HttpConnectionManagerSchema } from '#gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js'
import { TcpProxySchema } from '#gen/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy_pb.js'
import type { GenericChain, GenericListener, Listener } from '../../model/config.ts'
import { ACCESS_LOG_SHAPE, decodeAccessLogs, encodeAccessLog } from './access-log.ts'
import { ADDRESS_SHAPE, decodeAddress, encodeAddress } from './common.ts'
import { decodeReverse, encodeReverse } from './reverse-http.ts'
import { present, refuse, require, type Shape, unpackShaped, within } from './shape.ts'

const CHAIN_SHAPE: Shape = {
  name: true,
  filters: { name: true, typed_config: true },
}

export const GENERIC_LISTENER_SHAPE: Shape = {
  name: true,
  address: ADDRESS_SHAPE,
  filter_chains: CHAIN_SHAPE,
  default_filter_chain: CHAIN_SHAPE,
  access_log: ACCESS_LOG_SHAPE,
}
export const TCP_PROXY_SHAPE: Shape = { stat_prefix: true, cluster: true }

export function encodeGeneric(listener: Listener, generic: GenericListener): ListenerMessage {
  return create(ListenerSchema, {
    name: listener.name,
    address: encodeAddress(listener.address, listener.port),
    filterChains: generic.chains.map(encodeChain),
    accessLog: (listener.accessLogs ?? []).map(encodeAccessLog),
    ...(generic.defaultChain !== undefined && { defaultFilterChain: encodeChain(generic.defaultChain) }),
  })
}

function encodeChain(chain: GenericChain): FilterChainMessage {
  return create(FilterChainSchema, { name: chain.name, filters: [encodeTerminal(chain.filter)] })
}

function encodeTerminal(filter: GenericChain['filter']): Filter {
  if (filter.kind === 'http') return filterOf('envoy.filters.network.http_connection_manager', encodeReverse(filter))
  const proxy = create(TcpProxySchema, {
    statPrefix: filter.statPrefix,
    clusterSpecifier: { case: 'cluster', value: filter.cluster },
  })
  return filterOf('envoy.filters.network.tcp_proxy', anyPack(TcpProxySchema, proxy))
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
    inspect: {},
    chains,
    ...(defaultFilterChain !== undefined && {
      defaultChain: decodeChain(within(path, 'default_filter_chain'), defaultFilterChain),
    }),
  }
  // Envoy makes a name of its own; ours is as good, and stays the same from one reading to the next.
  const name = message.name === '' ? `${address}:${port}` : message.name
  return { name, address, port, chains: [], generic, ...decodeAccessLogs(within(path, 'access_log'), message.accessLog) }
}

function decodeChain(path: string, chain: FilterChainMessage): GenericChain {
  const [last, ...before] = [...chain.filters].reverse()
  const at = within(path, 'filters')
  if (last === undefined) return refuse(at, 'must end in a terminal filter')
  require(at, before.length === 0, 'only a terminal filter is supported')
  return { name: chain.name, filter: decodeTerminal(`${at}[${chain.filters.length - 1}]`, last) }
}

function decodeTerminal(path: string, filter: Filter): GenericChain['filter'] {
  const at = within(path, 'typed_config')
  const config = present(at, filter.configType.case === 'typedConfig' ? filter.configType.value : undefined)
  switch (config.typeUrl.slice(config.typeUrl.lastIndexOf('/') + 1)) {
    case HttpConnectionManagerSchema.typeName:
      return decodeReverse(at, config)
    case TcpProxySchema.typeName: {
      const { statPrefix, clusterSpecifier } = unpackShaped(TcpProxySchema, config, TCP_PROXY_SHAPE, at)
      if (clusterSpecifier.case !== 'cluster') return refuse(within(at, 'cluster'), 'is required')
      return { kind: 'tcp', statPrefix, cluster: clusterSpecifier.value }
    }
    default:
      return refuse(at, `filter ${config.typeUrl} is not supported`)
  }
}
