/** What every proxied request shows: forwarded headers, bodies, keep-alive, and answers of the proxy's own. */
import { type Case, cluster, get, http, listener, ORIGIN_PORT, bootstrap, reverseProxy } from '../case.ts'

const HCM = 'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager'
const ROUTE = 'envoy.config.route.v3'

export const CASES: readonly Case[] = [
  {
    name: 'a GET passes with the headers a proxy adds',
    covers: [`${HCM}.stat_prefix`, `${HCM}.route_config`, `${HCM}.http_filters`, `${ROUTE}.RouteAction.cluster`],
    config: reverseProxy(),
    steps: [{ raw: get('/items?id=7', 'x-custom: a', 'X-Custom: b', 'accept: */*') }],
    counters: ['http.main.downstream_rq_2xx', 'cluster.app.upstream_rq_200'],
  },
  {
    name: 'a POST with a length, then one in chunks with trailers, on one connection',
    covers: [],
    config: reverseProxy(),
    steps: [
      {
        raw: [
          'POST /one HTTP/1.1\r\nhost: shop.example\r\ncontent-length: 5\r\n\r\nhello',
          'POST /two HTTP/1.1\r\nhost: shop.example\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n',
        ].join(''),
        answers: 2,
      },
    ],
  },
  {
    name: 'HEAD, 204 and 304 have no body',
    covers: [],
    origins: {
      app: {
        port: ORIGIN_PORT,
        answer: ({ line }) => ({ status: line.includes('/204') ? 204 : line.includes('/304') ? 304 : 200 }),
      },
    },
    config: reverseProxy(),
    steps: [
      { raw: 'HEAD / HTTP/1.1\r\nhost: shop.example\r\n\r\n', head: true },
      { raw: get('/204') },
      { raw: get('/304', 'if-none-match: "a"') },
    ],
  },
  {
    name: 'an upstream that closes, resets or is not there',
    covers: [],
    origins: {
      app: {
        port: ORIGIN_PORT,
        answer: ({ line }) =>
          line.includes('/reset') ? 'reset' : { bytes: 'HTTP/1.1 200 \r\n\r\nto the end', close: true },
      },
    },
    config: reverseProxy(
      {
        routes: [
          { match: { prefix: '/nobody' }, route: { cluster: 'nobody' } },
          { match: { prefix: '/' }, route: { cluster: 'app' } },
        ],
      },
      (places) => [cluster(places), cluster(places, 'nobody', 9)],
    ),
    steps: [{ raw: get('/reset') }, { raw: get('/close') }, { raw: get('/nobody') }],
  },
  {
    name: 'no route, no host, no cluster',
    covers: [`${ROUTE}.VirtualHost.domains`],
    config: reverseProxy({
      hosts: [
        { name: 'shop', domains: ['shop.example'], routes: [{ match: { path: '/' }, route: { cluster: 'app' } }] },
      ],
    }),
    steps: [{ raw: get('/other') }, { raw: 'GET / HTTP/1.1\r\nhost: elsewhere.example\r\n\r\n' }],
  },
  {
    name: 'HTTP/2 in, HTTP/1.1 out',
    covers: [`${HCM}.codec_type`],
    config: reverseProxy(),
    steps: [
      { h2: { ':method': 'GET', ':path': '/', ':authority': 'shop.example', cookie: ['a=1', 'b=2'] } },
      { h2: { ':method': 'POST', ':path': '/p', ':authority': 'shop.example', te: 'trailers' }, body: 'hello' },
    ],
  },
  {
    name: 'HTTP/1.1 in, HTTP/2 out, with trailers',
    covers: ['envoy.extensions.upstreams.http.v3.HttpProtocolOptions.explicit_http_config'],
    origins: {
      app: { port: ORIGIN_PORT, protocol: 'http2', answer: () => ({ body: 'yes', trailers: { 'x-sum': '1' } }) },
    },
    config: (places) =>
      bootstrap(
        [listener(places, [{ filters: [http()] }])],
        [
          cluster(places, 'app', ORIGIN_PORT, {
            typed_extension_protocol_options: {
              'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
                '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
                explicit_http_config: { http2_protocol_options: {} },
              },
            },
          }),
        ],
      ),
    steps: [
      { raw: get('/a', 'te: trailers') },
      { h2: { ':method': 'GET', ':path': '/b', ':authority': 'shop.example', te: 'trailers' } },
    ],
  },
]
