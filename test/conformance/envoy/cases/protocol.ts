/** HTTP/1.1 itself: expectations, informational answers, versions, forms of targets, trailers, order and closing. */
import { type Case, get, ORIGIN_PORT, reverseProxy } from '../case.ts'

const HCM = 'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager'

const post = (path: string, body: string, ...fields: readonly string[]): string =>
  [`POST ${path} HTTP/1.1`, 'host: shop.example', `content-length: ${body.length}`, ...fields, '', body].join('\r\n')

export const CASES: readonly Case[] = [
  {
    name: 'Expect: 100-continue',
    covers: [],
    config: reverseProxy(),
    steps: [{ raw: post('/up', 'hello', 'expect: 100-continue'), answers: 1 }],
  },
  {
    name: 'an expectation that the origin answers',
    covers: [`${HCM}.proxy_100_continue`],
    origins: {
      app: {
        port: ORIGIN_PORT,
        answer: ({ line }) => ({
          bytes: line.includes('refused')
            ? 'HTTP/1.1 417 Expectation Failed\r\ncontent-length: 2\r\n\r\nno'
            : 'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok',
        }),
      },
    },
    config: reverseProxy({ manager: { proxy_100_continue: true } }),
    steps: [
      { raw: post('/up', 'hello', 'expect: 100-continue'), answers: 1 },
      { raw: post('/refused', 'hello', 'expect: 100-continue'), answers: 1 },
    ],
  },
  {
    name: 'informational answers of the origin',
    covers: [],
    origins: {
      app: {
        port: ORIGIN_PORT,
        answer: ({ line }) => ({
          bytes: `HTTP/1.1 ${line.includes('103') ? '103 Early Hints' : '102 Processing'}\r\nlink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok`,
        }),
      },
    },
    config: reverseProxy(),
    steps: [{ raw: get('/103') }, { raw: get('/102') }],
  },
  {
    name: 'HTTP/1.0',
    covers: [],
    config: reverseProxy(),
    steps: [
      { raw: 'GET / HTTP/1.0\r\n\r\n', answers: 'close' },
      { raw: 'GET / HTTP/1.0\r\nhost: shop.example\r\nconnection: keep-alive\r\n\r\n', answers: 'close' },
    ],
  },
  {
    name: 'HTTP/1.0 where it is accepted',
    covers: ['envoy.config.core.v3.Http1ProtocolOptions.accept_http_10'],
    config: reverseProxy({ manager: { http_protocol_options: { accept_http_10: true } } }),
    steps: [
      { raw: 'GET / HTTP/1.0\r\nhost: shop.example\r\n\r\n', answers: 'close' },
      { raw: 'GET / HTTP/1.0\r\nhost: shop.example\r\nconnection: keep-alive\r\n\r\n' },
    ],
  },
  {
    name: 'messages that are refused before anyone routes them',
    covers: [],
    config: reverseProxy(),
    steps: [
      { raw: 'GET / HTTP/1.1\r\n\r\n', answers: 'close' },
      { raw: get('/', 'x : 1'), answers: 'close' },
      { raw: get('/', ...Array.from({ length: 120 }, (_, index) => `x-${index}: 1`)), answers: 'close' },
      { raw: get('/', 'transfer-encoding: gzip'), answers: 'close' },
      { raw: get('/', 'content-length: 1', 'transfer-encoding: chunked'), answers: 'close' },
    ],
  },
  {
    name: 'targets in absolute form, and OPTIONS for all of the server',
    covers: [],
    config: reverseProxy(),
    steps: [
      { raw: 'GET http://other.example/a?b HTTP/1.1\r\nhost: shop.example\r\n\r\n' },
      { raw: 'GET http://other.example HTTP/1.1\r\nhost: shop.example\r\n\r\n' },
      { raw: 'OPTIONS * HTTP/1.1\r\nhost: shop.example\r\n\r\n' },
    ],
  },
  {
    name: 'trailers of a chunked request and of its answer end here',
    covers: [],
    origins: {
      app: {
        port: ORIGIN_PORT,
        answer: () => ({
          bytes: 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-sum: 2\r\n\r\n',
        }),
      },
    },
    config: reverseProxy(),
    steps: [
      {
        raw: 'POST / HTTP/1.1\r\nhost: shop.example\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-sum: 3\r\n\r\n',
      },
    ],
  },
  {
    name: 'hop-by-hop fields and TE',
    covers: [],
    config: reverseProxy(),
    steps: [
      { raw: get('/', 'te: trailers', 'keep-alive: timeout=5', 'proxy-connection: keep-alive') },
      { raw: get('/', 'te: gzip, trailers;q=0.5', 'connection: te') },
      { raw: get('/', 'connection: x-private', 'x-private: 1', 'X-Kept: 1') },
    ],
  },
  {
    name: 'requests on one connection are answered in order, and close closes',
    covers: [],
    origins: { app: { port: ORIGIN_PORT, answer: ({ line }) => ({ body: line.split(' ')[1] ?? '' }) } },
    config: reverseProxy(),
    steps: [
      {
        raw: `${get('/1')}${post('/2', 'abc')}${get('/3', 'connection: close')}${get('/4')}`,
        answers: 'close',
      },
    ],
  },
  {
    name: 'answers without a body, and a body behind HEAD',
    covers: [],
    origins: {
      app: {
        port: ORIGIN_PORT,
        answer: ({ line }) => ({
          bytes: line.startsWith('HEAD')
            ? 'HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n'
            : line.includes('/304')
              ? 'HTTP/1.1 304 Not Modified\r\ncontent-length: 7\r\netag: "a"\r\n\r\n'
              : 'HTTP/1.1 204 No Content\r\n\r\n',
        }),
      },
    },
    config: reverseProxy(),
    steps: [
      { raw: 'HEAD / HTTP/1.1\r\nhost: shop.example\r\n\r\n', head: true },
      { raw: get('/304', 'if-none-match: "a"') },
      { raw: get('/204') },
    ],
  },
  {
    name: 'names of header fields come out in lower case, values as they came',
    covers: [],
    config: reverseProxy(),
    steps: [{ raw: get('/', 'X-MiXeD: VaLuE', 'x-twice: 1', 'X-Twice: 2', 'x_under_score: 1', 'x-empty:') }],
  },
]
