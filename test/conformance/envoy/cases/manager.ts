/** The connection manager's own fields: what it believes of clients, what it says, and its limits. */
import {
  type Case,
  cluster,
  get,
  type Json,
  type Origin,
  ORIGIN_PORT,
  reverseProxy,
  type Step,
  typed,
} from '../case.ts'

const HCM = 'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager'
const CORE = 'envoy.config.core.v3'

interface Shown {
  readonly steps: readonly Step[]
  readonly origins: Readonly<Record<string, Origin>>
}

/** One setting, and requests that show it; `fields` are those of the connection manager unless they say their message. */
function setting(name: string, fields: readonly string[], manager: Json, shown: readonly Step[] | Shown): Case {
  const { steps, origins } = 'steps' in shown ? shown : { steps: shown, origins: undefined }
  const covers = fields.map((field) => (field.includes('.') ? `${CORE}.${field}` : `${HCM}.${field}`))
  // Of a client on this machine Envoy tells the machine's own address, which differs from one machine to the next.
  const chance = manager['use_remote_address'] === true ? ['x-forwarded-for'] : []
  return { name, covers, config: reverseProxy({ manager }), steps, chance, ...(origins !== undefined && { origins }) }
}

const seen = ['x-forwarded-for: 10.1.1.1, 10.2.2.2', 'x-forwarded-proto: https', 'x-forwarded-port: 99']
const own = { app: { port: ORIGIN_PORT, answer: () => ({ headers: { server: 'origin', via: '1.1 origin' } }) } }
const host = (name: string): string => `GET / HTTP/1.1\r\nhost: ${name}\r\n\r\n`
const slow = 'POST / HTTP/1.1\r\nhost: shop.example\r\ncontent-length: 5\r\n\r\nhel'
const common = (fields: Json): Json => ({ common_http_protocol_options: fields })

const withTrailers =
  'POST / HTTP/1.1\r\nhost: shop.example\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\nx-sum: 1\r\n\r\n'
const trailing = {
  app: {
    port: ORIGIN_PORT,
    answer: () => ({ bytes: 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\nx-t: 1\r\n\r\n' }),
  },
}

export const CASES: readonly Case[] = [
  setting('the server’s name', ['server_name'], { server_name: 'shop' }, { steps: [{ raw: get('/') }], origins: own }),
  setting(
    'the server field is added where there is none',
    ['server_header_transformation'],
    { server_header_transformation: 'APPEND_IF_ABSENT' },
    { steps: [{ raw: get('/') }], origins: own },
  ),
  setting(
    'the server field of the endpoint passes',
    [],
    { server_header_transformation: 'PASS_THROUGH' },
    { steps: [{ raw: get('/') }], origins: own },
  ),
  setting(
    'via, both ways',
    ['via'],
    { via: '1.1 proxy' },
    {
      steps: [{ raw: get('/', 'via: 1.0 before') }, { raw: get('/') }],
      origins: own,
    },
  ),
  setting('without use_remote_address clients are believed', [], {}, [
    { raw: get('/', ...seen, 'x-request-id: mine', 'x-forwarded-client-cert: Hash=1') },
  ]),
  setting('the connection says who the client is', ['use_remote_address'], { use_remote_address: true }, [
    { raw: get('/') },
    { raw: get('/', ...seen, 'x-request-id: mine') },
  ]),
  setting('an address that is not appended', ['skip_xff_append'], { use_remote_address: true, skip_xff_append: true }, [
    { raw: get('/', ...seen) },
  ]),
  setting(
    'proxies in front whose words count',
    ['xff_num_trusted_hops', 'append_x_forwarded_port'],
    { use_remote_address: true, xff_num_trusted_hops: 1, append_x_forwarded_port: true },
    [{ raw: get('/', ...seen) }, { raw: get('/') }],
  ),
  setting('the port, where no hop is trusted', [], { use_remote_address: true, append_x_forwarded_port: true }, [
    { raw: get('/', ...seen) },
  ]),
  setting('no request id is made', ['generate_request_id'], { generate_request_id: false }, [
    { raw: get('/') },
    { raw: get('/', 'x-request-id: mine') },
  ]),
  setting(
    'a request id that is kept, and told',
    ['preserve_external_request_id', 'always_set_request_id_in_response'],
    { use_remote_address: true, preserve_external_request_id: true, always_set_request_id_in_response: true },
    [{ raw: get('/', 'x-request-id: mine') }, { raw: get('/') }],
  ),
  setting('instructions between proxies are taken from no client', [], {}, [
    {
      raw: get(
        '/',
        'x-envoy-internal: true',
        'x-envoy-upstream-rq-timeout-ms: 1',
        'x-envoy-upstream-rq-per-try-timeout-ms: 1',
        'x-envoy-max-retries: 3',
        'x-envoy-retry-on: 5xx',
        'x-envoy-retry-grpc-on: cancelled',
        'x-envoy-retriable-status-codes: 200',
        'x-envoy-retriable-header-names: a',
        'x-envoy-hedge-on-per-try-timeout: true',
        'x-envoy-expected-rq-timeout-ms: 5',
        'x-envoy-force-trace: 1',
        'x-envoy-original-url: /',
        'x-envoy-ip-tags: a',
        'x-envoy-decorator-operation: a',
        'x-envoy-downstream-service-cluster: a',
        'x-envoy-attempt-count: 7',
        'x-envoy-original-path: /a',
      ),
    },
  ]),
  setting(
    'the listener’s port is taken off the host',
    ['strip_matching_host_port'],
    { strip_matching_host_port: true },
    [{ raw: host('shop.example:10000') }, { raw: host('shop.example:81') }, { raw: host('shop.example') }],
  ),
  setting('any port is taken off the host', ['strip_any_host_port'], { strip_any_host_port: true }, [
    { raw: host('shop.example:10000') },
    { raw: host('shop.example:81') },
    { raw: host('[::1]:81') },
  ]),
  setting('a trailing dot is taken off the host', ['strip_trailing_host_dot'], { strip_trailing_host_dot: true }, [
    { raw: host('shop.example.') },
    { raw: host('shop.example.:81') },
  ]),
  setting(
    'fields with underscores are dropped',
    ['HttpProtocolOptions.headers_with_underscores_action'],
    common({ headers_with_underscores_action: 'DROP_HEADER' }),
    [{ raw: get('/', 'a_b: 1', 'c-d: 2') }],
  ),
  setting('fields with underscores are refused', [], common({ headers_with_underscores_action: 'REJECT_REQUEST' }), [
    { raw: get('/', 'a_b: 1'), answers: 'close' },
    { raw: get('/', 'c-d: 1') },
  ]),
  setting('so many fields and no more', ['HttpProtocolOptions.max_headers_count'], common({ max_headers_count: 3 }), [
    { raw: get('/', 'a: 1', 'b: 2') },
    { raw: get('/', 'a: 1', 'b: 2', 'c: 3'), answers: 'close' },
  ]),
  setting(
    'so long a head and no longer',
    ['max_request_headers_kb', 'common_http_protocol_options'],
    { max_request_headers_kb: 1 },
    [{ raw: get('/', `a: ${'x'.repeat(800)}`) }, { raw: get('/', `a: ${'x'.repeat(1_200)}`), answers: 'close' }],
  ),
  setting(
    'so many requests per connection',
    ['HttpProtocolOptions.max_requests_per_connection'],
    common({ max_requests_per_connection: 2 }),
    [{ raw: get('/1') + get('/2') + get('/3'), answers: 'close' }],
  ),
  setting('an idle connection is closed', ['HttpProtocolOptions.idle_timeout'], common({ idle_timeout: '0.3s' }), [
    { raw: get('/'), answers: 'close' },
  ]),
  setting('a request that is not whole in time', ['request_timeout'], { request_timeout: '0.3s' }, [
    { raw: slow, answers: 'close' },
  ]),
  setting('a stream without a byte', ['stream_idle_timeout'], { stream_idle_timeout: '0.3s' }, [
    { raw: slow, answers: 'close' },
  ]),
  setting(
    'a stream’s whole life',
    ['HttpProtocolOptions.max_stream_duration'],
    common({ max_stream_duration: '0.3s' }),
    [{ raw: slow, answers: 'close' }],
  ),
  setting('only HTTP/1.1', ['http_protocol_options'], { codec_type: 'HTTP1' }, [{ raw: get('/') }]),
  setting('only HTTP/2', ['http2_protocol_options'], { codec_type: 'HTTP2' }, [
    { h2: { ':method': 'GET', ':path': '/', ':authority': 'shop.example' } },
  ]),
  setting(
    'trailers of HTTP/1.1 end at the cluster that does not want them',
    [],
    { http_protocol_options: { enable_trailers: true } },
    { steps: [{ raw: withTrailers }], origins: trailing },
  ),
  {
    name: 'trailers of HTTP/1.1, where both sides want them',
    covers: [`${CORE}.Http1ProtocolOptions.enable_trailers`],
    origins: trailing,
    config: reverseProxy({ manager: { http_protocol_options: { enable_trailers: true } } }, (places) => [
      cluster(places, 'app', ORIGIN_PORT, {
        typed_extension_protocol_options: {
          'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': typed('upstreams.http.v3.HttpProtocolOptions', {
            explicit_http_config: { http_protocol_options: { enable_trailers: true } },
          }),
        },
      }),
    ]),
    steps: [{ raw: withTrailers }],
  },
]
