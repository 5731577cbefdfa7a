/** External authorisation: what the service is told, and what becomes of its answers. */
import type { JsonObject, JsonValue } from '@bufbuild/protobuf'
import { CheckRequestSchema, CheckResponseSchema } from '#gen/envoy/service/auth/v3/external_auth_pb.js'
import { type Case, cluster, get, type Json, ORIGIN_PORT, type Places, reverseProxy, typed } from '../case.ts'
import { grpcService } from '../grpc-service.ts'
import type { Answer } from '../origin.ts'

const FILTER = 'envoy.extensions.filters.http.ext_authz.v3'
const NAME = 'envoy.filters.http.ext_authz'
const AUTHZ_PORT = 8_090

const extAuthz = (fields: Json): Json => ({
  name: NAME,
  typed_config: typed('filters.http.ext_authz.v3.ExtAuthz', { transport_api_version: 'V3', ...fields }),
})

const GRPC: Json = { grpc_service: { envoy_grpc: { cluster_name: 'authz' }, timeout: '2s' } }

const said = (prefix: string, fields: Json): Json => ({
  match: { prefix },
  route: { cluster: 'app' },
  typed_per_filter_config: { [NAME]: typed('filters.http.ext_authz.v3.ExtAuthzPerRoute', fields) },
})

const HTTP2: Json = {
  typed_extension_protocol_options: {
    'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': typed('upstreams.http.v3.HttpProtocolOptions', {
      explicit_http_config: { http2_protocol_options: {} },
    }),
  },
}

const withGrpc = (places: Places): readonly Json[] => [
  cluster(places),
  cluster(places, 'authz', AUTHZ_PORT, HTTP2),
  cluster(places, 'nobody', 9, HTTP2),
]
const withHttp = (places: Places): readonly Json[] => [cluster(places), cluster(places, 'authz', AUTHZ_PORT)]

/** Time, ids and ports differ from run to run. */
function normalCheck(request: JsonValue): JsonValue {
  const attributes = (request as JsonObject)['attributes'] as JsonObject
  const { source: _source, destination: _destination, ...rest } = attributes
  const asked = rest['request'] as JsonObject
  const { id: _id, ...http } = asked['http'] as JsonObject
  const { 'x-request-id': _own, ...headers } = http['headers'] as JsonObject
  return { ...rest, request: { http: { ...http, headers } } }
}

const pathOf = (request: JsonValue): string => {
  const attributes = (request as JsonObject)['attributes'] as JsonObject
  const http = (attributes['request'] as JsonObject)['http'] as JsonObject
  return http['path'] as string
}

const authorizer = (answers: Readonly<Record<string, JsonValue | number | undefined>>) =>
  grpcService({
    port: AUTHZ_PORT,
    request: CheckRequestSchema,
    response: CheckResponseSchema,
    normal: normalCheck,
    answer: (request) => {
      const path = pathOf(request)
      const key = Object.keys(answers).find((prefix) => path.startsWith(prefix))
      return key === undefined ? {} : answers[key]
    },
  })

const header = (key: string, value: string, more: JsonObject = {}): JsonObject => ({ header: { key, value }, ...more })
const post = (path: string, body: string, ...fields: readonly string[]): string =>
  [`POST ${path} HTTP/1.1`, 'host: shop.example', `content-length: ${body.length}`, ...fields, '', body].join('\r\n')

const httpAnswers: Readonly<Record<string, Answer>> = {
  '/pre/yes': {
    headers: {
      'x-up': '1',
      'x-user': 'me',
      'x-list': 'two',
      'x-client': 'c',
      'x-other': 'o',
      'x-envoy-auth-headers-to-remove': 'x-gone, x-none',
    },
  },
  '/pre/no': {
    status: 401,
    headers: { 'www-authenticate': 'Basic', 'x-why': 'w', 'content-type': 'text/x' },
    body: 'no',
  },
  '/pre/else': { status: 302, headers: { location: '/login', 'x-why': 'w' }, body: '' },
  '/pre/broken': { status: 503, body: 'b' },
  '/pre/204': { status: 204 },
}

export const CASES: readonly Case[] = [
  {
    name: 'gRPC: what the service is told',
    covers: ['grpc_service', 'with_request_body', 'transport_api_version', 'metadata_context_namespaces']
      .map((field) => `${FILTER}.ExtAuthz.${field}`)
      .concat(
        ['context_extensions', 'disable_request_body_buffering', 'with_request_body'].map(
          (field) => `${FILTER}.CheckSettings.${field}`,
        ),
      )
      .concat([`${FILTER}.ExtAuthzPerRoute.disabled`])
      .concat(
        ['max_request_bytes', 'allow_partial_message', 'pack_as_bytes'].map(
          (field) => `${FILTER}.BufferSettings.${field}`,
        ),
      ),
    origins: { app: { port: ORIGIN_PORT }, authz: authorizer({}) },
    config: reverseProxy(
      {
        filters: [extAuthz({ ...GRPC, with_request_body: { max_request_bytes: 10, allow_partial_message: true } })],
        hosts: [
          {
            name: 'any',
            domains: ['*'],
            typed_per_filter_config: {
              [NAME]: typed('filters.http.ext_authz.v3.ExtAuthzPerRoute', {
                check_settings: { context_extensions: { host: 'h', both: 'h' } },
              }),
            },
            routes: [
              said('/off', { disabled: true }),
              said('/route', { check_settings: { context_extensions: { route: 'r', both: 'r' } } }),
              said('/bodiless', { check_settings: { disable_request_body_buffering: true } }),
              said('/bytes', {
                check_settings: {
                  with_request_body: { max_request_bytes: 4, allow_partial_message: true },
                },
              }),
              said('/whole', { check_settings: { with_request_body: { max_request_bytes: 4 } } }),
              { match: { prefix: '/' }, route: { cluster: 'app' } },
            ],
          },
        ],
      },
      withGrpc,
    ),
    steps: [
      { raw: get('/a/b?q=1&r', 'x-a: 1', 'X-A: 2', 'cookie: a=b; c=d', 'authorization: Bearer t') },
      { raw: get('/off') },
      { raw: get('/route') },
      { raw: post('/', 'short') },
      { raw: post('/', 'longer than ten') },
      { raw: post('/bodiless', 'body') },
      { raw: post('/bytes', 'ab\xffdef') },
      { raw: post('/whole', 'four') },
      { raw: post('/whole', 'fives') },
      { raw: 'POST / HTTP/1.1\r\nhost: shop.example\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n' },
      { h2: { ':method': 'GET', ':path': '/h2', ':authority': 'shop.example', 'x-a': '1' } },
    ],
    counters: ['http.main.ext_authz.ok', 'http.main.ext_authz.denied', 'http.main.ext_authz.error'],
  },
  {
    name: 'gRPC: a yes that changes the request and its answer, and routes anew',
    covers: [`${FILTER}.ExtAuthz.clear_route_cache`],
    origins: {
      app: {
        port: ORIGIN_PORT,
        answer: () => ({ headers: { 'r-set': 'u', 'r-add': 'u', 'r-absent': 'u', 'r-there': 'u' } }),
      },
      other: { port: 8_081 },
      authz: authorizer({
        '/headers': {
          status: { code: 0 },
          okResponse: {
            headers: [
              header('x-new', 'n'),
              header('x-old', 'new'),
              header('x-list', 'two', { append: true }),
              header('x-none', 'no', { append: true }),
              header('x-twice', '1'),
              header('X-Twice', '2'),
            ],
            headersToRemove: ['x-gone', 'X-Gone-Too', 'host', ':path', 'x-never'],
            responseHeadersToAdd: [
              header('r-add', 'a'),
              header('r-set', 's', { appendAction: 'OVERWRITE_IF_EXISTS_OR_ADD' }),
              header('r-absent', 'x', { appendAction: 'ADD_IF_ABSENT' }),
              header('r-new', 'x', { appendAction: 'ADD_IF_ABSENT' }),
              header('r-there', 't', { appendAction: 'OVERWRITE_IF_EXISTS' }),
              header('r-not', 't', { appendAction: 'OVERWRITE_IF_EXISTS' }),
            ],
          },
        },
        '/query': {
          okResponse: {
            queryParametersToSet: [
              { key: 'set', value: 'new' },
              { key: 'added', value: '1' },
            ],
            queryParametersToRemove: ['gone'],
          },
        },
        '/path': { okResponse: { headers: [header(':path', '/elsewhere'), header(':method', 'PUT')] } },
        '/other': { okResponse: { headers: [header('x-way', 'other')] } },
        '/bare': {},
      }),
    },
    config: reverseProxy(
      {
        filters: [extAuthz({ ...GRPC, clear_route_cache: true })],
        routes: [
          {
            match: { prefix: '/', headers: [{ name: 'x-way', string_match: { exact: 'other' } }] },
            route: { cluster: 'other' },
          },
          { match: { prefix: '/' }, route: { cluster: 'app' } },
        ],
      },
      (places) => [...withGrpc(places), cluster(places, 'other', 8_081)],
    ),
    steps: [
      { raw: get('/headers', 'x-old: old', 'x-list: one', 'x-gone: 1', 'x-gone-too: 1') },
      { raw: get('/query?z=1&set=old&gone=1&a&set=twice') },
      { raw: get('/query') },
      { raw: get('/path') },
      { raw: get('/other') },
      { raw: get('/bare') },
    ],
  },
  {
    name: 'gRPC: a no, in the service’s words or in none',
    covers: [`${FILTER}.ExtAuthz.stat_prefix`],
    origins: {
      app: { port: ORIGIN_PORT },
      authz: authorizer({
        '/words': {
          status: { code: 7 },
          deniedResponse: {
            status: { code: 'Unauthorized' },
            headers: [
              header('www-authenticate', 'Basic'),
              header('x-two', '1'),
              header('x-two', '2'),
              header('x-app', 'a', { append: true }),
            ],
            body: 'who are you?',
          },
        },
        '/silent': { status: { code: 7 } },
        '/empty': { status: { code: 16 }, deniedResponse: {} },
        '/typed': {
          status: { code: 1 },
          deniedResponse: { headers: [header('content-type', 'application/json')], body: '{}' },
        },
        '/contradicting': { status: { code: 7 }, okResponse: {} },
        '/kind': { status: { code: 0 }, deniedResponse: { body: 'x' } },
      }),
    },
    config: reverseProxy({ filters: [extAuthz({ ...GRPC, stat_prefix: 'mine' })] }, withGrpc),
    steps: [
      ...['/words', '/silent', '/empty', '/typed', '/contradicting', '/kind'].map((path) => ({ raw: get(path) })),
      { raw: get('/words', 'content-type: application/grpc') },
      { raw: 'HEAD /words HTTP/1.1\r\nhost: shop.example\r\n\r\n', head: true },
      { raw: post('/words', 'body') },
    ],
    counters: ['http.main.ext_authz.mine.ok', 'http.main.ext_authz.mine.denied', 'http.main.ext_authz.mine.error'],
  },
  ...[
    { name: 'closed', fields: {} },
    { name: 'closed with a status', fields: { status_on_error: { code: 'ServiceUnavailable' } } },
    { name: 'open', fields: { failure_mode_allow: true, failure_mode_allow_header_add: true } },
  ].map(({ name, fields }): Case => ({
    name: `gRPC: a service that does not decide: ${name}`,
    covers: ['failure_mode_allow', 'failure_mode_allow_header_add', 'status_on_error'].map(
      (field) => `${FILTER}.ExtAuthz.${field}`,
    ),
    origins: { app: { port: ORIGIN_PORT }, authz: authorizer({ '/silent': undefined, '/status': 13, '/status0': 0 }) },
    config: reverseProxy(
      { filters: [extAuthz({ grpc_service: { envoy_grpc: { cluster_name: 'authz' }, timeout: '1s' }, ...fields })] },
      withGrpc,
    ),
    steps: ['/silent', '/status', '/yes'].map((path) => ({ raw: get(path) })),
    counters: ['ok', 'error', 'failure_mode_allowed', 'denied'].map((name) => `http.main.ext_authz.${name}`),
  })),
  {
    name: 'gRPC: nobody there, or no such service',
    covers: [],
    origins: { app: { port: ORIGIN_PORT } },
    config: reverseProxy(
      { filters: [extAuthz({ grpc_service: { envoy_grpc: { cluster_name: 'nobody' }, timeout: '1s' } })] },
      withGrpc,
    ),
    steps: [{ raw: get('/') }, { raw: post('/', 'body') }],
  },
  {
    name: 'switched off, by share',
    covers: [`${FILTER}.ExtAuthz.filter_enabled`, `${FILTER}.ExtAuthz.deny_at_disable`],
    origins: { app: { port: ORIGIN_PORT }, authz: authorizer({}) },
    config: reverseProxy(
      {
        filters: [
          extAuthz({
            ...GRPC,
            filter_enabled: { default_value: { numerator: 0 } },
            deny_at_disable: { default_value: true, runtime_key: 'x' },
          }),
        ],
      },
      withGrpc,
    ),
    steps: [{ raw: get('/') }],
    counters: ['http.main.ext_authz.disabled'],
  },
  {
    name: 'only where an earlier filter said so',
    covers: [`${FILTER}.ExtAuthz.filter_enabled_metadata`],
    origins: { app: { port: ORIGIN_PORT }, authz: authorizer({ '/asked/no': { status: { code: 7 } } }) },
    config: reverseProxy(
      {
        filters: [
          {
            name: 'envoy.filters.http.rbac',
            typed_config: typed('filters.http.rbac.v3.RBAC', {
              shadow_rules: {
                action: 'DENY',
                policies: {
                  asked: {
                    permissions: [{ url_path: { path: { prefix: '/asked' } } }],
                    principals: [{ any: true }],
                  },
                },
              },
              shadow_rules_stat_prefix: 'ext_authz_',
            }),
          },
          extAuthz({
            ...GRPC,
            filter_enabled_metadata: {
              filter: 'envoy.filters.http.rbac',
              path: [{ key: 'ext_authz_shadow_effective_policy_id' }],
              value: { string_match: { exact: 'asked' } },
            },
          }),
        ],
      },
      withGrpc,
    ),
    steps: [{ raw: get('/') }, { raw: get('/asked/no') }, { raw: get('/asked/yes') }],
    counters: ['http.main.ext_authz.disabled', 'http.main.ext_authz.ok', 'http.main.ext_authz.denied'],
  },
  {
    name: 'gRPC: bodies as bytes',
    covers: [`${FILTER}.BufferSettings.pack_as_bytes`],
    origins: { app: { port: ORIGIN_PORT }, authz: authorizer({}) },
    config: reverseProxy(
      { filters: [extAuthz({ ...GRPC, with_request_body: { max_request_bytes: 10, pack_as_bytes: true } })] },
      withGrpc,
    ),
    steps: [{ raw: post('/', 'a\xff\x00b') }, { raw: get('/') }],
  },
  {
    name: 'which headers the service sees',
    covers: [`${FILTER}.ExtAuthz.allowed_headers`, `${FILTER}.ExtAuthz.disallowed_headers`],
    origins: { app: { port: ORIGIN_PORT }, authz: authorizer({}) },
    config: reverseProxy(
      {
        filters: [
          extAuthz({
            ...GRPC,
            allowed_headers: {
              patterns: [{ prefix: 'x-' }, { exact: ':path' }, { exact: 'Cookie', ignore_case: true }],
            },
            disallowed_headers: { patterns: [{ exact: 'x-secret' }] },
          }),
        ],
      },
      withGrpc,
    ),
    steps: [{ raw: get('/', 'x-a: 1', 'x-secret: 2', 'cookie: c', 'authorization: t') }],
  },
  {
    name: 'HTTP: what the service is told and says',
    covers: ['server_uri', 'path_prefix', 'authorization_request', 'authorization_response']
      .map((field) => `${FILTER}.HttpService.${field}`)
      .concat([`${FILTER}.ExtAuthz.http_service`, `${FILTER}.AuthorizationRequest.headers_to_add`])
      .concat(
        ['allowed_upstream_headers', 'allowed_upstream_headers_to_append', 'allowed_client_headers_on_success'].map(
          (field) => `${FILTER}.AuthorizationResponse.${field}`,
        ),
      ),
    origins: {
      app: { port: ORIGIN_PORT, answer: () => ({ headers: { 'x-client': 'app' } }) },
      authz: {
        port: AUTHZ_PORT,
        without: ['x-envoy-internal', 'x-envoy-expected-rq-timeout-ms'],
        answer: ({ line }) => httpAnswers[line.split(' ')[1]?.split('?')[0] ?? ''] ?? {},
      },
    },
    config: reverseProxy(
      {
        filters: [
          extAuthz({
            http_service: {
              server_uri: { uri: 'http://authz.example/x', cluster: 'authz', timeout: '2s' },
              path_prefix: '/pre',
              authorization_request: {
                headers_to_add: [
                  { key: 'x-added', value: 'v' },
                  { key: 'x-a', value: 'over' },
                ],
              },
              authorization_response: {
                allowed_upstream_headers: { patterns: [{ exact: 'x-up' }, { prefix: 'x-us' }] },
                allowed_upstream_headers_to_append: { patterns: [{ exact: 'x-list' }] },
                allowed_client_headers_on_success: { patterns: [{ exact: 'x-client' }] },
              },
            },
            allowed_headers: { patterns: [{ exact: 'x-a' }, { exact: 'cookie' }] },
            with_request_body: { max_request_bytes: 10 },
          }),
        ],
      },
      withHttp,
    ),
    steps: [
      {
        raw: get('/yes?q=1', 'x-a: 1', 'x-b: 2', 'cookie: a', 'authorization: t', 'x-list: one', 'x-gone: g'),
      },
      ...['/no', '/else', '/broken', '/204', '/plain'].map((path) => ({ raw: get(path) })),
      { raw: post('/yes', 'body') },
      { raw: post('/yes', 'far too long') },
    ],
    counters: ['ok', 'denied', 'error'].map((name) => `http.main.ext_authz.${name}`),
  },
  {
    name: 'HTTP: which headers of a no the client gets',
    covers: [`${FILTER}.AuthorizationResponse.allowed_client_headers`],
    origins: {
      app: { port: ORIGIN_PORT },
      authz: {
        port: AUTHZ_PORT,
        without: ['x-envoy-internal', 'x-envoy-expected-rq-timeout-ms'],
        answer: () => ({ status: 403, headers: { 'x-why': 'w', 'x-hidden': 'h', location: '/l' }, body: 'no' }),
      },
    },
    config: reverseProxy(
      {
        filters: [
          extAuthz({
            http_service: {
              server_uri: { uri: 'http://authz.example', cluster: 'authz', timeout: '2s' },
              authorization_response: { allowed_client_headers: { patterns: [{ exact: 'x-why' }] } },
            },
          }),
        ],
      },
      withHttp,
    ),
    steps: [{ raw: get('/') }],
  },
]
