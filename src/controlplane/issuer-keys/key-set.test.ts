import { generateKeyPairSync, type JsonWebKey } from 'node:crypto'
import { assert, jsonValue, property } from 'fast-check'
import { describe, expect, it } from 'vitest'
import { keysAddressIn, keySetOf } from './key-set.ts'

const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const good: JsonWebKey = { ...publicKey.export({ format: 'jwk' }), kid: 'one', alg: 'ES256' }
const set = (...keys: readonly unknown[]): unknown => JSON.parse(keySetOf({ keys }))

describe('keySetOf', () => {
  it('keeps public keys for signatures, and of them only what is public', () => {
    expect(set({ ...good, use: 'sig', x5c: ['AA'], other: 1 })).toEqual({ keys: [good] })
    expect(set({ ...privateKey.export({ format: 'jwk' }), kid: 'one', alg: 'ES256' })).toEqual({ keys: [good] })
    const bad = [
      { ...good, use: 'enc' },
      { kty: 'oct', k: 'c2VjcmV0' },
      { ...good, crv: 'secp256k1' },
      { ...good, x: '' },
    ]
    expect(set(...bad, good, 7, null)).toEqual({ keys: [good] })
  })

  it('refuses what is no set, or has nothing to keep', () => {
    for (const text of ['[]', 'null', '{"keys": {}}']) {
      expect(() => keySetOf(JSON.parse(text))).toThrow('is no JSON Web Key Set')
    }
    expect(() => set({ kty: 'oct', k: 'c2VjcmV0' })).toThrow('has no public key for signatures')
    expect(() => set(...Array.from({ length: 101 }, () => good))).toThrow('has more than 100 keys')
  })

  it('never fails otherwise', () => {
    assert(
      property(jsonValue(), jsonValue(), (one, other) => {
        for (const document of [one, { keys: one }, { keys: [{ ...good, x: other }, one] }]) {
          try {
            keySetOf(document)
          } catch (error) {
            expect(String(error)).toMatch(/is no JSON Web Key Set|has no public key|has more than/)
          }
        }
      }),
    )
  })
})

describe('keysAddressIn', () => {
  it('believes the issuer’s own configuration only', () => {
    const document = { issuer: 'https://a', jwks_uri: 'https://a/keys' }
    expect(keysAddressIn(document, 'https://a/')).toBe('https://a/keys')
    expect(() => keysAddressIn(document, 'https://b')).toThrow('is the configuration of another issuer')
    expect(() => keysAddressIn({ issuer: 'https://a' }, 'https://a')).toThrow('names no jwks_uri')
    expect(() => keysAddressIn(null, 'https://a')).toThrow('is the configuration of another issuer')
  })
})
