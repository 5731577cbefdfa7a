/**
 * HttpSettings <-> the fields of HttpConnectionManager that are neither routes nor filters. One row per field that is
 * a flag, a count or a duration; what needs more stands below.
 */
import { create, type MessageInitShape } from '@bufbuild/protobuf'
import type { Duration } from '@bufbuild/protobuf/wkt'
import {
  Http1ProtocolOptionsSchema,
  Http2ProtocolOptionsSchema,
  type HttpProtocolOptions,
  HttpProtocolOptions_HeadersWithUnderscoresAction as Underscores,
  HttpProtocolOptionsSchema,
} from '#gen/envoy/config/core/v3/protocol_pb.js'
import {
  type HttpConnectionManager,
  HttpConnectionManager_CodecType as CodecType,
  HttpConnectionManager_ForwardClientCertDetails as Forward,
  HttpConnectionManager_ServerHeaderTransformation as ServerHeader,
  HttpConnectionManager_SetCurrentClientCertDetailsSchema as CertDetailsSchema,
  type HttpConnectionManagerSchema,
} from '#gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js'
import type { ForwardedCertificate, HttpSettings } from '../../model/config.ts'
import { decodeDuration, encodeDuration } from './common.ts'
import { refuse, require, type Shape, within } from './shape.ts'

export const SETTINGS_SHAPE: Shape = {
  codec_type: true,
  http_protocol_options: { accept_http_10: true, enable_trailers: true },
  http2_protocol_options: {
    allow_connect: true,
    max_concurrent_streams: true,
    initial_stream_window_size: true,
    initial_connection_window_size: true,
  },
  common_http_protocol_options: {
    idle_timeout: true,
    max_connection_duration: true,
    max_headers_count: true,
    max_stream_duration: true,
    headers_with_underscores_action: true,
    max_requests_per_connection: true,
  },
  proxy_100_continue: true,
  server_name: true,
  server_header_transformation: true,
  via: true,
  use_remote_address: true,
  skip_xff_append: true,
  xff_num_trusted_hops: true,
  append_x_forwarded_port: true,
  generate_request_id: true,
  preserve_external_request_id: true,
  always_set_request_id_in_response: true,
  strip_matching_host_port: true,
  strip_any_host_port: true,
  strip_trailing_host_dot: true,
  stream_idle_timeout: true,
  drain_timeout: true,
  request_timeout: true,
  request_headers_timeout: true,
  max_request_headers_kb: true,
  forward_client_cert_details: true,
  set_current_client_cert_details: { subject: true, cert: true, dns: true, uri: true },
}

const KIB = 1_024
const CODECS: Readonly<Record<NonNullable<HttpSettings['codec']>, CodecType>> = {
  http1: CodecType.HTTP1,
  http2: CodecType.HTTP2,
}
const SERVER_HEADERS: Readonly<Record<NonNullable<HttpSettings['serverHeader']>, ServerHeader>> = {
  'append-if-absent': ServerHeader.APPEND_IF_ABSENT,
  'pass-through': ServerHeader.PASS_THROUGH,
}
const UNDERSCORES: Readonly<Record<NonNullable<HttpSettings['underscores']>, Underscores>> = {
  reject: Underscores.REJECT_REQUEST,
  drop: Underscores.DROP_HEADER,
}
const FORWARDS: Readonly<Record<ForwardedCertificate['mode'], Forward>> = {
  forward: Forward.FORWARD_ONLY,
  append: Forward.APPEND_FORWARD,
  set: Forward.SANITIZE_SET,
  always: Forward.ALWAYS_FORWARD_ONLY,
}

const duration = (ms: number | undefined): Duration | undefined => (ms === undefined ? undefined : encodeDuration(ms))

/** Fields whose absence is no value of its own. */
function given<T extends object>(fields: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  const entries = Object.entries(fields).filter(([, value]) => value !== undefined)
  return Object.fromEntries(entries) as { [K in keyof T]: Exclude<T[K], undefined> }
}

export function encodeSettings(http: HttpSettings): MessageInitShape<typeof HttpConnectionManagerSchema> {
  return {
    ...given({
      codecType: http.codec && CODECS[http.codec],
      serverName: http.serverName,
      serverHeaderTransformation: http.serverHeader && SERVER_HEADERS[http.serverHeader],
      via: http.via,
      useRemoteAddress: http.useRemoteAddress,
      skipXffAppend: http.skipXffAppend,
      xffNumTrustedHops: http.trustedHops,
      appendXForwardedPort: http.forwardedPort,
      generateRequestId: http.generateRequestId,
      preserveExternalRequestId: http.preserveRequestId,
      alwaysSetRequestIdInResponse: http.requestIdInResponse,
      stripMatchingHostPort: http.stripPort === 'matching' ? true : undefined,
      stripPortMode: http.stripPort === 'any' ? { case: 'stripAnyHostPort' as const, value: true } : undefined,
      stripTrailingHostDot: http.stripTrailingDot,
      streamIdleTimeout: duration(http.streamIdleMs),
      drainTimeout: duration(http.drainMs),
      requestTimeout: duration(http.requestMs),
      requestHeadersTimeout: duration(http.requestHeadMs),
      maxRequestHeadersKb: http.headBytesMax === undefined ? undefined : http.headBytesMax / KIB,
      proxy100Continue: http.proxyContinue,
    }),
    ...encodeCertificates(http.clientCertificate),
    commonHttpProtocolOptions: encodeCommon(http),
    httpProtocolOptions: create(
      Http1ProtocolOptionsSchema,
      given({ acceptHttp10: http.http10, enableTrailers: http.trailers }),
    ),
    http2ProtocolOptions: create(
      Http2ProtocolOptionsSchema,
      given({
        allowConnect: http.allowConnect,
        maxConcurrentStreams: http.streamsMax,
        initialStreamWindowSize: http.streamWindowBytes,
        initialConnectionWindowSize: http.connectionWindowBytes,
      }),
    ),
  }
}

function encodeCommon(http: HttpSettings): HttpProtocolOptions {
  return create(
    HttpProtocolOptionsSchema,
    given({
      idleTimeout: duration(http.idleMs),
      maxConnectionDuration: duration(http.connectionMaxMs),
      maxStreamDuration: duration(http.streamMaxMs),
      maxHeadersCount: http.headersMax,
      maxRequestsPerConnection: http.requestsMax,
      headersWithUnderscoresAction: http.underscores && UNDERSCORES[http.underscores],
    }),
  )
}

function encodeCertificates(
  forwarded: ForwardedCertificate | undefined,
): Partial<Pick<HttpConnectionManager, 'forwardClientCertDetails' | 'setCurrentClientCertDetails'>> {
  if (forwarded === undefined) return {}
  const { mode, subject, cert, dns, uri } = forwarded
  return {
    forwardClientCertDetails: FORWARDS[mode],
    setCurrentClientCertDetails: create(CertDetailsSchema, given({ subject, cert, dns, uri })),
  }
}

export function decodeSettings(path: string, manager: HttpConnectionManager): HttpSettings {
  const { serverName, via, serverHeaderTransformation: serverHeader } = manager
  return given({
    codec: decodeCodec(within(path, 'codec_type'), manager.codecType),
    serverName: serverName === '' ? undefined : fieldText(within(path, 'server_name'), serverName),
    serverHeader: keyOf(SERVER_HEADERS, serverHeader),
    via: via === '' ? undefined : fieldText(within(path, 'via'), via),
    useRemoteAddress: flag(manager.useRemoteAddress),
    skipXffAppend: flag(manager.skipXffAppend),
    trustedHops: manager.xffNumTrustedHops === 0 ? undefined : manager.xffNumTrustedHops,
    forwardedPort: flag(manager.appendXForwardedPort),
    generateRequestId: manager.generateRequestId === false ? (false as const) : undefined,
    preserveRequestId: flag(manager.preserveExternalRequestId),
    requestIdInResponse: flag(manager.alwaysSetRequestIdInResponse),
    stripPort: decodeStripPort(path, manager),
    stripTrailingDot: flag(manager.stripTrailingHostDot),
    clientCertificate: decodeCertificates(path, manager),
    proxyContinue: flag(manager.proxy100Continue),
    streamIdleMs: msOf(within(path, 'stream_idle_timeout'), manager.streamIdleTimeout),
    drainMs: msOf(within(path, 'drain_timeout'), manager.drainTimeout),
    requestMs: msOf(within(path, 'request_timeout'), manager.requestTimeout),
    requestHeadMs: msOf(within(path, 'request_headers_timeout'), manager.requestHeadersTimeout),
    headBytesMax: decodeHeadBytes(within(path, 'max_request_headers_kb'), manager.maxRequestHeadersKb),
    ...decodeProtocols(path, manager),
    ...decodeCommon(within(path, 'common_http_protocol_options'), manager.commonHttpProtocolOptions),
  }) as HttpSettings
}

type Parts = { [K in keyof HttpSettings]?: HttpSettings[K] | undefined }

function decodeProtocols(path: string, manager: HttpConnectionManager): Parts {
  const { httpProtocolOptions: http1, http2ProtocolOptions: http2 } = manager
  const at = within(path, 'http2_protocol_options')
  require(within(at, 'max_concurrent_streams'), http2?.maxConcurrentStreams !== 0, 'must be at least 1')
  const window = (field: string, bytes: number | undefined): number | undefined => {
    // RFC 9113 6.9.2, and Envoy's own least.
    const inRange = bytes === undefined || (bytes >= 65_535 && bytes <= 0x7fff_ffff)
    require(within(at, field), inRange, 'must be from 65535 to 2147483647')
    return bytes
  }
  return {
    http10: flag(http1?.acceptHttp10),
    trailers: flag(http1?.enableTrailers),
    allowConnect: flag(http2?.allowConnect),
    streamsMax: http2?.maxConcurrentStreams,
    streamWindowBytes: window('initial_stream_window_size', http2?.initialStreamWindowSize),
    connectionWindowBytes: window('initial_connection_window_size', http2?.initialConnectionWindowSize),
  }
}

function decodeCommon(path: string, common: HttpProtocolOptions | undefined): Parts {
  const { maxHeadersCount, maxRequestsPerConnection } = common ?? {}
  require(within(path, 'max_headers_count'), maxHeadersCount !== 0, 'must be at least 1')
  return {
    idleMs: msOf(within(path, 'idle_timeout'), common?.idleTimeout),
    connectionMaxMs: msOf(within(path, 'max_connection_duration'), common?.maxConnectionDuration),
    streamMaxMs: msOf(within(path, 'max_stream_duration'), common?.maxStreamDuration),
    headersMax: maxHeadersCount,
    // 0 means no limit, as does its absence.
    requestsMax: maxRequestsPerConnection === 0 ? undefined : maxRequestsPerConnection,
    underscores: common === undefined ? undefined : keyOf(UNDERSCORES, common.headersWithUnderscoresAction),
  }
}

function decodeStripPort(path: string, manager: HttpConnectionManager): HttpSettings['stripPort'] {
  const any = manager.stripPortMode.case === 'stripAnyHostPort' && manager.stripPortMode.value
  const both = any && manager.stripMatchingHostPort
  require(within(path, 'strip_matching_host_port'), !both, 'and strip_any_host_port exclude each other')
  if (any) return 'any'
  return manager.stripMatchingHostPort ? 'matching' : undefined
}

function decodeCertificates(path: string, manager: HttpConnectionManager): ForwardedCertificate | undefined {
  const mode = keyOf(FORWARDS, manager.forwardClientCertDetails)
  const details = manager.setCurrentClientCertDetails
  const at = within(path, 'set_current_client_cert_details')
  const sets = mode === 'append' || mode === 'set'
  require(at, sets || details === undefined, 'has an effect with APPEND_FORWARD and SANITIZE_SET only')
  if (mode === undefined) return undefined
  return given({
    mode,
    subject: flag(details?.subject),
    cert: flag(details?.cert),
    dns: flag(details?.dns),
    uri: flag(details?.uri),
  }) as ForwardedCertificate
}

function decodeHeadBytes(path: string, kib: number | undefined): number | undefined {
  if (kib === undefined) return undefined
  require(path, kib > 0 && kib <= 8_192, 'must be from 1 to 8192')
  return kib * KIB
}

function decodeCodec(path: string, type: CodecType): HttpSettings['codec'] {
  if (type === CodecType.AUTO) return undefined
  return keyOf(CODECS, type) ?? refuse(path, 'only AUTO, HTTP1 and HTTP2 are supported')
}

/** Goes into a header of ours. */
function fieldText(path: string, text: string): string {
  require(path, /^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$/.test(text), 'is no value of a header field')
  return text
}

const flag = (value: boolean | undefined): true | undefined => (value === true ? true : undefined)
const msOf = (path: string, value: Duration | undefined): number | undefined =>
  value === undefined ? undefined : decodeDuration(path, value)

function keyOf<K extends string>(table: Readonly<Record<K, number>>, value: number): K | undefined {
  return (Object.keys(table) as K[]).find((key) => table[key] === value)
}
