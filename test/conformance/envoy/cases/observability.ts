/** Access logs, header values that name things, and what tracing does to requests. */
import {
  bootstrap,
  type Case,
  cluster,
  get,
  http,
  type Json,
  listener,
  ORIGIN_PORT,
  type Places,
  reverseProxy,
  toApp,
  typed,
} from '../case.ts'

const LOG = 'envoy.config.accesslog.v3'
const FILE = 'envoy.extensions.access_loggers.file.v3.FileAccessLog'
const FORMAT = 'envoy.config.core.v3.SubstitutionFormatString'
const HCM = 'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager'
const COLLECTOR_PORT = 8_090

const fileLog = (places: Places, name: string, fields: Json, more: Json = {}): Json => ({
  name,
  ...more,
  typed_config: typed('access_loggers.file.v3.FileAccessLog', { path: places.file(name), ...fields }),
})
const text = (inline_string: string): Json => ({ log_format: { text_format_source: { inline_string } } })

const ROUTES: readonly Json[] = [
  { name: 'direct', match: { prefix: '/direct' }, direct_response: { status: 418, body: { inline_string: 'teapot' } } },
  { name: 'gone', match: { prefix: '/gone' }, route: { cluster: 'gone' } },
  { name: 'empty', match: { prefix: '/empty' }, route: { cluster: 'empty' } },
  { name: 'rewritten', match: { prefix: '/old' }, route: { cluster: 'app', prefix_rewrite: '/new' } },
  { name: 'redirected', match: { prefix: '/away' }, redirect: { path_redirect: '/x' } },
  { ...toApp, match: { prefix: '/app' }, name: 'to-app' },
]

const logged =
  (logs: (places: Places) => readonly Json[], more: Json = {}): Case['config'] =>
  (places) =>
    bootstrap(
      [
        listener(places, [
          { name: 'ch1', filters: [http({ routes: ROUTES, manager: { access_log: logs(places), ...more } })] },
        ]),
      ],
      [
        cluster(places),
        cluster(places, 'gone', 1),
        cluster(places, 'empty', 1, { load_assignment: { cluster_name: 'empty', endpoints: [] } }),
      ],
    )

const VISITS: Case['steps'] = [
  { raw: get('/app?q=1', 'x-b: hello', 'user-agent: test') },
  { raw: 'POST /old/x HTTP/1.1\r\nhost: shop.example\r\nx-a: first\r\nx-a: second\r\ncontent-length: 5\r\n\r\nhello' },
  { raw: get('/direct') },
  { raw: get('/away') },
  { raw: get('/empty') },
  { raw: get('/nowhere') },
]

const OPERATORS = [
  '%REQ(X-A?X-B):3%',
  '%REQ(NOPE)%',
  '%RESP(:STATUS)%',
  '%TRAILER(NOPE)%',
  '%PROTOCOL%',
  '%RESPONSE_CODE%',
  '%RESPONSE_CODE_DETAILS%',
  '%RESPONSE_FLAGS%',
  '%RESPONSE_FLAGS_LONG%',
  '%BYTES_RECEIVED%',
  '%UPSTREAM_HOST%',
  '%UPSTREAM_CLUSTER%',
  '%UPSTREAM_REMOTE_PORT%',
  '%UPSTREAM_REQUEST_ATTEMPT_COUNT%',
  '%ROUTE_NAME%',
  '%VIRTUAL_CLUSTER_NAME%',
  '%FILTER_CHAIN_NAME%',
  '%DOWNSTREAM_LOCAL_ADDRESS%',
  '%DOWNSTREAM_LOCAL_PORT%',
  '%REQUESTED_SERVER_NAME%',
  '%DOWNSTREAM_TLS_VERSION%',
  '%DYNAMIC_METADATA(some)%',
  '%GRPC_STATUS%',
  '%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%',
  '%REQ(:METHOD)% %REQ(:AUTHORITY)% %REQ(:PATH)%',
  '100%%',
].join('|')

const comparison = (op: string, value: number): Json => ({
  comparison: { op, value: { default_value: value, runtime_key: 'none' } },
})
const FILTERS: Readonly<Record<string, Json>> = {
  errors: { status_code_filter: comparison('GE', 400) },
  teapots: { status_code_filter: comparison('EQ', 418) },
  good: { status_code_filter: comparison('LE', 301) },
  quick: { duration_filter: comparison('LE', 60_000) },
  header: { header_filter: { header: { name: 'x-b', present_match: true } } },
  flags: { response_flag_filter: { flags: ['UH'] } },
  anyflag: { response_flag_filter: {} },
  checks: { not_health_check_filter: {} },
  none: { runtime_filter: { runtime_key: 'none', percent_sampled: { numerator: 0, denominator: 'HUNDRED' } } },
  all: { runtime_filter: { runtime_key: 'none', percent_sampled: { numerator: 100, denominator: 'HUNDRED' } } },
  both: { and_filter: { filters: [{ response_flag_filter: {} }, { status_code_filter: comparison('EQ', 404) }] } },
  either: { or_filter: { filters: [{ response_flag_filter: {} }, { status_code_filter: comparison('EQ', 418) }] } },
}

const otel = (fields: Json = {}): Json => ({
  provider: {
    name: 'envoy.tracers.opentelemetry',
    typed_config: {
      '@type': 'type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig',
      service_name: 'shop',
      http_service: { http_uri: { uri: 'http://otel/v1/traces', cluster: 'otel', timeout: '1s' } },
    },
  },
  ...fields,
})
const traced =
  (tracing: Json): Case['config'] =>
  (places) =>
    bootstrap(
      [listener(places, [{ filters: [http({ manager: { tracing } })] }])],
      [cluster(places), cluster(places, 'otel', COLLECTOR_PORT)],
    )
const COLLECTED: NonNullable<Case['origins']> = {
  app: { port: ORIGIN_PORT },
  otel: {
    port: COLLECTOR_PORT,
    reads: () => '',
    without: ['user-agent', 'x-envoy-internal', 'x-forwarded-for', 'x-envoy-expected-rq-timeout-ms'],
  },
}
const SENT = 'tracing.opentelemetry.spans_sent'
const DECISIONS = ['random_sampling', 'service_forced', 'client_enabled', 'not_traceable'].map(
  (name) => `http.main.tracing.${name}`,
)

const scoped = (scope: string, names: readonly string[]): readonly string[] => names.map((name) => `${scope}.${name}`)

/** An answer comes before the request is whole. */
const HALF_REQUEST = { raw: 'POST /direct HTTP/1.1\r\nhost: shop.example\r\ncontent-length: 50\r\n\r\nhalf' } as const

const COUNTERS: readonly string[] = [
  ...scoped('http.main', [
    'downstream_rq_total',
    'downstream_rq_active',
    'downstream_rq_completed',
    'downstream_rq_http1_total',
    'downstream_rq_http2_total',
    'downstream_rq_2xx',
    'downstream_rq_3xx',
    'downstream_rq_4xx',
    'downstream_rq_5xx',
    'downstream_rq_response_before_rq_complete',
    'downstream_cx_total',
    'downstream_cx_active',
    'downstream_cx_destroy',
    'downstream_cx_http1_total',
    'no_route',
    'no_cluster',
    'rq_total',
    'rq_direct_response',
  ]),
  ...['app', 'empty', 'gone'].flatMap((name) =>
    scoped(`cluster.${name}`, [
      'upstream_rq_total',
      'upstream_rq_active',
      'upstream_rq_completed',
      'upstream_rq_200',
      'upstream_rq_503',
      'upstream_rq_2xx',
      'upstream_rq_5xx',
      'upstream_rq_pending_active',
      'upstream_rq_pending_overflow',
      'upstream_rq_pending_failure_eject',
      'upstream_rq_retry',
      'upstream_rq_timeout',
      'upstream_cx_none_healthy',
      'membership_total',
      'membership_healthy',
      'circuit_breakers.default.rq_open',
    ]),
  ),
  ...scoped('cluster.app', [
    'upstream_cx_total',
    'upstream_cx_active',
    'upstream_cx_http1_total',
    'upstream_rq_pending_total',
  ]),
  'cluster_manager.active_clusters',
  'listener_manager.total_listeners_active',
  'server.live',
]

const RETRY_COUNTERS = [
  ...scoped('cluster.app', [
    'upstream_rq_total',
    'upstream_rq_completed',
    'upstream_rq_503',
    'upstream_rq_200',
    'upstream_rq_retry',
    'upstream_rq_retry_success',
    'upstream_rq_retry_overflow',
    'upstream_rq_retry_limit_exceeded',
    'upstream_rq_retry_backoff_exponential',
  ]),
  'http.main.downstream_rq_5xx',
]

export const CASES: readonly Case[] = [
  {
    name: 'an access log in text, with most of its operators',
    covers: [
      `${HCM}.access_log`,
      `${LOG}.AccessLog.typed_config`,
      `${FILE}.path`,
      `${FILE}.log_format`,
      `${FORMAT}.text_format_source`,
    ],
    config: logged((places) => [fileLog(places, 'text', text(`${OPERATORS}\n`))]),
    steps: VISITS,
    logs: ['text'],
  },
  {
    name: 'an access log in JSON, typed, and one that omits what is empty',
    covers: [`${FORMAT}.json_format`, `${FORMAT}.omit_empty_values`],
    config: logged((places) => {
      const json_format = {
        zz: '%RESPONSE_CODE%',
        b: '%REQ(X-A)%',
        a: { nested: 'x %REQ(X-B)% %BYTES_RECEIVED%', n: 1.5, t: true, l: ['%PROTOCOL%', 2, '%REQ(nope)%'] },
        mixed: '%RESPONSE_CODE%ms',
        none: { inner: '%REQ(nope)%' },
        details: '%RESPONSE_CODE_DETAILS%',
        flags: '%RESPONSE_FLAGS%',
        route: '%ROUTE_NAME%',
        port: '%DOWNSTREAM_LOCAL_PORT%',
        up: '%UPSTREAM_HOST%',
      }
      return [
        fileLog(places, 'json', { log_format: { json_format } }),
        fileLog(places, 'omit', { log_format: { json_format, omit_empty_values: true } }),
      ]
    }),
    steps: VISITS,
    logs: ['json', 'omit'],
  },
  {
    name: 'the older way to write a format',
    covers: [`${FILE}.format`],
    config: logged((places) => [fileLog(places, 'old', { format: '%REQ(:PATH)% %RESPONSE_CODE%\n' })]),
    steps: VISITS,
    logs: ['old'],
  },
  {
    name: 'access log filters',
    covers: [
      'status_code_filter',
      'duration_filter',
      'not_health_check_filter',
      'runtime_filter',
      'and_filter',
      'or_filter',
      'header_filter',
      'response_flag_filter',
    ].map((filter) => `${LOG}.AccessLogFilter.${filter}`),
    config: logged((places) =>
      Object.entries(FILTERS).map(([name, filter]) =>
        fileLog(places, name, text('%REQ(:PATH)% %RESPONSE_CODE%\n'), { filter }),
      ),
    ),
    steps: VISITS,
    logs: Object.keys(FILTERS),
  },
  {
    name: 'a path without its query, by the formatter that is asked for',
    covers: [`${FORMAT}.formatters`],
    config: logged((places) => {
      const formatters = [
        {
          name: 'envoy.formatter.req_without_query',
          typed_config: typed('formatter.req_without_query.v3.ReqWithoutQuery'),
        },
      ]
      const inline_string = '%REQ_WITHOUT_QUERY(X-ENVOY-ORIGINAL-PATH?:PATH)%\n'
      return [fileLog(places, 'path', { log_format: { text_format_source: { inline_string }, formatters } })]
    }),
    steps: VISITS,
    logs: ['path'],
  },
  {
    name: 'gRPC statuses in an access log, and a filter by them',
    covers: [`${LOG}.AccessLogFilter.grpc_status_filter`],
    config: logged((places) => {
      const line = text('%GRPC_STATUS% %GRPC_STATUS(SNAKE_STRING)% %GRPC_STATUS(NUMBER)% %GRPC_STATUS_NUMBER%\n')
      const only = { grpc_status_filter: { statuses: ['UNAVAILABLE'] } }
      const others = { grpc_status_filter: { statuses: ['UNAVAILABLE'], exclude: true } }
      return [
        fileLog(places, 'grpc', line),
        fileLog(places, 'only', line, { filter: only }),
        fileLog(places, 'others', line, { filter: others }),
      ]
    }),
    steps: [
      { raw: get('/empty', 'content-type: application/grpc') },
      { raw: get('/direct', 'content-type: application/grpc') },
    ],
    logs: ['grpc', 'only', 'others'],
  },
  {
    name: 'access logs of a TCP proxy and of a listener',
    covers: [
      'envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.access_log',
      'envoy.config.listener.v3.Listener.access_log',
    ],
    origins: { app: { port: ORIGIN_PORT, protocol: 'tcp', answer: () => ({ bytes: 'pong', close: true }) } },
    config: (places) => {
      const line = '%UPSTREAM_CLUSTER% %UPSTREAM_HOST% %RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %PROTOCOL%\n'
      const proxy = {
        name: 'tcp',
        typed_config: typed('filters.network.tcp_proxy.v3.TcpProxy', {
          stat_prefix: 'pipe',
          cluster: 'app',
          access_log: [fileLog(places, 'tcp', text(line))],
        }),
      }
      const access_log = [fileLog(places, 'listener', text('%DOWNSTREAM_LOCAL_ADDRESS% %REQ(:METHOD)%\n'))]
      return bootstrap([listener(places, [{ filters: [proxy] }], { access_log })], [cluster(places)])
    },
    steps: [{ tcp: 'ping', end: true }],
    logs: ['tcp', 'listener'],
    counters: ['tcp.pipe.downstream_cx_total', 'tcp.pipe.downstream_cx_rx_bytes_total'],
  },
  {
    name: 'header values that name what is known of the request and its answer',
    covers: ['envoy.config.core.v3.HeaderValue.value'],
    config: reverseProxy({
      routes: [
        {
          ...toApp,
          request_headers_to_add: [
            { header: { key: 'x-early', value: '%RESPONSE_CODE%/%BYTES_RECEIVED%/%REQ(nope)%/%UPSTREAM_HOST%' } },
            { header: { key: 'x-asked', value: '%REQ(x-a)% %REQ(:path)% %REQ(:method)% %PROTOCOL% 100%%' } },
            {
              header: { key: 'x-local', value: '%DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%' },
            },
          ],
          response_headers_to_add: [
            { header: { key: 'x-late', value: '%RESPONSE_CODE% %UPSTREAM_HOST% %UPSTREAM_CLUSTER% %RESPONSE_FLAGS%' } },
            { header: { key: 'x-route', value: '%ROUTE_NAME%' } },
          ],
          name: 'named',
        },
      ],
    }),
    steps: [{ raw: get('/p?q', 'x-a: one', 'x-a: two') }, { raw: get('/p', 'x-a: caf\xc3\xa9') }],
  },
  {
    name: 'counters of requests that go well and of those that do not',
    covers: [],
    config: logged(() => []),
    steps: [...VISITS, { raw: get('/gone') }, HALF_REQUEST],
    counters: COUNTERS,
  },
  {
    name: 'counters of retries',
    covers: [],
    origins: { app: { port: ORIGIN_PORT, answer: (_arrival, count) => ({ status: count < 4 ? 503 : 200 }) } },
    config: reverseProxy({
      routes: [
        { match: { prefix: '/' }, route: { cluster: 'app', retry_policy: { retry_on: '5xx', num_retries: 1 } } },
      ],
    }),
    steps: [{ raw: get('/') }, { raw: get('/') }, { raw: get('/') }],
    counters: RETRY_COUNTERS,
    chance: ['x-envoy-expected-rq-timeout-ms'],
  },
  {
    name: 'tracing: spans of requests that are sampled, by the request id',
    covers: [`${HCM}.tracing`, 'envoy.config.trace.v3.OpenTelemetryConfig.http_service'],
    origins: COLLECTED,
    config: traced(otel()),
    steps: [{ times: 5, step: { raw: get('/', 'user-agent: test') } }, { until: { counter: SENT, atLeast: 5 } }],
    unordered: true,
    counters: [SENT, ...DECISIONS],
  },
  {
    name: 'tracing: the decision by id, by client and by share',
    covers: ['client_sampling', 'random_sampling', 'overall_sampling'].map((field) => `${HCM}.Tracing.${field}`),
    origins: COLLECTED,
    config: traced(otel({ random_sampling: { value: 0 }, client_sampling: { value: 100 } })),
    steps: [
      { raw: get('/none') },
      { raw: get('/client', 'x-client-trace-id: c') },
      { raw: get('/forced', 'x-envoy-force-trace: 1') },
      { raw: get('/told', 'traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', 'tracestate: a=1') },
    ],
    unordered: true,
    chance: ['x-client-trace-id'],
    counters: DECISIONS,
  },
]
