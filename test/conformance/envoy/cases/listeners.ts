/** Listeners: which chain serves a connection, TLS with its certificates and clients, first bytes. */
import { X509Certificate } from 'node:crypto'
import { serverCertificate } from '../../../harness/certificate.ts'
import { testMesh } from '../../../../src/pki/testing/mesh.ts'
import {
  bootstrap,
  type Case,
  type ClientTls,
  cluster,
  get,
  http,
  type HttpOptions,
  type Json,
  listener,
  type Places,
  type Step,
  typed,
} from '../case.ts'

const LISTENER = 'envoy.config.listener.v3'
const TLS = 'envoy.extensions.transport_sockets.tls.v3'
const HCM = 'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager'

const server = serverCertificate('shop.example')
const mesh = testMesh({ clusters: ['east'] })
const client = clientOf(mesh)
const URI = 'spiffe://east.demo.mesh/ns/shop/sa/cart'

/** A certificate for clients; a serving one says that it is for servers only. */
function clientOf(of: ReturnType<typeof testMesh>): { readonly cert: string; readonly key: string } {
  const east = of.cluster('east')
  const { trustDomain } = east
  const { chain, keyPem } = east.workload({ trustDomain, namespace: 'shop', serviceAccount: 'cart' })
  return { cert: chain.join(''), key: keyPem }
}

const INSPECTOR = { name: 'tls', typed_config: typed('filters.listener.tls_inspector.v3.TlsInspector') }
const HTTP_INSPECTOR = { name: 'http', typed_config: typed('filters.listener.http_inspector.v3.HttpInspector') }

/** Answers with its own name. */
const answering = (name: string, match: Json = {}, more: Json = {}): Json => ({
  name,
  filter_chain_match: match,
  filters: [
    http({ routes: [{ match: { prefix: '/' }, direct_response: { status: 200, body: { inline_string: name } } }] }),
  ],
  ...more,
})

const certificate = {
  certificate_chain: { inline_string: server.cert },
  private_key: { inline_string: server.key },
}

const secured = (common: Json = {}, more: Json = {}): Json => ({
  transport_socket: {
    name: 'tls',
    typed_config: typed('transport_sockets.tls.v3.DownstreamTlsContext', {
      common_tls_context: { tls_certificates: [certificate], ...common },
      ...more,
    }),
  },
})

const chains =
  (list: readonly Json[], more: Json = {}): ((places: Places) => Json) =>
  (places) =>
    bootstrap([listener(places, list, more)], [cluster(places)])

const anchored = (more: Json = {}): Json => ({
  validation_context: { trusted_ca: { inline_string: mesh.root.certificatePem }, ...more },
})

const over = (tls: ClientTls = {}, path = '/'): Step => ({
  raw: get(path, 'connection: close'),
  answers: 'close',
  tls: { serverName: 'shop.example', ca: server.ca, ...tls },
})

const field = (name: string): string => `${LISTENER}.FilterChainMatch.${name}`
const plain: Step = { raw: get('/') }

/** One HTTP chain behind mutual TLS that goes on to the origin. */
const mutual = (options: HttpOptions, common: Json = anchored()): ((places: Places) => Json) =>
  chains([{ filters: [http(options)], ...secured(common, { require_client_certificate: true }) }])

export const CASES: readonly Case[] = [
  {
    name: 'chains by server name: exact, suffix, none',
    covers: [
      field('server_names'),
      `${LISTENER}.FilterChain.transport_socket`,
      `${TLS}.CommonTlsContext.tls_certificates`,
    ],
    config: chains(
      [
        answering('exact', { server_names: ['shop.example'] }, secured()),
        answering('suffix', { server_names: ['*.example'] }, secured()),
        answering('rest', {}, secured()),
      ],
      { listener_filters: [INSPECTOR] },
    ),
    steps: [over(), over({ serverName: 'a.b.example' }), over({ serverName: 'elsewhere.test' })],
  },
  {
    name: 'chains by transport, and what matches none',
    covers: [field('transport_protocol'), `${LISTENER}.FilterChain.filter_chain_match`],
    config: chains(
      [
        answering('tls', { transport_protocol: 'tls' }, secured()),
        answering('raw', { transport_protocol: 'raw_buffer' }),
      ],
      {
        listener_filters: [INSPECTOR],
      },
    ),
    steps: [over(), plain],
  },
  {
    name: 'chains by what the client offers',
    covers: [field('application_protocols'), `${TLS}.CommonTlsContext.alpn_protocols`],
    config: chains(
      [
        answering('h1', { application_protocols: ['http/1.1'] }, secured({ alpn_protocols: ['http/1.1'] })),
        answering('rest', {}, secured({ alpn_protocols: ['x-shop'] })),
      ],
      { listener_filters: [INSPECTOR] },
    ),
    steps: [over({ alpn: ['http/1.1'] }), over({ alpn: ['x-other'] }), over()],
  },
  {
    name: 'chains by the version of HTTP',
    covers: [`${LISTENER}.Listener.listener_filters`],
    config: chains([answering('h1', { application_protocols: ['http/1.1'] }), answering('rest')], {
      listener_filters: [HTTP_INSPECTOR],
    }),
    steps: [plain, { h2: { ':method': 'GET', ':path': '/', ':authority': 'shop.example' } }],
  },
  {
    name: 'chains by the client’s address',
    covers: [field('source_prefix_ranges'), `${LISTENER}.Listener.default_filter_chain`],
    config: chains(
      [
        answering('narrow', { source_prefix_ranges: [{ address_prefix: '127.9.9.9', prefix_len: 32 }] }),
        answering('wide', { source_prefix_ranges: [{ address_prefix: '127.9.0.0', prefix_len: 16 }] }),
      ],
      { default_filter_chain: answering('rest') },
    ),
    steps: [
      { raw: get('/'), from: '127.9.9.9' },
      { raw: get('/'), from: '127.9.8.8' },
      { raw: get('/'), from: '127.8.0.1' },
    ],
  },
  {
    name: 'chains by where the client is',
    covers: [field('source_type')],
    config: chains([
      answering('local', { source_type: 'SAME_IP_OR_LOOPBACK' }),
      answering('external', { source_type: 'EXTERNAL' }),
    ]),
    steps: [plain],
  },
  {
    name: 'chains by destination: port and address, without a way back',
    covers: [field('destination_port'), field('prefix_ranges')],
    config: chains([
      answering('port', { destination_port: 10_000, prefix_ranges: [{ address_prefix: '127.0.0.0', prefix_len: 8 }] }),
      answering('rest'),
    ]),
    steps: [plain],
  },
  {
    name: 'a client certificate is required',
    covers: [
      `${TLS}.DownstreamTlsContext.require_client_certificate`,
      `${TLS}.DownstreamTlsContext.common_tls_context`,
    ],
    config: mutual({}),
    steps: [over(client)],
  },
  {
    name: 'a client’s name has to match',
    covers: [],
    config: mutual({}, anchored({ match_typed_subject_alt_names: [{ san_type: 'URI', matcher: { exact: URI } }] })),
    steps: [over(client)],
  },
  {
    name: 'a client certificate may be absent where it is not required',
    covers: [],
    config: chains([answering('optional', {}, secured(anchored()))]),
    steps: [over(), over(client)],
  },
  {
    name: 'a client certificate known by its hash',
    covers: [`${TLS}.CertificateValidationContext.verify_certificate_hash`],
    config: mutual({}, { validation_context: { verify_certificate_hash: ['00'.repeat(32), hashOf(client.cert)] } }),
    steps: [over(client)],
  },
  {
    name: 'what is told of a client’s certificate',
    covers: [
      `${HCM}.forward_client_cert_details`,
      `${HCM}.set_current_client_cert_details`,
      `${HCM}.SetCurrentClientCertDetails.uri`,
      `${HCM}.SetCurrentClientCertDetails.dns`,
      `${HCM}.SetCurrentClientCertDetails.subject`,
    ],
    config: mutual({
      manager: {
        forward_client_cert_details: 'SANITIZE_SET',
        set_current_client_cert_details: { uri: true, dns: true, subject: true },
      },
    }),
    // The certificate is another in every run.
    chance: ['x-forwarded-client-cert'],
    steps: [{ ...over(client), raw: get('/', 'x-forwarded-client-cert: Hash=old', 'connection: close') }],
  },
  {
    name: 'a client’s certificate is added to what it brings',
    covers: [`${HCM}.SetCurrentClientCertDetails.cert`],
    config: mutual({
      manager: { forward_client_cert_details: 'APPEND_FORWARD', set_current_client_cert_details: { cert: true } },
    }),
    // The certificate is another in every run.
    chance: ['x-forwarded-client-cert'],
    steps: [{ ...over(client), raw: get('/', 'x-forwarded-client-cert: Hash=old', 'connection: close') }],
  },
  {
    name: 'what a verified client brings is passed on',
    covers: [],
    config: mutual({ manager: { forward_client_cert_details: 'FORWARD_ONLY' } }),
    steps: [{ ...over(client), raw: get('/', 'x-forwarded-client-cert: Hash=old', 'connection: close') }],
  },
  {
    name: 'TLS 1.2 with suites and curves of one’s own',
    covers: [
      `${TLS}.CommonTlsContext.tls_params`,
      `${TLS}.TlsParameters.tls_minimum_protocol_version`,
      `${TLS}.TlsParameters.tls_maximum_protocol_version`,
      `${TLS}.TlsParameters.cipher_suites`,
      `${TLS}.TlsParameters.ecdh_curves`,
    ],
    config: chains([
      answering(
        'old',
        {},
        secured({
          tls_params: {
            tls_minimum_protocol_version: 'TLSv1_2',
            tls_maximum_protocol_version: 'TLSv1_2',
            cipher_suites: ['ECDHE-ECDSA-AES128-GCM-SHA256'],
            ecdh_curves: ['P-256'],
          },
        }),
      ),
    ]),
    steps: [over()],
  },
  {
    name: 'certificates from files',
    covers: ['envoy.config.core.v3.DataSource.filename'],
    files: { 'cert.pem': server.cert, 'key.pem': server.key },
    config: (places) =>
      chains([
        answering(
          'files',
          {},
          secured({
            tls_certificates: [
              {
                certificate_chain: { filename: places.file('cert.pem') },
                private_key: { filename: places.file('key.pem') },
              },
            ],
          }),
        ),
      ])(places),
    steps: [over()],
  },
  {
    name: 'certificates from the bootstrap’s own secrets',
    covers: [
      'envoy.config.bootstrap.v3.Bootstrap.StaticResources.secrets',
      `${TLS}.CommonTlsContext.tls_certificate_sds_secret_configs`,
      `${TLS}.SdsSecretConfig.name`,
    ],
    config: (places) => {
      const chain = answering(
        'secret',
        {},
        secured({ tls_certificates: [], tls_certificate_sds_secret_configs: [{ name: 'shop' }] }),
      )
      const secrets = [{ name: 'shop', tls_certificate: certificate }]
      return { static_resources: { listeners: [listener(places, [chain])], clusters: [cluster(places)], secrets } }
    },
    steps: [over()],
  },
  {
    name: 'paths: normal, slashes merged, escaped slashes resolved',
    covers: [`${HCM}.normalize_path`, `${HCM}.merge_slashes`, `${HCM}.path_with_escaped_slashes_action`],
    config: chains([
      {
        filters: [
          http({
            manager: {
              normalize_path: true,
              merge_slashes: true,
              path_with_escaped_slashes_action: 'UNESCAPE_AND_FORWARD',
            },
          }),
        ],
      },
    ]),
    steps: ['/a/../b', '/a//b', '/a%2fb', '/%61', '/a/./b?x=//y', '/a\\b'].map((path) => ({ raw: get(path) })),
  },
  {
    name: 'paths: each setting by itself',
    covers: [],
    config: chains([{ filters: [http({ manager: { merge_slashes: true } })] }]),
    steps: ['/a/../b', '/a//b', '/a%2fb', '/%61'].map((path) => ({ raw: get(path) })),
  },
  {
    name: 'paths: escaped slashes refused, or answered with the way',
    covers: [],
    config: chains([
      {
        filters: [http({ manager: { path_with_escaped_slashes_action: 'REJECT_REQUEST' } })],
        filter_chain_match: { source_prefix_ranges: [{ address_prefix: '127.9.9.9', prefix_len: 32 }] },
      },
      { filters: [http({ manager: { path_with_escaped_slashes_action: 'UNESCAPE_AND_REDIRECT' } })] },
    ]),
    steps: [{ raw: get('/a%2fb'), from: '127.9.9.9' }, { raw: get('/a%2Fb%5cc?d=%2f') }, { raw: get('/plain') }],
  },
]

function hashOf(pem: string): string {
  return new X509Certificate(pem).fingerprint256.replaceAll(':', '').toLowerCase()
}
