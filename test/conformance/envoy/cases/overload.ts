/** What a proxy refuses while its own memory is short: Envoy's overload manager. */
import { type Case, get, type Json, reverseProxy, typed } from '../case.ts'

const OVERLOAD = 'envoy.config.overload.v3'
const HEAP = 'envoy.resource_monitors.fixed_heap'

/** One byte is always too little. */
const monitors: Json = {
  refresh_interval: '0.1s',
  resource_monitors: [
    { name: HEAP, typed_config: typed('resource_monitors.fixed_heap.v3.FixedHeapConfig', { max_heap_size_bytes: 1 }) },
  ],
}

const threshold: Json = { name: HEAP, threshold: { value: 0.9 } }

const withAction =
  (action: string, trigger: Json = threshold): Case['config'] =>
  (places) => ({
    ...reverseProxy()(places),
    overload_manager: { ...monitors, actions: [{ name: `envoy.overload_actions.${action}`, triggers: [trigger] }] },
  })

const active = (action: string): Case['steps'][number] => ({
  until: { counter: `overload.envoy.overload_actions.${action}.active`, atLeast: 1 },
})

export const CASES: readonly Case[] = [
  {
    name: 'too little memory for requests',
    covers: [
      'envoy.config.bootstrap.v3.Bootstrap.overload_manager',
      `${OVERLOAD}.OverloadManager.refresh_interval`,
      `${OVERLOAD}.OverloadManager.resource_monitors`,
      `${OVERLOAD}.OverloadManager.actions`,
      `${OVERLOAD}.ResourceMonitor.name`,
      `${OVERLOAD}.ResourceMonitor.typed_config`,
      `${OVERLOAD}.OverloadAction.name`,
      `${OVERLOAD}.OverloadAction.triggers`,
      `${OVERLOAD}.Trigger.name`,
      `${OVERLOAD}.Trigger.threshold`,
      `${OVERLOAD}.ThresholdTrigger.value`,
      'envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig.max_heap_size_bytes',
    ],
    config: withAction('stop_accepting_requests'),
    steps: [
      active('stop_accepting_requests'),
      { raw: get('/one') + get('/two'), answers: 2 },
      { raw: 'POST / HTTP/1.1\r\nhost: shop.example\r\ncontent-length: 4\r\n\r\nbody' },
      { h2: { ':method': 'GET', ':path': '/', ':authority': 'shop.example' } },
    ],
    counters: [
      'http.main.downstream_rq_overload_close',
      'http.main.downstream_rq_5xx',
      'overload.envoy.overload_actions.stop_accepting_requests.active',
      'overload.envoy.overload_actions.stop_accepting_requests.scale_percent',
      'cluster.app.upstream_rq_total',
    ],
  },
  {
    name: 'too little memory, by degrees',
    covers: [
      `${OVERLOAD}.Trigger.scaled`,
      `${OVERLOAD}.ScaledTrigger.scaling_threshold`,
      `${OVERLOAD}.ScaledTrigger.saturation_threshold`,
    ],
    config: withAction('stop_accepting_requests', {
      name: HEAP,
      scaled: { scaling_threshold: 0.5, saturation_threshold: 0.8 },
    }),
    steps: [active('stop_accepting_requests'), { raw: get('/') }],
    counters: ['overload.envoy.overload_actions.stop_accepting_requests.scale_percent'],
  },
  {
    name: 'too little memory for connections that stay',
    covers: [],
    config: withAction('disable_http_keepalive'),
    steps: [active('disable_http_keepalive'), { raw: get('/one'), answers: 'close' }],
    counters: [
      'http.main.downstream_cx_overload_disable_keepalive',
      'http.main.downstream_cx_drain_close',
      'http.main.downstream_rq_2xx',
    ],
  },
  {
    name: 'too little memory for connections',
    covers: [],
    config: withAction('reject_incoming_connections'),
    steps: [active('reject_incoming_connections'), { raw: get('/'), answers: 'close' }],
    counters: ['http.main.downstream_rq_total'],
  },
]
