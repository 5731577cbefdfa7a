/** Fields of messages that many others are made of: texts and where they come from, shares, forms of a header. */
import {
  bootstrap,
  type Case,
  cluster,
  ENVIRONMENT,
  get,
  http,
  type Json,
  listener,
  ORIGIN_PORT,
  reverseProxy,
  toApp,
  typed,
} from '../case.ts'

const CORE = 'envoy.config.core.v3'
const ROUTE = 'envoy.config.route.v3'
const [VARIABLE] = Object.keys(ENVIRONMENT)

const passwords = (users: Json): Json => ({
  name: 'envoy.filters.http.basic_auth',
  typed_config: typed('filters.http.basic_auth.v3.BasicAuth', { users }),
})
const asAnn = { raw: get('/', `authorization: Basic ${Buffer.from('ann:secret').toString('base64')}`) }
const added = (options: Json): Json => ({ ...toApp, request_headers_to_add: [options] })
const aborting = (percentage: Json): Json => ({
  name: 'envoy.filters.http.fault',
  typed_config: typed('filters.http.fault.v3.HTTPFault', { abort: { http_status: 418, percentage } }),
})
const logging = (name: string, format: Json): Case['config'] => {
  return (places) => {
    const typed_config = typed('access_loggers.file.v3.FileAccessLog', { path: places.file(name), ...format })
    const manager = { access_log: [{ name, typed_config }] }
    return bootstrap([listener(places, [{ filters: [http({ manager })] }])], [cluster(places)])
  }
}

export const CASES: readonly Case[] = [
  {
    name: 'a text from the environment',
    covers: [`${CORE}.DataSource.environment_variable`],
    config: reverseProxy({ filters: [passwords({ environment_variable: VARIABLE })] }),
    steps: [asAnn, { raw: get('/') }],
  },
  {
    name: 'a text in Base64',
    covers: [`${CORE}.DataSource.inline_bytes`],
    config: reverseProxy({
      filters: [passwords({ inline_bytes: Buffer.from(ENVIRONMENT.CONTEST_TEXT).toString('base64') })],
    }),
    steps: [asAnn, { raw: get('/') }],
  },
  {
    name: 'a header added beside the client’s, or in its place, in the older words',
    covers: [`${CORE}.HeaderValueOption.append`],
    config: reverseProxy({ routes: [added({ header: { key: 'x-a', value: 'ours' }, append: false })] }),
    steps: [{ raw: get('/', 'x-a: theirs') }, { raw: get('/') }],
  },
  {
    name: 'a header that is kept though its value came out empty',
    covers: [`${CORE}.HeaderValueOption.keep_empty_value`],
    config: reverseProxy({
      routes: [added({ header: { key: 'x-a', value: '%REQ(x-none)%' }, keep_empty_value: true })],
    }),
    steps: [{ raw: get('/') }],
  },
  {
    name: 'a share of a million',
    covers: ['envoy.type.v3.FractionalPercent.denominator'],
    config: reverseProxy({ filters: [aborting({ numerator: 100, denominator: 'MILLION' })] }),
    steps: [{ times: 10, step: { raw: get('/') }, shares: { by: ({ status }) => `${status}`, within: 0.2 } }],
  },
  {
    name: 'a log format in the older words',
    covers: [`${CORE}.SubstitutionFormatString.text_format`],
    config: logging('text', { log_format: { text_format: '%REQ(:PATH)% %RESPONSE_CODE%\n' } }),
    steps: [{ raw: get('/a') }],
    logs: ['text'],
  },
  {
    name: 'a log format in JSON, in the older words',
    covers: ['envoy.extensions.access_loggers.file.v3.FileAccessLog.json_format'],
    config: logging('json', { json_format: { status: '%RESPONSE_CODE%', path: 'at %REQ(:PATH)%' } }),
    steps: [{ raw: get('/a') }],
    logs: ['json'],
  },
  {
    name: 'a route’s own limit of a stream’s life',
    covers: [`${ROUTE}.RouteAction.MaxStreamDuration.max_stream_duration`],
    origins: { app: { port: ORIGIN_PORT, answer: () => 'never' } },
    config: reverseProxy({
      routes: [
        { match: { prefix: '/' }, route: { cluster: 'app', max_stream_duration: { max_stream_duration: '0.2s' } } },
      ],
    }),
    steps: [{ raw: get('/'), patienceMs: 3_000 }],
    counters: ['http.main.downstream_rq_max_duration_reached'],
  },
  {
    name: 'a copy with the host as it was',
    covers: [`${ROUTE}.RouteAction.RequestMirrorPolicy.disable_shadow_host_suffix_append`],
    origins: { app: { port: ORIGIN_PORT }, copy: { port: 8_081 } },
    config: reverseProxy(
      {
        routes: [
          {
            match: { prefix: '/' },
            route: {
              cluster: 'app',
              request_mirror_policies: [{ cluster: 'copy', disable_shadow_host_suffix_append: true }],
            },
          },
        ],
      },
      (places) => [cluster(places), cluster(places, 'copy', 8_081)],
    ),
    steps: [{ raw: get('/') }, { until: { counter: 'cluster.copy.upstream_rq_200', atLeast: 1 } }],
    unordered: true,
  },
  {
    name: 'a header says at what time to come again',
    covers: [`${ROUTE}.RetryPolicy.ResetHeader.format`],
    origins: {
      app: {
        port: ORIGIN_PORT,
        // In seconds it is longer than any wait that is allowed; as a time it was long ago.
        answer: (_arrival, count) => (count === 1 ? { status: 503, headers: { 'x-again': '86400' } } : {}),
      },
    },
    config: reverseProxy({
      routes: [
        {
          match: { prefix: '/' },
          route: {
            cluster: 'app',
            retry_policy: {
              retry_on: '5xx',
              rate_limited_retry_back_off: {
                reset_headers: [{ name: 'x-again', format: 'UNIX_TIMESTAMP' }],
                max_interval: '100000s',
              },
            },
          },
        },
      ],
    }),
    steps: [{ raw: get('/'), patienceMs: 2_000 }],
    counters: [
      'cluster.app.upstream_rq_retry_backoff_ratelimited',
      'cluster.app.upstream_rq_retry_backoff_exponential',
    ],
    chance: ['x-envoy-expected-rq-timeout-ms'],
  },
]
