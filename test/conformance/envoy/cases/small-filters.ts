/** Filters that change or hold back what passes: header_mutation, buffer. */
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
]

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
