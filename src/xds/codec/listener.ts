/**
 * Listener <-> envoy.config.listener.v3.Listener. A listener of the mesh says so in its metadata and is held to the
 * mesh's rules; there the three modes of HTTP chains are Envoy's own settings: a tunnel is the CONNECT upgrade, a
 * forward proxy takes absolute URLs, an inbound chain takes neither. Any other is generic-listener.ts's.
 */
import { create } from '@bufbuild/protobuf'
import { anyPack, type Any } from '@bufbuild/protobuf/wkt'
import {
  type Filter,
  type FilterChain as FilterChainMessage,
  FilterChainSchema,
  FilterSchema,
} from '#gen/envoy/config/listener/v3/listener_components_pb.js'
import { type Listener as ListenerMessage, ListenerSchema } from '#gen/envoy/config/listener/v3/listener_pb.js'
import {
  type RBAC as NetworkRbac,
  RBACSchema as NetworkRbacSchema,
} from '#gen/envoy/extensions/filters/network/rbac/v3/rbac_pb.js'
import type { ConnectionRules, FilterChain, Listener, PrincipalRule } from '../../model/config.ts'
import {
  CHAIN_MATCH_SHAPE,
  decodeChainMatch,
  decodeListenerFilters,
  encodeCapture,
  encodeChainMatch,
  encodeListenerFilters,
  matchKeys,
} from './capture.ts'
import { ADDRESS_SHAPE, decodeAddress, decodeMetadata, encodeAddress } from './common.ts'
import { encodeInternalListener } from './envoy/listener.ts'
import { decodeGeneric, encodeGeneric, GENERIC_LISTENER_SHAPE } from './generic-listener.ts'
import { decodeHttp, encodeApiManager, encodeHttp, HTTP_CONNECTION_MANAGER } from './http-connection-manager.ts'
import { decodeMeshRules, encodeNetworkFilter, MESH_NETWORK_RBAC_SHAPE } from './network-filters.ts'
import { decodeRules, encodeRules, RULES_SHAPE } from './principals.ts'
import { present, refuse, require, type Shape, unpackShaped, within } from './shape.ts'
import { decodeTcpProxy, encodeTcpProxy, TCP_PROXY } from './tcp-proxy.ts'
import { decodeDownstreamTls, encodeDownstreamTls } from './tls.ts'

/** Namespace in a listener's metadata: the mesh made it. Envoy ignores what it does not know there. */
const MESH_METADATA = 'isthmus.listener'
const NETWORK_RBAC = 'envoy.filters.network.rbac'
const RBAC_STAT_PREFIX = 'allow'

export const MESH_LISTENER_SHAPE: Shape = {
  name: true,
  metadata: { filter_metadata: true },
  address: ADDRESS_SHAPE,
  listener_filters: { name: true, typed_config: true },
  listener_filters_timeout: true,
  continue_on_listener_filters_timeout: true,
  traffic_direction: true,
  filter_chains: {
    name: true,
    filter_chain_match: CHAIN_MATCH_SHAPE,
    transport_socket: { name: true, typed_config: true },
    filters: { name: true, typed_config: true },
  },
}
const NETWORK_RBAC_SHAPE: Shape = { rules: RULES_SHAPE, stat_prefix: true }

/** Which of the two a listener has to keep to. */
export function shapeOfListener(message: ListenerMessage): Shape {
  return isMesh(message) ? MESH_LISTENER_SHAPE : GENERIC_LISTENER_SHAPE
}

const isMesh = (message: ListenerMessage): boolean =>
  Object.hasOwn(message.metadata?.filterMetadata ?? {}, MESH_METADATA)

export function encodeListener(listener: Listener): ListenerMessage {
  const { generic, api } = listener
  if (api !== undefined) return encodeApiListener(listener.name, api.rds)
  if (generic !== undefined) return encodeGeneric(listener, generic)
  if (listener.internal !== undefined) return encodeInternalListener(listener.name, listener.internal)
  return create(ListenerSchema, {
    name: listener.name,
    metadata: { filterMetadata: { [MESH_METADATA]: {} } },
    address: encodeAddress(listener.address, listener.port),
    listenerFilters: encodeListenerFilters(listener),
    ...encodeCapture(listener),
    filterChains: listener.chains.map(encodeChain),
  })
}

/** gRFC A27: a manager with a route table and the router, and nothing that a client library would not know. */
function encodeApiListener(name: string, rds: string): ListenerMessage {
  return create(ListenerSchema, { name, apiListener: { apiListener: encodeApiManager(rds) } })
}

function encodeChain(chain: FilterChain): FilterChainMessage {
  const filters: Filter[] = []
  const match = encodeChainMatch(chain)
  // Before anything that reads the application's bytes.
  if (chain.allow !== undefined) filters.push(encodeAllow(chain.allow))
  for (const rules of chain.network ?? []) filters.push(encodeNetworkFilter(rules))
  filters.push(
    chain.filter.kind === 'tcp'
      ? encodeTcpProxy(chain.filter)
      : create(FilterSchema, { name: HTTP_CONNECTION_MANAGER, configType: typed(encodeHttp(chain.filter)) }),
  )
  return create(FilterChainSchema, {
    name: chain.name,
    ...(match !== undefined && { filterChainMatch: match }),
    ...(chain.tls !== undefined && { transportSocket: encodeDownstreamTls(chain.tls) }),
    filters,
  })
}

function encodeAllow(allow: PrincipalRule): Filter {
  const rbac = create(NetworkRbacSchema, { rules: encodeRules(allow), statPrefix: RBAC_STAT_PREFIX })
  return create(FilterSchema, { name: NETWORK_RBAC, configType: typed(anyPack(NetworkRbacSchema, rbac)) })
}

function typed(value: Any): { case: 'typedConfig'; value: Any } {
  return { case: 'typedConfig', value }
}

export function decodeListener(path: string, message: ListenerMessage): Listener {
  if (!isMesh(message)) return decodeGeneric(path, message)
  decodeMetadata(within(path, 'metadata'), message.metadata, [MESH_METADATA])
  const chainsPath = within(path, 'filter_chains')
  require(chainsPath, message.filterChains.length > 0, 'is required')
  const { capture, inspectsTls } = decodeListenerFilters(path, message)
  const chains = message.filterChains.map((chain, index) => decodeChain(`${chainsPath}[${index}]`, chain))
  const seen = new Set<string>()
  for (const [index, chain] of chains.entries()) {
    for (const name of matchKeys(chain)) {
      require(`${chainsPath}[${index}].filter_chain_match`, !seen.has(name), `${name} is matched by two chains`)
      seen.add(name)
    }
  }
  const needsInspector = chains.some((chain) => chain.serverNames.length > 0)
  require(within(path, 'listener_filters'), !needsInspector || inspectsTls, 'server names need the TLS inspector')
  const address = decodeAddress(within(path, 'address'), message.address)
  return { name: message.name, ...address, chains, ...(capture !== undefined && { capture }) }
}

function decodeChain(path: string, chain: FilterChainMessage): FilterChain {
  const filters = chain.filters.map((filter, index) => decodeFilter(`${path}.filters[${index}]`, filter))
  const last = filters.pop()
  if (last === undefined || 'allow' in last || last.kind === 'rbac')
    return refuse(within(path, 'filters'), 'must end in a terminal filter')
  const first = filters[0]
  const allow = first !== undefined && 'allow' in first ? first.allow : undefined
  const network = (allow === undefined ? filters : filters.slice(1)).filter(isConnectionRules)
  const isOrdered = network.length + (allow === undefined ? 0 : 1) === filters.length
  require(within(path, 'filters'), isOrdered, 'must be RBAC filters and one terminal filter')
  const socketPath = within(path, 'transport_socket')
  return {
    name: chain.name,
    ...decodeChainMatch(within(path, 'filter_chain_match'), chain.filterChainMatch),
    ...(chain.transportSocket !== undefined && { tls: decodeDownstreamTls(socketPath, chain.transportSocket) }),
    ...(allow !== undefined && { allow }),
    ...(network.length > 0 && { network }),
    filter: last,
  }
}

type ChainFilter = { readonly allow: PrincipalRule } | ConnectionRules | FilterChain['filter']

const isConnectionRules = (filter: ChainFilter): filter is ConnectionRules => 'kind' in filter && filter.kind === 'rbac'

function decodeFilter(path: string, filter: Filter): ChainFilter {
  const config = filter.configType.case === 'typedConfig' ? filter.configType.value : undefined
  const at = within(path, 'typed_config')
  switch (filter.name) {
    case NETWORK_RBAC: {
      const shapeOf = ({ statPrefix }: NetworkRbac): Shape =>
        statPrefix === RBAC_STAT_PREFIX ? NETWORK_RBAC_SHAPE : MESH_NETWORK_RBAC_SHAPE
      const rbac = unpackShaped(NetworkRbacSchema, config, shapeOf, at)
      if (rbac.statPrefix !== RBAC_STAT_PREFIX) return decodeMeshRules(at, rbac)
      return { allow: decodeRules(within(at, 'rules'), present(within(at, 'rules'), rbac.rules)) }
    }
    case TCP_PROXY:
      return decodeTcpProxy(at, config)
    case HTTP_CONNECTION_MANAGER:
      return decodeHttp(at, config)
    default:
      return refuse(path, `filter ${filter.name} is not supported`)
  }
}
