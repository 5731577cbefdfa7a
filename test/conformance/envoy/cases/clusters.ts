/** How clusters choose, leave alone and limit: weights, priorities, health, rings, circuit breakers, ejection. */
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
  type Places,
  type Reply,
  type Step,
} from '../case.ts'

const CLUSTER = 'envoy.config.cluster.v3'
const ENDPOINT = 'envoy.config.endpoint.v3'
const CORE = 'envoy.config.core.v3'
const ROUTE = 'envoy.config.route.v3.RouteAction'

const NAMES = ['a', 'b', 'c'] as const
const portOf = (name: string): number => ORIGIN_PORT + NAMES.indexOf(name as 'a')
const naming = (name: string, status = 200): Origin => ({
  port: portOf(name),
  answer: () => ({ status, headers: { 'x-origin': name } }),
})
const ORIGINS: Readonly<Record<string, Origin>> = Object.fromEntries(NAMES.map((name) => [name, naming(name)]))

const originOf = (reply: Reply): string => reply.headers.find(([name]) => name === 'x-origin')?.[1] ?? `${reply.status}`

interface Setup {
  /** Localities, each with its endpoints by name and what they have besides. */
  readonly places: (places: Places) => readonly Json[]
  readonly more?: Json
  readonly route?: Json
  readonly policy?: Json
}

const at = (places: Places, name: string, more: Json = {}): Json => endpoint(places, portOf(name), more)
const keyed = (places: Places, name: string): Json =>
  at(places, name, { metadata: { filter_metadata: { 'envoy.lb': { hash_key: name } } } })

const to =
  ({ places: endpointsOf, more = {}, route = {}, policy }: Setup): ((places: Places) => Json) =>
  (places) => {
    const assignment = { cluster_name: 'app', endpoints: endpointsOf(places), ...(policy !== undefined && { policy }) }
    const routes = [{ match: { prefix: '/' }, route: { cluster: 'app', ...route } }]
    return bootstrap(
      [listener(places, [{ filters: [http({ routes })] }])],
      [cluster(places, 'app', ORIGIN_PORT, { load_assignment: assignment, ...more })],
    )
  }

const shared = (times: number, within: number): Step => ({
  times,
  step: { raw: get('/') },
  shares: { by: originOf, within },
})
/** Where a round begins is chance. */
const some = (times: number): Step => shared(times, 1)
const all = (places: Places): readonly Json[] => [{ lb_endpoints: NAMES.map((name) => at(places, name)) }]
const allKeyed = (places: Places): readonly Json[] => [{ lb_endpoints: NAMES.map((name) => keyed(places, name)) }]

const hashed = (policies: readonly Json[], more: Json = { lb_policy: 'RING_HASH' }): ((places: Places) => Json) =>
  to({ places: allKeyed, more, route: { hash_policy: policies } })
const keys = ['one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight']

const breakers = (thresholds: Json): Json => ({ circuit_breakers: { thresholds: [thresholds] } })
const thresholds = (field: string): string => `${CLUSTER}.CircuitBreakers.Thresholds.${field}`
const failing = { a: naming('a', 503), b: naming('b') }

export const CASES: readonly Case[] = [
  {
    name: 'round robin by weight',
    covers: [`${ENDPOINT}.LbEndpoint.load_balancing_weight`, `${CLUSTER}.Cluster.lb_policy`],
    origins: ORIGINS,
    config: to({
      places: (places) => [
        {
          lb_endpoints: [at(places, 'a', { load_balancing_weight: 3 }), at(places, 'b', { load_balancing_weight: 1 })],
        },
      ],
    }),
    steps: [shared(40, 0.05)],
  },
  {
    name: 'least request and random spread',
    covers: [`${CLUSTER}.Cluster.least_request_lb_config`, `${CLUSTER}.Cluster.LeastRequestLbConfig.choice_count`],
    origins: ORIGINS,
    config: to({
      places: all,
      more: { lb_policy: 'LEAST_REQUEST', least_request_lb_config: { choice_count: 3 } },
    }),
    steps: [shared(60, 0.35)],
  },
  {
    name: 'endpoints that are said to be ill get nothing',
    covers: [`${ENDPOINT}.LbEndpoint.health_status`],
    origins: ORIGINS,
    config: to({
      places: (places) => [
        {
          lb_endpoints: [
            at(places, 'a', { health_status: 'UNHEALTHY' }),
            at(places, 'b'),
            at(places, 'c', { health_status: 'DRAINING' }),
          ],
        },
      ],
      more: { common_lb_config: { healthy_panic_threshold: { value: 0 } } },
    }),
    steps: [shared(12, 0)],
  },
  {
    name: 'in panic health counts nothing',
    covers: [`${CLUSTER}.Cluster.CommonLbConfig.healthy_panic_threshold`, `${CLUSTER}.Cluster.common_lb_config`],
    origins: ORIGINS,
    config: to({
      places: (places) => [
        {
          lb_endpoints: [
            at(places, 'a', { health_status: 'UNHEALTHY' }),
            at(places, 'b', { health_status: 'UNHEALTHY' }),
            at(places, 'c'),
          ],
        },
      ],
      more: { common_lb_config: { healthy_panic_threshold: { value: 60 } } },
    }),
    steps: [shared(60, 0.05)],
  },
  {
    name: 'the next priority serves when the first is ill, in part or whole',
    covers: [
      `${ENDPOINT}.LocalityLbEndpoints.priority`,
      `${ENDPOINT}.ClusterLoadAssignment.policy`,
      `${ENDPOINT}.ClusterLoadAssignment.Policy.overprovisioning_factor`,
    ],
    origins: ORIGINS,
    config: to({
      places: (places) => [
        { lb_endpoints: [at(places, 'a'), at(places, 'b', { health_status: 'UNHEALTHY' })] },
        { lb_endpoints: [at(places, 'c')], priority: 1 },
      ],
      policy: { overprovisioning_factor: 100 },
    }),
    steps: [shared(100, 0.3)],
  },
  {
    name: 'localities by weight',
    covers: [
      `${ENDPOINT}.LocalityLbEndpoints.load_balancing_weight`,
      `${ENDPOINT}.LocalityLbEndpoints.locality`,
      `${CORE}.Locality.zone`,
      `${CLUSTER}.Cluster.CommonLbConfig.locality_weighted_lb_config`,
    ],
    origins: ORIGINS,
    config: to({
      places: (places) => [
        { locality: { zone: 'x' }, lb_endpoints: [at(places, 'a')], load_balancing_weight: 4 },
        { locality: { zone: 'y' }, lb_endpoints: [at(places, 'b'), at(places, 'c')], load_balancing_weight: 1 },
      ],
      more: { common_lb_config: { locality_weighted_lb_config: {} } },
    }),
    steps: [shared(50, 0.06)],
  },
  {
    name: 'a ring by header',
    covers: [
      `${ROUTE}.hash_policy`,
      `${ROUTE}.HashPolicy.header`,
      `${ROUTE}.HashPolicy.Header.header_name`,
      `${CLUSTER}.Cluster.ring_hash_lb_config`,
      `${CLUSTER}.Cluster.RingHashLbConfig.minimum_ring_size`,
    ],
    origins: ORIGINS,
    config: hashed([{ header: { header_name: 'x-key' } }], {
      lb_policy: 'RING_HASH',
      ring_hash_lb_config: { minimum_ring_size: 64 },
    }),
    steps: keys.map((key) => ({ raw: get('/', `x-key: ${key}`) })),
  },
  {
    name: 'a table by cookie, else by query',
    covers: [
      `${ROUTE}.HashPolicy.cookie`,
      `${ROUTE}.HashPolicy.Cookie.name`,
      `${ROUTE}.HashPolicy.query_parameter`,
      `${ROUTE}.HashPolicy.QueryParameter.name`,
      `${ROUTE}.HashPolicy.terminal`,
      `${CLUSTER}.Cluster.maglev_lb_config`,
      `${CLUSTER}.Cluster.MaglevLbConfig.table_size`,
    ],
    origins: ORIGINS,
    config: hashed([{ cookie: { name: 'k' }, terminal: true }, { query_parameter: { name: 'q' } }], {
      lb_policy: 'MAGLEV',
      maglev_lb_config: { table_size: 251 },
    }),
    steps: keys.flatMap((key) => [{ raw: get('/?q=fixed', `cookie: k=${key}`) }, { raw: get(`/?q=${key}`) }]),
  },
  {
    name: 'no more than so many requests',
    covers: [
      `${CLUSTER}.Cluster.circuit_breakers`,
      `${CLUSTER}.CircuitBreakers.thresholds`,
      thresholds('max_requests'),
    ],
    config: (places) =>
      bootstrap(
        [listener(places, [{ filters: [http()] }])],
        [cluster(places, 'app', ORIGIN_PORT, breakers({ max_requests: 0 }))],
      ),
    steps: [{ raw: get('/') }],
  },
  {
    name: 'nobody may wait for a connection',
    covers: [thresholds('max_pending_requests')],
    config: (places) =>
      bootstrap(
        [listener(places, [{ filters: [http()] }])],
        [cluster(places, 'app', ORIGIN_PORT, breakers({ max_pending_requests: 0 }))],
      ),
    steps: [{ raw: get('/') }],
    counters: ['cluster.app.upstream_rq_pending_overflow'],
  },
  {
    name: 'no more than so many retries',
    covers: [thresholds('max_retries')],
    origins: { a: naming('a', 503) },
    config: to({
      places: (places) => [{ lb_endpoints: [at(places, 'a')] }],
      more: breakers({ max_retries: 0 }),
      route: { retry_policy: { retry_on: '5xx', num_retries: 2 } },
    }),
    steps: [{ raw: get('/') }],
    counters: ['cluster.app.upstream_rq_retry', 'cluster.app.upstream_rq_retry_overflow'],
  },
  {
    name: 'limits of high priority are others',
    covers: [thresholds('priority'), `${ROUTE}.priority`],
    config: (places) =>
      bootstrap(
        [
          listener(places, [
            {
              filters: [
                http({
                  routes: [
                    { match: { prefix: '/high' }, route: { cluster: 'app', priority: 'HIGH' } },
                    { match: { prefix: '/' }, route: { cluster: 'app' } },
                  ],
                }),
              ],
            },
          ]),
        ],
        [cluster(places, 'app', ORIGIN_PORT, breakers({ priority: 'HIGH', max_requests: 0 }))],
      ),
    steps: [{ raw: get('/high') }, { raw: get('/') }],
  },
  {
    name: 'five hundreds in a row eject',
    covers: [
      `${CLUSTER}.Cluster.outlier_detection`,
      `${CLUSTER}.OutlierDetection.consecutive_5xx`,
      `${CLUSTER}.OutlierDetection.max_ejection_percent`,
      `${CLUSTER}.OutlierDetection.base_ejection_time`,
    ],
    origins: failing,
    config: to({
      places: (places) => [{ lb_endpoints: [at(places, 'a'), at(places, 'b')] }],
      more: { outlier_detection: { consecutive_5xx: 2, max_ejection_percent: 100, base_ejection_time: '60s' } },
    }),
    steps: [
      some(4),
      { until: { counter: 'cluster.app.outlier_detection.ejections_active', atLeast: 1 } },
      shared(8, 0),
    ],
    counters: ['cluster.app.outlier_detection.ejections_enforced_consecutive_5xx'],
  },
  {
    name: 'gateway errors in a row eject',
    covers: [
      `${CLUSTER}.OutlierDetection.consecutive_gateway_failure`,
      `${CLUSTER}.OutlierDetection.enforcing_consecutive_gateway_failure`,
      `${CLUSTER}.OutlierDetection.enforcing_consecutive_5xx`,
    ],
    origins: failing,
    config: to({
      places: (places) => [{ lb_endpoints: [at(places, 'a'), at(places, 'b')] }],
      more: {
        outlier_detection: {
          consecutive_gateway_failure: 2,
          enforcing_consecutive_gateway_failure: 100,
          enforcing_consecutive_5xx: 0,
          max_ejection_percent: 100,
        },
      },
    }),
    steps: [
      some(4),
      { until: { counter: 'cluster.app.outlier_detection.ejections_active', atLeast: 1 } },
      shared(8, 0),
    ],
  },
  {
    name: 'a health check over HTTP',
    covers: [
      `${CLUSTER}.Cluster.health_checks`,
      `${CORE}.HealthCheck.http_health_check`,
      `${CORE}.HealthCheck.HttpHealthCheck.path`,
      `${CORE}.HealthCheck.interval`,
      `${CORE}.HealthCheck.timeout`,
      `${CORE}.HealthCheck.healthy_threshold`,
      `${CORE}.HealthCheck.unhealthy_threshold`,
    ],
    origins: failing,
    config: to({
      places: (places) => [{ lb_endpoints: [at(places, 'a'), at(places, 'b')] }],
      more: {
        health_checks: [
          {
            timeout: '1s',
            interval: '60s',
            healthy_threshold: 1,
            unhealthy_threshold: 1,
            http_health_check: { path: '/health' },
          },
        ],
      },
    }),
    steps: [{ until: { counter: 'cluster.app.health_check.failure', atLeast: 1 } }, shared(8, 0)],
    unordered: true,
  },
  {
    name: 'a copy of every request',
    covers: [
      `${ROUTE}.request_mirror_policies`,
      `${ROUTE}.RequestMirrorPolicy.cluster`,
      `${ROUTE}.RequestMirrorPolicy.runtime_fraction`,
    ],
    origins: { app: { port: ORIGIN_PORT }, copy: { port: ORIGIN_PORT + 1 } },
    config: (places) =>
      bootstrap(
        [
          listener(places, [
            {
              filters: [
                http({
                  routes: [
                    {
                      match: { prefix: '/' },
                      route: {
                        cluster: 'app',
                        request_mirror_policies: [
                          { cluster: 'copy', runtime_fraction: { default_value: { numerator: 100 } } },
                        ],
                      },
                    },
                  ],
                }),
              ],
            },
          ]),
        ],
        [cluster(places), cluster(places, 'copy', ORIGIN_PORT + 1)],
      ),
    steps: [{ raw: get('/') }, { until: { counter: 'cluster.copy.upstream_rq_200', atLeast: 1 } }],
    // The machine's own address.
    chance: ['x-forwarded-for'],
    unordered: true,
  },
  {
    name: 'a stream of a route without a byte',
    covers: [`${ROUTE}.idle_timeout`],
    config: to({ places: (places) => [{ lb_endpoints: [at(places, 'a')] }], route: { idle_timeout: '0.3s' } }),
    origins: ORIGINS,
    steps: [{ raw: 'POST / HTTP/1.1\r\nhost: shop.example\r\ncontent-length: 5\r\n\r\nhel', answers: 'close' }],
  },
]
