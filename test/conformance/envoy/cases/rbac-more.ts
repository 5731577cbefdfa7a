/** RBAC beyond path and header: where a connection arrived, shadows, prefixes of counters. */
import { type Case, cluster, get, type Json, LISTENER_PORT, reverseProxy, typed } from '../case.ts'

const RBAC = 'envoy.extensions.filters.http.rbac.v3.RBAC'
const PERMISSION = 'envoy.config.rbac.v3.Permission'
const NAME = 'envoy.filters.http.rbac'
const ANY: readonly Json[] = [{ any: true }]

const denying = (permissions: readonly Json[], principals = ANY): Json => ({
  action: 'DENY',
  policies: { denied: { permissions, principals } },
})
const filter = (fields: Json): Json => ({ name: NAME, typed_config: typed('filters.http.rbac.v3.RBAC', fields) })
const route = (prefix: string, rbac: Json): Json => ({
  match: { prefix },
  route: { cluster: 'app' },
  typed_per_filter_config: { [NAME]: typed('filters.http.rbac.v3.RBACPerRoute', { rbac }) },
})
const PLAIN: Json = { match: { prefix: '/' }, route: { cluster: 'app' } }
const has = (name: string): Json => ({ header: { name, present_match: true } })

const permissions: Readonly<Record<string, Json>> = {
  port: { destination_port: LISTENER_PORT },
  otherport: { destination_port: 1 },
  range: { destination_port_range: { start: LISTENER_PORT, end: LISTENER_PORT + 1 } },
  below: { destination_port_range: { start: 1, end: LISTENER_PORT } },
  ip: { destination_ip: { address_prefix: '127.0.0.0', prefix_len: 8 } },
  otherip: { destination_ip: { address_prefix: '10.0.0.0', prefix_len: 8 } },
  name: { requested_server_name: { exact: '' } },
  othername: { requested_server_name: { exact: 'a.example' } },
  notport: { not_rule: { destination_port: LISTENER_PORT } },
  both: { and_rules: { rules: [{ destination_port: LISTENER_PORT }, has('x-a')] } },
  either: { or_rules: { rules: [{ destination_port: 1 }, has('x-a')] } },
}

/** Denied: whom `x-forwarded-for` puts into 192.0.2.0/24. */
const denyForwarded = (name: string, manager: Json = {}): Case => ({
  name: `by the client that earlier proxies name, ${name}`,
  covers: ['envoy.config.rbac.v3.Principal.remote_ip'],
  // This machine's address.
  chance: ['x-forwarded-for', 'x-envoy-external-address'],
  config: reverseProxy({
    manager,
    filters: [filter({ rules: denying(ANY, [{ remote_ip: { address_prefix: '192.0.2.0', prefix_len: 24 } }]) })],
  }),
  steps: ['', '192.0.2.1', '192.0.2.1, 198.51.100.1', '198.51.100.1,192.0.2.9', 'nobody', '192.0.2.1, nobody'].map(
    (list) => ({ raw: list === '' ? get('/') : get('/', `x-forwarded-for: ${list}`) }),
  ),
})

export const CASES: readonly Case[] = [
  denyForwarded('where nobody says who is to be believed'),
  denyForwarded('one hop of them', { xff_num_trusted_hops: 1 }),
  denyForwarded('none of them', { use_remote_address: true }),
  denyForwarded('one hop of them beside the connection', { use_remote_address: true, xff_num_trusted_hops: 1 }),
  denyForwarded('one hop, and nothing is appended', {
    use_remote_address: true,
    xff_num_trusted_hops: 1,
    skip_xff_append: true,
  }),
  {
    name: 'by the address, port and name that the connection came to',
    covers: [
      'destination_ip',
      'destination_port',
      'destination_port_range',
      'requested_server_name',
      'and_rules',
      'or_rules',
      'not_rule',
    ].map((field) => `${PERMISSION}.${field}`),
    config: reverseProxy(
      {
        filters: [filter({})],
        routes: Object.entries(permissions).map(([name, permission]) =>
          route(`/${name}/`, { rules: denying([permission]) }),
        ),
      },
      (places) => [cluster(places)],
    ),
    steps: Object.keys(permissions).flatMap((name) => [{ raw: get(`/${name}/`) }, { raw: get(`/${name}/`, 'x-a: 1') }]),
  },
  {
    name: 'shadow rules are judged and counted, and refuse no one',
    covers: ['shadow_rules', 'shadow_rules_stat_prefix', 'rules_stat_prefix'].map((field) => `${RBAC}.${field}`),
    config: reverseProxy({
      filters: [
        filter({
          rules: denying([has('x-deny')]),
          shadow_rules: denying([has('x-shadow')]),
          rules_stat_prefix: 'real',
          shadow_rules_stat_prefix: 'shadow',
        }),
      ],
      routes: [
        route('/only', { shadow_rules: denying([{ any: true }]) }),
        route('/own', { rules: denying([has('x-own')]) }),
        route('/off', {}),
        PLAIN,
      ],
    }),
    steps: [
      { raw: get('/') },
      { raw: get('/', 'x-deny: 1') },
      { raw: get('/', 'x-shadow: 1') },
      { raw: get('/', 'x-shadow: 1', 'x-deny: 1') },
      { raw: get('/only') },
      { raw: get('/own', 'x-deny: 1', 'x-shadow: 1') },
      { raw: get('/own', 'x-own: 1') },
      { raw: get('/off', 'x-deny: 1') },
    ],
    counters: [
      'http.main.rbac.real.allowed',
      'http.main.rbac.real.denied',
      'http.main.rbac.shadow.shadow_allowed',
      'http.main.rbac.shadow.shadow_denied',
    ],
  },
]
