/** OAuth 2.0 to its end: what the token endpoint is asked, what the browser keeps, what the endpoint behind is told. */
import { type Case, get, type Json, ORIGIN_PORT, type Reply, reverseProxy, type Step, cluster, typed } from '../case.ts'

const CONFIG = 'envoy.extensions.filters.http.oauth2.v3.OAuth2Config'
const NAMES = 'envoy.extensions.filters.http.oauth2.v3.OAuth2Credentials.CookieNames'
const AUTH_PORT = 8_099

const signingIn =
  (fields: Json, credentials: Json = {}): Case['config'] =>
  (places) => {
    const config = reverseProxy(
      {
        filters: [
          {
            name: 'envoy.filters.http.oauth2',
            typed_config: typed('filters.http.oauth2.v3.OAuth2', {
              config: {
                token_endpoint: { cluster: 'auth', uri: 'http://auth.example/token', timeout: '3s' },
                authorization_endpoint: 'http://auth.example/authorize',
                redirect_uri: 'http://%REQ(:authority)%/callback',
                redirect_path_matcher: { path: { exact: '/callback' } },
                signout_path: { path: { exact: '/signout' } },
                auth_scopes: ['openid'],
                ...fields,
                credentials: {
                  client_id: 'shop',
                  token_secret: { name: 'token' },
                  hmac_secret: { name: 'hmac' },
                  ...credentials,
                },
              },
            }),
          },
        ],
      },
      (at) => [cluster(at), cluster(at, 'auth', AUTH_PORT)],
    )(places)
    const secret = (name: string): Json => ({ name, generic_secret: { secret: { inline_string: `${name}-secret` } } })
    return {
      ...config,
      static_resources: { ...(config['static_resources'] as Json), secrets: ['token', 'hmac'].map(secret) },
    }
  }

const origins = (tokens: Json): NonNullable<Case['origins']> => ({
  app: { port: ORIGIN_PORT },
  auth: {
    port: AUTH_PORT,
    // The verifier is chance.
    reads: (body) => body.replace(/code_verifier=[^&]*/, 'code_verifier=…'),
    without: ['x-envoy-internal', 'x-forwarded-for', 'x-envoy-expected-rq-timeout-ms', 'user-agent', 'accept'],
    answer: () => ({ headers: { 'content-type': 'application/json' }, body: JSON.stringify(tokens) }),
  },
})
const TOKENS: Json = { access_token: 'acc', id_token: 'idt', refresh_token: 'ref', token_type: 'Bearer' }

/** All that the answers set and did not take back. */
function cookieOf(replies: readonly Reply[]): string {
  const jar = new Map<string, string>()
  for (const [name, value] of replies.flatMap(({ headers }) => headers)) {
    if (name !== 'set-cookie' || value.includes('1970')) continue
    const [pair = ''] = value.split(';')
    jar.set(pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1))
  }
  return `cookie: ${[...jar].map(([name, value]) => `${name}=${value}`).join('; ')}`
}
const stateOf = ([first]: readonly Reply[]): string =>
  new URL(first?.headers.find(([name]) => name === 'location')?.[1] ?? '').searchParams.get('state') ?? ''

const flow = (...more: readonly string[]): readonly Step[] => [
  { raw: get('/page') },
  { next: (replies) => ({ raw: get(`/callback?code=code&state=${stateOf(replies)}`, cookieOf(replies)) }) },
  { next: (replies) => ({ raw: get('/page', cookieOf(replies), ...more) }) },
]
const of = (...fields: readonly string[]): readonly string[] => fields.map((field) => `${CONFIG}.${field}`)
const common = { chance: ['set-cookie', 'cookie', 'location'] }

export const CASES: readonly Case[] = [
  {
    name: 'who lives how long where the server does not say it',
    covers: of('default_expires_in', 'default_refresh_token_expires_in'),
    origins: origins(TOKENS),
    config: signingIn({ default_expires_in: '100s', default_refresh_token_expires_in: '2000s' }),
    steps: flow(),
    ...common,
  },
  {
    name: 'cookies under names of one’s own',
    covers: ['oauth_hmac', 'oauth_expires', 'id_token', 'refresh_token'].map((field) => `${NAMES}.${field}`),
    origins: origins({ ...TOKENS, expires_in: 600 }),
    config: signingIn(
      {},
      {
        cookie_names: {
          oauth_hmac: 'OwnHmac',
          oauth_expires: 'OwnExpires',
          id_token: 'OwnId',
          refresh_token: 'OwnRefresh',
        },
      },
    ),
    steps: flow(),
    ...common,
  },
  {
    name: 'the token goes on to the endpoint',
    covers: of('forward_bearer_token'),
    origins: origins({ ...TOKENS, expires_in: 600 }),
    config: signingIn({ forward_bearer_token: true }),
    steps: flow('authorization: Bearer theirs'),
    ...common,
  },
  {
    name: 'the client’s own authorization goes on',
    covers: of('preserve_authorization_header'),
    origins: origins({ ...TOKENS, expires_in: 600 }),
    config: signingIn({ preserve_authorization_header: true }),
    steps: flow('authorization: Bearer theirs'),
    ...common,
  },
  {
    name: 'who we are, as a password',
    covers: of('auth_type'),
    origins: origins({ ...TOKENS, expires_in: 600 }),
    config: signingIn({ auth_type: 'BASIC_AUTH' }),
    steps: flow(),
    ...common,
  },
  {
    name: 'no cookie for the id',
    covers: of('disable_id_token_set_cookie'),
    origins: origins({ ...TOKENS, expires_in: 600 }),
    config: signingIn({ disable_id_token_set_cookie: true }),
    steps: flow(),
    ...common,
  },
  {
    name: 'no renewal',
    covers: of('use_refresh_token'),
    origins: origins({ ...TOKENS, expires_in: 600 }),
    config: signingIn({ use_refresh_token: false }),
    steps: flow(),
    ...common,
  },
]
