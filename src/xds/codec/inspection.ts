/** What a generic listener finds out before it chooses a chain <-> its listener filters. */
import { type Any, anyPack } from '@bufbuild/protobuf/wkt'
import { create } from '@bufbuild/protobuf'
import { type ListenerFilter, ListenerFilterSchema } from '#gen/envoy/config/listener/v3/listener_components_pb.js'
import type { Listener as ListenerMessage } from '#gen/envoy/config/listener/v3/listener_pb.js'
import { HttpInspectorSchema } from '#gen/envoy/extensions/filters/listener/http_inspector/v3/http_inspector_pb.js'
import { ProxyProtocolSchema } from '#gen/envoy/extensions/filters/listener/proxy_protocol/v3/proxy_protocol_pb.js'
import { TlsInspectorSchema } from '#gen/envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector_pb.js'
import type { Inspection } from '../../model/config.ts'
import { decodeDuration, encodeDuration } from './common.ts'
import { decodeProxyProtocol, encodeProxyProtocol } from './proxy-protocol.ts'
import { refuse, require, typeOf, unpackShaped, within } from './shape.ts'

type Fields = Pick<ListenerMessage, 'listenerFilters' | 'continueOnListenerFiltersTimeout'> &
  Partial<Pick<ListenerMessage, 'listenerFiltersTimeout'>>

export function encodeInspection(inspection: Inspection): Fields {
  const { proxyProtocol, tls, http, timeoutMs, goOnAfterTimeout } = inspection
  const listenerFilters: ListenerFilter[] = []
  const add = (name: string, value: Any): void =>
    void listenerFilters.push(create(ListenerFilterSchema, { name, configType: { case: 'typedConfig', value } }))
  if (proxyProtocol !== undefined) add('envoy.filters.listener.proxy_protocol', encodeProxyProtocol(proxyProtocol))
  if (tls === true) {
    add('envoy.filters.listener.tls_inspector', anyPack(TlsInspectorSchema, create(TlsInspectorSchema)))
  }
  if (http === true) {
    add('envoy.filters.listener.http_inspector', anyPack(HttpInspectorSchema, create(HttpInspectorSchema)))
  }
  return {
    listenerFilters,
    ...(timeoutMs !== undefined && { listenerFiltersTimeout: encodeDuration(timeoutMs) }),
    continueOnListenerFiltersTimeout: goOnAfterTimeout === true,
  }
}

export function decodeInspection(path: string, message: ListenerMessage): Inspection {
  const at = within(path, 'listener_filters')
  const kinds = message.listenerFilters.map((filter, index) => decodeFilter(`${at}[${index}]`, filter))
  for (const [index, kind] of kinds.entries())
    require(`${at}[${index}]`, kinds.indexOf(kind) === index, 'is there twice')
  // It is taken away before others look at the first bytes.
  const place = kinds.indexOf('proxy')
  require(`${at}[${place}]`, place <= 0, 'must come first')
  const { listenerFiltersTimeout: timeout, continueOnListenerFiltersTimeout } = message
  const [first] = message.listenerFilters
  return {
    ...(place === 0 && first !== undefined && { proxyProtocol: decodeProxyProtocol(`${at}[0].typed_config`, first) }),
    ...(kinds.includes('tls') && { tls: true }),
    ...(kinds.includes('http') && { http: true }),
    ...(timeout !== undefined && { timeoutMs: decodeDuration(within(path, 'listener_filters_timeout'), timeout) }),
    ...(continueOnListenerFiltersTimeout && { goOnAfterTimeout: true }),
  }
}

function decodeFilter(path: string, filter: ListenerFilter): 'proxy' | 'tls' | 'http' {
  const config = filter.configType.case === 'typedConfig' ? filter.configType.value : undefined
  const at = within(path, 'typed_config')
  switch (typeOf(config)) {
    case ProxyProtocolSchema.typeName:
      return 'proxy'
    case TlsInspectorSchema.typeName:
      unpackShaped(TlsInspectorSchema, config, {}, at)
      return 'tls'
    case HttpInspectorSchema.typeName:
      unpackShaped(HttpInspectorSchema, config, {}, at)
      return 'http'
    default:
      return refuse(at, `listener filter ${typeOf(config)} is not supported`)
  }
}
