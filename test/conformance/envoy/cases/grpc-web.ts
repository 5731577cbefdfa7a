/** gRPC-Web: browsers' gRPC over HTTP/1.1, binary and text, its errors too. */
import { type Case, cluster, type Json, ORIGIN_PORT, reverseProxy, typed } from '../case.ts'
import type { Answer } from '../origin.ts'

const FILTER: Json = { name: 'envoy.filters.http.grpc_web', typed_config: typed('filters.http.grpc_web.v3.GrpcWeb') }
const HTTP2: Json = {
  typed_extension_protocol_options: {
    'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': typed('upstreams.http.v3.HttpProtocolOptions', {
      explicit_http_config: { http2_protocol_options: {} },
    }),
  },
}
const MESSAGE = '\0\0\0\0\x03xyz'
const text = (bytes: string): string => Buffer.from(bytes, 'latin1').toString('base64')

const post = (path: string, type: string, body: string, ...fields: readonly string[]): Buffer =>
  Buffer.from(
    [
      `POST ${path} HTTP/1.1`,
      'host: shop.example',
      `content-type: ${type}`,
      `content-length: ${body.length}`,
      ...fields,
      '',
      body,
    ].join('\r\n'),
    'latin1',
  )

const answers: Readonly<Record<string, Answer>> = {
  '/only': { headers: { 'content-type': 'application/grpc', 'grpc-status': '5', 'grpc-message': 'no' }, body: '' },
  '/proto': {
    headers: { 'content-type': 'application/grpc+proto' },
    body: MESSAGE,
    trailers: { 'grpc-status': '0' },
  },
  '/bare': { status: 503, body: '' },
  '/bare200': { headers: { 'content-type': 'text/plain' }, body: '' },
}

const WEB = 'application/grpc-web'
const WEB_TEXT = 'application/grpc-web-text'

export const CASES: readonly Case[] = [
  {
    name: 'binary and text, as asked and as wanted',
    covers: ['envoy.extensions.filters.http.grpc_web.v3.GrpcWeb'],
    origins: {
      app: {
        port: ORIGIN_PORT,
        protocol: 'http2',
        answer: ({ line }) =>
          answers[line.split(' ')[1] ?? ''] ?? {
            headers: { 'content-type': 'application/grpc', 'x-a': 'b' },
            body: '\0\0\0\0\x03abc',
            trailers: { 'grpc-status': '0', 'grpc-message': 'fine', 'x-t': '1' },
          },
      },
    },
    config: reverseProxy(
      {
        filters: [FILTER],
        routes: [
          { match: { prefix: '/nobody' }, route: { cluster: 'nobody' } },
          { match: { prefix: '/denied' }, direct_response: { status: 403, body: { inline_string: 'no way%' } } },
          { match: { prefix: '/' }, route: { cluster: 'app' } },
        ],
      },
      (places) => [cluster(places, 'app', ORIGIN_PORT, HTTP2), cluster(places, 'nobody', 9, HTTP2)],
    ),
    steps: [
      { raw: post('/', WEB, MESSAGE) },
      { raw: post('/', `${WEB}+proto`, MESSAGE, 'accept: application/grpc-web+proto', 'x-grpc-web: 1') },
      { raw: post('/', WEB, MESSAGE, 'grpc-accept-encoding: gzip', 'grpc-timeout: 1S') },
      { raw: post('/', WEB_TEXT, text(MESSAGE)) },
      { raw: post('/', WEB_TEXT, text(MESSAGE), `accept: ${WEB_TEXT}`) },
      { raw: post('/', `${WEB_TEXT}+proto`, text('\0\0\0\0\x04wxyz'), `accept: ${WEB_TEXT}+proto`) },
      { raw: post('/', WEB, MESSAGE, `accept: ${WEB_TEXT}`) },
      { raw: post('/', WEB_TEXT, text(MESSAGE), `accept: ${WEB}`) },
      { raw: post('/', WEB_TEXT, '!!!!') },
      { raw: post('/', WEB_TEXT, 'AAAAA') },
      { raw: post('/', WEB_TEXT, 'AAAAAAM=eHl6') },
      { raw: post('/', 'application/grpc', MESSAGE) },
      { raw: post('/', `${WEB}+thrift`, MESSAGE) },
      { raw: post('/', `${WEB}; a=b`, MESSAGE) },
      { raw: post('/only', WEB, MESSAGE) },
      { raw: post('/proto', WEB, MESSAGE) },
      { raw: post('/bare', WEB, MESSAGE) },
      { raw: post('/bare200', WEB, MESSAGE) },
      { raw: post('/nobody', WEB, MESSAGE) },
      { raw: post('/nobody', WEB_TEXT, text(MESSAGE), `accept: ${WEB_TEXT}`) },
      { raw: post('/denied', WEB, MESSAGE) },
      { raw: post('/denied', 'application/grpc', MESSAGE) },
      {
        h2: { ':method': 'POST', ':path': '/', ':authority': 'shop.example', 'content-type': WEB },
        body: MESSAGE,
      },
    ],
  },
]
