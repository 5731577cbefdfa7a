/** JWT authentication: which tokens pass, where they may stand, what is told to whom. */
import { type Case, cluster, get, type Json, reverseProxy, type RawStep, toApp, typed } from '../case.ts'
import { OWN_FIELDS } from '../grpc-service.ts'
import { KEY_SET, TOKENS } from '../tokens.ts'

const JWT = 'envoy.extensions.filters.http.jwt_authn.v3'
const NAME = 'envoy.filters.http.jwt_authn'
const ISSUER = 'https://issuer.example'

const jwt = (fields: Json): Json => ({
  name: NAME,
  typed_config: typed('filters.http.jwt_authn.v3.JwtAuthentication', fields),
})
const local_jwks = { inline_string: KEY_SET }
const asks = (...names: readonly string[]): string[] => names.map((name) => `${JWT}.${name}`)
const rule = (prefix: string, requires?: Json): Json => ({ match: { prefix }, ...(requires && { requires }) })
const bearer = (path: string, token: string): RawStep => ({ raw: get(path, `authorization: Bearer ${token}`) })
const saying = (fields: Json): Json => ({
  typed_per_filter_config: { [NAME]: typed('filters.http.jwt_authn.v3.PerRouteConfig', fields) },
})

export const CASES: readonly Case[] = [
  {
    name: 'JWT: every way in which a token can be wrong',
    covers: asks(
      'JwtAuthentication.providers',
      'JwtAuthentication.rules',
      'JwtProvider.issuer',
      'JwtProvider.audiences',
      'JwtProvider.local_jwks',
      'RequirementRule.match',
      'RequirementRule.requires',
      'JwtRequirement.provider_name',
    ),
    config: reverseProxy({
      filters: [
        jwt({
          providers: { one: { issuer: ISSUER, audiences: ['api', 'web'], local_jwks } },
          rules: [rule('/open'), rule('/', { provider_name: 'one' })],
        }),
      ],
    }),
    steps: [
      { raw: get('/') },
      { raw: get('/open') },
      ...Object.values(TOKENS).map((token) => bearer('/x?a=1', token)),
      { raw: get('/', 'authorization: Basic abc') },
      { raw: get('/', `authorization: bearer ${TOKENS.good}`) },
      { raw: get('/', `authorization: Bearer ${TOKENS.good}, more`) },
      { raw: get('/', `authorization: Bearer ${TOKENS.good}`, `authorization: Bearer ${TOKENS.ec}`) },
      bearer('/', 'a.b'),
      bearer(`/long?${'x'.repeat(300)}`, TOKENS.expired),
      { raw: get(`/?access_token=${TOKENS.good}&b=2`) },
      { raw: get(`/?access_token=${TOKENS.expired}`, `authorization: Bearer ${TOKENS.good}`) },
    ],
    counters: ['http.main.jwt_authn.allowed', 'http.main.jwt_authn.denied'],
  },
  {
    name: 'JWT: what a good token tells the endpoint',
    covers: asks(
      'JwtProvider.forward',
      'JwtProvider.forward_payload_header',
      'JwtProvider.pad_forward_payload_header',
      'JwtProvider.claim_to_headers',
      'JwtClaimToHeader.header_name',
      'JwtClaimToHeader.claim_name',
    ),
    config: reverseProxy({
      filters: [
        jwt({
          providers: {
            one: {
              issuer: ISSUER,
              local_jwks,
              forward: true,
              forward_payload_header: 'x-payload',
              pad_forward_payload_header: true,
              claim_to_headers: [
                { header_name: 'x-sub', claim_name: 'sub' },
                { header_name: 'x-n', claim_name: 'n' },
                { header_name: 'x-f', claim_name: 'f' },
                { header_name: 'x-b', claim_name: 'b' },
                { header_name: 'x-deep', claim_name: 'nested.deep' },
                { header_name: 'x-list', claim_name: 'nested.list' },
                { header_name: 'x-o', claim_name: 'nested.o' },
                { header_name: 'x-none', claim_name: 'nested.none' },
              ],
            },
          },
          rules: [rule('/open'), rule('/', { provider_name: 'one' })],
        }),
      ],
    }),
    steps: [
      bearer('/', TOKENS.good),
      { raw: get('/', `authorization: Bearer ${TOKENS.good}`, 'x-sub: root', 'x-none: forged', 'x-payload: forged') },
      { raw: get('/open', 'x-sub: root', 'x-payload: forged') },
    ],
  },
  {
    name: 'JWT: headers, parameters and cookies that tokens stand in',
    covers: asks(
      'JwtProvider.from_headers',
      'JwtHeader.name',
      'JwtHeader.value_prefix',
      'JwtProvider.from_params',
      'JwtProvider.from_cookies',
      'JwtProvider.require_expiration',
      'JwtProvider.max_lifetime',
      'JwtProvider.subjects',
      'JwtProvider.clock_skew_seconds',
    ),
    config: reverseProxy({
      filters: [
        jwt({
          providers: {
            places: {
              local_jwks,
              from_headers: [{ name: 'x-token', value_prefix: 'T=' }, { name: 'x-bare' }],
              from_params: ['tok'],
              from_cookies: ['ck'],
            },
            strict: { local_jwks, require_expiration: true },
            short: { local_jwks, max_lifetime: '60s' },
            bob: { local_jwks, subjects: { exact: 'bob' } },
            patient: { local_jwks, clock_skew_seconds: 3_000_000_000 },
          },
          rules: ['places', 'strict', 'short', 'bob', 'patient'].map((name) =>
            rule(`/${name}`, { provider_name: name }),
          ),
        }),
      ],
    }),
    steps: [
      { raw: get('/places', `x-token: T=${TOKENS.good}`) },
      { raw: get('/places', `x-token: then T= ${TOKENS.good}`) },
      { raw: get('/places', `x-token: ${TOKENS.good}`) },
      { raw: get('/places', `x-bare: ${TOKENS.good}`) },
      { raw: get(`/places?tok=${TOKENS.good}&a=b`) },
      { raw: get(`/places?tok=${TOKENS.good}`) },
      { raw: get('/places', `cookie: a=b; ck=${TOKENS.good}; c=d`) },
      { raw: get('/places', `cookie: ck="${TOKENS.good}"`) },
      bearer('/places', TOKENS.good),
      bearer('/strict', TOKENS.noExpiry),
      bearer('/strict', TOKENS.good),
      bearer('/short', TOKENS.good),
      bearer('/short', TOKENS.noExpiry),
      bearer('/bob', TOKENS.bob),
      bearer('/bob', TOKENS.good),
      bearer('/patient', TOKENS.expired),
      bearer('/patient', TOKENS.early),
    ],
  },
  {
    name: 'JWT: requirements that combine, are lenient, or have names',
    covers: asks(
      'JwtRequirement.requires_any',
      'JwtRequirement.requires_all',
      'JwtRequirementOrList.requirements',
      'JwtRequirementAndList.requirements',
      'JwtRequirement.allow_missing',
      'JwtRequirement.allow_missing_or_failed',
      'JwtRequirement.provider_and_audiences',
      'ProviderWithAudiences.provider_name',
      'ProviderWithAudiences.audiences',
      'RequirementRule.requirement_name',
      'JwtAuthentication.requirement_map',
      'PerRouteConfig.disabled',
      'PerRouteConfig.requirement_name',
    ),
    config: reverseProxy({
      routes: [
        { ...toApp, match: { prefix: '/named/off' }, ...saying({ disabled: true }) },
        { ...toApp, match: { prefix: '/named/two' }, ...saying({ requirement_name: 'second' }) },
        { ...toApp, match: { prefix: '/named/wrong' }, ...saying({ requirement_name: 'third' }) },
        toApp,
      ],
      filters: [
        jwt({
          providers: {
            one: { issuer: ISSUER, audiences: ['api'], local_jwks },
            two: { issuer: 'https://other.example', local_jwks, from_headers: [{ name: 'x-two' }] },
          },
          requirement_map: { first: { provider_name: 'one' }, second: { provider_name: 'two' } },
          rules: [
            rule('/any', { requires_any: { requirements: [{ provider_name: 'one' }, { provider_name: 'two' }] } }),
            rule('/all', { requires_all: { requirements: [{ provider_name: 'one' }, { provider_name: 'two' }] } }),
            rule('/missing', { allow_missing: {} }),
            rule('/failed', { allow_missing_or_failed: {} }),
            rule('/1-missing', { requires_any: { requirements: [{ allow_missing: {} }, { provider_name: 'one' }] } }),
            rule('/1-failed', {
              requires_any: { requirements: [{ provider_name: 'one' }, { allow_missing_or_failed: {} }] },
            }),
            rule('/else', { provider_and_audiences: { provider_name: 'one', audiences: ['else'] } }),
            { match: { prefix: '/named' }, requirement_name: 'first' },
          ],
        }),
      ],
    }),
    steps: [
      ...['/any', '/all', '/missing', '/failed', '/1-missing', '/1-failed', '/else'].flatMap((path): RawStep[] => [
        { raw: get(path) },
        bearer(path, TOKENS.good),
        bearer(path, TOKENS.expired),
        bearer(path, TOKENS.otherIssuer),
        bearer(path, TOKENS.otherAudience),
        { raw: get(path, `x-two: ${TOKENS.otherIssuer}`) },
        { raw: get(path, `authorization: Bearer ${TOKENS.good}`, `x-two: ${TOKENS.otherIssuer}`) },
      ]),
      bearer('/named', TOKENS.good),
      { raw: get('/named/off') },
      bearer('/named/two', TOKENS.good),
      { raw: get('/named/two', `x-two: ${TOKENS.otherIssuer}`) },
      bearer('/named/wrong', TOKENS.good),
    ],
  },
  {
    name: 'JWT: preflights pass, refusals say nothing, keys come from a server',
    covers: asks(
      'JwtAuthentication.bypass_cors_preflight',
      'JwtAuthentication.strip_failure_response',
      'JwtProvider.remote_jwks',
      'RemoteJwks.http_uri',
      'RemoteJwks.cache_duration',
      'JwtProvider.clear_route_cache',
      'JwtProvider.jwt_cache_config',
      'JwtCacheConfig.jwt_cache_size',
    ),
    origins: {
      app: { port: 8_080 },
      keys: { port: 8_081, without: [...OWN_FIELDS, 'user-agent'], answer: () => ({ status: 200, body: KEY_SET }) },
    },
    config: (places) =>
      reverseProxy(
        {
          routes: [
            {
              match: { prefix: '/', headers: [{ name: 'x-sub', string_match: { exact: 'ann' } }] },
              direct_response: { status: 202 },
            },
            toApp,
          ],
          filters: [
            jwt({
              providers: {
                one: {
                  remote_jwks: {
                    http_uri: { uri: 'http://keys.example/set', cluster: 'keys', timeout: '5s' },
                    cache_duration: '600s',
                  },
                  claim_to_headers: [{ header_name: 'x-sub', claim_name: 'sub' }],
                  clear_route_cache: true,
                  jwt_cache_config: { jwt_cache_size: 10 },
                },
                gone: {
                  remote_jwks: { http_uri: { uri: 'http://keys.example/', cluster: 'gone', timeout: '1s' } },
                },
              },
              rules: [rule('/gone', { provider_name: 'gone' }), rule('/', { provider_name: 'one' })],
              bypass_cors_preflight: true,
              strip_failure_response: true,
            }),
          ],
        },
        () => [cluster(places), cluster(places, 'keys', 8_081), cluster(places, 'gone', 8_099)],
      )(places),
    steps: [
      { raw: get('/') },
      bearer('/', TOKENS.otherAudience),
      bearer('/', TOKENS.bob),
      bearer('/', TOKENS.good),
      bearer('/', TOKENS.forged),
      bearer('/gone', TOKENS.good),
      { raw: preflight('origin: https://a.example', 'access-control-request-method: GET') },
      { raw: preflight('origin: https://a.example') },
    ],
  },
]

function preflight(...fields: readonly string[]): string {
  return ['OPTIONS / HTTP/1.1', 'host: shop.example', 'content-length: 0', ...fields, '', ''].join('\r\n')
}
