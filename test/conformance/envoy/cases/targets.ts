/** Where a request goes and how often: clusters by header and weight, subsets, host names, attempts, gRPC's own answers. */
import { assignment, type Case, cluster, endpoint, get, type Json, ORIGIN_PORT, reverseProxy, typed } from '../case.ts'

const ACTION = 'envoy.config.route.v3.RouteAction'
const WEIGHT = 'envoy.config.route.v3.WeightedCluster.ClusterWeight'
const HOST = 'envoy.config.route.v3.VirtualHost'
const RETRY = 'envoy.config.route.v3.RetryPolicy'

const via = (prefix: string, action: Json): Json => ({ match: { prefix }, route: action })
const lb = (values: Json): Json => ({ filter_metadata: { 'envoy.lb': values } })
const GRPC = 'content-type: application/grpc'
const refusing = { name: 'nobody', port: 9 }

export const CASES: readonly Case[] = [
  {
    name: 'clusters named by a header, and what an unknown one is answered',
    covers: [`${ACTION}.cluster_header`, `${ACTION}.cluster_not_found_response_code`, `${WEIGHT}.cluster_header`],
    origins: { app: { port: ORIGIN_PORT }, other: { port: 8081 } },
    config: reverseProxy(
      {
        routes: [
          via('/plain', { cluster_header: 'x-cluster' }),
          via('/host', { cluster_header: ':authority' }),
          via('/404', { cluster_header: 'x-cluster', cluster_not_found_response_code: 'NOT_FOUND' }),
          via('/500', { cluster_header: 'x-cluster', cluster_not_found_response_code: 'INTERNAL_SERVER_ERROR' }),
          via('/weighted', { weighted_clusters: { clusters: [{ cluster_header: 'x-cluster', weight: 1 }] } }),
        ],
      },
      (places) => [cluster(places), cluster(places, 'other', 8081), cluster(places, 'shop.example', 8081)],
    ),
    steps: [
      ...['app', 'other', 'none', ''].flatMap((name) =>
        ['/plain', '/404', '/500', '/weighted'].map((path) => ({ raw: get(path, `x-cluster: ${name}`) })),
      ),
      { raw: get('/plain') },
      { raw: get('/host') },
      { raw: get('/plain', 'x-cluster: other', 'x-cluster: app') },
    ],
  },
  {
    name: 'weighted clusters drawn by a header',
    covers: [
      'envoy.config.route.v3.WeightedCluster.header_name',
      `${WEIGHT}.weight`,
      `${WEIGHT}.host_rewrite_literal`,
      `${WEIGHT}.request_headers_to_add`,
    ],
    origins: { app: { port: ORIGIN_PORT }, other: { port: 8081 } },
    config: reverseProxy(
      {
        routes: [
          via('/', {
            host_rewrite_literal: 'route.example',
            weighted_clusters: {
              header_name: 'x-draw',
              clusters: [
                {
                  name: 'app',
                  weight: 2,
                  request_headers_to_add: [{ header: { key: 'x-way', value: 'app' } }],
                  response_headers_to_add: [{ header: { key: 'x-way', value: 'app' } }],
                },
                { name: 'other', weight: 3, host_rewrite_literal: 'cluster.example' },
              ],
            },
          }),
        ],
      },
      (places) => [cluster(places), cluster(places, 'other', 8081)],
    ),
    steps: ['0', '1', '2', '4', '5', '6', '7', '18446744073709551615'].map((draw) => ({
      raw: get('/', `x-draw: ${draw}`),
    })),
  },
  {
    name: 'subsets chosen by route and weighted cluster',
    covers: [`${ACTION}.metadata_match`, `${WEIGHT}.metadata_match`],
    origins: { one: { port: 8081 }, two: { port: 8082 }, three: { port: 8083 } },
    config: reverseProxy(
      {
        routes: [
          via('/one', { cluster: 'app', metadata_match: lb({ version: '1' }) }),
          via('/two', { cluster: 'app', metadata_match: lb({ version: '2', stage: 'a' }) }),
          via('/none', { cluster: 'app', metadata_match: lb({ version: '9' }) }),
          via('/merged', {
            metadata_match: lb({ version: '1', stage: 'b' }),
            weighted_clusters: { clusters: [{ name: 'app', weight: 1, metadata_match: lb({ version: '2' }) }] },
          }),
        ],
      },
      (places) => [
        cluster(places, 'app', 0, {
          load_assignment: assignment('app', [
            endpoint(places, 8081, { metadata: lb({ version: '1' }) }),
            endpoint(places, 8082, { metadata: lb({ version: '2', stage: 'a' }) }),
            endpoint(places, 8083, { metadata: lb({ version: '2', stage: 'b' }) }),
          ]),
          lb_subset_config: {
            fallback_policy: 'NO_FALLBACK',
            subset_selectors: [{ keys: ['version'] }, { keys: ['version', 'stage'] }],
          },
        }),
      ],
    ),
    steps: ['/one', '/two', '/none', '/merged'].map((path) => ({ raw: get(path) })),
  },
  {
    name: 'the host becomes the endpoint’s, a header’s or the path’s',
    covers: ['auto_host_rewrite', 'append_x_forwarded_host', 'host_rewrite_header', 'host_rewrite_path_regex'].map(
      (field) => `${ACTION}.${field}`,
    ),
    config: reverseProxy(
      {
        routes: [
          via('/auto', { cluster: 'named', auto_host_rewrite: true }),
          via('/told', { cluster: 'named', auto_host_rewrite: true, append_x_forwarded_host: true }),
          via('/nameless', { cluster: 'app', auto_host_rewrite: true, append_x_forwarded_host: true }),
          via('/off', { cluster: 'named', auto_host_rewrite: false }),
          via('/header', { cluster: 'app', host_rewrite_header: 'x-host', append_x_forwarded_host: true }),
          via('/path/', {
            cluster: 'app',
            host_rewrite_path_regex: { pattern: { regex: '^/path/([a-z]+)/?.*$' }, substitution: '\\1.example' },
            append_x_forwarded_host: true,
          }),
        ],
      },
      (places) => [
        cluster(places),
        cluster(places, 'named', ORIGIN_PORT, {
          load_assignment: assignment('named', [
            {
              endpoint: {
                address: { socket_address: { address: places.upstream, port_value: ORIGIN_PORT } },
                hostname: 'endpoint.example',
              },
            },
          ]),
        }),
      ],
    ),
    steps: [
      ...['/auto', '/told', '/nameless', '/off', '/header', '/path/blue/x?y=1', '/path/blue'].map((path) => ({
        raw: get(path),
      })),
      { raw: get('/header', 'x-host: inner.example:81') },
      { raw: get('/told', 'x-forwarded-host: before.example') },
      { raw: get('/told', 'x-forwarded-host: shop.example') },
    ],
  },
  {
    name: 'attempts are counted for endpoint and client, and a host’s retries count for routes without their own',
    covers: [
      `${HOST}.include_request_attempt_count`,
      `${HOST}.include_attempt_count_in_response`,
      `${HOST}.retry_policy`,
      `${RETRY}.retriable_headers`,
      `${RETRY}.retriable_request_headers`,
    ],
    // What is left of it at the time of a retry.
    chance: ['x-envoy-expected-rq-timeout-ms'],
    origins: {
      app: {
        port: ORIGIN_PORT,
        answer: ({ line }, count) => {
          if (line.includes('/grpc')) return { headers: { 'grpc-status': '14' } }
          if (line.includes('/header')) return { headers: count % 2 === 0 ? { 'x-again': 'yes' } : {} }
          if (line.includes('/limited')) return { status: 503, headers: { 'x-envoy-ratelimited': 'true' } }
          return { status: line.includes('/ok') ? 200 : 503 }
        },
      },
    },
    config: reverseProxy(
      {
        hosts: [
          {
            name: 'any',
            domains: ['*'],
            include_request_attempt_count: true,
            include_attempt_count_in_response: true,
            retry_policy: { retry_on: '5xx', num_retries: 2 },
            routes: [
              via('/nobody', { cluster: 'nobody' }),
              via('/unknown', { cluster_header: 'x-none' }),
              via('/own', { cluster: 'app', retry_policy: { retry_on: 'retriable-status-codes' } }),
              via('/header', {
                cluster: 'app',
                retry_policy: {
                  retry_on: 'retriable-headers',
                  num_retries: 3,
                  retriable_headers: [{ name: 'x-again', present_match: true }],
                },
              }),
              via('/some', {
                cluster: 'app',
                retry_policy: {
                  retry_on: '5xx',
                  retriable_request_headers: [{ name: 'x-may', string_match: { exact: 'yes' } }],
                },
              }),
              via('/grpc', { cluster: 'app', retry_policy: { retry_on: 'unavailable,cancelled' } }),
              via('/', { cluster: 'app' }),
            ],
          },
        ],
      },
      (places) => [cluster(places), cluster(places, refusing.name, refusing.port)],
    ),
    steps: [
      ...['/ok', '/', '/nobody', '/unknown', '/own', '/header', '/some', '/grpc', '/limited'].map((path) => ({
        raw: get(path),
      })),
      { raw: get('/some', 'x-may: yes') },
      { raw: get('/ok', 'x-envoy-attempt-count: 9') },
      // Clients from outside cannot ask for retries.
      { raw: get('/own', 'x-envoy-retry-on: 5xx', 'x-envoy-max-retries: 3') },
    ],
  },
  {
    name: 'what the proxy answers itself reads as gRPC to a gRPC client',
    covers: [`${ACTION}.cluster`],
    origins: { app: { port: ORIGIN_PORT, answer: () => 'never' } },
    config: reverseProxy(
      {
        routes: [
          { match: { prefix: '/direct' }, direct_response: { status: 200, body: { inline_string: 'so\nthere é%' } } },
          { match: { prefix: '/denied' }, direct_response: { status: 403 } },
          { match: { prefix: '/auth' }, direct_response: { status: 401, body: { inline_string: 'who?' } } },
          { match: { prefix: '/bad' }, direct_response: { status: 400 } },
          { match: { prefix: '/many' }, direct_response: { status: 429 } },
          { match: { prefix: '/gateway' }, direct_response: { status: 502 } },
          { match: { prefix: '/redirect' }, redirect: { path_redirect: '/there' } },
          via('/nobody', { cluster: 'nobody' }),
          via('/unknown', { cluster_header: 'x-none' }),
          via('/slow', { cluster: 'app', timeout: '0.2s' }),
        ],
      },
      (places) => [cluster(places), cluster(places, refusing.name, refusing.port)],
    ),
    steps: [
      ...['direct', 'denied', 'auth', 'bad', 'many', 'gateway', 'redirect', 'nobody', 'unknown', 'slow', 'none'].map(
        (path) => ({ raw: get(`/${path}`, GRPC) }),
      ),
      { raw: get('/auth', 'content-type: application/grpc+proto') },
      { raw: get('/auth', 'content-type: application/grpc-web') },
      { raw: get('/auth', 'content-type: application/grpc;x=y') },
      { raw: get('/auth', 'content-type: Application/grpc') },
      {
        h2: { ':method': 'POST', ':path': '/auth', ':authority': 'shop.example', 'content-type': 'application/grpc' },
        body: 'x',
      },
      {
        h2: { ':method': 'GET', ':path': '/nobody', ':authority': 'shop.example', 'content-type': 'application/grpc' },
      },
    ],
  },
  {
    name: 'requests of high priority have limits of their own',
    covers: [`${ACTION}.priority`],
    config: reverseProxy(
      {
        routes: [via('/high', { cluster: 'app', priority: 'HIGH' }), via('/', { cluster: 'app', priority: 'DEFAULT' })],
      },
      (places) => [
        cluster(places, 'app', ORIGIN_PORT, {
          circuit_breakers: { thresholds: [{ priority: 'HIGH', max_requests: 0 }, { max_requests: 10 }] },
        }),
      ],
    ),
    steps: ['/', '/high', '/'].map((path) => ({ raw: get(path) })),
  },
  {
    name: 'a retry keeps away from hosts by their metadata',
    covers: [`${RETRY}.retry_host_predicate`, `${RETRY}.host_selection_retry_max_attempts`],
    chance: ['x-envoy-expected-rq-timeout-ms'],
    origins: {
      bad: { port: 8081, answer: () => ({ status: 503 }) },
    },
    config: reverseProxy(
      {
        hosts: [
          {
            name: 'any',
            domains: ['*'],
            include_attempt_count_in_response: true,
            routes: [
              via('/', {
                cluster: 'app',
                metadata_match: lb({ way: 'a' }),
                retry_policy: {
                  retry_on: '5xx',
                  num_retries: 1,
                  host_selection_retry_max_attempts: '5',
                  retry_host_predicate: [
                    {
                      name: 'envoy.retry_host_predicates.previous_hosts',
                      typed_config: typed('retry.host.previous_hosts.v3.PreviousHostsPredicate'),
                    },
                    {
                      name: 'envoy.retry_host_predicates.omit_canary_hosts',
                      typed_config: typed('retry.host.omit_canary_hosts.v3.OmitCanaryHostsPredicate'),
                    },
                    {
                      name: 'envoy.retry_host_predicates.omit_host_metadata',
                      typed_config: typed('retry.host.omit_host_metadata.v3.OmitHostMetadataConfig', {
                        metadata_match: lb({ stage: 'old' }),
                      }),
                    },
                  ],
                },
              }),
            ],
          },
        ],
      },
      (places) => [
        cluster(places, 'app', 0, {
          load_assignment: assignment('app', [endpoint(places, 8081, { metadata: lb({ way: 'a' }) })]),
          lb_subset_config: { fallback_policy: 'NO_FALLBACK', subset_selectors: [{ keys: ['way'] }] },
        }),
      ],
    ),
    steps: [{ raw: get('/') }],
  },
  {
    name: 'a gRPC client’s own deadline',
    covers: [
      'envoy.config.route.v3.RouteAction.MaxStreamDuration.grpc_timeout_header_max',
      'envoy.config.route.v3.RouteAction.MaxStreamDuration.grpc_timeout_header_offset',
    ],
    origins: { app: { port: ORIGIN_PORT, answer: () => 'never' } },
    config: reverseProxy({
      routes: [
        via('/max', { cluster: 'app', timeout: '0s', max_stream_duration: { grpc_timeout_header_max: '0.2s' } }),
        via('/any', { cluster: 'app', timeout: '1s', max_stream_duration: { grpc_timeout_header_max: '0s' } }),
        via('/offset', {
          cluster: 'app',
          timeout: '1s',
          max_stream_duration: { grpc_timeout_header_max: '3s', grpc_timeout_header_offset: '1.8s' },
        }),
      ],
    }),
    steps: [
      { raw: get('/max', GRPC, 'grpc-timeout: 1M') },
      { raw: get('/max', 'grpc-timeout: 0m') },
      { raw: get('/any', GRPC, 'grpc-timeout: 200m') },
      { raw: get('/any', GRPC, 'grpc-timeout: 5x') },
      { raw: get('/offset', GRPC, 'grpc-timeout: 2S') },
    ],
  },
  {
    name: 'an answer says when to come again',
    covers: [`${RETRY}.rate_limited_retry_back_off`, `${RETRY}.retry_back_off`],
    origins: {
      app: {
        port: ORIGIN_PORT,
        answer: (_arrival, count) => (count % 2 === 0 ? { status: 503, headers: { 'retry-after': '1' } } : {}),
      },
    },
    config: reverseProxy({
      routes: [
        via('/', {
          cluster: 'app',
          retry_policy: {
            retry_on: '5xx',
            retry_back_off: { base_interval: '0.001s', max_interval: '0.01s' },
            rate_limited_retry_back_off: {
              reset_headers: [{ name: 'Retry-After', format: 'SECONDS' }],
              max_interval: '3s',
            },
          },
        }),
      ],
    }),
    steps: [{ raw: get('/') }],
    counters: ['cluster.app.upstream_rq_retry'],
  },
]
