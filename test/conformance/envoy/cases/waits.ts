/** How long a listener waits for clients, and how long they may stay. */
import { serverCertificate } from '../../../harness/certificate.ts'
import {
  bootstrap,
  type Case,
  cluster,
  get,
  http,
  type Json,
  listener,
  ORIGIN_PORT,
  type Origin,
  type Places,
  typed,
} from '../case.ts'

const LISTENER = 'envoy.config.listener.v3'
const HCM = 'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager'
const server = serverCertificate('shop.example')
const INSPECTOR = { name: 'tls', typed_config: typed('filters.listener.tls_inspector.v3.TlsInspector') }

const echo: Origin = { port: ORIGIN_PORT, protocol: 'tcp', answer: ({ body }) => ({ body: `app got ${body}` }) }
const tcpProxy: Json = {
  name: 'tcp',
  typed_config: typed('filters.network.tcp_proxy.v3.TcpProxy', { stat_prefix: 'main', cluster: 'app' }),
}
const chains =
  (list: readonly Json[], more: Json = {}): ((places: Places) => Json) =>
  (places) =>
    bootstrap([listener(places, list, more)], [cluster(places)])
const secured: Json = {
  transport_socket: {
    name: 'tls',
    typed_config: typed('transport_sockets.tls.v3.DownstreamTlsContext', {
      common_tls_context: {
        tls_certificates: [
          { certificate_chain: { inline_string: server.cert }, private_key: { inline_string: server.key } },
        ],
      },
    }),
  },
}
/** The start of a TLS record whose rest never comes. */
const HALF_HELLO = Buffer.from([22, 3, 1, 2, 0, 1, 0])

/** Nothing may be told from when it ends, only whether it ends by itself. */
const waiting = { patienceMs: 2_500 }

export const CASES: readonly Case[] = [
  {
    name: 'a client that does not show itself is let go',
    covers: [`${LISTENER}.Listener.listener_filters_timeout`],
    origins: { app: echo },
    config: chains([{ filters: [tcpProxy] }], { listener_filters: [INSPECTOR], listener_filters_timeout: '0.3s' }),
    steps: [{ tcp: HALF_HELLO, ...waiting }],
    counters: ['tcp.main.downstream_cx_total'],
  },
  {
    name: 'a client that does not show itself is served all the same',
    covers: [`${LISTENER}.Listener.continue_on_listener_filters_timeout`],
    origins: { app: echo },
    config: chains([{ filters: [tcpProxy] }], {
      listener_filters: [INSPECTOR],
      listener_filters_timeout: '0.3s',
      continue_on_listener_filters_timeout: true,
    }),
    steps: [{ tcp: HALF_HELLO, expect: 8, ...waiting }],
    counters: ['tcp.main.downstream_cx_total'],
  },
  {
    name: 'a handshake that does not go on',
    covers: [`${LISTENER}.FilterChain.transport_socket_connect_timeout`],
    config: chains([{ filters: [http()], transport_socket_connect_timeout: '0.3s', ...secured }]),
    steps: [{ tcp: HALF_HELLO, ...waiting }],
  },
  {
    name: 'chains by the client’s port',
    covers: [`${LISTENER}.FilterChainMatch.source_ports`],
    config: chains(
      ['one', 'rest'].map((name, index) => ({
        name,
        filter_chain_match: index === 0 ? { source_ports: [23_456] } : {},
        filters: [
          http({
            routes: [{ match: { prefix: '/' }, direct_response: { status: 200, body: { inline_string: name } } }],
          }),
        ],
      })),
    ),
    steps: [{ raw: get('/'), fromPort: 23_456 }, { raw: get('/') }],
  },
  {
    name: 'a head that does not end',
    covers: [`${HCM}.request_headers_timeout`],
    config: chains([{ filters: [http({ manager: { request_headers_timeout: '0.3s' } })] }]),
    steps: [{ raw: 'GET / HTTP/1.1\r\nhost: shop', answers: 'close', ...waiting }],
    counters: ['http.main.downstream_rq_header_timeout'],
  },
  {
    name: 'a connection that has lived long enough',
    covers: ['envoy.config.core.v3.HttpProtocolOptions.max_connection_duration'],
    config: chains([
      { filters: [http({ manager: { common_http_protocol_options: { max_connection_duration: '0.3s' } } })] },
    ]),
    steps: [{ raw: get('/'), answers: 'close', patienceMs: 8_000 }],
    counters: ['http.main.downstream_cx_max_duration_reached'],
  },
  {
    name: 'a connection that has lived long enough, and how long it still may be used',
    covers: [`${HCM}.drain_timeout`],
    config: chains([
      {
        filters: [
          http({
            manager: { common_http_protocol_options: { max_connection_duration: '0.3s' }, drain_timeout: '0.3s' },
          }),
        ],
      },
    ]),
    steps: [{ raw: get('/'), answers: 'close', patienceMs: 3_000 }],
    counters: ['http.main.downstream_cx_max_duration_reached'],
  },
  {
    name: 'a connection over the limit is let go later',
    covers: ['envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit.delay'],
    origins: { app: echo },
    config: chains([
      {
        filters: [
          {
            name: 'limit',
            typed_config: typed('filters.network.connection_limit.v3.ConnectionLimit', {
              stat_prefix: 'few',
              max_connections: 1,
              delay: '60s',
            }),
          },
          tcpProxy,
        ],
      },
    ]),
    steps: [
      { tcp: 'one', expect: 4, hold: true },
      { tcp: 'two', patienceMs: 500 },
    ],
    counters: ['connection_limit.few.limited_connections'],
  },
]
