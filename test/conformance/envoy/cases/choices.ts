/** Subsets, checks and ejections in their less usual forms; what route tables say for all their routes. */
import {
  bootstrap,
  type Case,
  cluster,
  endpoint,
  get,
  http,
  type HttpOptions,
  type Json,
  listener,
  ORIGIN_PORT,
  type Origin,
  type Places,
  type Reply,
  reverseProxy,
  type Step,
} from '../case.ts'

const CLUSTER = 'envoy.config.cluster.v3'
const CORE = 'envoy.config.core.v3'
const ROUTE = 'envoy.config.route.v3'
const HCM = 'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager'

const NAMES = ['a', 'b', 'c']
const naming = (name: string, status = 200): Origin => ({
  port: ORIGIN_PORT + NAMES.indexOf(name),
  answer: () => ({ status, headers: { 'x-origin': name } }),
})
const ORIGINS: Readonly<Record<string, Origin>> = Object.fromEntries(NAMES.map((name) => [name, naming(name)]))
const originOf = (reply: Reply): string => reply.headers.find(([name]) => name === 'x-origin')?.[1] ?? `${reply.status}`
const shared = (times: number, within: number, path = '/'): Step => ({
  times,
  step: { raw: get(path) },
  shares: { by: originOf, within },
})

const at = (places: Places, name: string, lb: Json = {}): Json =>
  endpoint(places, ORIGIN_PORT + NAMES.indexOf(name), { metadata: { filter_metadata: { 'envoy.lb': lb } } })

interface Setup extends HttpOptions {
  readonly endpoints?: (places: Places) => readonly Json[]
  readonly more?: Json
}

const to =
  ({ endpoints = (places) => NAMES.map((name) => at(places, name)), more = {}, ...options }: Setup) =>
  (places: Places): Json =>
    bootstrap(
      [listener(places, [{ filters: [http(options)] }])],
      [
        cluster(places, 'app', ORIGIN_PORT, {
          load_assignment: { cluster_name: 'app', endpoints: [{ lb_endpoints: endpoints(places) }] },
          ...more,
        }),
      ],
    )

const wanting = (path: string, lb: Json): Json => ({
  match: { prefix: path },
  route: { cluster: 'app', metadata_match: { filter_metadata: { 'envoy.lb': lb } } },
})

const byVersion = (places: Places): readonly Json[] => [
  at(places, 'a', { version: '1', stage: 'prod' }),
  at(places, 'b', { version: '2', stage: 'prod' }),
  at(places, 'c', { version: ['3', '4'], stage: 'test' }),
]
const subsets = (config: Json): Json => ({ lb_subset_config: config })
const checked = (check: Json): Json => ({
  health_checks: [{ timeout: '1s', interval: '60s', healthy_threshold: 1, unhealthy_threshold: 1, ...check }],
})
const twice = (places: Places): readonly Json[] => ['a', 'b'].map((name) => at(places, name))
const keyed = (places: Places): readonly Json[] => NAMES.map((name) => at(places, name, { hash_key: name }))
const host = (name: string): string => `GET / HTTP/1.1\r\nhost: ${name}\r\n\r\n`
const setting = (name: string, value: string): Json => ({
  header: { key: name, value },
  append_action: 'OVERWRITE_IF_EXISTS_OR_ADD',
})
const answered = (text: string): Json => ({ direct_response: { status: 200, body: { inline_string: text } } })

export const CASES: readonly Case[] = [
  {
    name: 'subsets, and the default one for what names none',
    covers: [
      `${CLUSTER}.Cluster.LbSubsetConfig.fallback_policy`,
      `${CLUSTER}.Cluster.LbSubsetConfig.default_subset`,
      `${CLUSTER}.Cluster.LbSubsetConfig.LbSubsetSelector.keys`,
    ],
    origins: ORIGINS,
    config: to({
      endpoints: byVersion,
      more: subsets({
        fallback_policy: 'DEFAULT_SUBSET',
        default_subset: { version: '1' },
        subset_selectors: [{ keys: ['version'] }],
      }),
      routes: [
        wanting('/two', { version: '2' }),
        wanting('/nine', { version: '9' }),
        { match: { prefix: '/' }, route: { cluster: 'app' } },
      ],
    }),
    steps: [shared(4, 0, '/two'), shared(4, 0, '/nine'), shared(4, 0)],
  },
  {
    name: 'subsets: a list counts as any of its items, and a selector falls back by itself',
    covers: [
      `${CLUSTER}.Cluster.LbSubsetConfig.list_as_any`,
      `${CLUSTER}.Cluster.LbSubsetConfig.LbSubsetSelector.fallback_policy`,
      `${CLUSTER}.Cluster.LbSubsetConfig.LbSubsetSelector.fallback_keys_subset`,
    ],
    origins: ORIGINS,
    config: to({
      endpoints: byVersion,
      more: subsets({
        list_as_any: true,
        fallback_policy: 'ANY_ENDPOINT',
        subset_selectors: [
          { keys: ['version'], fallback_policy: 'NO_FALLBACK' },
          { keys: ['stage'], fallback_policy: 'NO_FALLBACK' },
          { keys: ['stage', 'version'], fallback_policy: 'KEYS_SUBSET', fallback_keys_subset: ['stage'] },
        ],
      }),
      routes: [
        wanting('/four', { version: '4' }),
        wanting('/nine', { version: '9' }),
        wanting('/test', { stage: 'test', version: '9' }),
      ],
    }),
    steps: [shared(4, 0, '/four'), shared(2, 0, '/nine'), shared(4, 0, '/test')],
  },
  {
    name: 'a health check with a host, a method and statuses of its own',
    covers: [
      `${CORE}.HealthCheck.HttpHealthCheck.host`,
      `${CORE}.HealthCheck.HttpHealthCheck.method`,
      `${CORE}.HealthCheck.HttpHealthCheck.expected_statuses`,
    ],
    origins: { a: naming('a', 418), b: naming('b', 200) },
    config: to({
      endpoints: twice,
      more: checked({
        http_health_check: {
          path: '/h',
          host: 'check.example',
          method: 'HEAD',
          expected_statuses: [{ start: 418, end: 419 }],
        },
      }),
    }),
    steps: [
      { until: { counter: 'cluster.app.health_check.failure', atLeast: 1 } },
      { until: { counter: 'cluster.app.health_check.success', atLeast: 1 } },
      { raw: get('/') },
    ],
    unordered: true,
  },
  {
    name: 'a health check by connecting',
    covers: [`${CORE}.HealthCheck.tcp_health_check`],
    origins: { a: naming('a') },
    config: to({ endpoints: twice, more: checked({ tcp_health_check: {} }) }),
    steps: [
      { until: { counter: 'cluster.app.health_check.failure', atLeast: 1 } },
      { until: { counter: 'cluster.app.health_check.success', atLeast: 1 } },
      shared(4, 0),
    ],
  },
  {
    name: 'retries by a budget of nothing',
    covers: [
      `${CLUSTER}.CircuitBreakers.Thresholds.retry_budget`,
      `${CLUSTER}.CircuitBreakers.Thresholds.RetryBudget.budget_percent`,
      `${CLUSTER}.CircuitBreakers.Thresholds.RetryBudget.min_retry_concurrency`,
    ],
    origins: { a: naming('a', 503) },
    config: to({
      endpoints: (places) => [at(places, 'a')],
      more: {
        circuit_breakers: {
          thresholds: [{ retry_budget: { budget_percent: { value: 0 }, min_retry_concurrency: 0 } }],
        },
      },
      routes: [
        { match: { prefix: '/' }, route: { cluster: 'app', retry_policy: { retry_on: '5xx', num_retries: 2 } } },
      ],
    }),
    steps: [{ raw: get('/') }],
    counters: ['cluster.app.upstream_rq_retry'],
  },
  {
    name: 'a ring by the client’s address',
    covers: [
      `${ROUTE}.RouteAction.HashPolicy.connection_properties`,
      `${ROUTE}.RouteAction.HashPolicy.ConnectionProperties.source_ip`,
      `${CLUSTER}.Cluster.RingHashLbConfig.maximum_ring_size`,
      `${CLUSTER}.Cluster.RingHashLbConfig.hash_function`,
    ],
    origins: ORIGINS,
    config: to({
      endpoints: keyed,
      more: { lb_policy: 'RING_HASH', ring_hash_lb_config: { maximum_ring_size: 2_048, hash_function: 'XX_HASH' } },
      routes: [
        {
          match: { prefix: '/' },
          route: { cluster: 'app', hash_policy: [{ connection_properties: { source_ip: true } }] },
        },
      ],
    }),
    steps: ['127.1.1.1', '127.1.1.2', '127.1.1.3', '127.1.1.4', '127.1.1.5'].map((from) => ({ raw: get('/'), from })),
  },
  {
    name: 'hosts without the port that the client wrote',
    covers: [`${ROUTE}.RouteConfiguration.ignore_port_in_host_matching`],
    config: reverseProxy({
      hosts: [{ name: 'shop', domains: ['shop.example'], routes: [{ match: { prefix: '/' }, ...answered('shop') }] }],
      table: { ignore_port_in_host_matching: true },
    }),
    steps: [{ raw: host('shop.example:8080') }, { raw: host('other.example') }],
  },
  {
    name: 'header changes from the outside in',
    covers: [
      `${ROUTE}.RouteConfiguration.most_specific_header_mutations_wins`,
      `${ROUTE}.WeightedCluster.ClusterWeight.request_headers_to_remove`,
      `${ROUTE}.WeightedCluster.ClusterWeight.response_headers_to_remove`,
    ],
    origins: { app: { port: ORIGIN_PORT, answer: () => ({ headers: { 'x-secret': '1' } }) } },
    config: reverseProxy({
      table: {
        most_specific_header_mutations_wins: true,
        request_headers_to_add: [setting('x-level', 'table')],
      },
      routes: [
        {
          match: { prefix: '/' },
          request_headers_to_add: [setting('x-level', 'route')],
          route: {
            weighted_clusters: {
              clusters: [
                {
                  name: 'app',
                  weight: 1,
                  request_headers_to_remove: ['x-mine'],
                  response_headers_to_remove: ['x-secret'],
                },
              ],
            },
          },
        },
      ],
    }),
    steps: [{ raw: get('/', 'x-mine: 1') }],
  },
  {
    name: 'headers in the older words',
    covers: ['exact_match', 'prefix_match', 'suffix_match', 'contains_match', 'safe_regex_match'].map(
      (field) => `${ROUTE}.HeaderMatcher.${field}`,
    ),
    config: reverseProxy({
      routes: [
        { match: { prefix: '/', headers: [{ name: 'x', exact_match: 'exact' }] }, ...answered('exact') },
        { match: { prefix: '/', headers: [{ name: 'x', prefix_match: 'pre' }] }, ...answered('prefix') },
        { match: { prefix: '/', headers: [{ name: 'x', suffix_match: 'fix' }] }, ...answered('suffix') },
        { match: { prefix: '/', headers: [{ name: 'x', contains_match: 'tain' }] }, ...answered('contains') },
        {
          match: { prefix: '/', headers: [{ name: 'x', safe_regex_match: { regex: 'r[0-9]+' } }] },
          ...answered('regex'),
        },
      ],
    }),
    steps: ['exact', 'prelude', 'suffix', 'contains', 'r12', 'none'].map((value) => ({ raw: get('/', `x: ${value}`) })),
  },
  {
    name: 'windows of HTTP/2',
    covers: [
      `${CORE}.Http2ProtocolOptions.initial_stream_window_size`,
      `${CORE}.Http2ProtocolOptions.initial_connection_window_size`,
      `${HCM}.http2_protocol_options`,
    ],
    config: reverseProxy({
      manager: {
        http2_protocol_options: { initial_stream_window_size: 65_536, initial_connection_window_size: 131_072 },
      },
    }),
    steps: [{ h2: { ':method': 'POST', ':path': '/', ':authority': 'shop.example' }, body: 'x'.repeat(300_000) }],
  },
]
