/** TCP: which cluster, for how long, and what stands before it. */
import { serverCertificate } from '../../../harness/certificate.ts'
import {
  assignment,
  bootstrap,
  type Case,
  cluster,
  endpoint,
  get,
  http,
  type Json,
  listener,
  type Origin,
  ORIGIN_PORT,
  type Places,
  typed,
} from '../case.ts'

const B_PORT = 8_081
const NAME = 'envoy.extensions.filters.network'
const PROXY = `${NAME}.tcp_proxy.v3.TcpProxy`

const tcpProxy = (fields: Json = {}): Json => ({
  name: 'tcp',
  typed_config: typed('filters.network.tcp_proxy.v3.TcpProxy', { stat_prefix: 'main', cluster: 'app', ...fields }),
})

const filter = (name: string, fields: Json): Json => ({ name, typed_config: typed(`filters.network.${name}`, fields) })

interface Options {
  readonly before?: readonly Json[]
  readonly listenerFilters?: readonly Json[]
  readonly proxy?: Json
  readonly clusters?: (places: Places) => readonly Json[]
  readonly reader?: Json
}

const tcp =
  (options: Options = {}): ((places: Places) => Json) =>
  (places) => {
    const { before = [], listenerFilters = [], proxy, clusters, reader = tcpProxy(proxy) } = options
    const filters = [...before, reader]
    const found = clusters?.(places) ?? [cluster(places)]
    return bootstrap([listener(places, [{ filters }], { listener_filters: listenerFilters })], found)
  }

const app: Readonly<Record<string, Origin>> = {
  app: { port: ORIGIN_PORT, protocol: 'tcp', answer: ({ body }) => ({ body: `app got ${body}` }) },
}
const two: Readonly<Record<string, Origin>> = {
  ...app,
  other: { port: B_PORT, protocol: 'tcp', answer: ({ body }) => ({ body: `other got ${body}` }) },
}
const both = (places: Places): readonly Json[] => [cluster(places), cluster(places, 'other', B_PORT)]

const COUNTERS = ['tcp.main.downstream_cx_total', 'tcp.main.downstream_cx_no_route', 'cluster.app.upstream_cx_total']

const PROXY_PROTOCOL = (fields: Json = {}): Json => ({
  name: 'proxy',
  typed_config: typed('filters.listener.proxy_protocol.v3.ProxyProtocol', fields),
})
const LISTENER_PROXY = 'envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol'

const ADDRESSES = [192, 0, 2, 7, 198, 51, 100, 9, 0x30, 0x39, 0, 80]
const version2 = (command: number, family: number, body: readonly number[]): Buffer =>
  Buffer.from([...Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1'), command, family, 0, body.length, ...body])

/** Only clients of 192.0.2.0/24. */
const fromTestNet = (fields: Json = {}): Json =>
  filter('rbac.v3.RBAC', {
    stat_prefix: 'door.',
    rules: {
      action: 'ALLOW',
      policies: {
        net: {
          permissions: [{ any: true }],
          principals: [{ source_ip: { address_prefix: '192.0.2.0', prefix_len: 24 } }],
        },
      },
    },
    ...fields,
  })

const toWhereItWanted = (fields: Json = {}): Json => ({
  name: 'app',
  type: 'ORIGINAL_DST',
  lb_policy: 'CLUSTER_PROVIDED',
  connect_timeout: '1s',
  ...fields,
})
const BY_HEADER = { original_dst_lb_config: { use_http_header: true } }
const DISCOVERY = 'envoy.config.cluster.v3.Cluster'

const denyTestNet: Json = {
  name: 'rbac',
  typed_config: typed('filters.http.rbac.v3.RBAC', {
    rules: {
      action: 'DENY',
      policies: {
        net: {
          permissions: [{ any: true }],
          principals: [
            { source_ip: { address_prefix: '192.0.2.0', prefix_len: 24 } },
            // Whom the relay itself is, not whom it names.
            { direct_remote_ip: { address_prefix: '198.18.0.0', prefix_len: 15 } },
          ],
        },
      },
    },
  }),
}

const withLength = (bytes: readonly number[], size: 1 | 2 | 3): number[] => {
  const length = Array.from({ length: size }, (_, index) => (bytes.length >> (8 * (size - 1 - index))) & 0xff)
  return [...length, ...bytes]
}

/** The least that is one, always the same bytes: no handshake comes of it. */
function clientHello(serverName: string): Buffer {
  const name = [0, ...withLength([...Buffer.from(serverName)], 2)]
  const extensions = [0, 0, ...withLength(withLength(name, 2), 2)]
  const random = Array.from({ length: 32 }, () => 7)
  const body = [3, 3, ...random, 0, ...withLength([0x13, 0x01], 2), ...withLength([0], 1), ...withLength(extensions, 2)]
  const handshake = [1, ...withLength(body, 3)]
  return Buffer.from([22, 3, 1, ...withLength(handshake, 2)])
}

const TLS_INSPECTOR: Json = {
  name: 'tls',
  typed_config: typed('filters.listener.tls_inspector.v3.TlsInspector'),
}

const headered = (version: string): Json => ({
  transport_socket: {
    name: 'header',
    typed_config: typed('transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport', {
      config: { version },
      transport_socket: { name: 'raw', typed_config: typed('transport_sockets.raw_buffer.v3.RawBuffer') },
    }),
  },
})
/** Over TLS whose server has to be of this authority. */
const secured = (ca: string): Json => ({
  transport_socket: {
    name: 'envoy.transport_sockets.tls',
    typed_config: typed('transport_sockets.tls.v3.UpstreamTlsContext', {
      common_tls_context: { validation_context: { trusted_ca: { inline_string: ca } } },
    }),
  },
})
const { cert, key, ca } = serverCertificate('app.example')
const STRANGER = serverCertificate('app.example')
const UPSTREAM_PROXY = 'envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport'

export const CASES: readonly Case[] = [
  {
    name: 'tcp: bytes both ways, and an end on each side',
    covers: [`${PROXY}.stat_prefix`, `${PROXY}.cluster`],
    origins: app,
    config: tcp(),
    steps: [
      { tcp: 'hello', expect: 13 },
      { tcp: 'bye', end: true },
    ],
    counters: [...COUNTERS, 'tcp.main.downstream_cx_rx_bytes_total', 'tcp.main.downstream_cx_tx_bytes_total'],
  },
  {
    name: 'tcp: an endpoint that ends first, and one that breaks',
    covers: [],
    origins: {
      app: {
        port: ORIGIN_PORT,
        protocol: 'tcp',
        answer: ({ body }) => (body === 'break' ? 'reset' : { bytes: 'last words', close: true }),
      },
    },
    config: tcp(),
    steps: [{ tcp: 'close' }, { tcp: 'break' }],
    counters: COUNTERS,
  },
  {
    name: 'tcp: a cluster that is not there, one without endpoints, one that refuses',
    covers: [],
    origins: app,
    config: (places) =>
      bootstrap(
        [
          listener(places, [{ filters: [tcpProxy({ cluster: 'none' })] }]),
          { ...listener(places, [{ filters: [tcpProxy({ cluster: 'empty' })] }]), name: 'b', ...at(places, 10_001) },
          { ...listener(places, [{ filters: [tcpProxy({ cluster: 'dead' })] }]), name: 'c', ...at(places, 10_002) },
        ],
        [
          cluster(places),
          { ...cluster(places, 'empty'), load_assignment: { cluster_name: 'empty' } },
          cluster(places, 'dead', 9),
        ],
      ),
    // Without bytes: those that nobody read would make the kernel reset what was closed.
    steps: [{ tcp: '' }, { tcp: '', port: 10_001 }, { tcp: '', port: 10_002 }],
    counters: [...COUNTERS, 'cluster.dead.upstream_cx_connect_fail', 'cluster.dead.upstream_cx_total'],
  },
  {
    name: 'tcp: attempts',
    covers: [`${PROXY}.max_connect_attempts`],
    origins: app,
    config: tcp({
      proxy: { cluster: 'mixed', max_connect_attempts: 3 },
      clusters: (places) => [
        {
          ...cluster(places, 'mixed'),
          lb_policy: 'ROUND_ROBIN',
          load_assignment: assignment('mixed', [endpoint(places, 9), endpoint(places, ORIGIN_PORT)]),
        },
      ],
    }),
    steps: [
      { tcp: 'one', expect: 11 },
      { tcp: 'two', expect: 11 },
      { tcp: 'three', expect: 13 },
    ],
    counters: ['tcp.main.downstream_cx_total'],
  },
  {
    name: 'tcp: idle and too old',
    covers: [`${PROXY}.idle_timeout`, `${PROXY}.max_downstream_connection_duration`],
    origins: { app: { port: ORIGIN_PORT, protocol: 'tcp', answer: () => 'never' } },
    config: (places) =>
      bootstrap(
        [
          listener(places, [{ filters: [tcpProxy({ idle_timeout: '0.2s' })] }]),
          {
            ...listener(places, [{ filters: [tcpProxy({ max_downstream_connection_duration: '0.2s' })] }]),
            name: 'b',
            ...at(places, 10_001),
          },
        ],
        [cluster(places)],
      ),
    steps: [{ tcp: 'silent' }, { tcp: 'old', port: 10_001 }],
    counters: ['tcp.main.idle_timeout', 'tcp.main.max_downstream_connection_duration'],
  },
  {
    name: 'tcp: weighted clusters',
    covers: [`${PROXY}.weighted_clusters`],
    origins: two,
    config: (places) =>
      bootstrap(
        [
          listener(places, [
            {
              filters: [
                {
                  name: 'tcp',
                  typed_config: typed('filters.network.tcp_proxy.v3.TcpProxy', {
                    stat_prefix: 'main',
                    weighted_clusters: { clusters: [{ name: 'other', weight: 1 }] },
                  }),
                },
              ],
            },
          ]),
        ],
        both(places),
      ),
    steps: [{ tcp: 'hi', expect: 12 }],
    counters: ['cluster.other.upstream_cx_total', 'cluster.app.upstream_cx_total'],
  },
  {
    name: 'tcp: a subset of endpoints',
    covers: [`${PROXY}.metadata_match`],
    origins: two,
    config: tcp({
      proxy: { metadata_match: { filter_metadata: { 'envoy.lb': { stage: 'green' } } } },
      clusters: (places) => [
        {
          ...cluster(places),
          lb_subset_config: { subset_selectors: [{ keys: ['stage'] }] },
          load_assignment: assignment('app', [
            endpoint(places, ORIGIN_PORT, { metadata: { filter_metadata: { 'envoy.lb': { stage: 'blue' } } } }),
            endpoint(places, B_PORT, { metadata: { filter_metadata: { 'envoy.lb': { stage: 'green' } } } }),
          ]),
        },
      ],
    }),
    steps: [
      { tcp: 'hi', expect: 12 },
      { tcp: 'ho', expect: 12 },
    ],
  },
  {
    name: 'tcp: by the hash of the client’s address',
    covers: [`${PROXY}.hash_policy`],
    origins: two,
    config: tcp({
      proxy: { hash_policy: [{ source_ip: {} }] },
      clusters: (places) => [
        {
          ...cluster(places),
          lb_policy: 'RING_HASH',
          // Keys, because addresses differ from run to run.
          load_assignment: assignment('app', [
            endpoint(places, ORIGIN_PORT, { metadata: { filter_metadata: { 'envoy.lb': { hash_key: 'a' } } } }),
            endpoint(places, B_PORT, { metadata: { filter_metadata: { 'envoy.lb': { hash_key: 'b' } } } }),
          ]),
        },
      ],
    }),
    steps: ['127.0.9.1', '127.0.9.2', '127.0.9.3', '127.0.9.4', '127.0.9.5'].map((from) => ({
      tcp: 'hi',
      expect: 9,
      from,
    })),
  },
  {
    name: 'tcp: rules about addresses',
    covers: [`${NAME}.rbac.v3.RBAC.rules`, `${NAME}.rbac.v3.RBAC.stat_prefix`, LISTENER_PROXY],
    origins: app,
    config: tcp({ listenerFilters: [PROXY_PROTOCOL()], before: [fromTestNet()] }),
    steps: [
      { tcp: 'PROXY TCP4 192.0.2.7 198.51.100.9 12345 80\r\nhello', expect: 13 },
      { tcp: 'PROXY TCP4 203.0.113.7 198.51.100.9 12345 80\r\nhello' },
      { tcp: Buffer.concat([version2(0x21, 0x11, ADDRESSES), Buffer.from('hello')]), expect: 13 },
    ],
    counters: ['door.rbac.allowed', 'door.rbac.denied'],
  },
  {
    name: 'tcp: rules that only count',
    covers: [`${NAME}.rbac.v3.RBAC.shadow_rules`],
    origins: app,
    config: tcp({
      before: [
        filter('rbac.v3.RBAC', {
          stat_prefix: 'door.',
          shadow_rules: { action: 'ALLOW', policies: {} },
        }),
      ],
    }),
    steps: [{ tcp: 'hello', expect: 13 }],
    counters: ['door.rbac.shadow_denied', 'door.rbac.denied'],
  },
  {
    name: 'tcp: a limit of connections',
    covers: [`${NAME}.connection_limit.v3.ConnectionLimit.max_connections`],
    origins: app,
    config: tcp({
      before: [filter('connection_limit.v3.ConnectionLimit', { stat_prefix: 'few', max_connections: 1 })],
    }),
    steps: [{ tcp: 'one', expect: 11, hold: true }, { tcp: '' }],
    counters: ['connection_limit.few.limited_connections'],
  },
  {
    name: 'tcp: a rate of connections',
    covers: [`${NAME}.local_ratelimit.v3.LocalRateLimit.token_bucket`],
    origins: app,
    config: tcp({
      before: [
        filter('local_ratelimit.v3.LocalRateLimit', {
          stat_prefix: 'few',
          token_bucket: { max_tokens: 2, tokens_per_fill: 1, fill_interval: '3600s' },
        }),
      ],
    }),
    steps: [{ tcp: 'one', expect: 11 }, { tcp: 'two', expect: 11 }, { tcp: 'three' }],
    counters: ['local_rate_limit.few.rate_limited'],
  },
  {
    name: 'proxy protocol: what is none, and what is malformed',
    covers: [],
    origins: app,
    config: tcp({ listenerFilters: [PROXY_PROTOCOL()] }),
    steps: [
      { tcp: 'GET / HTTP/1.1\r\n\r\n' },
      { tcp: 'PROXY TCP4 192.0.2.7 198.51.100.9 12345\r\nhello' },
      { tcp: 'PROXY TCP4 192.0.2.7 198.51.100.9 99999 80\r\nhello' },
      { tcp: `PROXY UNKNOWN ${'x'.repeat(200)}\r\nhello` },
      { tcp: 'PROXY UNKNOWN\r\nhello', expect: 13 },
      { tcp: Buffer.concat([version2(0x20, 0, []), Buffer.from('hello')]), expect: 13 },
      { tcp: Buffer.concat([version2(0x31, 0x11, ADDRESSES), Buffer.from('hello')]) },
      { tcp: Buffer.concat([version2(0x21, 0x12, ADDRESSES), Buffer.from('hello')]) },
      { tcp: Buffer.concat([version2(0x21, 0x11, ADDRESSES.slice(4)), Buffer.from('hello')]) },
      { tcp: Buffer.concat([version2(0x21, 0x11, [...ADDRESSES, 4, 0, 1, 9]), Buffer.from('hello')]), expect: 13 },
    ],
    counters: ['tcp.main.downstream_cx_total'],
  },
  {
    name: 'proxy protocol: optional, and not every version',
    covers: [`${LISTENER_PROXY}.allow_requests_without_proxy_protocol`, `${LISTENER_PROXY}.disallowed_versions`],
    origins: app,
    config: tcp({
      listenerFilters: [PROXY_PROTOCOL({ allow_requests_without_proxy_protocol: true, disallowed_versions: ['V1'] })],
    }),
    steps: [
      { tcp: 'plain words, long enough', expect: 32 },
      { tcp: Buffer.concat([version2(0x21, 0x11, ADDRESSES), Buffer.from('hello')]), expect: 13 },
    ],
    counters: ['proxy_proto.not_found_allowed', 'proxy_proto.versions.v2.found'],
  },
  {
    name: 'proxy protocol: rules about requests see the client’s address',
    covers: [],
    origins: { app: { port: ORIGIN_PORT } },
    config: tcp({
      listenerFilters: [PROXY_PROTOCOL()],
      reader: http({ filters: [denyTestNet] }),
    }),
    steps: [
      { raw: `PROXY TCP4 192.0.2.7 198.51.100.9 12345 80\r\n${get('/')}` },
      { raw: `PROXY TCP4 203.0.113.7 198.51.100.9 12345 80\r\n${get('/')}` },
      { raw: `PROXY TCP4 198.18.0.7 198.51.100.9 12345 80\r\n${get('/')}` },
    ],
  },
  {
    name: 'original destination: as the PROXY protocol tells it',
    covers: [`${DISCOVERY}.type`],
    origins: app,
    config: tcp({ listenerFilters: [PROXY_PROTOCOL()], clusters: () => [toWhereItWanted()] }),
    steps: [
      // Where the case's endpoint is, which differs from run to run, only its own configuration knows: see the next case.
      { tcp: 'PROXY UNKNOWN\r\n' },
      { tcp: 'PROXY TCP4 127.0.0.1 127.0.0.1 4000 9\r\n' },
    ],
    counters: ['cluster.app.upstream_cx_total', 'cluster.app.upstream_cx_connect_fail'],
  },
  {
    name: 'original destination: a port of the cluster’s own, and a header that names no address',
    covers: [
      `${DISCOVERY}.OriginalDstLbConfig.use_http_header`,
      `${DISCOVERY}.OriginalDstLbConfig.http_header_name`,
      `${DISCOVERY}.OriginalDstLbConfig.upstream_port_override`,
    ],
    origins: { app: { port: ORIGIN_PORT } },
    config: (places) =>
      bootstrap(
        [
          listener(places, [
            {
              filters: [
                http({
                  routes: [
                    {
                      match: { prefix: '/own' },
                      route: { cluster: 'app' },
                      request_headers_to_add: [
                        { header: { key: 'x-envoy-original-dst-host', value: `${places.upstream}:${ORIGIN_PORT}` } },
                      ],
                    },
                    {
                      match: { prefix: '/port' },
                      route: { cluster: 'port' },
                      request_headers_to_add: [{ header: { key: 'x-to', value: `${places.upstream}:9` } }],
                    },
                    { match: { prefix: '/' }, route: { cluster: 'app' } },
                  ],
                }),
              ],
            },
          ]),
        ],
        [
          toWhereItWanted(BY_HEADER),
          {
            ...toWhereItWanted(),
            name: 'port',
            original_dst_lb_config: {
              use_http_header: true,
              http_header_name: 'x-to',
              upstream_port_override: ORIGIN_PORT,
            },
          },
        ],
      ),
    steps: [
      { raw: get('/own') },
      { raw: get('/port') },
      { raw: get('/none') },
      { raw: get('/name', 'x-envoy-original-dst-host: shop.example:80') },
      { raw: get('/bad', 'x-envoy-original-dst-host: 127.0.0.1') },
    ],
    counters: ['cluster.app.upstream_cx_total', 'cluster.port.upstream_cx_total'],
  },
  {
    name: 'tcp: TLS passes through to the chain of its server name',
    covers: ['envoy.config.listener.v3.FilterChainMatch.server_names'],
    origins: two,
    config: (places) =>
      bootstrap(
        [
          listener(
            places,
            [
              { filter_chain_match: { server_names: ['a.example'] }, filters: [tcpProxy()] },
              { filter_chain_match: { server_names: ['*.b.example'] }, filters: [tcpProxy({ cluster: 'other' })] },
            ],
            { listener_filters: [TLS_INSPECTOR] },
          ),
        ],
        both(places),
      ),
    steps: [
      { tcp: clientHello('a.example'), expect: 20 },
      { tcp: clientHello('x.b.example'), expect: 20 },
    ],
    counters: ['cluster.app.upstream_cx_total', 'cluster.other.upstream_cx_total'],
  },
  {
    name: 'tcp: TLS passes through to the cluster of its server name',
    covers: [`${NAME}.sni_cluster.v3.SniCluster`],
    origins: two,
    config: (places) =>
      bootstrap(
        [
          listener(places, [{ filters: [filter('sni_cluster.v3.SniCluster', {}), tcpProxy()] }], {
            listener_filters: [TLS_INSPECTOR],
          }),
        ],
        [cluster(places), cluster(places, 'other.example', B_PORT)],
      ),
    steps: [
      { tcp: clientHello('other.example'), expect: 20 },
      { tcp: 'no TLS at all', expect: 20 },
    ],
    counters: ['cluster.other.example.upstream_cx_total', 'cluster.app.upstream_cx_total'],
  },
  ...(['V1', 'V2'] as const).map((version): Case => ({
    name: `proxy protocol: endpoints are told by ${version}`,
    covers: [`${UPSTREAM_PROXY}.config`, `${UPSTREAM_PROXY}.transport_socket`],
    // Header and bytes may come apart.
    origins: {
      app: {
        port: ORIGIN_PORT,
        protocol: 'tcp',
        answer: ({ body }) => (body.endsWith('hello') ? { bytes: 'told' } : 'never'),
      },
    },
    config: tcp({
      listenerFilters: [PROXY_PROTOCOL()],
      clusters: (places) => [{ ...cluster(places), ...headered(version) }],
    }),
    steps: [
      { tcp: 'PROXY TCP4 192.0.2.7 198.51.100.9 12345 80\r\nhello', expect: 4 },
      { tcp: 'PROXY TCP6 2001:db8::7 2001:db8::9 12345 80\r\nhello', expect: 4 },
    ],
  })),
  {
    name: 'proxy protocol: the access log names the client and the relay',
    covers: [`${PROXY}.access_log`],
    origins: app,
    config: (places) =>
      bootstrap(
        [
          listener(
            places,
            [
              {
                filters: [
                  tcpProxy({
                    access_log: [
                      {
                        name: 'file',
                        typed_config: typed('access_loggers.file.v3.FileAccessLog', {
                          path: places.file('access.log'),
                          log_format: {
                            text_format_source: {
                              inline_string:
                                '%DOWNSTREAM_REMOTE_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %BYTES_RECEIVED% %BYTES_SENT% %RESPONSE_FLAGS% %UPSTREAM_CLUSTER%\n',
                            },
                          },
                        }),
                      },
                    ],
                  }),
                ],
              },
            ],
            { listener_filters: [PROXY_PROTOCOL()] },
          ),
        ],
        [cluster(places)],
      ),
    steps: [{ tcp: 'PROXY TCP4 192.0.2.7 198.51.100.9 12345 80\r\nhello', expect: 13 }],
    logs: ['access.log'],
  },
  {
    name: 'tcp: TLS to the endpoint where its cluster says so, and to no one else',
    covers: [`${DISCOVERY}.transport_socket`],
    origins: {
      app: { port: ORIGIN_PORT, protocol: 'tcp', tls: { cert, key } },
      other: { port: B_PORT, protocol: 'tcp', tls: STRANGER },
    },
    config: (places) =>
      bootstrap(
        [
          listener(places, [{ filters: [tcpProxy()] }]),
          { ...listener(places, [{ filters: [tcpProxy({ cluster: 'other' })] }]), name: 'b', ...at(places, 10_001) },
        ],
        [
          { ...cluster(places), ...secured(ca) },
          { ...cluster(places, 'other', B_PORT), ...secured(ca) },
        ],
      ),
    steps: [
      { tcp: 'hello', expect: 3 },
      { tcp: '', port: 10_001 },
    ],
    counters: ['cluster.app.upstream_cx_connect_fail', 'tcp.main.downstream_cx_total'],
  },
]

const at = (places: Places, port: number): Json => ({
  address: { socket_address: { address: places.proxy, port_value: port } },
})
