/** Passwords, and policies about what a token claims. */
import { createHash } from 'node:crypto'
import { type Case, get, type Json, reverseProxy, type RawStep, toApp, typed } from '../case.ts'
import { KEY_SET, TOKENS } from '../tokens.ts'

const BASIC = 'envoy.extensions.filters.http.basic_auth.v3'
const MATCHER = 'envoy.type.matcher.v3'
const hashed = (name: string, password: string): string =>
  `${name}:{SHA}${createHash('sha1').update(password).digest('base64')}`

const basic = (path: string, user: string, scheme = 'Basic', ...more: readonly string[]): RawStep => ({
  raw: get(path, `authorization: ${scheme} ${Buffer.from(user).toString('base64')}`, ...more),
})

const claim = (key: string, value: Json, more: Json = {}): Json => ({
  metadata: {
    filter: 'envoy.filters.http.jwt_authn',
    path: ['token', ...key.split('.')].map((one) => ({ key: one })),
    value,
    ...more,
  },
})

const said = (kind: string, key: string, string_match: Json): Json => ({
  metadata: {
    filter: 'envoy.filters.http.jwt_authn',
    path: [{ key: kind }, { key }],
    value: { string_match },
  },
})

const admits = (path: string, principal: Json): [string, Json] => [
  path,
  { permissions: [{ url_path: { path: { prefix: `/${path}` } } }], principals: [principal] },
]

export const CASES: readonly Case[] = [
  {
    name: 'basic authentication: users of the chain and of a route',
    covers: ['BasicAuth.users', 'BasicAuth.forward_username_header', 'BasicAuthPerRoute.users'].map(
      (field) => `${BASIC}.${field}`,
    ),
    config: reverseProxy({
      routes: [
        {
          ...toApp,
          match: { prefix: '/route' },
          typed_per_filter_config: {
            'envoy.filters.http.basic_auth': typed('filters.http.basic_auth.v3.BasicAuthPerRoute', {
              users: { inline_string: hashed('zoe', 'z') },
            }),
          },
        },
        toApp,
      ],
      filters: [
        {
          name: 'envoy.filters.http.basic_auth',
          typed_config: typed('filters.http.basic_auth.v3.BasicAuth', {
            users: { inline_string: [hashed('ann', 'secret'), hashed('bob', 'a:b'), '', hashed('non', '')].join('\n') },
            forward_username_header: 'x-user',
          }),
        },
      ],
    }),
    steps: [
      { raw: get('/x?a') },
      basic('/', 'ann:secret'),
      basic('/', 'ann:secret', 'Basic', 'x-user: root'),
      basic('/', 'ann:wrong'),
      basic('/', 'eve:secret'),
      basic('/', 'bob:a:b'),
      basic('/', 'non:'),
      basic('/', 'ann'),
      { raw: get('/', 'authorization: Basic !!!') },
      basic('/', 'ann:secret', 'basic'),
      basic('/', 'ann:secret', 'Bearer'),
      basic('/route', 'zoe:z'),
      basic('/route', 'ann:secret'),
    ],
    counters: ['http.main.basic_auth.allowed', 'http.main.basic_auth.denied'],
  },
  {
    name: 'RBAC by what a token claims',
    covers: [
      'envoy.config.rbac.v3.Principal.metadata',
      'envoy.config.rbac.v3.Permission.metadata',
      ...['filter', 'path', 'value', 'invert', 'PathSegment.key'].map((field) => `${MATCHER}.MetadataMatcher.${field}`),
      ...['null', 'double', 'string', 'bool', 'present', 'list', 'or'].map(
        (kind) => `${MATCHER}.ValueMatcher.${kind}_match`,
      ),
      ...['exact', 'range'].map((field) => `${MATCHER}.DoubleMatcher.${field}`),
      `${MATCHER}.ListMatcher.one_of`,
      `${MATCHER}.OrMatcher.value_matchers`,
      'envoy.config.rbac.v3.Principal.url_path',
      'envoy.config.rbac.v3.Principal.or_ids',
      ...[
        'payload_in_metadata',
        'normalize_payload_in_metadata',
        'header_in_metadata',
        'failed_status_in_metadata',
      ].map((field) => `envoy.extensions.filters.http.jwt_authn.v3.JwtProvider.${field}`),
    ],
    config: reverseProxy({
      filters: [
        {
          name: 'envoy.filters.http.jwt_authn',
          typed_config: typed('filters.http.jwt_authn.v3.JwtAuthentication', {
            providers: {
              one: {
                local_jwks: { inline_string: KEY_SET },
                payload_in_metadata: 'token',
                header_in_metadata: 'head',
                failed_status_in_metadata: 'failure',
                normalize_payload_in_metadata: { space_delimited_claims: ['scope'] },
              },
            },
            rules: [{ match: { prefix: '/' }, requires: { allow_missing_or_failed: {} } }],
          }),
        },
        {
          name: 'envoy.filters.http.rbac',
          typed_config: typed('filters.http.rbac.v3.RBAC', {
            rules: {
              action: 'ALLOW',
              policies: Object.fromEntries([
                admits('sub', claim('sub', { string_match: { exact: 'ann' } })),
                admits('not', claim('sub', { string_match: { exact: 'ann' } }, { invert: true })),
                admits('exact', claim('n', { double_match: { exact: 7 } })),
                admits('range', claim('f', { double_match: { range: { start: 1.5, end: 2 } } })),
                admits('below', claim('f', { double_match: { range: { start: 1, end: 1.5 } } })),
                admits('bool', claim('b', { bool_match: true })),
                admits('deep', claim('nested.deep', { string_match: { prefix: 'x' } })),
                admits('list', claim('nested.list', { list_match: { one_of: { string_match: { exact: 'b' } } } })),
                admits('scope', claim('scope', { list_match: { one_of: { string_match: { exact: 'write' } } } })),
                admits('present', claim('exp', { present_match: true })),
                admits('null', claim('nothing', { null_match: {} })),
                admits('head', said('head', 'kid', { exact: 'rsa' })),
                admits('failed', said('failure', 'message', { exact: 'Jwt is expired' })),
                admits('either', {
                  or_ids: {
                    ids: [
                      { url_path: { path: { exact: '/either' } } },
                      claim('sub', { string_match: { exact: 'ann' } }),
                    ],
                  },
                }),
                admits(
                  'or',
                  claim('sub', {
                    or_match: {
                      value_matchers: [{ string_match: { exact: 'x' } }, { string_match: { exact: 'bob' } }],
                    },
                  }),
                ),
                [
                  'permission',
                  { permissions: [claim('sub', { string_match: { exact: 'bob' } })], principals: [{ any: true }] },
                ],
              ]),
            },
          }),
        },
      ],
    }),
    steps: [
      'sub',
      'not',
      'exact',
      'range',
      'below',
      'bool',
      'deep',
      'list',
      'scope',
      'present',
      'null',
      'or',
      'else',
    ].flatMap((path): RawStep[] => [
      { raw: get(`/${path}`) },
      { raw: get(`/${path}`, `authorization: Bearer ${TOKENS.good}`) },
      { raw: get(`/${path}`, `authorization: Bearer ${TOKENS.bob}`) },
    ]),
    counters: ['http.main.rbac.allowed', 'http.main.rbac.denied'],
  },
  {
    name: 'OAuth 2.0: who is sent to sign in, who is not, and callbacks that prove nothing',
    covers: [
      ...[
        'token_endpoint',
        'authorization_endpoint',
        'credentials',
        'redirect_uri',
        'redirect_path_matcher',
        'signout_path',
      ]
        .concat(['pass_through_matcher', 'deny_redirect_matcher', 'auth_scopes', 'resources'])
        .map((field) => `OAuth2Config.${field}`),
      'OAuth2.config',
      ...['client_id', 'token_secret', 'hmac_secret', 'cookie_names'].map((field) => `OAuth2Credentials.${field}`),
    ].map((field) => `envoy.extensions.filters.http.oauth2.v3.${field}`),
    config: (places) => {
      const config = reverseProxy({
        filters: [
          {
            name: 'envoy.filters.http.oauth2',
            typed_config: typed('filters.http.oauth2.v3.OAuth2', {
              config: {
                token_endpoint: { cluster: 'app', uri: 'http://auth.example/token', timeout: '3s' },
                authorization_endpoint: 'https://auth.example/authorize?foo=bar',
                redirect_uri: '%REQ(x-forwarded-proto)%://%REQ(:authority)%/callback',
                redirect_path_matcher: { path: { exact: '/callback' } },
                signout_path: { path: { exact: '/signout' } },
                credentials: {
                  client_id: 'shop',
                  token_secret: { name: 'token' },
                  hmac_secret: { name: 'hmac' },
                  cookie_names: { bearer_token: 'Access' },
                },
                auth_scopes: ['user', 'openid'],
                resources: ['r1', 'http://r2/'],
                pass_through_matcher: [{ name: ':path', string_match: { prefix: '/pass' } }],
                deny_redirect_matcher: [{ name: 'x-ajax', present_match: true }],
              },
            }),
          },
        ],
      })(places)
      const secret = (name: string): Json => ({ name, generic_secret: { secret: { inline_string: `${name} secret` } } })
      const resources = config['static_resources'] as Json
      return { ...config, static_resources: { ...resources, secrets: [secret('token'), secret('hmac')] } }
    },
    chance: ['location'],
    steps: [
      { raw: get('/pass', 'authorization: own') },
      { raw: get('/page', 'x-ajax: 1') },
      { raw: get('/signout') },
      { raw: get('/callback') },
      { raw: get('/callback?code=a&state=b') },
      { raw: get('/callback?error=denied') },
    ],
    counters: ['http.main.oauth_passthrough', 'http.main.oauth_failure', 'http.main.oauth_unauthorized_rq'],
  },
]
