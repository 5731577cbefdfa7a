/** What spans say besides, and how they reach their collector. */
import {
  bootstrap,
  type Case,
  cluster,
  get,
  http,
  type Json,
  listener,
  ORIGIN_PORT,
  type Origin,
  typed,
} from '../case.ts'
import { attributesOf } from '../spans.ts'

const HCM = 'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager'
const OTEL = 'envoy.config.trace.v3.OpenTelemetryConfig'
const TAG = 'envoy.type.tracing.v3.CustomTag'
const CORE = 'envoy.config.core.v3'
const COLLECTOR_PORT = 8_090
const SENT = 'tracing.opentelemetry.spans_sent'
const GRPC_PREFIX = 5

const OVER_HTTP: Json = { http_service: { http_uri: { uri: 'http://otel/v1/traces', cluster: 'otel', timeout: '1s' } } }
const overGrpc = (fields: Json = {}): Json => ({
  grpc_service: { envoy_grpc: { cluster_name: 'otel' }, timeout: '1s', ...fields },
})
const HTTP2: Json = {
  typed_extension_protocol_options: {
    'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': typed('upstreams.http.v3.HttpProtocolOptions', {
      explicit_http_config: { http2_protocol_options: {} },
    }),
  },
}

const traced =
  (provider: Json, fields: Json = {}): Case['config'] =>
  (places) => {
    const typed_config = {
      '@type': 'type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig',
      service_name: 'shop',
      ...provider,
    }
    const tracing = { provider: { name: 'envoy.tracers.opentelemetry', typed_config }, ...fields }
    return bootstrap(
      [listener(places, [{ filters: [http({ manager: { tracing } })] }])],
      [cluster(places), cluster(places, 'otel', COLLECTOR_PORT, 'grpc_service' in provider ? HTTP2 : {})],
    )
  }

/** Spans come in batches of any size, so that one request is made and one export awaited. */
const collector = (wanted: readonly string[], more: Partial<Origin> = {}): NonNullable<Case['origins']> => ({
  app: { port: ORIGIN_PORT },
  otel: {
    port: COLLECTOR_PORT,
    reads: (body) => attributesOf(body, wanted, more.protocol === 'http2' ? GRPC_PREFIX : 0),
    without: ['user-agent', 'x-envoy-internal', 'x-forwarded-for', 'x-envoy-expected-rq-timeout-ms', 'grpc-timeout'],
    ...more,
  },
})
const GRPC_COLLECTOR: Partial<Origin> = {
  protocol: 'http2',
  answer: () => ({
    headers: { 'content-type': 'application/grpc' },
    body: '\0\0\0\0\0',
    trailers: { 'grpc-status': '0' },
  }),
}
const one = (path = '/', ...fields: readonly string[]): Case['steps'] => [
  { raw: get(path, ...fields) },
  { until: { counter: SENT, atLeast: 1 } },
]

export const CASES: readonly Case[] = [
  {
    name: 'tags of the configuration’s own',
    covers: [
      `${HCM}.Tracing.custom_tags`,
      ...[
        'tag',
        'literal',
        'request_header',
        'environment',
        'Literal.value',
        'Header.name',
        'Header.default_value',
        'Environment.name',
        'Environment.default_value',
      ].map((field) => `${TAG}.${field}`),
    ],
    origins: collector(['a', 'b', 'c', 'd', 'e', 'f']),
    config: traced(OVER_HTTP, {
      custom_tags: [
        { tag: 'a', literal: { value: 'fixed' } },
        { tag: 'b', request_header: { name: 'x-b' } },
        { tag: 'c', request_header: { name: 'x-c', default_value: 'nothing' } },
        { tag: 'd', request_header: { name: 'x-d' } },
        { tag: 'e', environment: { name: 'NOBODY_SETS_THIS', default_value: 'unset' } },
        { tag: 'f', environment: { name: 'NOBODY_SETS_THIS' } },
      ],
    }),
    steps: one('/', 'x-b: told'),
  },
  {
    name: 'a path is told up to a length',
    covers: [`${HCM}.Tracing.max_path_tag_length`],
    origins: collector(['http.url']),
    config: traced(OVER_HTTP, { max_path_tag_length: 5 }),
    steps: one('/longer/than/that'),
  },
  {
    name: 'attributes of the resource',
    covers: [`${OTEL}.resource_detectors`, `${OTEL}.service_name`],
    origins: collector(['service.name', 'team']),
    config: traced({
      ...OVER_HTTP,
      resource_detectors: [
        {
          name: 'envoy.tracers.opentelemetry.resource_detectors.static_config',
          typed_config: typed('tracers.opentelemetry.resource_detectors.v3.StaticConfigResourceDetectorConfig', {
            attributes: { team: 'cart' },
          }),
        },
      ],
    }),
    steps: one(),
  },
  {
    name: 'headers for the collector',
    covers: [`${CORE}.HttpService.request_headers_to_add`],
    origins: collector([]),
    config: traced({
      http_service: {
        http_uri: { uri: 'http://otel/v1/traces', cluster: 'otel', timeout: '1s' },
        request_headers_to_add: [{ header: { key: 'x-tenant', value: 'shop' } }],
      },
    }),
    steps: one(),
  },
  {
    name: 'a collector that speaks gRPC, by its authority and with metadata',
    covers: [`${OTEL}.grpc_service`, `${CORE}.GrpcService.EnvoyGrpc.authority`, `${CORE}.GrpcService.initial_metadata`],
    origins: collector([], GRPC_COLLECTOR),
    config: traced(
      overGrpc({
        envoy_grpc: { cluster_name: 'otel', authority: 'collector.example' },
        initial_metadata: [{ key: 'x-tenant', value: 'shop' }],
      }),
    ),
    steps: one(),
  },
]
