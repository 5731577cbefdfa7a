/**
 * Captured listeners <-> Envoy's listener filters and chain matches: the original destination chooses the chain, and the
 * HTTP inspector tells HTTP from the rest within `listener_filters_timeout`, after which the connection goes on.
 */
import { create } from '@bufbuild/protobuf'
import { type Any, anyPack } from '@bufbuild/protobuf/wkt'
import { CidrRangeSchema } from '#gen/envoy/config/core/v3/address_pb.js'
import { TrafficDirection } from '#gen/envoy/config/core/v3/base_pb.js'
import {
  type FilterChainMatch,
  FilterChainMatchSchema,
  type ListenerFilter,
  ListenerFilterSchema,
} from '#gen/envoy/config/listener/v3/listener_components_pb.js'
import type { Listener as ListenerMessage } from '#gen/envoy/config/listener/v3/listener_pb.js'
import { HttpInspectorSchema } from '#gen/envoy/extensions/filters/listener/http_inspector/v3/http_inspector_pb.js'
import { OriginalDstSchema } from '#gen/envoy/extensions/filters/listener/original_dst/v3/original_dst_pb.js'
import { TlsInspectorSchema } from '#gen/envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector_pb.js'
import type { Capture, FilterChain, Listener } from '../../model/config.ts'
import { decodeDuration, encodeDuration } from './common.ts'
import { require, type Shape, unpackShaped, within } from './shape.ts'

const TLS_INSPECTOR = 'envoy.filters.listener.tls_inspector'
const HTTP_INSPECTOR = 'envoy.filters.listener.http_inspector'
const ORIGINAL_DST = 'envoy.filters.listener.original_dst'
/** What the HTTP inspector finds, in its own words. */
const HTTP_PROTOCOLS = ['http/1.0', 'http/1.1', 'h2c'] as const
const IPV4_BITS = 32
const IPV6_BITS = 128

export const CHAIN_MATCH_SHAPE: Shape = {
  server_names: true,
  destination_port: true,
  prefix_ranges: { address_prefix: true, prefix_len: true },
  application_protocols: true,
}

export function encodeListenerFilters(listener: Listener): ListenerFilter[] {
  const filters: ListenerFilter[] = []
  const add = (name: string, value: Any): void =>
    void filters.push(create(ListenerFilterSchema, { name, configType: { case: 'typedConfig', value } }))
  if (listener.capture !== undefined) {
    add(ORIGINAL_DST, anyPack(OriginalDstSchema, create(OriginalDstSchema)))
    add(HTTP_INSPECTOR, anyPack(HttpInspectorSchema, create(HttpInspectorSchema)))
  }
  if (listener.chains.some((chain) => chain.serverNames.length > 0)) {
    add(TLS_INSPECTOR, anyPack(TlsInspectorSchema, create(TlsInspectorSchema)))
  }
  return filters
}

export function encodeCapture({
  capture,
}: Listener): Partial<
  Pick<ListenerMessage, 'trafficDirection' | 'listenerFiltersTimeout' | 'continueOnListenerFiltersTimeout'>
> {
  if (capture === undefined) return {}
  return {
    trafficDirection: capture.direction === 'outbound' ? TrafficDirection.OUTBOUND : TrafficDirection.INBOUND,
    listenerFiltersTimeout: encodeDuration(capture.detectMs),
    continueOnListenerFiltersTimeout: true,
  }
}

export function encodeChainMatch(chain: FilterChain): FilterChainMatch | undefined {
  const { serverNames, destinations, protocol } = chain
  const applicationProtocols = protocol === undefined ? (chain.applicationProtocols ?? []) : HTTP_PROTOCOLS
  if (serverNames.length === 0 && destinations === undefined && applicationProtocols.length === 0) return undefined
  return create(FilterChainMatchSchema, {
    serverNames: [...serverNames],
    ...(destinations !== undefined && {
      destinationPort: destinations.port,
      prefixRanges: destinations.addresses.map((address) =>
        create(CidrRangeSchema, { addressPrefix: address, prefixLen: bitsOf(address) }),
      ),
    }),
    applicationProtocols: [...applicationProtocols],
  })
}

export interface ListenerFilters {
  readonly capture: Capture | undefined
  readonly inspectsTls: boolean
}

export function decodeListenerFilters(path: string, message: ListenerMessage): ListenerFilters {
  const at = within(path, 'listener_filters')
  const names = new Set<string>()
  for (const [index, filter] of message.listenerFilters.entries()) {
    requireFilter(`${at}[${index}]`, filter)
    names.add(filter.name)
  }
  const isCaptured = names.has(ORIGINAL_DST)
  // Each without the other would mean something that we do not run.
  require(at, names.has(HTTP_INSPECTOR) === isCaptured, 'original_dst and http_inspector come together')
  return {
    capture: isCaptured ? decodeCapture(path, message) : requireNoCapture(path, message),
    inspectsTls: names.has(TLS_INSPECTOR),
  }
}

function requireFilter(path: string, filter: ListenerFilter): void {
  const config = filter.configType.case === 'typedConfig' ? filter.configType.value : undefined
  const at = within(path, 'typed_config')
  if (filter.name === ORIGINAL_DST) return void unpackShaped(OriginalDstSchema, config, {}, at)
  if (filter.name === HTTP_INSPECTOR) return void unpackShaped(HttpInspectorSchema, config, {}, at)
  unpackShaped(TlsInspectorSchema, config, {}, at)
}

function decodeCapture(path: string, message: ListenerMessage): Capture {
  const { trafficDirection, continueOnListenerFiltersTimeout } = message
  require(within(path, 'traffic_direction'), trafficDirection !==
    TrafficDirection.UNSPECIFIED, 'is required where original_dst is used')
  require(within(
    path,
    'continue_on_listener_filters_timeout',
  ), continueOnListenerFiltersTimeout, 'must be true: a server may speak first')
  return {
    direction: trafficDirection === TrafficDirection.OUTBOUND ? 'outbound' : 'inbound',
    detectMs: decodeDuration(within(path, 'listener_filters_timeout'), message.listenerFiltersTimeout),
  }
}

function requireNoCapture(path: string, message: ListenerMessage): undefined {
  const { trafficDirection, continueOnListenerFiltersTimeout, listenerFiltersTimeout } = message
  const only = 'is supported with original_dst only'
  require(within(path, 'traffic_direction'), trafficDirection === TrafficDirection.UNSPECIFIED, only)
  require(within(path, 'continue_on_listener_filters_timeout'), !continueOnListenerFiltersTimeout, only)
  require(within(path, 'listener_filters_timeout'), listenerFiltersTimeout === undefined, only)
  return undefined
}

export function decodeChainMatch(
  path: string,
  match: FilterChainMatch | undefined,
): Pick<FilterChain, 'serverNames' | 'destinations' | 'protocol' | 'applicationProtocols'> {
  const serverNames = match?.serverNames ?? []
  const destinations = decodeDestinations(path, match)
  requireNames(within(path, 'server_names'), serverNames, destinations !== undefined)
  const protocols = match?.applicationProtocols ?? []
  const isHttp = protocols.length === HTTP_PROTOCOLS.length && HTTP_PROTOCOLS.every((name) => protocols.includes(name))
  // What a ClientHello offers is known only where it is read.
  const isOffered = protocols.length > 0 && serverNames.length > 0
  const isKnown = protocols.length === 0 || isHttp || isOffered
  const only = `only ${HTTP_PROTOCOLS.join(', ')} together are supported, or any with server names`
  require(within(path, 'application_protocols'), isKnown, only)
  return {
    serverNames,
    ...(destinations !== undefined && { destinations }),
    ...(isOffered ? { applicationProtocols: protocols } : isHttp && { protocol: 'http' }),
  }
}

/** Only captured connections are for hosts of others, of which one name may stand for many. */
function requireNames(path: string, names: readonly string[], isCaptured: boolean): void {
  for (const name of names) {
    const plain = isCaptured && name.startsWith('*.') ? name.slice(2) : name
    const isExact = plain !== '' && !plain.includes('*') && plain === plain.toLowerCase()
    require(path, isExact, `${name} is not an exact lower-case name`)
  }
}

function decodeDestinations(path: string, match: FilterChainMatch | undefined): FilterChain['destinations'] {
  const addresses = (match?.prefixRanges ?? []).map(({ addressPrefix, prefixLen }, index) => {
    const at = within(path, `prefix_ranges[${index}]`)
    require(at, prefixLen === bitsOf(addressPrefix), 'only single addresses are supported')
    return addressPrefix
  })
  const port = match?.destinationPort
  require(within(path, 'prefix_ranges'), addresses.length === 0 || port !== undefined, 'need a destination_port')
  return port === undefined ? undefined : { addresses, port }
}

/** What two chains must not have in common. */
export function matchKeys(
  chain: Pick<FilterChain, 'serverNames' | 'destinations' | 'protocol' | 'applicationProtocols'>,
): readonly string[] {
  const { serverNames, destinations, protocol, applicationProtocols } = chain
  if (applicationProtocols !== undefined) {
    return serverNames.flatMap((name) => applicationProtocols.map((offered) => `${name} ${offered}`))
  }
  const suffix = protocol === undefined ? '' : ` ${protocol}`
  if (destinations === undefined) return serverNames.length > 0 ? serverNames : [`*${suffix}`]
  const { addresses, port } = destinations
  const places = (addresses.length === 0 ? ['*'] : addresses).map((address) => `${address} port ${port}${suffix}`)
  if (serverNames.length === 0) return places
  return places.flatMap((place) => serverNames.map((name) => `${place} ${name}`))
}

const bitsOf = (address: string): number => (address.includes(':') ? IPV6_BITS : IPV4_BITS)
