/** Which endpoints are left alone for a while, by whose errors, and for how long. */
import {
  address,
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
} from '../case.ts'

const OUTLIER = 'envoy.config.cluster.v3.OutlierDetection'
const STATS = 'cluster.app.outlier_detection'
const NAMES = ['a', 'b', 'c', 'd'] as const
type Name = (typeof NAMES)[number]
const portOf = (name: Name): number => ORIGIN_PORT + NAMES.indexOf(name)

const origins = (...failing: readonly Name[]): Readonly<Record<string, Origin>> =>
  Object.fromEntries(
    NAMES.map((name) => [name, { port: portOf(name), answer: () => ({ status: failing.includes(name) ? 503 : 200 }) }]),
  )
/** Nobody listens there. */
const dead = (places: Places): Json => ({ endpoint: { address: address(places.upstream, 1) } })
const alive = (places: Places, ...names: readonly Name[]): readonly Json[] =>
  names.map((name) => endpoint(places, portOf(name)))

const watched =
  (outlier_detection: Json, endpoints: (places: Places) => readonly Json[]): Case['config'] =>
  (places) =>
    bootstrap(
      [listener(places, [{ filters: [http()] }])],
      [
        cluster(places, 'app', ORIGIN_PORT, {
          common_lb_config: { healthy_panic_threshold: { value: 0 } },
          load_assignment: { cluster_name: 'app', endpoints: [{ lb_endpoints: endpoints(places) }] },
          outlier_detection: {
            base_ejection_time: '600s',
            max_ejection_percent: 100,
            interval: '600s',
            ...outlier_detection,
          },
        }),
      ],
    )
const gets = (count: number): Case['steps'] => Array.from({ length: count }, () => ({ raw: get('/') }))
/** Whom a round begins with is chance. */
const some = (times: number): Case['steps'][number] => ({
  times,
  step: { raw: get('/') },
  shares: { by: ({ status }) => `${status}`, within: 1 },
})
const pause = (patienceMs: number): Case['steps'][number] => ({ tcp: '', patienceMs })
const field = (...names: readonly string[]): readonly string[] => names.map((name) => `${OUTLIER}.${name}`)
const counted = (...names: readonly string[]): readonly string[] => names.map((name) => `${STATS}.${name}`)
const ejected = (atLeast: number): Case['steps'][number] => ({
  until: { counter: `${STATS}.ejections_active`, atLeast },
})

const byRate = (fields: Json): Json => ({
  interval: '1.5s',
  enforcing_consecutive_5xx: 0,
  enforcing_consecutive_gateway_failure: 0,
  enforcing_success_rate: 100,
  success_rate_minimum_hosts: 3,
  success_rate_request_volume: 4,
  success_rate_stdev_factor: 1_000,
  ...fields,
})
/** Failures to connect count for themselves. */
const split = (fields: Json): Json => ({ split_external_local_origin_errors: true, ...fields })
const localByRate = (fields: Json): Json =>
  split({
    interval: '1.5s',
    enforcing_consecutive_local_origin_failure: 0,
    success_rate_minimum_hosts: 3,
    success_rate_request_volume: 4,
    success_rate_stdev_factor: 1_000,
    failure_percentage_minimum_hosts: 3,
    failure_percentage_request_volume: 4,
    failure_percentage_threshold: 60,
    ...fields,
  })

export const CASES: readonly Case[] = [
  {
    name: 'one endpoint may always go',
    covers: field('always_eject_one_host'),
    origins: origins('a'),
    config: watched({ consecutive_5xx: 1, max_ejection_percent: 0, always_eject_one_host: true }, (places) =>
      alive(places, 'a'),
    ),
    steps: [...gets(1), ejected(1), pause(200), ...gets(1)],
    counters: counted('ejections_active', 'ejections_overflow'),
  },
  {
    name: 'connections that fail count for themselves',
    covers: field('split_external_local_origin_errors', 'consecutive_local_origin_failure'),
    config: watched(split({ consecutive_local_origin_failure: 2 }), (places) => [dead(places)]),
    steps: [...gets(2), pause(300), ...gets(1)],
    counters: counted(
      'ejections_active',
      'ejections_detected_consecutive_local_origin_failure',
      'ejections_enforced_consecutive_local_origin_failure',
      'ejections_detected_consecutive_5xx',
      'ejections_detected_consecutive_gateway_failure',
    ),
  },
  {
    name: 'connections that fail are noticed only',
    covers: field('enforcing_consecutive_local_origin_failure'),
    config: watched(
      split({ consecutive_local_origin_failure: 2, enforcing_consecutive_local_origin_failure: 0 }),
      (places) => [dead(places)],
    ),
    steps: [...gets(2), pause(300), ...gets(1)],
    counters: counted(
      'ejections_active',
      'ejections_detected_consecutive_local_origin_failure',
      'ejections_enforced_consecutive_local_origin_failure',
    ),
  },
  {
    name: 'by the rate of success among endpoints',
    covers: field('success_rate_minimum_hosts', 'success_rate_request_volume', 'success_rate_stdev_factor'),
    origins: origins('b'),
    config: watched(byRate({}), (places) => alive(places, 'a', 'b', 'c', 'd')),
    steps: [some(60), ejected(1)],
    counters: counted('ejections_enforced_success_rate', 'ejections_detected_success_rate'),
  },
  {
    name: 'by the rate of success, noticed only',
    covers: field('enforcing_success_rate'),
    origins: origins('b'),
    config: watched(byRate({ enforcing_success_rate: 0 }), (places) => alive(places, 'a', 'b', 'c', 'd')),
    steps: [some(60), pause(3_000)],
    counters: counted('ejections_enforced_success_rate'),
  },
  {
    name: 'by the rate of connections that succeed',
    covers: field('enforcing_local_origin_success_rate'),
    origins: origins(),
    config: watched(localByRate({ enforcing_local_origin_success_rate: 0 }), (places) => [
      ...alive(places, 'a', 'b', 'c'),
      dead(places),
    ]),
    steps: [some(60), { until: { counter: `${STATS}.ejections_detected_local_origin_success_rate`, atLeast: 1 } }],
    counters: counted('ejections_enforced_local_origin_success_rate'),
  },
  {
    name: 'by the share of connections that fail',
    covers: field('enforcing_failure_percentage_local_origin'),
    origins: origins(),
    config: watched(
      localByRate({ enforcing_local_origin_success_rate: 0, enforcing_failure_percentage_local_origin: 100 }),
      (places) => [...alive(places, 'a', 'b', 'c'), dead(places)],
    ),
    steps: [some(60), ejected(1)],
    counters: counted('ejections_enforced_local_origin_failure_percentage'),
  },
  {
    name: 'for no longer than that',
    covers: field('max_ejection_time'),
    origins: origins('a'),
    config: watched(
      { interval: '0.2s', consecutive_5xx: 1, base_ejection_time: '1s', max_ejection_time: '1s' },
      (places) => alive(places, 'a'),
    ),
    // The second time would be for two seconds.
    steps: [
      ...gets(1),
      ejected(1),
      { until: { counter: `${STATS}.ejections_active`, atMost: 0 } },
      ...gets(1),
      ejected(1),
      pause(1_500),
    ],
    counters: counted('ejections_active', 'ejections_enforced_total'),
  },
  {
    name: 'for a random time more',
    covers: field('max_ejection_time_jitter'),
    origins: origins('a'),
    config: watched(
      { interval: '0.3s', consecutive_5xx: 1, base_ejection_time: '0.3s', max_ejection_time_jitter: '3600s' },
      (places) => alive(places, 'a'),
    ),
    steps: [...gets(1), pause(1_500)],
    counters: counted('ejections_active', 'ejections_enforced_total'),
  },
]
