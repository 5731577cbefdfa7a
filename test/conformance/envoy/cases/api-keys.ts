/** Clients by the keys they were given. */
import { type Case, get, type Json, type RawStep, reverseProxy, toApp, typed } from '../case.ts'

const PACKAGE = 'envoy.extensions.filters.http.api_key_auth.v3'
const NAME = 'envoy.filters.http.api_key_auth'
const of = (message: string, ...fields: readonly string[]): readonly string[] =>
  fields.map((field) => `${PACKAGE}.${message}.${field}`)

const CREDENTIALS: readonly Json[] = [
  { key: 'one', client: 'ann' },
  { key: 'two words', client: 'bob' },
]
const filter = (fields: Json): Json => ({
  name: NAME,
  typed_config: typed('filters.http.api_key_auth.v3.ApiKeyAuth', fields),
})
const route = (prefix: string, fields: Json): Json => ({
  ...toApp,
  match: { prefix },
  typed_per_filter_config: { [NAME]: typed('filters.http.api_key_auth.v3.ApiKeyAuthPerRoute', fields) },
})
const from = (...sources: readonly Json[]): Json => ({ credentials: CREDENTIALS, key_sources: sources })
const COUNTERS = ['allowed', 'unauthorized', 'forbidden'].map((name) => `http.main.api_key_auth.${name}`)

const visits: readonly RawStep[] = [
  { raw: get('/') },
  { raw: get('/', 'x-key: one') },
  { raw: get('/', 'x-key: Bearer one') },
  { raw: get('/', 'x-key: bearer one') },
  { raw: get('/', 'x-key: two words', 'x-client: root') },
  { raw: get('/', 'x-key: three') },
  { raw: get('/', 'x-key: ') },
  { raw: get('/', 'x-key: one', 'x-key: three') },
  { raw: get('/?a=1&key=one&b=2') },
  { raw: get('/?key=two%20words') },
  { raw: get('/?key=two+words') },
  { raw: get('/?key=') },
  { raw: get('/?key=three&key=one') },
  { raw: get('/', 'cookie: a=1; key=one; b=2') },
  { raw: get('/', 'cookie: key="one"') },
  { raw: get('/', 'cookie: key=one') },
  { raw: get('/?key=one', 'x-key: three') },
  { raw: get('/?key=three', 'x-key: one', 'cookie: key=one') },
]

export const CASES: readonly Case[] = [
  {
    name: 'a key in a header',
    covers: [
      ...of('ApiKeyAuth', 'credentials', 'key_sources'),
      ...of('Credential', 'key', 'client'),
      ...of('KeySource', 'header'),
    ],
    config: reverseProxy({ filters: [filter(from({ header: 'X-Key' }))] }),
    steps: visits,
    counters: COUNTERS,
  },
  {
    name: 'a key in a parameter or a cookie, whichever is there first',
    covers: of('KeySource', 'query', 'cookie'),
    config: reverseProxy({ filters: [filter(from({ query: 'key' }, { cookie: 'key' }))] }),
    steps: visits,
    counters: COUNTERS,
  },
  {
    name: 'who it was goes on, the key does not',
    covers: [...of('ApiKeyAuth', 'forwarding'), ...of('Forwarding', 'header', 'hide_credentials')],
    config: reverseProxy({
      filters: [
        filter({
          ...from({ header: 'x-key' }, { query: 'key' }, { cookie: 'key' }),
          forwarding: { header: 'x-client', hide_credentials: true },
        }),
      ],
    }),
    steps: visits,
    counters: COUNTERS,
  },
  {
    name: 'routes with keys, sources, clients and headers of their own',
    covers: of('ApiKeyAuthPerRoute', 'credentials', 'key_sources', 'allowed_clients', 'forwarding'),
    config: reverseProxy({
      filters: [filter(from({ header: 'x-key' }))],
      routes: [
        route('/keys', { credentials: [{ key: 'three', client: 'zoe' }] }),
        route('/sources', { key_sources: [{ query: 'key' }] }),
        route('/clients', { allowed_clients: ['bob'] }),
        route('/told', { forwarding: { header: 'x-client' } }),
        toApp,
      ],
    }),
    steps: ['/keys', '/sources', '/clients', '/told', '/'].flatMap((path): RawStep[] => [
      { raw: get(path, 'x-key: one') },
      { raw: get(path, 'x-key: two words') },
      { raw: get(path, 'x-key: three') },
      { raw: get(`${path}?key=one`) },
    ]),
    counters: COUNTERS,
  },
  {
    name: 'neither keys nor sources: nobody is known',
    covers: [],
    config: reverseProxy({ filters: [filter({})] }),
    steps: [{ raw: get('/', 'x-key: one') }],
    counters: COUNTERS,
  },
]
