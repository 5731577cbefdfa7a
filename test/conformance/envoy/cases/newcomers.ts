/** Endpoints that came late, and those that others are preferred to. */
import {
  assignment,
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
  type Places,
  type Reply,
  typed,
} from '../case.ts'
import type { Arrival } from '../origin.ts'

const CLUSTER = 'envoy.config.cluster.v3'
const DOUBLE = 'envoy.config.core.v3.RuntimeDouble'
const B_PORT = 8_081
const originOf = (reply: Reply): string => reply.headers.find(([name]) => name === 'x-origin')?.[1] ?? `${reply.status}`
const shares = (times: number, within: number): Case['steps'][number] => ({
  times,
  step: { raw: get('/') },
  shares: { by: originOf, within },
})
const named = (name: string, port: number, afterMs?: number): Origin => ({
  port,
  answer: () => ({ headers: { 'x-origin': name }, ...(afterMs !== undefined && { afterMs }) }),
})

/** `b` is ill until it has been asked so many times: then `a` has been there for long. */
const late = (contest: Omit<Case, 'origins' | 'steps'>): Case => ({
  ...contest,
  get origins() {
    let checks = 0
    return {
      a: named('a', ORIGIN_PORT),
      b: {
        port: B_PORT,
        answer: ({ line }: Arrival) => {
          if (line.includes('/health')) return { status: ++checks > 28 ? 200 : 503 }
          return { headers: { 'x-origin': 'b' } }
        },
      },
    }
  },
  steps: [{ until: { counter: 'cluster.app.membership_healthy', atLeast: 2 } }, shares(60, 0.17)],
  silent: true,
})

const warming =
  (more: Json): Case['config'] =>
  (places: Places) =>
    bootstrap(
      [listener(places, [{ filters: [http()] }])],
      [
        cluster(places, 'app', ORIGIN_PORT, {
          load_assignment: assignment('app', [endpoint(places, ORIGIN_PORT), endpoint(places, B_PORT)]),
          common_lb_config: { healthy_panic_threshold: { value: 0 } },
          health_checks: [
            {
              timeout: '1s',
              interval: '0.25s',
              no_traffic_interval: '0.25s',
              healthy_threshold: 1,
              unhealthy_threshold: 1,
              http_health_check: { path: '/health' },
            },
          ],
          ...more,
        }),
      ],
    )

export const CASES: readonly Case[] = [
  late({
    name: 'a newcomer gets little at first, taken in turn',
    covers: [
      `${CLUSTER}.Cluster.round_robin_lb_config`,
      `${CLUSTER}.Cluster.RoundRobinLbConfig.slow_start_config`,
      `${CLUSTER}.Cluster.SlowStartConfig.slow_start_window`,
    ],
    config: warming({ round_robin_lb_config: { slow_start_config: { slow_start_window: '6s' } } }),
  }),
  late({
    name: 'a newcomer gets a least share',
    covers: [`${CLUSTER}.Cluster.SlowStartConfig.min_weight_percent`],
    config: warming({
      round_robin_lb_config: {
        slow_start_config: { slow_start_window: '6s', min_weight_percent: { value: 100 } },
      },
    }),
  }),
  late({
    name: 'a newcomer’s share grows fast',
    covers: [`${CLUSTER}.Cluster.SlowStartConfig.aggression`, `${DOUBLE}.default_value`],
    config: warming({
      round_robin_lb_config: {
        slow_start_config: {
          slow_start_window: '6s',
          aggression: { default_value: 100 },
        },
      },
    }),
  }),
  late({
    name: 'a newcomer gets little at first, by least requests',
    covers: [`${CLUSTER}.Cluster.LeastRequestLbConfig.slow_start_config`],
    config: warming({
      lb_policy: 'LEAST_REQUEST',
      least_request_lb_config: { slow_start_config: { slow_start_window: '6s' } },
    }),
  }),
  {
    name: 'connections to one endpoint',
    covers: [`${CLUSTER}.CircuitBreakers.per_host_thresholds`, `${CLUSTER}.CircuitBreakers.Thresholds.max_connections`],
    origins: { app: named('app', ORIGIN_PORT, 400) },
    config: (places) =>
      bootstrap(
        [listener(places, [{ filters: [http()] }])],
        [cluster(places, 'app', ORIGIN_PORT, { circuit_breakers: { per_host_thresholds: [{ max_connections: 1 }] } })],
      ),
    steps: [{ together: [{ raw: get('/') }, { raw: get('/') }] }],
    counters: ['cluster.app.upstream_cx_total', 'cluster.app.upstream_rq_200'],
  },
  {
    name: 'subsets that mind the weight of their localities',
    covers: [`${CLUSTER}.Cluster.LbSubsetConfig.locality_weight_aware`],
    origins: { a: named('a', ORIGIN_PORT), b: named('b', B_PORT) },
    config: (places) => {
      const at = (port: number): Json =>
        endpoint(places, port, { metadata: { filter_metadata: { 'envoy.lb': { version: '1' } } } })
      const metadata_match = { filter_metadata: { 'envoy.lb': { version: '1' } } }
      const routes = [{ match: { prefix: '/' }, route: { cluster: 'app', metadata_match } }]
      return bootstrap(
        [listener(places, [{ filters: [http({ routes })] }])],
        [
          cluster(places, 'app', ORIGIN_PORT, {
            common_lb_config: { locality_weighted_lb_config: {} },
            lb_subset_config: { subset_selectors: [{ keys: ['version'] }], locality_weight_aware: true },
            load_assignment: {
              cluster_name: 'app',
              endpoints: [
                { locality: { zone: 'x' }, lb_endpoints: [at(ORIGIN_PORT)], load_balancing_weight: 9 },
                { locality: { zone: 'y' }, lb_endpoints: [at(B_PORT)], load_balancing_weight: 1 },
              ],
            },
          }),
        ],
      )
    },
    steps: [shares(60, 0.12)],
  },
  {
    name: 'a subset of endpoints for a part of TCP connections',
    covers: ['envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.WeightedCluster.ClusterWeight.metadata_match'],
    origins: Object.fromEntries(
      [ORIGIN_PORT, B_PORT].map((port): [string, Origin] => [
        `o${port}`,
        { port, protocol: 'tcp', answer: () => ({ body: `${port}` }) },
      ]),
    ),
    config: (places) => {
      const at = (port: number, stage: string): Json =>
        endpoint(places, port, { metadata: { filter_metadata: { 'envoy.lb': { stage } } } })
      const metadata_match = { filter_metadata: { 'envoy.lb': { stage: 'green' } } }
      const typed_config = typed('filters.network.tcp_proxy.v3.TcpProxy', {
        stat_prefix: 'main',
        weighted_clusters: { clusters: [{ name: 'app', weight: 1, metadata_match }] },
      })
      return bootstrap(
        [listener(places, [{ filters: [{ name: 'tcp', typed_config }] }])],
        [
          cluster(places, 'app', ORIGIN_PORT, {
            lb_subset_config: { subset_selectors: [{ keys: ['stage'] }], fallback_policy: 'ANY_ENDPOINT' },
            load_assignment: assignment('app', [at(ORIGIN_PORT, 'blue'), at(B_PORT, 'green')]),
          }),
        ],
      )
    },
    steps: [
      { tcp: 'one', expect: 4 },
      { tcp: 'two', expect: 4 },
    ],
    unordered: true,
  },
]
