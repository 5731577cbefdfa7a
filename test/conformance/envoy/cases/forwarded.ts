/** Whom `x-forwarded-for` makes the client: for logs, rules, rings and tracing headers, by how far it is believed. */
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
  typed,
} from '../case.ts'

const HCM = 'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager'
const LINE = [
  '%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%',
  '%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%',
  '%REQ(X-FORWARDED-FOR)%',
  '%RESPONSE_CODE%\n',
].join(' ')

/** 192.0.2.0/24 may not come in. */
const rules = (principal: string): Json => ({
  name: 'rbac',
  typed_config: typed('filters.http.rbac.v3.RBAC', {
    rules: {
      action: 'DENY',
      policies: {
        net: {
          permissions: [{ any: true }],
          principals: [{ [principal]: { address_prefix: '192.0.2.0', prefix_len: 24 } }],
        },
      },
    },
  }),
})

const believing =
  (manager: Json, filters: readonly Json[] = [rules('remote_ip')], route: Json = {}): Case['config'] =>
  (places) => {
    const typed_config = typed('access_loggers.file.v3.FileAccessLog', {
      path: places.file('log'),
      log_format: { text_format_source: { inline_string: LINE } },
    })
    const access_log = [{ name: 'log', typed_config }]
    const routes = [{ match: { prefix: '/' }, route: { cluster: 'app', ...route } }]
    const options = { filters, routes, manager: { access_log, ...manager } }
    const endpoints = [8_080, 8_081, 8_082].map((port) =>
      endpoint(places, port, { metadata: { filter_metadata: { 'envoy.lb': { hash_key: `key-${port}` } } } }),
    )
    const more = 'hash_policy' in route ? { lb_policy: 'RING_HASH', load_assignment: assignment('app', endpoints) } : {}
    return bootstrap([listener(places, [{ filters: [http(options)] }])], [cluster(places, 'app', ORIGIN_PORT, more)])
  }

const LISTS = [
  [],
  ['192.0.2.1'],
  ['198.51.100.1'],
  ['192.0.2.1, 198.51.100.1'],
  ['198.51.100.1,192.0.2.1'],
  ['192.0.2.1,198.51.100.1,203.0.113.1'],
  ['192.0.2.1', '198.51.100.1'],
  [' 2001:db8::1 '],
  ['not an address'],
  ['192.0.2.1:80'],
  ['192.0.2.1,'],
  [''],
] as const
const visits: Case['steps'] = LISTS.map((lists) => ({
  raw: get('/', ...lists.map((list) => `x-forwarded-for: ${list}`)),
}))
const chance = ['x-forwarded-for']
const common = { steps: visits, logs: ['log'], chance } as const

export const CASES: readonly Case[] = [
  {
    name: 'the last address of the list, where the connection’s is not used',
    covers: ['envoy.config.rbac.v3.Principal.remote_ip'],
    config: believing({}),
    ...common,
  },
  {
    name: 'the connection’s address, whatever the list says',
    covers: [`${HCM}.use_remote_address`],
    config: believing({ use_remote_address: true }),
    ...common,
  },
  {
    name: 'as many hops as are trusted, over the connection’s address',
    covers: [`${HCM}.xff_num_trusted_hops`],
    config: believing({ use_remote_address: true, xff_num_trusted_hops: 1 }),
    ...common,
  },
  {
    name: 'two trusted hops, over the connection’s address',
    covers: [`${HCM}.xff_num_trusted_hops`],
    config: believing({ use_remote_address: true, xff_num_trusted_hops: 2, skip_xff_append: true }),
    ...common,
  },
  {
    name: 'a trusted hop, where the connection’s address is not used',
    covers: [`${HCM}.xff_num_trusted_hops`],
    config: believing({ xff_num_trusted_hops: 1 }),
    ...common,
  },
  {
    name: 'rules about the connection’s own address do not read the list',
    covers: ['envoy.config.rbac.v3.Principal.direct_remote_ip'],
    config: believing({}, [rules('direct_remote_ip')]),
    ...common,
  },
  {
    name: 'rings by the client’s address',
    covers: [],
    origins: Object.fromEntries([8_080, 8_081, 8_082].map((port) => [`o${port}`, { port }])),
    config: believing({}, [], { hash_policy: [{ connection_properties: { source_ip: true } }] }),
    steps: Array.from({ length: 12 }, (_, index) => ({ raw: get('/', `x-forwarded-for: 198.51.100.${index}`) })),
  },
]
