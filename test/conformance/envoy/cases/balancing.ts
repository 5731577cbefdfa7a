/**
 * Arithmetic of balancing, compared endpoint by endpoint: the same ring and the same table for the same keys, loads of
 * priorities and localities in part ill, panic over several priorities, ejection by rates and its caps.
 */
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

const NAMES = ['a', 'b', 'c', 'd', 'e'] as const
type Name = (typeof NAMES)[number]

const portOf = (name: Name): number => ORIGIN_PORT + NAMES.indexOf(name)
const naming = (name: Name, status = 200): Origin => ({
  port: portOf(name),
  answer: () => ({ status, headers: { 'x-origin': name } }),
})
const origins = (failing: readonly Name[] = []): Readonly<Record<string, Origin>> =>
  Object.fromEntries(NAMES.map((name) => [name, naming(name, failing.includes(name) ? 500 : 200)]))

const originOf = (reply: Reply): string => reply.headers.find(([name]) => name === 'x-origin')?.[1] ?? `${reply.status}`

/** Named by its key, for addresses differ from run to run. */
const at = (places: Places, name: Name, more: Json = {}): Json =>
  endpoint(places, portOf(name), { metadata: { filter_metadata: { 'envoy.lb': { hash_key: name } } }, ...more })
const ill: Json = { health_status: 'UNHEALTHY' }
const weight = (load: number): Json => ({ load_balancing_weight: load })

interface Setup {
  readonly endpoints: (places: Places) => readonly Json[]
  readonly more: Json
  readonly route?: Json
  readonly policy?: Json
}

const to =
  ({ endpoints, more, route = {}, policy }: Setup): ((places: Places) => Json) =>
  (places) => {
    const assignment = { cluster_name: 'app', endpoints: endpoints(places), ...(policy !== undefined && { policy }) }
    const routes = [{ match: { prefix: '/' }, route: { cluster: 'app', ...route } }]
    return bootstrap(
      [listener(places, [{ filters: [http({ routes })] }])],
      [cluster(places, 'app', ORIGIN_PORT, { load_assignment: assignment, ...more })],
    )
  }

const BY_KEY: Json = { hash_policy: [{ header: { header_name: 'x-key' } }] }

/** Which origin each key leads to is compared by what arrives there. */
const keys = (count: number): Step[] =>
  Array.from({ length: count }, (_, index) => ({ raw: get('/', `x-key: key-${index * 7919}`) }))

const shares = (times: number, within: number): Step => ({
  times,
  step: { raw: get('/') },
  shares: { by: originOf, within },
})

const five =
  (more: Partial<Record<Name, Json>> = {}) =>
  (places: Places): readonly Json[] => [{ lb_endpoints: NAMES.map((name) => at(places, name, more[name])) }]

const WEIGHTS: Partial<Record<Name, Json>> = { a: weight(1), b: weight(2), c: weight(3), d: weight(1), e: weight(5) }

export const CASES: readonly Case[] = [
  {
    name: 'the same ring for the same keys',
    covers: [],
    origins: origins(),
    config: to({ endpoints: five(), more: { lb_policy: 'RING_HASH' }, route: BY_KEY }),
    steps: keys(40),
  },
  {
    name: 'a ring by weight, within its sizes',
    covers: [`${CLUSTER}.Cluster.RingHashLbConfig.maximum_ring_size`],
    origins: origins(),
    config: to({
      endpoints: five(WEIGHTS),
      more: { lb_policy: 'RING_HASH', ring_hash_lb_config: { minimum_ring_size: 16, maximum_ring_size: 24 } },
      route: BY_KEY,
    }),
    steps: keys(40),
  },
  {
    name: 'a ring without its ill endpoints',
    covers: [],
    origins: origins(),
    config: to({ endpoints: five({ b: ill, d: ill }), more: { lb_policy: 'RING_HASH' }, route: BY_KEY }),
    steps: keys(40),
  },
  {
    name: 'the same table for the same keys, by weight',
    covers: [],
    origins: origins(),
    config: to({ endpoints: five(WEIGHTS), more: { lb_policy: 'MAGLEV' }, route: BY_KEY }),
    steps: keys(40),
  },
  {
    name: 'a ring over localities by weight',
    covers: [],
    origins: origins(),
    config: to({
      endpoints: (places) => [
        { locality: { zone: 'x' }, lb_endpoints: [at(places, 'a'), at(places, 'b')], load_balancing_weight: 3 },
        {
          locality: { zone: 'y' },
          lb_endpoints: [at(places, 'c'), at(places, 'd'), at(places, 'e')],
          load_balancing_weight: 1,
        },
      ],
      more: { lb_policy: 'RING_HASH', common_lb_config: { locality_weighted_lb_config: {} } },
      route: BY_KEY,
    }),
    steps: keys(40),
  },
  {
    name: 'keys stay with their priority while part of it is ill',
    covers: [],
    origins: origins(),
    config: to({
      endpoints: (places) => [
        { lb_endpoints: [at(places, 'a'), at(places, 'b', ill)] },
        { lb_endpoints: [at(places, 'c'), at(places, 'd'), at(places, 'e')], priority: 1 },
      ],
      more: { lb_policy: 'RING_HASH' },
      route: BY_KEY,
    }),
    steps: keys(60),
  },
  {
    name: 'localities by weight, one of them in part ill',
    covers: [],
    origins: origins(),
    config: to({
      endpoints: (places) => [
        { locality: { zone: 'x' }, lb_endpoints: [at(places, 'a'), at(places, 'b', ill)], load_balancing_weight: 3 },
        { locality: { zone: 'y' }, lb_endpoints: [at(places, 'c'), at(places, 'd')], load_balancing_weight: 1 },
      ],
      more: { common_lb_config: { locality_weighted_lb_config: {} } },
    }),
    steps: [shares(200, 0.08)],
  },
  {
    name: 'panic over two priorities',
    covers: [],
    origins: origins(),
    config: to({
      endpoints: (places) => [
        { lb_endpoints: [at(places, 'a', ill), at(places, 'b', ill)] },
        { lb_endpoints: [at(places, 'c'), at(places, 'd', ill), at(places, 'e', ill)], priority: 1 },
      ],
      more: {},
    }),
    steps: [shares(250, 0.1)],
  },
  {
    name: 'no panic while another priority carries the load',
    covers: [],
    origins: origins(),
    config: to({
      endpoints: (places) => [
        { lb_endpoints: [at(places, 'a'), at(places, 'b', ill), at(places, 'c', ill)] },
        { lb_endpoints: [at(places, 'd'), at(places, 'e')], priority: 1 },
      ],
      more: {},
    }),
    steps: [shares(250, 0.1)],
  },
  {
    name: 'no more are ejected than may be',
    covers: [],
    origins: origins(['a', 'b', 'c', 'd']),
    config: to({
      endpoints: five(),
      more: { outlier_detection: { consecutive_5xx: 2, max_ejection_percent: 40, base_ejection_time: '60s' } },
    }),
    steps: [shares(60, 1), { until: { counter: 'cluster.app.outlier_detection.ejections_active', atLeast: 2 } }],
    counters: [
      'cluster.app.outlier_detection.ejections_active',
      'cluster.app.outlier_detection.ejections_enforced_total',
    ],
  },
  {
    name: 'ejected for the share of failures',
    covers: [
      `${CLUSTER}.OutlierDetection.failure_percentage_threshold`,
      `${CLUSTER}.OutlierDetection.failure_percentage_minimum_hosts`,
      `${CLUSTER}.OutlierDetection.failure_percentage_request_volume`,
      `${CLUSTER}.OutlierDetection.enforcing_failure_percentage`,
      `${CLUSTER}.OutlierDetection.interval`,
    ],
    origins: origins(['b']),
    config: to({
      endpoints: five(),
      more: {
        outlier_detection: {
          interval: '1s',
          base_ejection_time: '60s',
          max_ejection_percent: 50,
          enforcing_consecutive_5xx: 0,
          enforcing_success_rate: 0,
          failure_percentage_threshold: 60,
          failure_percentage_minimum_hosts: 3,
          failure_percentage_request_volume: 3,
          enforcing_failure_percentage: 100,
        },
      },
    }),
    steps: [
      shares(60, 1),
      { until: { counter: 'cluster.app.outlier_detection.ejections_active', atLeast: 1 } },
      shares(40, 0.08),
    ],
    counters: ['cluster.app.outlier_detection.ejections_enforced_failure_percentage'],
  },
  {
    name: 'a budget that grants no retry',
    covers: [
      `${CLUSTER}.CircuitBreakers.Thresholds.retry_budget`,
      `${CLUSTER}.CircuitBreakers.Thresholds.RetryBudget.budget_percent`,
      `${CLUSTER}.CircuitBreakers.Thresholds.RetryBudget.min_retry_concurrency`,
    ],
    origins: origins([...NAMES]),
    config: to({
      endpoints: (places) => [{ lb_endpoints: [at(places, 'a')] }],
      more: {
        circuit_breakers: {
          thresholds: [{ retry_budget: { budget_percent: { value: 0 }, min_retry_concurrency: 0 } }],
        },
      },
      route: { retry_policy: { retry_on: '5xx', num_retries: 2 } },
    }),
    steps: [{ raw: get('/') }],
    counters: ['cluster.app.upstream_rq_retry', 'cluster.app.upstream_rq_retry_overflow'],
  },
]
