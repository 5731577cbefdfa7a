import { createHmac, createPublicKey, verify as verifySignature } from 'node:crypto'
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import { ManualClock } from '../../../runtime/clock.ts'
import { createTokenAuthority } from './tokens.ts'

const directory = mkdtempSync(join(tmpdir(), 'tokens-'))
afterAll(() => rmSync(directory, { recursive: true }))

const START = Date.parse('2026-01-02T03:04:05.600Z')
const spec = {
  namespace: 'shop',
  serviceAccount: 'checkout',
  serviceAccountUid: 'sa-uid',
  audiences: ['isthmus-ca', 'other'],
  expirationSeconds: 600,
}

function authority(options: { issuer?: string; key?: string } = {}) {
  const clock = new ManualClock(START)
  const { issuer = 'https://kubernetes.default.svc', key = 'sa.key' } = options
  return { clock, ...createTokenAuthority({ keyPath: join(directory, key), issuer, clock }) }
}

const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')

describe('createTokenAuthority', () => {
  it('issues tokens that verify to the ServiceAccount and its pod', () => {
    const tokens = authority()
    const { token, expirationTimestamp } = tokens.issue({ ...spec, boundPod: { name: 'checkout-1', uid: 'pod-uid' } })
    expect(expirationTimestamp).toBe('2026-01-02T03:14:05Z')
    expect(tokens.verify(token, ['isthmus-ca', 'unrelated'])).toEqual({
      audiences: ['isthmus-ca'],
      namespace: 'shop',
      serviceAccount: { name: 'checkout', uid: 'sa-uid' },
      pod: { name: 'checkout-1', uid: 'pod-uid' },
      user: {
        username: 'system:serviceaccount:shop:checkout',
        uid: 'sa-uid',
        groups: ['system:serviceaccounts', 'system:serviceaccounts:shop', 'system:authenticated'],
        extra: {
          'authentication.kubernetes.io/credential-id': [expect.stringMatching(/^JTI=/)],
          'authentication.kubernetes.io/pod-name': ['checkout-1'],
          'authentication.kubernetes.io/pod-uid': ['pod-uid'],
        },
      },
    })
  })

  it('takes the issuer for the audience when none is named', () => {
    const tokens = authority()
    const { token } = tokens.issue({ ...spec, audiences: [] })
    expect(tokens.verify(token)).toMatchObject({ audiences: ['https://kubernetes.default.svc'] })
    expect(tokens.verify(tokens.issue(spec).token)).toMatchObject({ error: expect.stringContaining('audiences') })
  })

  it('refuses an expired token, to the second', () => {
    const tokens = authority()
    const { token } = tokens.issue(spec)
    tokens.clock.advance(599_000)
    expect(tokens.verify(token, ['other'])).toHaveProperty('user')
    tokens.clock.advance(1_000)
    expect(tokens.verify(token, ['other'])).toEqual({ error: 'token has expired' })
  })

  it('refuses a token from the future', () => {
    const later = authority()
    later.clock.advance(60_000)
    expect(authority().verify(later.issue(spec).token, ['other'])).toEqual({ error: 'token is not valid yet' })
  })

  it('keeps its key over a restart, readable by its owner only, and refuses other issuers and keys', () => {
    const { token } = authority().issue(spec)
    expect(authority().verify(token, ['other'])).toHaveProperty('user')
    expect(authority({ issuer: 'https://another' }).verify(token, ['other'])).toEqual({
      error: 'token has another issuer',
    })
    expect(authority({ key: 'second.key' }).verify(token, ['other'])).toEqual({
      error: 'token is signed by an unknown key',
    })
    expect(statSync(join(directory, 'sa.key')).mode & 0o777).toBe(0o600)
  })

  it('publishes the key that verifies its signatures', () => {
    const tokens = authority()
    const [head, body, tail] = tokens.issue(spec).token.split('.')
    const key = createPublicKey({ key: tokens.jwks().keys[0] as never, format: 'jwk' })
    const signature = Buffer.from(tail ?? '', 'base64url')
    expect(
      verifySignature('sha256', Buffer.from(`${head}.${body}`), { key, dsaEncoding: 'ieee-p1363' }, signature),
    ).toBe(true)
  })

  it('never follows the header: none, HS256 with the public key, a criticality it does not know', () => {
    const tokens = authority()
    const [head = '', body = '', tail = ''] = tokens.issue(spec).token.split('.')
    const { kid } = JSON.parse(Buffer.from(head, 'base64url').toString()) as { kid: string }
    const hmac = `${part({ alg: 'HS256', kid })}.${body}`
    const forged = [
      `${part({ alg: 'none', kid })}.${body}.`,
      `${hmac}.${createHmac('sha256', JSON.stringify(tokens.jwks())).update(hmac).digest('base64url')}`,
      `${part({ alg: 'ES256', kid, crit: ['x'] })}.${body}.${tail}`,
    ]
    for (const token of forged)
      expect(tokens.verify(token, ['other'])).toEqual({ error: 'token is not signed with ES256' })
  })

  it('refuses every changed character and any text, without throwing', () => {
    const tokens = authority()
    const { token } = tokens.issue(spec)
    fc.assert(
      fc.property(
        fc.nat(token.length - 1),
        fc.constantFrom('A', 'Z', 'a', 'z', '0', '9', '-', '_', '.', '=', '+', '/', ' '),
        (at, char) => {
          const changed = token.slice(0, at) + char + token.slice(at + 1)
          if (changed !== token) expect(tokens.verify(changed, ['other'])).toHaveProperty('error')
        },
      ),
    )
    fc.assert(fc.property(fc.string(), (text) => 'error' in tokens.verify(text)))
    expect(tokens.verify('a.'.repeat(100_000))).toEqual({ error: 'token is too long' })
  })

  it('names the file that holds no usable key', () => {
    writeFileSync(join(directory, 'broken.key'), 'nonsense')
    expect(() => authority({ key: 'broken.key' })).toThrow(/broken\.key holds no private key/)
  })
})
