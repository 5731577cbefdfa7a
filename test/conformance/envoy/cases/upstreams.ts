/** How clusters are dialled: protocols, TLS with its names and anchors, limits of a connection's life. */
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
  type Places,
  typed,
} from '../case.ts'

const HTTP = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions'
const TLS = 'envoy.extensions.transport_sockets.tls.v3'
const { cert, key, ca } = serverCertificate('app.example')
const other = serverCertificate('app.example')

const options = (fields: Json): Json => ({
  typed_extension_protocol_options: { [HTTP]: typed('upstreams.http.v3.HttpProtocolOptions', fields) },
})

const tls = (common: Json, more: Json = {}): Json => ({
  transport_socket: {
    name: 'envoy.transport_sockets.tls',
    typed_config: typed('transport_sockets.tls.v3.UpstreamTlsContext', { common_tls_context: common, ...more }),
  },
})

const anchors = (text: string, more: Json = {}): Json => ({
  validation_context: { trusted_ca: { inline_string: text }, ...more },
})

const to =
  (more: Json): ((places: Places) => Json) =>
  (places) =>
    bootstrap([listener(places, [{ filters: [http()] }])], [cluster(places, 'app', ORIGIN_PORT, more)])

const san = (exact: string): Json => ({ san_type: 'DNS', matcher: { exact } })

export const CASES: readonly Case[] = [
  {
    name: 'HTTP/2 upstream with a limit of streams',
    covers: [
      `${HTTP}.ExplicitHttpConfig.http2_protocol_options`,
      'envoy.config.core.v3.Http2ProtocolOptions.max_concurrent_streams',
    ],
    origins: { app: { port: ORIGIN_PORT, protocol: 'http2' } },
    config: to(options({ explicit_http_config: { http2_protocol_options: { max_concurrent_streams: 1 } } })),
    steps: [{ raw: get('/one') }, { raw: get('/two') }],
    counters: ['cluster.app.upstream_cx_http2_total', 'cluster.app.upstream_rq_200'],
  },
  {
    name: 'the protocol of the client goes on upstream: HTTP/1.1',
    covers: [`${HTTP}.use_downstream_protocol_config`],
    config: to(options({ use_downstream_protocol_config: { http2_protocol_options: {} } })),
    steps: [{ raw: get('/one') }],
    counters: ['cluster.app.upstream_cx_http1_total', 'cluster.app.upstream_cx_http2_total'],
  },
  {
    name: 'the protocol of the client goes on upstream: HTTP/2',
    covers: [`${HTTP}.UseDownstreamHttpConfig.http2_protocol_options`],
    origins: { app: { port: ORIGIN_PORT, protocol: 'http2' } },
    config: to(options({ use_downstream_protocol_config: { http2_protocol_options: {} } })),
    steps: [{ h2: { ':method': 'GET', ':path': '/', ':authority': 'shop.example' } }],
    counters: ['cluster.app.upstream_cx_http1_total', 'cluster.app.upstream_cx_http2_total'],
  },
  {
    name: 'TLS upstream, its chain verified',
    covers: [
      'envoy.config.cluster.v3.Cluster.transport_socket',
      `${TLS}.UpstreamTlsContext.common_tls_context`,
      `${TLS}.UpstreamTlsContext.sni`,
      `${TLS}.CommonTlsContext.validation_context`,
      `${TLS}.CertificateValidationContext.trusted_ca`,
    ],
    origins: { app: { port: ORIGIN_PORT, tls: { cert, key } } },
    config: to(tls(anchors(ca), { sni: 'app.example' })),
    steps: [{ raw: get('/') }],
    counters: ['cluster.app.upstream_rq_200'],
  },
  {
    name: 'TLS upstream without anchors takes any certificate',
    covers: [],
    origins: { app: { port: ORIGIN_PORT, tls: { cert, key } } },
    config: to(tls({})),
    steps: [{ raw: get('/') }],
  },
  {
    name: 'TLS upstream of another authority is refused',
    covers: [],
    origins: { app: { port: ORIGIN_PORT, tls: { cert, key } } },
    config: to(tls(anchors(other.ca))),
    steps: [{ raw: get('/') }],
    counters: ['cluster.app.upstream_rq_503', 'cluster.app.upstream_cx_connect_fail'],
  },
  {
    name: 'TLS upstream with the name that was asked for',
    covers: [`${TLS}.CertificateValidationContext.match_typed_subject_alt_names`],
    origins: { app: { port: ORIGIN_PORT, tls: { cert, key } } },
    config: to(tls(anchors(ca, { match_typed_subject_alt_names: [san('app.example')] }))),
    steps: [{ raw: get('/') }],
  },
  {
    name: 'TLS upstream with another name is refused',
    covers: [],
    origins: { app: { port: ORIGIN_PORT, tls: { cert, key } } },
    config: to(tls(anchors(ca, { match_typed_subject_alt_names: [san('else.example')] }))),
    steps: [{ raw: get('/') }],
  },
  {
    name: 'ALPN chooses the protocol upstream',
    covers: [`${HTTP}.auto_config`],
    origins: { app: { port: ORIGIN_PORT, protocol: 'http2', tls: { cert, key } } },
    config: to({ ...tls(anchors(ca)), ...options({ auto_config: {} }) }),
    steps: [{ raw: get('/') }],
    counters: ['cluster.app.upstream_rq_200'],
  },
]
