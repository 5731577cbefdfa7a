/** Rate limits: what requests are counted as, the service that counts, and buckets of the proxy's own. */
import type { JsonObject, JsonValue } from '@bufbuild/protobuf'
import { RateLimitRequestSchema, RateLimitResponseSchema } from '#gen/envoy/service/ratelimit/v3/rls_pb.js'
import { type Case, cluster, get, type Json, ORIGIN_PORT, type Places, reverseProxy, typed } from '../case.ts'
import { grpcService } from '../grpc-service.ts'

const ROUTE = 'envoy.config.route.v3.RateLimit'
const GLOBAL = 'envoy.extensions.filters.http.ratelimit.v3'
const LOCAL = 'envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit'
const GLOBAL_NAME = 'envoy.filters.http.ratelimit'
const LOCAL_NAME = 'envoy.filters.http.local_ratelimit'
const LIMITER_PORT = 8_091
const GRPC = 'content-type: application/grpc'

const HTTP2: Json = {
  typed_extension_protocol_options: {
    'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': typed('upstreams.http.v3.HttpProtocolOptions', {
      explicit_http_config: { http2_protocol_options: {} },
    }),
  },
}

const clusters = (places: Places): readonly Json[] => [
  cluster(places),
  cluster(places, 'limiter', LIMITER_PORT, HTTP2),
  cluster(places, 'nobody', 9, HTTP2),
]

const limit = (fields: Json = {}, to = 'limiter'): Json => ({
  name: GLOBAL_NAME,
  typed_config: typed('filters.http.ratelimit.v3.RateLimit', {
    domain: 'shop',
    timeout: '2s',
    rate_limit_service: { grpc_service: { envoy_grpc: { cluster_name: to } }, transport_api_version: 'V3' },
    ...fields,
  }),
})

const limiter = (answer: (path: string) => JsonValue | number | undefined) =>
  grpcService({
    port: LIMITER_PORT,
    request: RateLimitRequestSchema,
    response: RateLimitResponseSchema,
    answer: (request) => answer(JSON.stringify(request)),
  })

const generic = (value: string): Json => ({ generic_key: { descriptor_value: value } })
const via = (prefix: string, limits: readonly Json[], more: Json = {}, action: Json = {}): Json => ({
  match: { prefix },
  route: { cluster: 'app', rate_limits: limits, ...action },
  ...more,
})
const told = (fields: Json): Json => ({
  typed_per_filter_config: { [GLOBAL_NAME]: typed('filters.http.ratelimit.v3.RateLimitPerRoute', fields) },
})

const all: Json = { default_value: { numerator: 100 } }
const bucket = (max: number, interval = '60s'): Json => ({
  max_tokens: max,
  tokens_per_fill: 1,
  fill_interval: interval,
})
const local = (fields: Json): Json =>
  typed('filters.http.local_ratelimit.v3.LocalRateLimit', {
    stat_prefix: 'limit',
    filter_enabled: all,
    filter_enforced: all,
    token_bucket: bucket(3),
    ...fields,
  })
const locally = (prefix: string, fields: Json, action: Json = {}): Json => ({
  match: { prefix },
  route: { cluster: 'app', ...action },
  typed_per_filter_config: { [LOCAL_NAME]: local(fields) },
})
const LOCALLY: Json = {
  name: LOCAL_NAME,
  typed_config: typed('filters.http.local_ratelimit.v3.LocalRateLimit', { stat_prefix: 'chain' }),
}

const STATUSES: JsonObject = {
  statuses: [
    {
      code: 'OK',
      currentLimit: { requestsPerUnit: 10, unit: 'MINUTE', name: 'n' },
      limitRemaining: 7,
      durationUntilReset: '33s',
    },
    { code: 'OK', currentLimit: { requestsPerUnit: 5, unit: 'HOUR' }, limitRemaining: 2, durationUntilReset: '7.500s' },
    { code: 'OK' },
  ],
  responseHeadersToAdd: [{ key: 'x-resp', value: 'r' }],
  requestHeadersToAdd: [{ key: 'x-req', value: 'q' }],
}

export const CASES: readonly Case[] = [
  {
    name: 'every action makes its entry',
    covers: [
      'destination_cluster',
      'request_headers',
      'remote_address',
      'masked_remote_address',
      'generic_key',
      'header_value_match',
      'query_parameter_value_match',
      'metadata',
    ].map((field) => `${ROUTE}.Action.${field}`),
    origins: { app: { port: ORIGIN_PORT }, limiter: limiter(() => ({ overallCode: 'OK' })) },
    config: reverseProxy(
      {
        filters: [limit()],
        routes: [
          via(
            '/',
            [
              [{ destination_cluster: {} }],
              [{ remote_address: {} }],
              [{ masked_remote_address: { v4_prefix_mask_len: 8 } }, generic('masked')],
              [{ masked_remote_address: { v4_prefix_mask_len: 0 } }],
              [{ request_headers: { header_name: 'X-A', descriptor_key: 'a' } }],
              [{ request_headers: { header_name: ':path', descriptor_key: 'path' } }],
              [
                { request_headers: { header_name: 'x-none', descriptor_key: 'n', skip_if_absent: true } },
                generic('on'),
              ],
              [{ request_headers: { header_name: 'x-none', descriptor_key: 'n' } }, generic('never')],
              [{ request_headers: { header_name: 'x-empty', descriptor_key: 'e' } }],
              [{ generic_key: { descriptor_key: 'k', descriptor_value: 'v' } }],
              [{ header_value_match: { descriptor_value: 'has', headers: [{ name: 'x-a', present_match: true }] } }],
              [
                {
                  header_value_match: {
                    descriptor_key: 'own',
                    descriptor_value: 'has not',
                    expect_match: false,
                    headers: [{ name: 'x-none', present_match: true }],
                  },
                },
              ],
              [
                {
                  header_value_match: { descriptor_value: 'never', headers: [{ name: 'x-none', present_match: true }] },
                },
              ],
              [
                {
                  query_parameter_value_match: {
                    descriptor_value: 'q',
                    query_parameters: [{ name: 'q', present_match: true }],
                  },
                },
              ],
              [
                {
                  query_parameter_value_match: {
                    descriptor_key: 'qk',
                    descriptor_value: 'not r',
                    expect_match: false,
                    query_parameters: [{ name: 'r', string_match: { exact: '1' } }],
                  },
                },
              ],
              [
                {
                  metadata: {
                    descriptor_key: 'm',
                    metadata_key: { key: 'no', path: [{ key: 'x' }] },
                    default_value: 'd',
                  },
                },
              ],
              [
                {
                  metadata: {
                    descriptor_key: 'm',
                    metadata_key: { key: 'no', path: [{ key: 'x' }] },
                    skip_if_absent: true,
                  },
                },
                generic('m'),
              ],
              [{ metadata: { descriptor_key: 'm', metadata_key: { key: 'no', path: [{ key: 'x' }] } } }],
            ].map((actions) => ({ actions })),
          ),
        ],
      },
      clusters,
    ),
    steps: [
      { raw: get('/p?q=1', 'x-a: one', 'x-empty:') },
      { raw: get('/', 'x-a: one', 'x-a: two') },
      { raw: get('/?r=1') },
    ],
  },
  {
    name: 'limits of route and host, stages and domains',
    covers: [
      `${ROUTE}.stage`,
      `${ROUTE}.actions`,
      'envoy.config.route.v3.RouteAction.rate_limits',
      'envoy.config.route.v3.RouteAction.include_vh_rate_limits',
      'envoy.config.route.v3.VirtualHost.rate_limits',
      `${GLOBAL}.RateLimitPerRoute.vh_rate_limits`,
      `${GLOBAL}.RateLimitPerRoute.domain`,
      `${GLOBAL}.RateLimit.domain`,
      `${GLOBAL}.RateLimit.stage`,
    ],
    origins: { app: { port: ORIGIN_PORT }, limiter: limiter(() => ({ overallCode: 'OK' })) },
    config: reverseProxy(
      {
        filters: [limit(), { ...limit({ stage: 2, domain: 'second' }), name: 'second' }],
        hosts: [
          {
            name: 'any',
            domains: ['*'],
            rate_limits: [{ actions: [generic('host')] }, { stage: 2, actions: [generic('host 2')] }],
            routes: [
              via('/include', [{ actions: [generic('route')] }], told({ vh_rate_limits: 'INCLUDE' })),
              via('/ignore', [], told({ vh_rate_limits: 'IGNORE' })),
              via('/override', [{ actions: [generic('route')] }], told({ vh_rate_limits: 'OVERRIDE' })),
              via('/old', [{ actions: [generic('route')] }], {}, { include_vh_rate_limits: true }),
              via('/domain', [], told({ domain: 'other' })),
              via('/stage', [{ stage: 2, actions: [generic('route 2')] }]),
              via('/', []),
            ],
          },
        ],
      },
      clusters,
    ),
    steps: ['/include', '/ignore', '/override', '/old', '/domain', '/stage', '/'].map((path) => ({ raw: get(path) })),
  },
  {
    name: 'what the service says reaches request and client',
    covers: [
      'enable_x_ratelimit_headers',
      'response_headers_to_add',
      'rate_limited_status',
      'rate_limit_service',
      'timeout',
    ].map((field) => `${GLOBAL}.RateLimit.${field}`),
    origins: {
      app: { port: ORIGIN_PORT },
      limiter: limiter((request) => {
        if (request.includes('ok')) return { overallCode: 'OK', ...STATUSES }
        if (request.includes('over')) return { overallCode: 'OVER_LIMIT', ...STATUSES, rawBody: 'c2xvdw==' }
        return { overallCode: request.includes('bare') ? 'OVER_LIMIT' : 'UNKNOWN' }
      }),
    },
    config: reverseProxy(
      {
        filters: [
          limit({
            enable_x_ratelimit_headers: 'DRAFT_VERSION_03',
            response_headers_to_add: [{ header: { key: 'x-limited', value: 'yes' } }],
            rate_limited_status: { code: 'ServiceUnavailable' },
          }),
        ],
        routes: ['ok', 'over', 'bare', 'unknown'].map((name) => via(`/${name}`, [{ actions: [generic(name)] }])),
      },
      clusters,
    ),
    steps: [
      ...['/ok', '/over', '/bare', '/unknown'].map((path) => ({ raw: get(path) })),
      { raw: get('/over', GRPC) },
      { raw: 'POST /over HTTP/1.1\r\nhost: shop.example\r\ncontent-length: 2\r\n\r\nhi' },
    ],
    counters: ['cluster.app.ratelimit.ok', 'cluster.app.ratelimit.over_limit', 'cluster.app.ratelimit.error'],
  },
  ...[
    { name: 'open', fields: {} },
    { name: 'closed', fields: { failure_mode_deny: true } },
    {
      name: 'closed, with a status',
      fields: { failure_mode_deny: true, status_on_error: { code: 'ServiceUnavailable' } },
    },
  ].map(({ name, fields }): Case => ({
    name: `a rate limit service that does not decide: ${name}`,
    covers: ['failure_mode_deny', 'status_on_error', 'timeout'].map((field) => `${GLOBAL}.RateLimit.${field}`),
    origins: {
      app: { port: ORIGIN_PORT },
      limiter: limiter((request) => (request.includes('slow') ? undefined : request.includes('status') ? 13 : 0)),
    },
    config: reverseProxy(
      {
        filters: [limit({ timeout: '0.2s', stat_prefix: 'mine', ...fields })],
        routes: ['slow', 'status', 'empty'].map((path) => via(`/${path}`, [{ actions: [generic(path)] }])),
      },
      clusters,
    ),
    steps: ['/slow', '/status', '/empty'].map((path) => ({ raw: get(path) })),
    counters: ['cluster.app.ratelimit.mine.error', 'cluster.app.ratelimit.mine.failure_mode_allowed'],
  })),
  {
    name: 'refusals without Envoy’s mark, and as gRPC’s own status',
    covers: ['disable_x_envoy_ratelimited_header', 'rate_limited_as_resource_exhausted', 'request_type'].map(
      (field) => `${GLOBAL}.RateLimit.${field}`,
    ),
    origins: { app: { port: ORIGIN_PORT }, limiter: limiter(() => ({ overallCode: 'OVER_LIMIT' })) },
    config: reverseProxy(
      {
        filters: [
          limit({
            disable_x_envoy_ratelimited_header: true,
            rate_limited_as_resource_exhausted: true,
            request_type: 'external',
          }),
          { ...limit({ request_type: 'internal' }), name: 'inside' },
        ],
        routes: [via('/', [{ actions: [generic('x')] }])],
      },
      clusters,
    ),
    steps: [{ raw: get('/') }, { raw: get('/', GRPC) }, { raw: get('/', 'x-envoy-internal: true') }],
  },
  {
    name: 'buckets: headers for the client, per descriptor, the slowest first',
    covers: [
      'enable_x_ratelimit_headers',
      'descriptors',
      'response_headers_to_add',
      'vh_rate_limits',
      'stat_prefix',
    ].map((field) => `${LOCAL}.${field}`),
    chance: ['x-ratelimit-reset'],
    config: reverseProxy({
      filters: [LOCALLY],
      hosts: [
        {
          name: 'any',
          domains: ['*'],
          rate_limits: [{ actions: [generic('host')] }],
          routes: [
            locally('/plain', {
              enable_x_ratelimit_headers: 'DRAFT_VERSION_03',
              response_headers_to_add: [{ header: { key: 'x-limited', value: 'yes' } }],
            }),
            ...(['OVERRIDE', 'INCLUDE', 'IGNORE'] as const).map((option) =>
              locally(
                `/${option}`,
                {
                  enable_x_ratelimit_headers: 'DRAFT_VERSION_03',
                  vh_rate_limits: option,
                  descriptors: [
                    { entries: [{ key: 'generic_key', value: 'host' }], token_bucket: bucket(1) },
                    { entries: [{ key: 'generic_key', value: 'route' }], token_bucket: bucket(2, '120s') },
                  ],
                },
                { rate_limits: [{ actions: [generic('route')] }] },
              ),
            ),
          ],
        },
      ],
    }),
    steps: [
      '/plain',
      '/plain',
      '/plain',
      '/plain',
      '/OVERRIDE',
      '/OVERRIDE',
      '/OVERRIDE',
      '/INCLUDE',
      '/INCLUDE',
      '/IGNORE',
      '/IGNORE',
      '/IGNORE',
    ].map((path) => ({ raw: get(path) })),
    counters: ['enabled', 'enforced', 'ok', 'rate_limited'].map((name) => `limit.http_local_rate_limit.${name}`),
  },
  {
    name: 'buckets: not enforced, per connection, as gRPC’s own status',
    covers: [
      'filter_enforced',
      'filter_enabled',
      'request_headers_to_add_when_not_enforced',
      'local_rate_limit_per_downstream_connection',
      'rate_limited_as_resource_exhausted',
      'stage',
      'always_consume_default_token_bucket',
    ].map((field) => `${LOCAL}.${field}`),
    config: reverseProxy({
      filters: [LOCALLY],
      routes: [
        locally('/lax', {
          filter_enforced: { default_value: { numerator: 0 } },
          token_bucket: bucket(1),
          request_headers_to_add_when_not_enforced: [{ header: { key: 'x-over', value: 'yes' } }],
        }),
        locally('/off', { filter_enabled: { default_value: { numerator: 0 } }, token_bucket: bucket(1) }),
        locally('/connection', { local_rate_limit_per_downstream_connection: true, token_bucket: bucket(1) }),
        locally('/grpc', { rate_limited_as_resource_exhausted: true, token_bucket: bucket(1) }),
        locally(
          '/stage',
          {
            stage: 1,
            always_consume_default_token_bucket: false,
            descriptors: [{ entries: [{ key: 'generic_key', value: 'one' }], token_bucket: bucket(1) }],
          },
          { rate_limits: [{ actions: [generic('one')] }, { stage: 1, actions: [generic('one')] }] },
        ),
      ],
    }),
    steps: [
      ...['/lax', '/lax', '/off', '/off', '/stage', '/stage'].map((path) => ({ raw: get(path) })),
      { raw: get('/connection') + get('/connection'), answers: 2 },
      { raw: get('/connection') },
      { raw: get('/grpc', GRPC) },
      { raw: get('/grpc', GRPC) },
    ],
  },
  {
    name: 'buckets: for each value, rules of the filter itself, when to come again',
    covers: ['rate_limits', 'max_dynamic_descriptors', 'enable_retry_after_header'].map((field) => `${LOCAL}.${field}`),
    config: reverseProxy({
      filters: [
        {
          name: 'envoy.filters.http.header_mutation',
          typed_config: typed('filters.http.header_mutation.v3.HeaderMutation', {
            mutations: {
              request_mutations: [
                { remove: 'x-path' },
                { append: { header: { key: 'x-path', value: '%PATH(NQ:PATH)%' } } },
                { append: { header: { key: 'x-all', value: '%PATH(WQ:PATH)%' } } },
              ],
            },
          }),
        },
        {
          name: LOCAL_NAME,
          typed_config: local({
            enable_x_ratelimit_headers: 'DRAFT_VERSION_03',
            enable_retry_after_header: true,
            always_consume_default_token_bucket: false,
            max_dynamic_descriptors: 2,
            token_bucket: bucket(1_000),
            rate_limits: [
              { actions: [generic('key'), { request_headers: { header_name: 'x-key', descriptor_key: 'key' } }] },
              { actions: [{ request_headers: { header_name: 'x-path', descriptor_key: 'path' } }] },
              { actions: [{ generic_key: { descriptor_key: 'verbatim', descriptor_value: '%REQ(X-V)%' } }] },
            ],
            descriptors: [
              {
                entries: [{ key: 'generic_key', value: 'key' }, { key: 'key' }],
                token_bucket: bucket(1, '90s'),
              },
              {
                entries: [
                  { key: 'generic_key', value: 'key' },
                  { key: 'key', value: 'gold' },
                ],
                token_bucket: bucket(3, '90s'),
              },
              { entries: [{ key: 'path', value: '/limited' }], token_bucket: bucket(1, '60s') },
              { entries: [{ key: 'verbatim', value: 'one' }], token_bucket: bucket(1, '60s') },
            ],
          }),
        },
      ],
      hosts: [{ name: 'any', domains: ['*'], rate_limits: [{ actions: [generic('host')] }], routes: [via('/', [])] }],
    }),
    chance: ['x-ratelimit-reset', 'retry-after'],
    steps: [
      ...['a', 'a', 'b', 'a', 'c', 'b', 'a', 'gold', 'gold', 'gold', 'gold'].map((key) => ({
        raw: get('/', `x-key: ${key}`),
      })),
      ...['/limited', '/limited?q=1', '/', '/'].map((path) => ({ raw: get(path) })),
      { raw: get('/', 'x-v: one') },
      { raw: get('/', 'x-v: one') },
      { raw: get('/limited', 'x-path: /mine') },
    ],
    counters: ['enabled', 'enforced', 'ok', 'rate_limited'].map((name) => `limit.http_local_rate_limit.${name}`),
  },
  {
    name: 'a service’s word: rules of the filter itself, not enforced, when to come again',
    covers: ['rate_limits', 'filter_enforced', 'enable_retry_after_header'].map(
      (field) => `${GLOBAL}.RateLimit.${field}`,
    ),
    origins: {
      app: { port: ORIGIN_PORT },
      limiter: limiter((request) => ({
        overallCode: 'OVER_LIMIT',
        statuses: [
          { code: 'OK', currentLimit: { requestsPerUnit: 10, unit: 'HOUR' }, durationUntilReset: '99s' },
          { code: 'OVER_LIMIT', currentLimit: { requestsPerUnit: 5, unit: 'MINUTE' }, durationUntilReset: '7s' },
          {
            code: 'OVER_LIMIT',
            currentLimit: { requestsPerUnit: 5, unit: 'MINUTE' },
            durationUntilReset: request.includes('none') ? '0s' : '12s',
          },
        ],
      })),
    },
    config: reverseProxy(
      {
        filters: [
          limit({ enable_retry_after_header: true, rate_limits: [{ actions: [generic('own')] }] }),
          {
            ...limit({
              filter_enforced: { default_value: { numerator: 0 } },
              enable_retry_after_header: true,
              enable_x_ratelimit_headers: 'DRAFT_VERSION_03',
              response_headers_to_add: [{ header: { key: 'x-limited', value: 'yes' } }],
              rate_limits: [{ actions: [generic('shadow')] }],
            }),
            name: 'shadow',
          },
        ],
        routes: [
          via('/free', [{ actions: [generic('route')] }], {
            typed_per_filter_config: {
              [GLOBAL_NAME]: { '@type': 'type.googleapis.com/envoy.config.route.v3.FilterConfig', disabled: true },
            },
          }),
          via('/', [{ actions: [generic('route')] }]),
        ],
      },
      clusters,
    ),
    steps: [{ raw: get('/a?q=1', 'x-v: one') }, { raw: get('/free') }],
    counters: ['cluster.app.ratelimit.ok', 'cluster.app.ratelimit.over_limit'],
  },
]
