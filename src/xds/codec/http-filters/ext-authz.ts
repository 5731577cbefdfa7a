/** ExtAuthzPolicy <-> ExtAuthz, and what routes say to it <-> ExtAuthzPerRoute. */
import { create } from '@bufbuild/protobuf'
import { ApiVersion } from '#gen/envoy/config/core/v3/config_source_pb.js'
import {
  type BufferSettings,
  BufferSettingsSchema,
  type ExtAuthz,
  type ExtAuthzPerRoute,
  ExtAuthzPerRouteSchema,
  ExtAuthzSchema,
  type HttpService,
  HttpServiceSchema,
} from '#gen/envoy/extensions/filters/http/ext_authz/v3/ext_authz_pb.js'
import type { StatusCode } from '#gen/envoy/type/v3/http_status_pb.js'
import { type ListStringMatcher, ListStringMatcherSchema } from '#gen/envoy/type/matcher/v3/string_pb.js'
import type { AuthzBody, ExtAuthzPolicy, ExtAuthzRoute, HttpAuthz, StringMatch } from '../../../model/config.ts'
import { decodeDuration, encodeDuration } from '../common.ts'
import { decodeString, encodeString, STRING_SHAPE } from '../matchers.ts'
import { decodeMetadataMatch, encodeMetadataMatch, METADATA_SHAPE } from '../metadata-match.ts'
import { decodeField, decodeGrpc, encodeGrpc, GRPC_SHAPE, requireV3 } from '../services.ts'
import { present, refuse, require, type Shape, within } from '../shape.ts'
import { decodeFraction, encodeFraction, FRACTION_SHAPE } from './fractions.ts'
import { type FilterCodec, messageCodec } from './message-codec.ts'

const LIST_SHAPE: Shape = { patterns: STRING_SHAPE }
const BODY_SHAPE: Shape = { max_request_bytes: true, allow_partial_message: true, pack_as_bytes: true }
const SHAPE: Shape = {
  grpc_service: GRPC_SHAPE,
  http_service: {
    server_uri: { uri: true, cluster: true, timeout: true },
    path_prefix: true,
    authorization_request: { headers_to_add: { key: true, value: true } },
    authorization_response: {
      allowed_upstream_headers: LIST_SHAPE,
      allowed_upstream_headers_to_append: LIST_SHAPE,
      allowed_client_headers: LIST_SHAPE,
      allowed_client_headers_on_success: LIST_SHAPE,
      dynamic_metadata_from_headers: LIST_SHAPE,
    },
  },
  transport_api_version: true,
  failure_mode_allow: true,
  failure_mode_allow_header_add: true,
  with_request_body: BODY_SHAPE,
  clear_route_cache: true,
  status_on_error: { code: true },
  metadata_context_namespaces: true,
  filter_enabled: FRACTION_SHAPE,
  filter_enabled_metadata: METADATA_SHAPE,
  deny_at_disable: { default_value: {}, runtime_key: true },
  stat_prefix: true,
  allowed_headers: LIST_SHAPE,
  disallowed_headers: LIST_SHAPE,
  include_tls_session: true,
}
const ROUTE_SHAPE: Shape = {
  disabled: true,
  check_settings: {
    context_extensions: true,
    disable_request_body_buffering: true,
    // What Envoy reads of it here; `pack_as_bytes` is the filter's.
    with_request_body: { max_request_bytes: true, allow_partial_message: true },
  },
}
/** Envoy wants a key; there is nothing under this one. */
const NO_RUNTIME = 'ext_authz.deny_at_disable'
const TIMEOUT_MS = 200 // Envoy's, for a service that says nothing

export const extAuthzCodec: FilterCodec<'extAuthz'> = {
  listed: messageCodec(ExtAuthzSchema, { shape: SHAPE, decode: decodePolicy, encode: encodePolicy }),
  routed: messageCodec(ExtAuthzPerRouteSchema, { shape: ROUTE_SHAPE, decode: decodeRoute, encode: encodeRoute }),
}

function encodePolicy(policy: ExtAuthzPolicy): ExtAuthz {
  const { service, body, enabled, enabledMetadata, allowedHeaders, disallowedHeaders } = policy
  return create(ExtAuthzSchema, {
    services:
      service.kind === 'grpc'
        ? { case: 'grpcService', value: encodeGrpc(service) }
        : { case: 'httpService', value: encodeHttp(service) },
    transportApiVersion: ApiVersion.V3,
    failureModeAllow: policy.failureModeAllow === true,
    failureModeAllowHeaderAdd: policy.failureModeHeader === true,
    ...(body !== undefined && { withRequestBody: encodeBody(body) }),
    clearRouteCache: policy.clearRouteCache === true,
    // oxlint-disable-next-line typescript/no-unsafe-enum-assignment -- the enum only names statuses, which are numbers
    ...(policy.statusOnError !== undefined && { statusOnError: { code: policy.statusOnError as StatusCode } }),
    metadataContextNamespaces: [...(policy.metadataNamespaces ?? [])],
    ...(enabled !== undefined && { filterEnabled: encodeFraction(enabled) }),
    ...(enabledMetadata !== undefined && { filterEnabledMetadata: encodeMetadataMatch(enabledMetadata) }),
    ...(policy.denyAtDisable === true && { denyAtDisable: { defaultValue: true, runtimeKey: NO_RUNTIME } }),
    statPrefix: policy.statPrefix ?? '',
    ...(allowedHeaders !== undefined && { allowedHeaders: encodeList(allowedHeaders) }),
    ...(disallowedHeaders !== undefined && { disallowedHeaders: encodeList(disallowedHeaders) }),
    includeTlsSession: policy.tlsSession === true,
  })
}

function encodeHttp(service: HttpAuthz): HttpService {
  const { upstream, upstreamAppend, client, clientOnSuccess, metadata } = service
  return create(HttpServiceSchema, {
    serverUri: {
      uri: `http://${service.cluster}`,
      httpUpstreamType: { case: 'cluster', value: service.cluster },
      timeout: encodeDuration(service.timeoutMs),
    },
    pathPrefix: service.pathPrefix ?? '',
    authorizationRequest: { headersToAdd: (service.addHeaders ?? []).map(({ name, value }) => ({ key: name, value })) },
    authorizationResponse: {
      ...(upstream !== undefined && { allowedUpstreamHeaders: encodeList(upstream) }),
      ...(upstreamAppend !== undefined && { allowedUpstreamHeadersToAppend: encodeList(upstreamAppend) }),
      ...(client !== undefined && { allowedClientHeaders: encodeList(client) }),
      ...(clientOnSuccess !== undefined && { allowedClientHeadersOnSuccess: encodeList(clientOnSuccess) }),
      ...(metadata !== undefined && { dynamicMetadataFromHeaders: encodeList(metadata) }),
    },
  })
}

const encodeList = (matches: readonly StringMatch[]): ListStringMatcher =>
  create(ListStringMatcherSchema, { patterns: matches.map(encodeString) })

const encodeBody = ({ bytesMax, partial, raw }: AuthzBody): BufferSettings =>
  create(BufferSettingsSchema, {
    maxRequestBytes: bytesMax,
    allowPartialMessage: partial === true,
    packAsBytes: raw === true,
  })

function decodePolicy(path: string, message: ExtAuthz): ExtAuthzPolicy {
  requireV3(within(path, 'transport_api_version'), message.transportApiVersion)
  const status: number | undefined = message.statusOnError?.code
  require(within(path, 'status_on_error.code'), status === undefined ||
    (status >= 400 && status < 600), 'must be from 400 to 599')
  const { withRequestBody: body, metadataContextNamespaces: namespaces, statPrefix } = message
  return {
    service: decodeService(path, message.services),
    ...(message.failureModeAllow && { failureModeAllow: true as const }),
    ...(message.failureModeAllowHeaderAdd && { failureModeHeader: true as const }),
    ...(body !== undefined && { body: decodeBody(within(path, 'with_request_body'), body) }),
    ...(message.clearRouteCache && { clearRouteCache: true as const }),
    ...(status !== undefined && { statusOnError: status }),
    ...(namespaces.length > 0 && { metadataNamespaces: namespaces }),
    ...decodeEnabled(path, message),
    ...(statPrefix !== '' && { statPrefix: decodeScope(within(path, 'stat_prefix'), statPrefix) }),
    ...decodeSeen(path, message),
    ...(message.includeTlsSession && { tlsSession: true as const }),
  }
}

function decodeEnabled(
  path: string,
  { filterEnabled: share, filterEnabledMetadata: metadata, denyAtDisable }: ExtAuthz,
): Pick<ExtAuthzPolicy, 'enabled' | 'enabledMetadata' | 'denyAtDisable'> {
  return {
    ...(share !== undefined && { enabled: decodeFraction(within(path, 'filter_enabled'), share) }),
    ...(metadata !== undefined && {
      enabledMetadata: decodeMetadataMatch(within(path, 'filter_enabled_metadata'), metadata),
    }),
    ...(denyAtDisable?.defaultValue === true && { denyAtDisable: true as const }),
  }
}

function decodeSeen(
  path: string,
  { allowedHeaders: allowed, disallowedHeaders: disallowed }: ExtAuthz,
): Pick<ExtAuthzPolicy, 'allowedHeaders' | 'disallowedHeaders'> {
  return {
    ...(allowed !== undefined && { allowedHeaders: decodeList(within(path, 'allowed_headers'), allowed) }),
    ...(disallowed !== undefined && {
      disallowedHeaders: decodeList(within(path, 'disallowed_headers'), disallowed),
    }),
  }
}

export function decodeScope(path: string, text: string): string {
  require(path, /^[A-Za-z0-9_.-]+$/.test(text), 'has a character that has no place in a counter’s name')
  return text
}

function decodeService(path: string, services: ExtAuthz['services']): ExtAuthzPolicy['service'] {
  switch (services.case) {
    case 'grpcService':
      return { kind: 'grpc', ...decodeGrpc(within(path, 'grpc_service'), services.value, TIMEOUT_MS) }
    case 'httpService':
      return decodeHttp(within(path, 'http_service'), services.value)
    default:
      return refuse(path, 'needs grpc_service or http_service')
  }
}

function decodeHttp(path: string, message: HttpService): HttpAuthz {
  const uri = present(within(path, 'server_uri'), message.serverUri)
  const cluster = uri.httpUpstreamType.case === 'cluster' ? uri.httpUpstreamType.value : ''
  require(within(path, 'server_uri.cluster'), cluster !== '', 'is required')
  const { pathPrefix } = message
  const isPath = pathPrefix === '' || /^\/[\x21\x22\x24-\x3e\x40-\x7e]*$/.test(pathPrefix)
  require(within(path, 'path_prefix'), isPath, 'must be a path')
  const at = within(path, 'authorization_request.headers_to_add')
  const addHeaders = (message.authorizationRequest?.headersToAdd ?? []).map(({ key, value }, index) =>
    decodeField(`${at}[${index}]`, key, value),
  )
  return {
    kind: 'http',
    cluster,
    timeoutMs: decodeDuration(within(path, 'server_uri.timeout'), uri.timeout),
    ...(pathPrefix !== '' && { pathPrefix }),
    ...(addHeaders.length > 0 && { addHeaders }),
    ...decodeAnswer(within(path, 'authorization_response'), message.authorizationResponse),
  }
}

function decodeAnswer(
  path: string,
  message: HttpService['authorizationResponse'],
): Pick<HttpAuthz, 'upstream' | 'upstreamAppend' | 'client' | 'clientOnSuccess' | 'metadata'> {
  const list = (field: string, value: ListStringMatcher | undefined): StringMatch[] | undefined =>
    value && decodeList(within(path, field), value)
  const upstream = list('allowed_upstream_headers', message?.allowedUpstreamHeaders)
  const upstreamAppend = list('allowed_upstream_headers_to_append', message?.allowedUpstreamHeadersToAppend)
  const client = list('allowed_client_headers', message?.allowedClientHeaders)
  const clientOnSuccess = list('allowed_client_headers_on_success', message?.allowedClientHeadersOnSuccess)
  const metadata = list('dynamic_metadata_from_headers', message?.dynamicMetadataFromHeaders)
  return {
    ...(upstream !== undefined && { upstream }),
    ...(upstreamAppend !== undefined && { upstreamAppend }),
    ...(client !== undefined && { client }),
    ...(clientOnSuccess !== undefined && { clientOnSuccess }),
    ...(metadata !== undefined && { metadata }),
  }
}

function decodeList(path: string, { patterns }: ListStringMatcher): StringMatch[] {
  require(within(path, 'patterns'), patterns.length > 0, 'is required')
  return patterns.map((pattern, index) => decodeString(`${path}.patterns[${index}]`, pattern))
}

function decodeBody(path: string, message: BufferSettings): AuthzBody {
  require(within(path, 'max_request_bytes'), message.maxRequestBytes > 0, 'must be above 0')
  return {
    bytesMax: message.maxRequestBytes,
    ...(message.allowPartialMessage && { partial: true as const }),
    ...(message.packAsBytes && { raw: true as const }),
  }
}

function encodeRoute(route: ExtAuthzRoute): ExtAuthzPerRoute {
  if (route.disabled === true) {
    return create(ExtAuthzPerRouteSchema, { override: { case: 'disabled', value: true } })
  }
  const { extensions = {}, skipBody, body } = route
  return create(ExtAuthzPerRouteSchema, {
    override: {
      case: 'checkSettings',
      value: {
        contextExtensions: { ...extensions },
        disableRequestBodyBuffering: skipBody === true,
        ...(body !== undefined && { withRequestBody: encodeBody(body) }),
      },
    },
  })
}

function decodeRoute(path: string, { override }: ExtAuthzPerRoute): ExtAuthzRoute {
  if (override.case === 'disabled') {
    require(within(path, 'disabled'), override.value, 'must be true')
    return { disabled: true }
  }
  if (override.case !== 'checkSettings') return refuse(path, 'needs disabled or check_settings')
  const { contextExtensions, disableRequestBodyBuffering: skips, withRequestBody: body } = override.value
  const at = within(path, 'check_settings')
  require(within(at, 'with_request_body'), !skips || body === undefined, 'contradicts disable_request_body_buffering')
  return {
    ...(Object.keys(contextExtensions).length > 0 && { extensions: contextExtensions }),
    ...(skips && { skipBody: true as const }),
    ...(body !== undefined && { body: decodeBody(within(at, 'with_request_body'), body) }),
  }
}
