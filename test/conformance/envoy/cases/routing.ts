/** Which route a request takes, and what the route makes of it. */
import { type Case, cluster, get, type Json, ORIGIN_PORT, reverseProxy } from '../case.ts'

const MATCH = 'envoy.config.route.v3.RouteMatch'
const REDIRECT = 'envoy.config.route.v3.RedirectAction'
const ACTION = 'envoy.config.route.v3.RouteAction'

/** A route that answers its own name. */
const answers = (name: string, match: Json): Json => ({
  match,
  direct_response: { status: 200, body: { inline_string: name } },
})

const redirects = (prefix: string, redirect: Json): Json => ({ match: { prefix }, redirect })

const via = (match: Json, action: Json): Json => ({ match, route: { cluster: 'app', ...action } })

export const CASES: readonly Case[] = [
  {
    name: 'paths: exact, prefix, separated prefix, regex',
    covers: [`${MATCH}.path`, `${MATCH}.prefix`, `${MATCH}.path_separated_prefix`, `${MATCH}.safe_regex`],
    config: reverseProxy({
      routes: [
        answers('exact', { path: '/exact' }),
        answers('separated', { path_separated_prefix: '/sep' }),
        answers('regex', { safe_regex: { regex: '/r/[0-9]+' } }),
        answers('folded', { prefix: '/FOLD', case_sensitive: false }),
        answers('prefix', { prefix: '/pre' }),
      ],
    }),
    steps: [
      '/exact',
      '/exact?a=1',
      '/exact/',
      '/Exact',
      '/sep',
      '/sep/',
      '/sep/x',
      '/separate',
      '/sep?x',
      '/r/12',
      '/r/12?q=z',
      '/r/12/x',
      '/r/x',
      '/fold/x',
      '/pre',
      '/prefixed',
      '/none',
    ].map((path) => ({ raw: get(path) })),
  },
  {
    name: 'headers: exact, prefix, suffix, contains, regex, range, present, absent, inverted',
    covers: [`${MATCH}.headers`],
    config: reverseProxy({
      routes: [
        answers('exact', { prefix: '/', headers: [{ name: 'x-a', string_match: { exact: 'one' } }] }),
        answers('prefix', { prefix: '/', headers: [{ name: 'x-b', string_match: { prefix: 'one' } }] }),
        answers('suffix', { prefix: '/', headers: [{ name: 'x-c', string_match: { suffix: 'one' } }] }),
        answers('contains', {
          prefix: '/',
          headers: [{ name: 'x-d', string_match: { contains: 'one', ignore_case: true } }],
        }),
        answers('regex', { prefix: '/', headers: [{ name: 'x-e', string_match: { safe_regex: { regex: 'o+ne' } } }] }),
        answers('range', { prefix: '/', headers: [{ name: 'x-f', range_match: { start: '-5', end: '10' } }] }),
        answers('present', { prefix: '/', headers: [{ name: 'x-g', present_match: true }] }),
        answers('missing as empty', {
          prefix: '/empty',
          headers: [{ name: 'x-z', string_match: { exact: '' }, treat_missing_header_as_empty: true }],
        }),
        answers('inverted', {
          prefix: '/inverted',
          headers: [{ name: 'x-h', string_match: { exact: 'one' }, invert_match: true }],
        }),
        answers('absent', { prefix: '/absent', headers: [{ name: 'x-i', present_match: false }] }),
        answers('method', { prefix: '/', headers: [{ name: ':method', string_match: { exact: 'PUT' } }] }),
      ],
    }),
    steps: [
      ...['x-a: one', 'x-a: ONE', 'x-b: one two', 'x-c: two one', 'x-d: aONEb', 'x-e: ooone', 'x-e: ooones'].map(
        (field) => ({
          raw: get('/', field),
        }),
      ),
      ...['x-f: -5', 'x-f: 9', 'x-f: 10', 'x-f: 0x5', 'x-f: 5 ', 'x-g:', 'x-none: 1'].map((field) => ({
        raw: get('/', field),
      })),
      { raw: get('/', 'x-a: one', 'x-a: two') },
      { raw: get('/', 'x-a: two', 'x-a: one') },
      { raw: get('/', 'x-a: one,two') },
      { raw: get('/', 'x-f: 50', 'x-f: 5') },
      { raw: get('/inverted', 'x-h: two', 'x-h: one') },
      { raw: get('/empty') },
      { raw: get('/inverted') },
      { raw: get('/inverted', 'x-h: one') },
      { raw: get('/inverted', 'x-h: two') },
      { raw: get('/absent') },
      { raw: get('/absent', 'x-i: 1') },
      { raw: 'PUT / HTTP/1.1\r\nhost: shop.example\r\ncontent-length: 0\r\n\r\n' },
    ],
  },
  {
    name: 'query parameters',
    covers: [`${MATCH}.query_parameters`],
    config: reverseProxy({
      routes: [
        answers('exact', { prefix: '/', query_parameters: [{ name: 'a', string_match: { exact: 'b%20c' } }] }),
        answers('present', { prefix: '/', query_parameters: [{ name: 'p', present_match: true }] }),
      ],
    }),
    steps: [
      '/?a=b%20c',
      '/?a=b+c',
      '/?a=b c',
      '/?a=x&a=b%20c',
      '/?a=b%20c&a=x',
      '/?p',
      '/?p=',
      '/?P=1',
      '/?x=1;p=2',
      '/?q',
    ].map((path) => ({ raw: get(path) })),
  },
  {
    name: 'domains: exact, suffix, prefix, any, with and without a port',
    covers: ['envoy.config.route.v3.VirtualHost.domains'],
    config: reverseProxy({
      hosts: [
        { name: 'exact', domains: ['a.example'], routes: [answers('exact', { prefix: '/' })] },
        { name: 'suffix', domains: ['*.a.example', '*-b.example'], routes: [answers('suffix', { prefix: '/' })] },
        { name: 'longer', domains: ['*.c.a.example'], routes: [answers('longer', { prefix: '/' })] },
        { name: 'prefix', domains: ['a.*'], routes: [answers('prefix', { prefix: '/' })] },
        { name: 'ported', domains: ['p.example:8080'], routes: [answers('ported', { prefix: '/' })] },
        { name: 'any', domains: ['*'], routes: [answers('any', { prefix: '/' })] },
      ],
    }),
    steps: [
      'a.example',
      'A.Example',
      'a.example:80',
      'x.a.example',
      'x.c.a.example',
      '.a.example',
      'x-b.example',
      '-b.example',
      'a.org',
      'a.',
      'p.example',
      'p.example:8080',
      'other',
    ].map((host) => ({ raw: `GET / HTTP/1.1\r\nhost: ${host}\r\n\r\n` })),
  },
  {
    name: 'redirects',
    covers: ['host', 'path', 'prefix', 'https', 'scheme', 'port', 'code', 'strip_query', 'regex'].map(
      (field) =>
        `${REDIRECT}.${{ host: 'host_redirect', path: 'path_redirect', prefix: 'prefix_rewrite', https: 'https_redirect', scheme: 'scheme_redirect', port: 'port_redirect', code: 'response_code', regex: 'regex_rewrite' }[field] ?? field}`,
    ),
    config: reverseProxy({
      routes: [
        redirects('/host', { host_redirect: 'new.example' }),
        redirects('/path', { path_redirect: '/there' }),
        redirects('/pathq', { path_redirect: '/there?own=1' }),
        redirects('/prefix', { prefix_rewrite: '/new' }),
        redirects('/https', { https_redirect: true }),
        redirects('/scheme', { scheme_redirect: 'ftp' }),
        redirects('/port', { port_redirect: 8443 }),
        redirects('/httpsport', { https_redirect: true, port_redirect: 443 }),
        redirects('/strip', { path_redirect: '/bare', strip_query: true }),
        redirects('/regex', {
          regex_rewrite: { pattern: { regex: '/regex/(\\w+)/(\\w+)' }, substitution: '/\\2/\\1' },
        }),
        ...['MOVED_PERMANENTLY', 'FOUND', 'SEE_OTHER', 'TEMPORARY_REDIRECT', 'PERMANENT_REDIRECT'].map((code, index) =>
          redirects(`/code${index}`, { path_redirect: '/', response_code: code }),
        ),
      ],
    }),
    steps: [
      ...[
        '/host/x?q=1',
        '/path?q=1',
        '/pathq?q=1',
        '/prefix/x?q=1',
        '/prefixed',
        '/https/x',
        '/scheme',
        '/port',
        '/httpsport',
        '/strip?q=1',
        '/regex/a/b?q=1',
        '/code0',
        '/code1',
        '/code2',
        '/code3',
        '/code4',
      ].map((path) => ({ raw: get(path) })),
      { raw: 'GET /https HTTP/1.1\r\nhost: shop.example:80\r\n\r\n' },
      { raw: 'GET /port HTTP/1.1\r\nhost: shop.example:80\r\n\r\n' },
      { raw: 'GET /host HTTP/1.1\r\nhost: shop.example:8080\r\n\r\n' },
      { raw: 'GET /https HTTP/1.1\r\nhost: shop.example:8080\r\n\r\n' },
      { raw: 'POST /path HTTP/1.1\r\nhost: shop.example\r\ncontent-length: 2\r\n\r\nhi' },
    ],
  },
  {
    name: 'rewrites of path and host',
    covers: ['prefix_rewrite', 'regex_rewrite', 'host_rewrite_literal', 'path_rewrite_policy']
      .slice(0, 3)
      .map((field) => `${ACTION}.${field}`),
    config: reverseProxy({
      routes: [
        via({ prefix: '/a/' }, { prefix_rewrite: '/' }),
        via({ prefix: '/b' }, { prefix_rewrite: '/' }),
        via({ path: '/exact' }, { prefix_rewrite: '/other' }),
        via({ prefix: '/r' }, { regex_rewrite: { pattern: { regex: '^/r/([^/]+)(/.*)?$' }, substitution: '/\\1' } }),
        via({ prefix: '/host' }, { host_rewrite_literal: 'inner.example' }),
        via({ safe_regex: { regex: '/x/.*' } }, { prefix_rewrite: '/whole' }),
      ],
    }),
    steps: ['/a/b?q=1', '/a/', '/b/c', '/b', '/bc?q', '/exact?q=1', '/r/one/two?q=1', '/host', '/x/y?z=1'].map(
      (path) => ({
        raw: get(path),
      }),
    ),
  },
  {
    name: 'headers added, set, removed on host, route and table',
    covers: [
      'request_headers_to_add',
      'request_headers_to_remove',
      'response_headers_to_add',
      'response_headers_to_remove',
    ].flatMap((field) =>
      ['Route', 'VirtualHost', 'RouteConfiguration'].map((message) => `envoy.config.route.v3.${message}.${field}`),
    ),
    origins: {
      app: { port: ORIGIN_PORT, answer: () => ({ headers: { 'x-up': '1', 'x-gone': '1', 'x-order': 'origin' } }) },
    },
    config: reverseProxy({
      hosts: [
        {
          name: 'any',
          domains: ['*'],
          routes: [
            {
              match: { prefix: '/' },
              route: { cluster: 'app' },
              request_headers_to_add: [
                { header: { key: 'x-order', value: 'route' } },
                { header: { key: 'x-set', value: 'route' }, append_action: 'OVERWRITE_IF_EXISTS_OR_ADD' },
                { header: { key: 'x-if-absent', value: 'route' }, append_action: 'ADD_IF_ABSENT' },
                { header: { key: 'x-if-there', value: 'route' }, append_action: 'OVERWRITE_IF_EXISTS' },
              ],
              request_headers_to_remove: ['x-drop'],
              response_headers_to_add: [
                { header: { key: 'x-order', value: 'route' } },
                { header: { key: 'x-set', value: 'route' }, append_action: 'OVERWRITE_IF_EXISTS_OR_ADD' },
              ],
              response_headers_to_remove: ['x-gone'],
            },
          ],
          request_headers_to_add: [{ header: { key: 'x-order', value: 'host' } }],
          response_headers_to_add: [{ header: { key: 'x-order', value: 'host' } }],
        },
      ],
      table: {
        request_headers_to_add: [{ header: { key: 'x-order', value: 'table' } }],
        response_headers_to_add: [{ header: { key: 'x-order', value: 'table' } }],
      },
    }),
    steps: [
      { raw: get('/', 'x-order: client', 'x-set: client', 'x-drop: 1', 'x-if-absent: client', 'x-if-there: client') },
      { raw: get('/') },
    ],
  },
  {
    name: 'weighted clusters share as weighted',
    covers: [`${ACTION}.weighted_clusters`],
    origins: { app: { port: ORIGIN_PORT }, other: { port: 8_081 } },
    config: reverseProxy(
      {
        routes: [
          {
            match: { prefix: '/' },
            route: {
              weighted_clusters: {
                clusters: [
                  { name: 'app', weight: 80 },
                  { name: 'other', weight: 20 },
                ],
              },
            },
          },
        ],
      },
      (places) => [cluster(places), cluster(places, 'other', 8_081)],
    ),
    steps: [{ times: 300, step: { raw: get('/') }, shares: { by: ({ body }) => body, within: 0.12 } }],
  },
  {
    name: 'direct answers',
    covers: ['envoy.config.route.v3.DirectResponseAction.status', 'envoy.config.route.v3.DirectResponseAction.body'],
    config: reverseProxy({
      routes: [
        { match: { path: '/empty' }, direct_response: { status: 204 } },
        { match: { path: '/teapot' }, direct_response: { status: 418, body: { inline_string: 'short and stout' } } },
        {
          match: { path: '/typed' },
          direct_response: { status: 200, body: { inline_string: '{}' } },
          response_headers_to_add: [
            { header: { key: 'content-type', value: 'application/json' }, append_action: 'OVERWRITE_IF_EXISTS_OR_ADD' },
          ],
        },
      ],
    }),
    steps: [
      { raw: get('/empty') },
      { raw: get('/teapot') },
      { raw: get('/typed') },
      { raw: 'HEAD /teapot HTTP/1.1\r\nhost: shop.example\r\n\r\n', head: true },
    ],
  },
]
