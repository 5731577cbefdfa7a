/** What a cluster says of each protocol that it may come to speak, and of its connections whichever it is. */
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

const HTTP = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions'
const CORE = 'envoy.config.core.v3'
const { cert, key } = serverCertificate('app.example')

const TLS: Json = {
  transport_socket: {
    name: 'tls',
    typed_config: typed('transport_sockets.tls.v3.UpstreamTlsContext', { sni: 'app.example' }),
  },
}
const to =
  (options: Json, more: Json = {}, manager: Json = {}): ((places: Places) => Json) =>
  (places) =>
    bootstrap(
      [listener(places, [{ filters: [http({ manager })] }])],
      [
        cluster(places, 'app', ORIGIN_PORT, {
          typed_extension_protocol_options: { [HTTP]: typed('upstreams.http.v3.HttpProtocolOptions', options) },
          ...more,
        }),
      ],
    )

const TRAILERS: Json = { http_protocol_options: { enable_trailers: true } }
const withTrailers = {
  raw: 'POST / HTTP/1.1\r\nhost: shop.example\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nx-t: v\r\n\r\n',
}
/** Long enough for the other one to come meanwhile. */
const slow: Origin = { port: ORIGIN_PORT, protocol: 'http2', answer: () => ({ afterMs: 400 }) }
const both: Case['steps'] = [{ together: [{ raw: get('/one') }, { raw: get('/two') }] }]
const CONNECTIONS = ['cluster.app.upstream_cx_total', 'cluster.app.upstream_rq_200']
/** HTTP/2 that never says more than its settings; what it is sent is the proxy's own way of saying it. */
const mute: Origin = {
  port: ORIGIN_PORT,
  protocol: 'tcp',
  answer: () => ({ bytes: '\0\0\0\x04\0\0\0\0\0' }),
  reads: () => '',
}
const watched: Json = { http2_protocol_options: { connection_keepalive: { interval: '0.3s', timeout: '0.3s' } } }
const oneStream: Json = { http2_protocol_options: { max_concurrent_streams: 1 } }

export const CASES: readonly Case[] = [
  {
    name: 'trailers of HTTP/1.1 where TLS chooses it',
    covers: [`${HTTP}.AutoHttpConfig.http_protocol_options`, `${HTTP}.auto_config`],
    origins: { app: { port: ORIGIN_PORT, tls: { cert, key } } },
    config: to({ auto_config: TRAILERS }, TLS, TRAILERS),
    steps: [withTrailers],
  },
  {
    name: 'a connection that does not answer PING, where TLS chooses HTTP/2',
    covers: [`${HTTP}.AutoHttpConfig.http2_protocol_options`],
    origins: { app: { ...mute, tls: { cert, key, alpn: ['h2'] } } },
    config: to({ auto_config: watched }, TLS),
    steps: [{ raw: get('/'), patienceMs: 4_000 }],
  },
  {
    name: 'a connection that does not answer PING',
    covers: [
      `${CORE}.Http2ProtocolOptions.connection_keepalive`,
      `${CORE}.KeepaliveSettings.interval`,
      `${CORE}.KeepaliveSettings.timeout`,
    ],
    origins: { app: mute },
    config: to({ explicit_http_config: watched }),
    steps: [{ raw: get('/'), patienceMs: 4_000 }],
  },
  {
    name: 'streams of HTTP/2 where the cluster says so',
    covers: [
      `${HTTP}.ExplicitHttpConfig.http2_protocol_options`,
      `${CORE}.Http2ProtocolOptions.max_concurrent_streams`,
    ],
    origins: { app: slow },
    config: to({ explicit_http_config: oneStream }),
    steps: both,
    unordered: true,
    counters: CONNECTIONS,
  },
  {
    name: 'trailers of HTTP/1.1 where the client’s protocol goes on',
    covers: [`${HTTP}.UseDownstreamHttpConfig.http_protocol_options`],
    config: to({ use_downstream_protocol_config: TRAILERS }, {}, TRAILERS),
    steps: [withTrailers],
  },
  {
    name: 'connections that serve once',
    covers: [`${HTTP}.common_http_protocol_options`, `${CORE}.HttpProtocolOptions.max_requests_per_connection`],
    config: to({
      explicit_http_config: { http_protocol_options: {} },
      common_http_protocol_options: { max_requests_per_connection: 1 },
    }),
    steps: [{ raw: get('/one') }, { raw: get('/two') }],
    counters: ['cluster.app.upstream_cx_total', 'cluster.app.upstream_cx_max_requests'],
  },
]
