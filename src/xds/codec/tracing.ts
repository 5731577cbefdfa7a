/**
 * Tracing <-> the connection manager's `tracing`, with OpenTelemetry as the one provider. Samplers and resource
 * detectors beyond static attributes are refused, as is what reads the environment.
 */
import { create } from '@bufbuild/protobuf'
import { anyPack } from '@bufbuild/protobuf/wkt'
import type { HttpService } from '#gen/envoy/config/core/v3/http_service_pb.js'
import type { Tracing_Http } from '#gen/envoy/config/trace/v3/http_tracer_pb.js'
import { type OpenTelemetryConfig, OpenTelemetryConfigSchema } from '#gen/envoy/config/trace/v3/opentelemetry_pb.js'
import {
  type HttpConnectionManager_Tracing,
  HttpConnectionManager_TracingSchema,
} from '#gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js'
import { StaticConfigResourceDetectorConfigSchema } from '#gen/envoy/extensions/tracers/opentelemetry/resource_detectors/v3/static_config_resource_detector_pb.js'
import type { CustomTag as TagMessage } from '#gen/envoy/type/tracing/v3/custom_tag_pb.js'
import type { CustomTag, HttpCollector, TraceProvider, Tracing } from '../../model/config.ts'
import { decodeDuration, encodeDuration } from './common.ts'
import { decodeField, decodeGrpc, encodeGrpc, GRPC_SHAPE } from './services.ts'
import { present, refuse, require, type Shape, unpackShaped, within } from './shape.ts'

const PERCENT: Shape = { value: true }
export const TRACING_SHAPE: Shape = {
  client_sampling: PERCENT,
  random_sampling: PERCENT,
  overall_sampling: PERCENT,
  max_path_tag_length: true,
  custom_tags: {
    tag: true,
    literal: { value: true },
    request_header: { name: true, default_value: true },
    environment: { name: true, default_value: true },
  },
  provider: { name: true, typed_config: true },
}
const OPENTELEMETRY_SHAPE: Shape = {
  grpc_service: GRPC_SHAPE,
  http_service: {
    http_uri: { uri: true, cluster: true, timeout: true },
    request_headers_to_add: { header: { key: true, value: true } },
  },
  service_name: true,
  resource_detectors: { name: true, typed_config: true },
}
const PROVIDER = 'envoy.tracers.opentelemetry'
const DETECTOR = 'envoy.tracers.opentelemetry.resource_detectors.static_config'
const TIMEOUT_MS = 10_000 // Envoy's exporter

export function encodeTracing(tracing: Tracing): HttpConnectionManager_Tracing {
  const { clientSampling, randomSampling, overallSampling, pathLengthMax, provider } = tracing
  return create(HttpConnectionManager_TracingSchema, {
    ...(clientSampling !== undefined && { clientSampling: { value: clientSampling } }),
    ...(randomSampling !== undefined && { randomSampling: { value: randomSampling } }),
    ...(overallSampling !== undefined && { overallSampling: { value: overallSampling } }),
    ...(pathLengthMax !== undefined && { maxPathTagLength: pathLengthMax }),
    customTags: (tracing.tags ?? []).map((tag) => ({
      tag: tag.tag,
      type:
        tag.kind === 'literal'
          ? { case: 'literal' as const, value: { value: tag.value } }
          : tag.kind === 'header'
            ? { case: 'requestHeader' as const, value: { name: tag.name, defaultValue: tag.fallback ?? '' } }
            : { case: 'environment' as const, value: { name: tag.name, defaultValue: tag.fallback ?? '' } },
    })),
    ...(provider !== undefined && {
      provider: { name: PROVIDER, configType: { case: 'typedConfig' as const, value: encodeProvider(provider) } },
    }),
  })
}

function encodeProvider({ serviceName, attributes, target }: TraceProvider) {
  const detectors =
    attributes === undefined
      ? []
      : [
          {
            name: DETECTOR,
            typedConfig: anyPack(
              StaticConfigResourceDetectorConfigSchema,
              create(StaticConfigResourceDetectorConfigSchema, { attributes: { ...attributes } }),
            ),
          },
        ]
  const message = create(OpenTelemetryConfigSchema, {
    serviceName,
    resourceDetectors: detectors,
    ...(target.kind === 'grpc' ? { grpcService: encodeGrpc(target) } : { httpService: encodeHttpService(target) }),
  })
  return anyPack(OpenTelemetryConfigSchema, message)
}

function encodeHttpService({ cluster, authority, path, timeoutMs, headers }: HttpCollector): object {
  return {
    httpUri: {
      uri: `http://${authority}${path}`,
      httpUpstreamType: { case: 'cluster', value: cluster },
      timeout: encodeDuration(timeoutMs),
    },
    requestHeadersToAdd: (headers ?? []).map(({ name, value }) => ({ header: { key: name, value } })),
  }
}

/** To be spread: nothing where there is no tracing. */
export function decodeTracing(
  path: string,
  message: HttpConnectionManager_Tracing | undefined,
): { readonly tracing?: Tracing } {
  if (message === undefined) return {}
  const { clientSampling, randomSampling, overallSampling, maxPathTagLength, customTags, provider } = message
  const tags = customTags.map((tag, index) => decodeTag(`${within(path, 'custom_tags')}[${index}]`, tag))
  const tracing: Tracing = {
    ...(provider !== undefined && { provider: decodeProvider(within(path, 'provider'), provider) }),
    ...(clientSampling !== undefined && { clientSampling: percent(path, 'client_sampling', clientSampling.value) }),
    ...(randomSampling !== undefined && { randomSampling: percent(path, 'random_sampling', randomSampling.value) }),
    ...(overallSampling !== undefined && { overallSampling: percent(path, 'overall_sampling', overallSampling.value) }),
    ...(maxPathTagLength !== undefined && { pathLengthMax: maxPathTagLength }),
    ...(tags.length > 0 && { tags }),
  }
  return { tracing }
}

function percent(path: string, field: string, value: number): number {
  require(within(path, field), value >= 0 && value <= 100, 'is no percentage')
  return value
}

function decodeTag(path: string, { tag, type }: TagMessage): CustomTag {
  require(within(path, 'tag'), tag !== '', 'is required')
  switch (type.case) {
    case 'literal':
      require(within(path, 'literal.value'), type.value.value !== '', 'is required')
      return { kind: 'literal', tag, value: type.value.value }
    case 'requestHeader': {
      const { name, defaultValue } = type.value
      require(within(path, 'request_header.name'), /^:?[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/.test(name), 'is no header name')
      return { kind: 'header', tag, name: name.toLowerCase(), ...(defaultValue !== '' && { fallback: defaultValue }) }
    }
    case 'environment': {
      const { name, defaultValue } = type.value
      require(within(path, 'environment.name'), name !== '', 'is required')
      return { kind: 'environment', tag, name, ...(defaultValue !== '' && { fallback: defaultValue }) }
    }
    default:
      return refuse(path, 'literal, environment or request_header is required')
  }
}

function decodeProvider(path: string, { configType }: Tracing_Http): TraceProvider {
  const at = within(path, 'typed_config')
  const any = configType.case === 'typedConfig' ? configType.value : undefined
  const message = unpackShaped(OpenTelemetryConfigSchema, any, OPENTELEMETRY_SHAPE, at)
  const attributes: Record<string, string> = {}
  for (const [index, { typedConfig }] of message.resourceDetectors.entries()) {
    const where = `${within(at, 'resource_detectors')}[${index}].typed_config`
    const detector = unpackShaped(StaticConfigResourceDetectorConfigSchema, typedConfig, { attributes: true }, where)
    Object.assign(attributes, detector.attributes)
  }
  return {
    serviceName: message.serviceName,
    ...(message.resourceDetectors.length > 0 && { attributes }),
    target: decodeTarget(at, message),
  }
}

function decodeTarget(path: string, { grpcService, httpService }: OpenTelemetryConfig): TraceProvider['target'] {
  if (httpService === undefined) {
    return { kind: 'grpc', ...decodeGrpc(within(path, 'grpc_service'), grpcService, TIMEOUT_MS) }
  }
  require(within(path, 'grpc_service'), grpcService === undefined, 'excludes http_service')
  return decodeHttpService(within(path, 'http_service'), httpService)
}

function decodeHttpService(path: string, { httpUri, requestHeadersToAdd }: HttpService): HttpCollector {
  const at = within(path, 'http_uri')
  const { uri, httpUpstreamType, timeout } = present(at, httpUri)
  // The scheme says nothing: whether the cluster is spoken to in TLS is the cluster's.
  const match = /^https?:\/\/([A-Za-z0-9.:[\]-]+)(\/[!-~]*)?$/.exec(uri)
  if (match?.[1] === undefined) return refuse(within(at, 'uri'), 'is no http address')
  if (httpUpstreamType.case !== 'cluster') return refuse(within(at, 'cluster'), 'is required')
  const headers = requestHeadersToAdd.map(({ header }, index) =>
    decodeField(`${within(path, 'request_headers_to_add')}[${index}].header`, header?.key ?? '', header?.value ?? ''),
  )
  return {
    kind: 'http',
    cluster: httpUpstreamType.value,
    authority: match[1],
    path: match[2] ?? '/',
    timeoutMs: decodeDuration(within(at, 'timeout'), timeout),
    ...(headers.length > 0 && { headers }),
  }
}
