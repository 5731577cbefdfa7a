/** What filters tell each other, and services of the proxy's own; keys that are fetched ahead of their use. */
import type { JsonObject, JsonValue } from '@bufbuild/protobuf'
import { CheckRequestSchema, CheckResponseSchema } from '#gen/envoy/service/auth/v3/external_auth_pb.js'
import { RateLimitRequestSchema, RateLimitResponseSchema } from '#gen/envoy/service/ratelimit/v3/rls_pb.js'
import { serverCertificate } from '../../../harness/certificate.ts'
import {
  bootstrap,
  type Case,
  cluster,
  get,
  http,
  type HttpOptions,
  type Json,
  listener,
  ORIGIN_PORT,
  type Places,
  toApp,
  typed,
} from '../case.ts'
import { grpcService, OWN_FIELDS } from '../grpc-service.ts'
import { KEY_SET } from '../tokens.ts'

const RATE = 'envoy.config.route.v3.RateLimit'
const AUTHZ = 'envoy.extensions.filters.http.ext_authz.v3'
const JWT = 'envoy.extensions.filters.http.jwt_authn.v3'
const SIDE_PORT = 8_090
const LIMITER_PORT = 8_091
/** Of calls that proxies make by themselves. */
const OWN = ['user-agent', ...OWN_FIELDS]
const server = serverCertificate('shop.example')

const HTTP2: Json = {
  typed_extension_protocol_options: {
    'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': typed('upstreams.http.v3.HttpProtocolOptions', {
      explicit_http_config: { http2_protocol_options: {} },
    }),
  },
}
const behind =
  (options: HttpOptions, side: Json = {}, chain: Json = {}): Case['config'] =>
  (places: Places) =>
    bootstrap(
      [listener(places, [{ filters: [http(options)], ...chain }])],
      [cluster(places), cluster(places, 'side', SIDE_PORT, side), cluster(places, 'limiter', LIMITER_PORT, HTTP2)],
    )

const limit: Json = {
  name: 'envoy.filters.http.ratelimit',
  typed_config: typed('filters.http.ratelimit.v3.RateLimit', {
    domain: 'shop',
    rate_limit_service: { grpc_service: { envoy_grpc: { cluster_name: 'limiter' } }, transport_api_version: 'V3' },
  }),
}
const limiter = grpcService({
  port: LIMITER_PORT,
  request: RateLimitRequestSchema,
  response: RateLimitResponseSchema,
  answer: () => ({ overallCode: 'OK' }),
})
const limited = (limits: readonly Json[]): readonly Json[] => [
  { match: { prefix: '/' }, route: { cluster: 'app', rate_limits: limits } },
]

const extAuthz = (fields: Json): Json => ({
  name: 'envoy.filters.http.ext_authz',
  typed_config: typed('filters.http.ext_authz.v3.ExtAuthz', { transport_api_version: 'V3', ...fields }),
})
const overGrpc: Json = { grpc_service: { envoy_grpc: { cluster_name: 'side' }, timeout: '2s' } }

/** Of a question only what the connection was encrypted by. */
function sessionOf(request: JsonValue): JsonValue {
  const attributes = (request as JsonObject)['attributes'] as JsonObject
  return attributes['tlsSession'] ?? 'nothing'
}
const authorizer = (answer: JsonValue) =>
  grpcService({
    port: SIDE_PORT,
    request: CheckRequestSchema,
    response: CheckResponseSchema,
    normal: sessionOf,
    answer: () => answer,
  })

const logged = (places: Places, format: string, more: Json = {}): Json => ({
  access_log: [
    {
      name: 'log',
      ...more,
      typed_config: typed('access_loggers.file.v3.FileAccessLog', {
        path: places.file('log'),
        log_format: { text_format_source: { inline_string: `${format}\n` } },
      }),
    },
  ],
})

const jwt = (async_fetch: Json): Json => ({
  name: 'envoy.filters.http.jwt_authn',
  typed_config: typed('filters.http.jwt_authn.v3.JwtAuthentication', {
    providers: {
      one: {
        remote_jwks: { http_uri: { uri: 'http://keys.example/set', cluster: 'side', timeout: '1s' }, async_fetch },
      },
    },
    rules: [{ match: { prefix: '/' }, requires: { provider_name: 'one' } }],
  }),
})
const keys = (fails: number): NonNullable<Case['origins']> => {
  let asked = 0
  return {
    app: { port: ORIGIN_PORT },
    side: { port: SIDE_PORT, without: OWN, answer: () => (++asked > fails ? { body: KEY_SET } : { status: 500 }) },
  }
}
const pause = { tcp: '', patienceMs: 1_000 } as const

export const CASES: readonly Case[] = [
  {
    name: 'a limit by the network of a client of IPv6',
    covers: [`${RATE}.Action.MaskedRemoteAddress.v6_prefix_mask_len`],
    origins: { app: { port: ORIGIN_PORT }, limiter },
    config: behind({
      filters: [limit],
      routes: limited([{ actions: [{ masked_remote_address: { v6_prefix_mask_len: 32 } }] }]),
    }),
    steps: [{ raw: get('/', 'x-forwarded-for: 2001:db8:1:2::3') }],
  },
  {
    name: 'a limit that an earlier filter has set',
    covers: [`${RATE}.limit`, `${RATE}.Override.dynamic_metadata`, `${RATE}.Override.DynamicMetadata.metadata_key`],
    origins: {
      app: { port: ORIGIN_PORT },
      limiter,
      side: authorizer({ okResponse: {}, dynamicMetadata: { rule: { requests_per_unit: 42, unit: 'HOUR' } } }),
    },
    config: behind(
      {
        filters: [extAuthz(overGrpc), limit],
        routes: limited([
          {
            actions: [{ generic_key: { descriptor_value: 'one' } }],
            limit: {
              dynamic_metadata: {
                metadata_key: { key: 'envoy.filters.http.ext_authz', path: [{ key: 'rule' }] },
              },
            },
          },
        ]),
      },
      HTTP2,
    ),
    steps: [{ raw: get('/') }],
    unordered: true,
  },
  {
    name: 'headers of an authorizer’s answer as metadata',
    covers: [`${AUTHZ}.AuthorizationResponse.dynamic_metadata_from_headers`],
    origins: {
      app: { port: ORIGIN_PORT },
      side: { port: SIDE_PORT, without: OWN, answer: () => ({ headers: { 'x-tier': 'gold', 'x-else': 'no' } }) },
    },
    config: (places) =>
      behind({
        filters: [
          extAuthz({
            http_service: {
              server_uri: { uri: 'http://side.example', cluster: 'side', timeout: '1s' },
              authorization_response: { dynamic_metadata_from_headers: { patterns: [{ prefix: 'x-tier' }] } },
            },
          }),
        ],
        manager: logged(places, '%DYNAMIC_METADATA(envoy.filters.http.ext_authz:x-tier)%'),
      })(places),
    steps: [{ raw: get('/') }],
    logs: ['log'],
    unordered: true,
  },
  {
    name: 'an authorizer hears of the TLS session',
    covers: [`${AUTHZ}.ExtAuthz.include_tls_session`],
    origins: { app: { port: ORIGIN_PORT }, side: authorizer({ okResponse: {} }) },
    config: behind({ filters: [extAuthz({ ...overGrpc, include_tls_session: true })] }, HTTP2, {
      transport_socket: {
        name: 'tls',
        typed_config: typed('transport_sockets.tls.v3.DownstreamTlsContext', {
          common_tls_context: {
            tls_certificates: [
              { certificate_chain: { inline_string: server.cert }, private_key: { inline_string: server.key } },
            ],
          },
        }),
      },
    }),
    steps: [
      { raw: get('/', 'connection: close'), answers: 'close', tls: { serverName: 'shop.example', ca: server.ca } },
    ],
    unordered: true,
  },
  {
    name: 'keys that are fetched before anyone asks',
    covers: [`${JWT}.RemoteJwks.async_fetch`],
    get origins() {
      return keys(0)
    },
    config: behind({ filters: [jwt({})] }),
    steps: [pause],
    unordered: true,
  },
  {
    name: 'keys that could not be fetched are asked for again, after a while',
    covers: [`${JWT}.JwksAsyncFetch.failed_refetch_duration`],
    get origins() {
      return keys(1)
    },
    config: behind({ filters: [jwt({ failed_refetch_duration: '60s' })] }),
    steps: [{ ...pause, patienceMs: 3_000 }],
    unordered: true,
  },
  {
    name: 'an access log by chance, whatever the request is called',
    covers: ['envoy.config.accesslog.v3.RuntimeFilter.use_independent_randomness'],
    config: (places) =>
      behind({
        routes: [toApp],
        manager: logged(places, '%REQ(:PATH)%', {
          filter: {
            runtime_filter: {
              runtime_key: 'none',
              percent_sampled: { numerator: 999_999, denominator: 'MILLION' },
              use_independent_randomness: true,
            },
          },
        }),
      })(places),
    // By its name it would be the one in a million that is not logged.
    steps: [{ raw: get('/a', 'x-request-id: 000f423f-0000-4000-8000-000000000000') }],
    logs: ['log'],
  },
]
