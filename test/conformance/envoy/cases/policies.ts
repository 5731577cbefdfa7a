/** CORS, RBAC, faults, local rate limits, timeouts and retries: what a policy lets through and what it answers. */
import { type Case, cluster, get, type Json, ORIGIN_PORT, reverseProxy, toApp, typed } from '../case.ts'

const CORS = 'envoy.extensions.filters.http.cors.v3.CorsPolicy'
const RBAC = 'envoy.config.rbac.v3'
const LIMIT = 'envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit'
const FAULT = 'envoy.extensions.filters.http.fault.v3.HTTPFault'
const RETRY = 'envoy.config.route.v3.RetryPolicy'

const filter = (name: string, type: string, fields: Json = {}): Json => ({
  name: `envoy.filters.http.${name}`,
  typed_config: typed(`filters.http.${name}.v3.${type}`, fields),
})

const all = { default_value: { numerator: 100, denominator: 'HUNDRED' } }
const percent = (numerator: number): Json => ({ numerator, denominator: 'HUNDRED' })

const rbac = (action: string, policy: Json): Json =>
  filter('rbac', 'RBAC', { rules: { action, policies: { only: policy } } })

const anyone = [{ any: true }]

const judged = (
  name: string,
  covers: readonly string[],
  rules: readonly [string, Json],
  paths: readonly string[],
): Case => ({
  name,
  covers: covers.map((field) => `${RBAC}.${field}`),
  config: reverseProxy({ filters: [rbac(...rules)] }),
  steps: paths.map((raw) => ({ raw })),
  counters: ['http.main.rbac.allowed', 'http.main.rbac.denied'],
})

const preflight = (path: string, ...fields: readonly string[]): string =>
  [`OPTIONS ${path} HTTP/1.1`, 'host: shop.example', ...fields, '', ''].join('\r\n')

export const CASES: readonly Case[] = [
  {
    name: 'CORS: preflights and simple requests, origins admitted and not',
    covers: [
      'allow_origin_string_match',
      'allow_methods',
      'allow_headers',
      'expose_headers',
      'max_age',
      'allow_credentials',
    ].map((field) => `${CORS}.${field}`),
    config: reverseProxy({
      filters: [filter('cors', 'Cors')],
      routes: [
        {
          ...toApp,
          match: { prefix: '/open' },
          typed_per_filter_config: {
            'envoy.filters.http.cors': typed('filters.http.cors.v3.CorsPolicy', {
              allow_origin_string_match: [{ exact: '*' }],
              allow_methods: 'GET, POST',
            }),
          },
        },
        {
          ...toApp,
          match: { prefix: '/' },
          typed_per_filter_config: {
            'envoy.filters.http.cors': typed('filters.http.cors.v3.CorsPolicy', {
              allow_origin_string_match: [
                { exact: 'https://a.example' },
                { safe_regex: { regex: 'https://[a-z]+\\.b\\.example' } },
              ],
              allow_methods: 'GET,PUT',
              allow_headers: 'x-token',
              expose_headers: 'x-sum',
              max_age: '600',
              allow_credentials: true,
            }),
          },
        },
      ],
    }),
    steps: [
      { raw: preflight('/', 'origin: https://a.example', 'access-control-request-method: PUT') },
      { raw: preflight('/', 'origin: https://x.b.example', 'access-control-request-method: DELETE') },
      { raw: preflight('/', 'origin: https://evil.example', 'access-control-request-method: PUT') },
      { raw: preflight('/', 'origin: https://a.example') },
      { raw: preflight('/', 'access-control-request-method: PUT') },
      { raw: preflight('/open', 'origin: https://any.example', 'access-control-request-method: PUT') },
      { raw: get('/', 'origin: https://a.example') },
      { raw: get('/', 'origin: https://evil.example') },
      { raw: get('/open', 'origin: https://any.example') },
      { raw: get('/') },
    ],
  },
  judged(
    'RBAC ALLOW by path, method and header',
    [
      'Permission.url_path',
      'Permission.header',
      'Permission.and_rules',
      'Permission.or_rules',
      'Permission.not_rule',
      'RBAC.action',
      'Principal.any',
    ],
    [
      'ALLOW',
      {
        permissions: [
          {
            and_rules: {
              rules: [
                { url_path: { path: { prefix: '/items' } } },
                { header: { name: ':method', string_match: { exact: 'GET' } } },
              ],
            },
          },
          { or_rules: { rules: [{ url_path: { path: { exact: '/a' } } }, { url_path: { path: { exact: '/b' } } }] } },
          {
            and_rules: {
              rules: [
                { url_path: { path: { prefix: '/not' } } },
                { not_rule: { header: { name: 'x-bad', present_match: true } } },
              ],
            },
          },
        ],
        principals: anyone,
      },
    ],
    [
      get('/items/1'),
      get('/items/1?x=/a'),
      'PUT /items/1 HTTP/1.1\r\nhost: shop.example\r\ncontent-length: 0\r\n\r\n',
      get('/a'),
      get('/b?q'),
      get('/c'),
      get('/not'),
      get('/not', 'x-bad: 1'),
    ],
  ),
  judged(
    'RBAC DENY, and by the address of the client',
    ['Principal.direct_remote_ip', 'Principal.header', 'Principal.and_ids', 'Principal.not_id'],
    [
      'DENY',
      {
        permissions: [{ any: true }],
        principals: [
          {
            and_ids: {
              ids: [
                { direct_remote_ip: { address_prefix: '127.0.0.0', prefix_len: 8 } },
                { header: { name: 'x-role', string_match: { exact: 'guest' } } },
              ],
            },
          },
          {
            and_ids: {
              ids: [
                { not_id: { header: { name: 'x-role', present_match: true } } },
                { header: { name: 'x-must', present_match: true } },
              ],
            },
          },
        ],
      },
    ],
    [get('/'), get('/', 'x-role: guest'), get('/', 'x-role: admin'), get('/', 'x-must: 1')],
  ),
  {
    name: 'RBAC on a route replaces the chain’s, and can be switched off',
    covers: ['envoy.extensions.filters.http.rbac.v3.RBACPerRoute.rbac'],
    config: reverseProxy({
      filters: [rbac('ALLOW', { permissions: [{ url_path: { path: { prefix: '/none' } } }], principals: anyone })],
      routes: [
        {
          ...toApp,
          match: { prefix: '/own' },
          typed_per_filter_config: {
            'envoy.filters.http.rbac': typed('filters.http.rbac.v3.RBACPerRoute', {
              rbac: {
                rules: { action: 'ALLOW', policies: { any: { permissions: [{ any: true }], principals: anyone } } },
              },
            }),
          },
        },
        {
          ...toApp,
          match: { prefix: '/off' },
          typed_per_filter_config: { 'envoy.filters.http.rbac': typed('filters.http.rbac.v3.RBACPerRoute') },
        },
        toApp,
      ],
    }),
    steps: [{ raw: get('/own') }, { raw: get('/off') }, { raw: get('/other') }],
  },
  {
    name: 'faults: abort, delay, by header and share',
    covers: ['delay', 'abort', 'headers'].map((field) => `${FAULT}.${field}`),
    config: reverseProxy({
      filters: [
        filter('fault', 'HTTPFault', {
          abort: { http_status: 418, percentage: percent(100) },
          headers: [{ name: 'x-fail', present_match: true }],
        }),
      ],
      routes: [
        {
          ...toApp,
          match: { prefix: '/slow' },
          typed_per_filter_config: {
            'envoy.filters.http.fault': typed('filters.http.fault.v3.HTTPFault', {
              delay: { fixed_delay: '0.05s', percentage: percent(100) },
              abort: { http_status: 503, percentage: percent(100) },
            }),
          },
        },
        {
          ...toApp,
          match: { prefix: '/never' },
          typed_per_filter_config: {
            'envoy.filters.http.fault': typed('filters.http.fault.v3.HTTPFault', {
              abort: { http_status: 503, percentage: percent(0) },
            }),
          },
        },
        toApp,
      ],
    }),
    steps: [
      { raw: get('/', 'x-fail: 1') },
      { raw: get('/') },
      { raw: get('/slow') },
      { raw: get('/never', 'x-fail: 1') },
    ],
    counters: ['http.main.fault.aborts_injected', 'http.main.fault.delays_injected'],
  },
  {
    name: 'local rate limit: three, then 429',
    covers: ['token_bucket', 'filter_enabled', 'filter_enforced', 'status', 'stat_prefix'].map(
      (field) => `${LIMIT}.${field}`,
    ),
    config: reverseProxy({
      filters: [
        filter('local_ratelimit', 'LocalRateLimit', {
          stat_prefix: 'limit',
          token_bucket: { max_tokens: 3, tokens_per_fill: 1, fill_interval: '60s' },
          filter_enabled: all,
          filter_enforced: all,
        }),
      ],
      routes: [
        {
          ...toApp,
          match: { prefix: '/own' },
          typed_per_filter_config: {
            'envoy.filters.http.local_ratelimit': typed('filters.http.local_ratelimit.v3.LocalRateLimit', {
              stat_prefix: 'own',
              status: { code: 'ServiceUnavailable' },
              token_bucket: { max_tokens: 1, tokens_per_fill: 1, fill_interval: '60s' },
              filter_enabled: all,
              filter_enforced: all,
            }),
          },
        },
        toApp,
      ],
    }),
    steps: ['/', '/', '/', '/', '/own', '/own', '/'].map((path) => ({ raw: get(path) })),
    counters: ['limit.http_local_rate_limit.rate_limited', 'limit.http_local_rate_limit.ok'],
  },
  {
    name: 'retries on 503, reset and refused connections',
    covers: ['retry_on', 'num_retries', 'per_try_timeout', 'retriable_status_codes'].map(
      (field) => `${RETRY}.${field}`,
    ),
    origins: {
      app: {
        port: ORIGIN_PORT,
        answer: ({ line }, count) => {
          if (line.includes('/twice')) return { status: count % 3 === 0 ? 200 : 503 }
          if (line.includes('/reset')) return 'reset'
          if (line.includes('/slow')) return 'never'
          return { status: 409 }
        },
      },
    },
    config: reverseProxy(
      {
        routes: [
          { match: { prefix: '/twice' }, route: { cluster: 'app', retry_policy: { retry_on: '5xx', num_retries: 2 } } },
          {
            match: { prefix: '/reset' },
            route: { cluster: 'app', retry_policy: { retry_on: 'reset', num_retries: 1 } },
          },
          {
            match: { prefix: '/slow' },
            route: { cluster: 'app', retry_policy: { retry_on: '5xx', num_retries: 1, per_try_timeout: '0.2s' } },
          },
          {
            match: { prefix: '/conflict' },
            route: {
              cluster: 'app',
              retry_policy: { retry_on: 'retriable-status-codes', retriable_status_codes: [409], num_retries: 1 },
            },
          },
          {
            match: { prefix: '/nobody' },
            route: { cluster: 'nobody', retry_policy: { retry_on: 'connect-failure', num_retries: 2 } },
          },
        ],
      },
      (places) => [cluster(places), cluster(places, 'nobody', 9)],
    ),
    // What is left of the route's time, by the millisecond.
    chance: ['x-envoy-expected-rq-timeout-ms'],
    steps: ['/twice', '/reset', '/slow', '/conflict', '/nobody'].map((path) => ({ raw: get(path) })),
    counters: [
      'cluster.app.upstream_rq_retry',
      'cluster.nobody.upstream_rq_retry',
      'cluster.app.upstream_rq_retry_limit_exceeded',
    ],
  },
  {
    name: 'a route’s timeout',
    covers: ['envoy.config.route.v3.RouteAction.timeout'],
    origins: { app: { port: ORIGIN_PORT, answer: ({ line }) => (line.includes('/never') ? 'never' : {}) } },
    config: reverseProxy({
      routes: [{ match: { prefix: '/' }, route: { cluster: 'app', timeout: '0.25s' } }],
    }),
    steps: [{ raw: get('/never') }, { raw: get('/') }],
    counters: ['cluster.app.upstream_rq_timeout'],
  },
]
