import { describe, expect, it } from 'vitest'
import { HiddenText, type ListedFilter, type RoutedFilter } from '../../model/config.ts'
import { decodeListed, decodeRouted, encodeListed, encodeRouted, FILTER_CODECS } from './http-filters.ts'

const target = { uri: 'https://keys.test/set', cluster: 'keys', timeoutMs: 1_000 }
const users = { hidden: new HiddenText('ann:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=') }
const keys = { kind: 'local', source: { text: '{"keys":[{"kty":"oct","k":"AA"}]}' } } as const

const apiKeys = {
  keys: [{ key: new HiddenText('k1'), client: 'ann' }],
  sources: [
    { kind: 'header', name: 'x-key' },
    { kind: 'query', name: 'key' },
    { kind: 'cookie', name: 'key' },
  ],
  forward: { clientHeader: 'x-client', hidesKey: true },
} as const

const LISTED: readonly ListedFilter[] = [
  { name: 'a', kind: 'apiKey', config: {} },
  { name: 'a', kind: 'apiKey', config: apiKeys },
  { name: 'a', kind: 'cors', config: {} },
  { name: 'a', kind: 'rbac', config: {} },
  { name: 'a', kind: 'rateLimit', config: {} },
  { name: 'a', kind: 'fault', config: { abort: { status: 500, share: { numerator: 1, denominator: 100 } } } },
  {
    name: 'a',
    kind: 'jwt',
    config: {
      providers: {
        one: {
          keys: { kind: 'remote', target, cacheMs: 5_000, ahead: { failedRefetchMs: 500 } },
          issuer: 'i',
          audiences: ['a', 'b'],
          subjects: { kind: 'prefix', value: 's' },
          requireExpiration: true,
          lifetimeMaxS: 60,
          clockSkewS: 5,
          forward: true,
          fromHeaders: [{ name: 'x-h', prefix: 'P ' }],
          fromParams: ['p'],
          fromCookies: ['c'],
          payloadHeader: 'x-p',
          padPayload: true,
          claimHeaders: [{ header: 'x-c', claim: 'a.b' }],
          payloadMetadata: 'm',
          headerMetadata: 'h',
          failureMetadata: 'f',
          spacedClaims: ['scope'],
          reroute: true,
          cacheSize: 7,
        },
        two: { keys, audiences: [], clockSkewS: 60 },
      },
      rules: [
        { match: { kind: 'prefix', prefix: '/a' } },
        { match: { kind: 'path', path: '/b' }, requires: { kind: 'named', name: 'n' } },
        {
          match: { kind: 'prefix', prefix: '/' },
          requires: {
            kind: 'any',
            of: [
              { kind: 'provider', name: 'one' },
              {
                kind: 'all',
                of: [{ kind: 'provider', name: 'two', audiences: ['x'] }, { kind: 'allow-missing' }],
              },
              { kind: 'allow-missing-or-failed' },
            ],
          },
        },
      ],
      requirements: { n: { kind: 'provider', name: 'two' } },
      bypassPreflight: true,
      stripFailure: true,
    },
  },
  { name: 'a', kind: 'basicAuth', config: { users, userHeader: 'x-user' } },
  {
    name: 'a',
    kind: 'oauth2',
    config: {
      tokenEndpoint: target,
      authorizationEndpoint: 'https://auth.test/authorize',
      clientId: 'c',
      clientSecret: 's',
      cookieSecret: 'h',
      basicAuth: true,
      redirectUri: '%REQ(:scheme)%://%REQ(:authority)%/cb',
      callbackPath: { kind: 'exact', value: '/cb' },
      signOutPath: { kind: 'exact', value: '/out' },
      scopes: ['user'],
      resources: ['r'],
      cookies: { bearer: 'B', hmac: 'H', expires: 'E', id: 'I', refresh: 'R' },
      forwardBearer: true,
      keepAuthorization: true,
      passThrough: [{ name: 'x', is: { kind: 'present', present: true } }],
      denyRedirect: [{ name: 'y', is: { kind: 'present', present: true } }],
      refresh: false,
      expiresInS: 60,
      refreshExpiresInS: 120,
      withoutIdToken: true,
    },
  },
  {
    name: 'a',
    kind: 'headerMutation',
    config: {
      changes: [
        { addRequest: [{ name: 'x-a', value: '1', action: 'append' }] },
        { removeRequest: ['x-b'] },
        { addRequest: [{ name: 'x-c', value: '1', action: 'overwrite' }] },
        { removeResponse: ['x-d'] },
      ],
      mostSpecificWins: true,
    },
  },
  { name: 'a', kind: 'buffer', config: { bytesMax: 9 } },
]

const ROUTED: readonly RoutedFilter[] = [
  { kind: 'apiKey', config: { clients: ['ann'] } },
  { kind: 'apiKey', config: { ...apiKeys, clients: ['ann', 'bob'] } },
  { kind: 'jwt', config: { kind: 'disabled' } },
  { kind: 'jwt', config: { kind: 'named', name: 'n' } },
  { kind: 'basicAuth', config: { users } },
  { kind: 'headerMutation', config: [{ removeResponse: ['x'] }] },
  { kind: 'buffer', config: { kind: 'disabled' } },
  { kind: 'buffer', config: { kind: 'limit', bytesMax: 3 } },
]

describe('the table of filters', () => {
  it.each(LISTED.map((filter) => [filter.kind, filter] as const))('returns a listed %s as it was', (_kind, filter) => {
    expect(decodeListed('', 'a', encodeListed(filter))).toEqual(filter)
  })

  it.each(ROUTED.map((filter) => [filter.kind, filter] as const))('returns a routed %s as it was', (_kind, filter) => {
    if (filter.kind === 'off') throw new Error('is no configuration')
    expect(decodeRouted('', encodeRouted(filter))).toEqual(filter)
  })

  it('has no two kinds of one type', () => {
    const types = Object.values(FILTER_CODECS).map(({ listed }) => listed.typeName)
    expect(new Set(types).size).toBe(types.length)
  })
})
