/** The chain itself, and filters that change or hold back what passes: header_mutation, buffer. */
import { type Case, get, type Json, reverseProxy, toApp, typed } from '../case.ts'

export const CASES: readonly Case[] = [
  {
    name: 'header_mutation: changes in their order, those of levels after the chain’s',
    covers: [
      'HeaderMutation.mutations',
      'HeaderMutation.most_specific_header_mutations_wins',
      'HeaderMutationPerRoute.mutations',
      'Mutations.request_mutations',
      'Mutations.response_mutations',
    ].map((field) => `envoy.extensions.filters.http.header_mutation.v3.${field}`),
    config: reverseProxy({
      hosts: [
        {
          name: 'any',
          domains: ['*'],
          typed_per_filter_config: { first: mutations('host'), second: mutations('host') },
          routes: [
            {
              ...toApp,
              match: { prefix: '/route' },
              typed_per_filter_config: { first: mutations('route'), second: mutations('route') },
            },
            { match: { prefix: '/direct' }, direct_response: { status: 202 } },
            toApp,
          ],
        },
      ],
      table: { typed_per_filter_config: { first: mutations('table'), second: mutations('table') } },
      filters: [
        {
          name: 'first',
          typed_config: typed('filters.http.header_mutation.v3.HeaderMutation', {
            mutations: {
              request_mutations: [
                added('x-list', 'own'),
                { remove: 'x-gone' },
                added('x-copy', '%REQ(x-in)%', 'OVERWRITE_IF_EXISTS_OR_ADD'),
                { remove: 'x-in' },
                added('x-new', '1', 'ADD_IF_ABSENT'),
              ],
              response_mutations: [added('x-code', '%RESPONSE_CODE%'), { remove: 'x-app' }],
            },
          }),
        },
        {
          name: 'second',
          typed_config: typed('filters.http.header_mutation.v3.HeaderMutation', {
            most_specific_header_mutations_wins: true,
          }),
        },
      ],
    }),
    steps: [
      { raw: get('/', 'x-gone: 1', 'x-in: in', 'x-new: theirs') },
      { raw: get('/route') },
      { raw: get('/direct') },
    ],
  },
  {
    name: 'buffer: whole bodies, and not too long ones',
    covers: ['Buffer.max_request_bytes', 'BufferPerRoute.disabled', 'BufferPerRoute.buffer'].map(
      (field) => `envoy.extensions.filters.http.buffer.v3.${field}`,
    ),
    config: reverseProxy({
      routes: [
        {
          ...toApp,
          match: { prefix: '/off' },
          typed_per_filter_config: { buffer: typed('filters.http.buffer.v3.BufferPerRoute', { disabled: true }) },
        },
        {
          ...toApp,
          match: { prefix: '/more' },
          typed_per_filter_config: {
            buffer: typed('filters.http.buffer.v3.BufferPerRoute', { buffer: { max_request_bytes: 11 } }),
          },
        },
        toApp,
      ],
      filters: [{ name: 'buffer', typed_config: typed('filters.http.buffer.v3.Buffer', { max_request_bytes: 10 }) }],
    }),
    steps: [
      { raw: get('/') },
      { raw: post('/', '0123456789') },
      { raw: post('/', '0123456789a') },
      { raw: post('/off', '0123456789a') },
      { raw: post('/more', '0123456789a') },
      { raw: post('/more', '0123456789ab') },
      {
        raw: 'POST / HTTP/1.1\r\nhost: shop.example\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n',
      },
    ],
  },
  {
    name: 'the chain: order, one filter twice, disabled ones, and what each level says',
    covers: [
      'envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter.disabled',
      'envoy.config.route.v3.RouteConfiguration.typed_per_filter_config',
      'envoy.config.route.v3.VirtualHost.typed_per_filter_config',
      'envoy.config.route.v3.Route.typed_per_filter_config',
      'envoy.config.route.v3.WeightedCluster.ClusterWeight.typed_per_filter_config',
      'envoy.config.route.v3.FilterConfig.config',
      'envoy.config.route.v3.FilterConfig.disabled',
    ],
    config: reverseProxy({
      hosts: [
        {
          name: 'any',
          domains: ['*'],
          typed_per_filter_config: { third: abort(503) },
          routes: [
            { ...toApp, match: { prefix: '/table' }, typed_per_filter_config: { third: switched(false, abort(500)) } },
            { ...toApp, match: { prefix: '/host' } },
            { ...toApp, match: { prefix: '/route' }, typed_per_filter_config: { third: abort(504) } },
            {
              match: { prefix: '/cluster' },
              route: {
                weighted_clusters: {
                  clusters: [{ name: 'app', weight: 1, typed_per_filter_config: { third: abort(505) } }],
                },
              },
              typed_per_filter_config: { third: abort(504) },
            },
            { ...toApp, match: { prefix: '/off' }, typed_per_filter_config: { third: switched(true) } },
            {
              ...toApp,
              match: { prefix: '/on' },
              typed_per_filter_config: { second: switched(false, abort(510)), third: switched(true) },
            },
            {
              ...toApp,
              match: { prefix: '/inner' },
              typed_per_filter_config: { third: switched(false, abort(506)), absent: abort(507) },
            },
          ],
        },
      ],
      table: { typed_per_filter_config: { third: abort(502) } },
      filters: [
        { name: 'first', typed_config: abort(501, [{ name: 'x-first', present_match: true }]) },
        { name: 'second', typed_config: abort(508), disabled: true },
        { name: 'third', typed_config: abort(509) },
      ],
    }),
    steps: ['table', 'host', 'route', 'cluster', 'off', 'on', 'inner', 'nowhere'].flatMap((path) => [
      { raw: get(`/${path}`) },
      { raw: get(`/${path}`, 'x-first: 1') },
    ]),
  },
]

function abort(http_status: number, headers: readonly Json[] = []): Json {
  return typed('filters.http.fault.v3.HTTPFault', {
    abort: { http_status, percentage: { numerator: 100, denominator: 'HUNDRED' } },
    headers,
  })
}

function switched(disabled: boolean, config?: Json): Json {
  return { '@type': 'type.googleapis.com/envoy.config.route.v3.FilterConfig', disabled, ...(config && { config }) }
}

function added(key: string, value: string, append_action = 'APPEND_IF_EXISTS_OR_ADD'): Json {
  return { append: { header: { key, value }, append_action } }
}

function mutations(level: string): Json {
  return typed('filters.http.header_mutation.v3.HeaderMutationPerRoute', {
    mutations: {
      request_mutations: [added('x-list', level), added('x-last', level, 'OVERWRITE_IF_EXISTS_OR_ADD')],
      response_mutations: [added('x-level', level)],
    },
  })
}

function post(path: string, body: string): string {
  return `POST ${path} HTTP/1.1\r\nhost: shop.example\r\ncontent-length: ${body.length}\r\n\r\n${body}`
}
