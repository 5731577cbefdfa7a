/** When health checks are made, and what counts as an answer. */
import {
  bootstrap,
  type Case,
  cluster,
  endpoint,
  get,
  http,
  type Json,
  listener,
  ORIGIN_PORT,
  type Origin,
  typed,
} from '../case.ts'

const CHECK = 'envoy.config.core.v3.HealthCheck'
const ATTEMPTS = 'cluster.app.health_check.attempt'
/** Longer than any test. */
const NEVER = '3600s'

const checked =
  (check: Json, more: Json = {}): Case['config'] =>
  (places) =>
    bootstrap(
      [listener(places, [{ filters: [http()] }])],
      [
        cluster(places, 'app', ORIGIN_PORT, {
          common_lb_config: { healthy_panic_threshold: { value: 0 } },
          health_checks: [
            {
              timeout: '1s',
              interval: NEVER,
              no_traffic_interval: NEVER,
              healthy_threshold: 1,
              unhealthy_threshold: 1,
              http_health_check: { path: '/health' },
              ...check,
            },
          ],
          ...more,
        }),
      ],
    )

/** Answers checks by how many there were; what came is not recorded, for that is a matter of time. */
const app = (health: (count: number) => number): NonNullable<Case['origins']> => {
  let checks = 0
  return {
    app: {
      port: ORIGIN_PORT,
      answer: ({ line }) => (line.includes('/health') ? { status: health(++checks) } : {}),
    },
  }
}
const until = (atLeast: number): Case['steps'][number] => ({ until: { counter: ATTEMPTS, atLeast } })
const request = { raw: get('/') }
const pause = { tcp: '', patienceMs: 900 } as const
const field = (name: string): readonly string[] => [`${CHECK}.${name}`]

/** Each run has counts of its own. */
const counted = (contest: Omit<Case, 'origins'>, health: (count: number) => number): Case => ({
  ...contest,
  get origins() {
    return app(health)
  },
  silent: true,
})

const HTTP2: Json = {
  typed_extension_protocol_options: {
    'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': typed('upstreams.http.v3.HttpProtocolOptions', {
      explicit_http_config: { http2_protocol_options: {} },
    }),
  },
}
const grpc: Origin = {
  port: ORIGIN_PORT,
  protocol: 'http2',
  without: ['user-agent', 'x-envoy-internal', 'x-forwarded-for', 'x-envoy-expected-rq-timeout-ms', 'grpc-timeout'],
  answer: ({ line }) =>
    line.includes('grpc.health')
      ? {
          headers: { 'content-type': 'application/grpc' },
          body: '\0\0\0\0\x02\x08\x01',
          trailers: { 'grpc-status': '0' },
        }
      : {},
}

export const CASES: readonly Case[] = [
  counted(
    {
      name: 'how often without traffic',
      covers: field('no_traffic_interval'),
      config: checked({ no_traffic_interval: '0.1s' }),
      steps: [until(4)],
    },
    () => 200,
  ),
  counted(
    {
      name: 'how often without traffic, while all is well',
      covers: field('no_traffic_healthy_interval'),
      config: checked({ no_traffic_healthy_interval: '0.1s' }),
      steps: [until(4)],
    },
    () => 200,
  ),
  counted(
    {
      name: 'how often while all is well',
      covers: field('interval'),
      config: checked({ interval: '0.1s', no_traffic_interval: '0.1s' }),
      steps: [request, until(4)],
    },
    () => 200,
  ),
  counted(
    {
      name: 'how often while an endpoint is ill',
      covers: field('unhealthy_interval'),
      config: checked({ unhealthy_interval: '0.1s', no_traffic_interval: '0.3s' }),
      steps: [request, until(12)],
    },
    (count) => (count > 1 ? 503 : 200),
  ),
  counted(
    {
      name: 'how often on the way down',
      covers: field('unhealthy_edge_interval'),
      config: checked({
        http_health_check: { path: '/health', retriable_statuses: [{ start: 503, end: 504 }] },
        unhealthy_threshold: 1_000,
        unhealthy_edge_interval: '0.1s',
        no_traffic_interval: '0.3s',
      }),
      steps: [request, until(8)],
    },
    (count) => (count > 1 ? 503 : 200),
  ),
  counted(
    {
      name: 'how often on the way up',
      covers: field('healthy_edge_interval'),
      config: checked({
        healthy_threshold: 1_000,
        healthy_edge_interval: '0.1s',
        no_traffic_interval: '0.2s',
        unhealthy_interval: '0.2s',
      }),
      steps: [request, until(3), request, until(8)],
    },
    (count) => (count === 2 ? 503 : 200),
  ),
  counted(
    {
      name: 'a random time beside the interval',
      covers: field('interval_jitter'),
      config: checked({ no_traffic_interval: '0.1s', interval_jitter: NEVER }),
      steps: [until(1), pause],
      counters: [ATTEMPTS],
    },
    () => 200,
  ),
  counted(
    {
      name: 'a random time in proportion to the interval',
      covers: field('interval_jitter_percent'),
      config: checked({ no_traffic_interval: '0.1s', interval_jitter_percent: 3_600_000 }),
      steps: [until(1), pause],
      counters: [ATTEMPTS],
    },
    () => 200,
  ),
  counted(
    {
      name: 'an answer that counts but does not condemn',
      covers: [`${CHECK}.HttpHealthCheck.retriable_statuses`],
      config: checked({
        no_traffic_interval: '0.1s',
        http_health_check: { path: '/health', retriable_statuses: [{ start: 503, end: 504 }] },
        unhealthy_threshold: 1_000,
      }),
      steps: [until(4), request],
    },
    (count) => (count > 1 ? 503 : 200),
  ),
  {
    name: 'a check over gRPC, by service and authority',
    covers: [
      `${CHECK}.grpc_health_check`,
      `${CHECK}.GrpcHealthCheck.service_name`,
      `${CHECK}.GrpcHealthCheck.authority`,
    ],
    origins: { app: grpc },
    config: (places) => {
      const health_checks = [
        {
          timeout: '1s',
          interval: NEVER,
          no_traffic_interval: NEVER,
          healthy_threshold: 1,
          unhealthy_threshold: 1,
          grpc_health_check: { service_name: 'shop.Cart', authority: 'check.example' },
        },
      ]
      const load_assignment = {
        cluster_name: 'app',
        endpoints: [{ lb_endpoints: [endpoint(places, ORIGIN_PORT)] }],
      }
      return bootstrap(
        [listener(places, [{ filters: [http()] }])],
        [cluster(places, 'app', ORIGIN_PORT, { ...HTTP2, load_assignment, health_checks })],
      )
    },
    steps: [until(1), request],
    counters: [ATTEMPTS, 'cluster.app.health_check.success', 'cluster.app.membership_healthy'],
  },
]
