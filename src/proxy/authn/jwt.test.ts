import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { KEY_SET, TOKENS } from '../../../test/conformance/envoy/tokens.ts'
import { ManualClock } from '../../runtime/clock.ts'
import { TimerWheel } from '../timer-wheel.ts'
import { FetchedKeys } from './key-source.ts'
import { type Jwt, JWT_FAILURES, parseJwt } from './jwt-token.ts'
import { KeySet } from './keys.ts'
import { parseStrictJson } from './strict-json.ts'

const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')

function parsed(text: string): Jwt {
  const jwt = parseJwt(text)
  if (typeof jwt === 'string') throw new Error(jwt)
  return jwt
}

function keySet(text = KEY_SET): KeySet {
  const keys = KeySet.parse(text)
  if (keys === undefined) throw new Error('no keys')
  return keys
}

describe('parseJwt', () => {
  it('ends on any text, with a token or a word', () => {
    const claim = fc.oneof(fc.jsonValue(), fc.string())
    const token = fc
      .tuple(
        fc.record({ alg: claim, kid: claim }, { requiredKeys: [] }),
        fc.dictionary(fc.string(), claim),
        fc.string(),
      )
      .map(([header, claims, rest]) => `${part(header)}.${part(claims)}.${rest}`)
    fc.assert(
      fc.property(fc.oneof(fc.string(), token), (text) => {
        const jwt = parseJwt(text)
        if (typeof jwt !== 'string') expect(jwt.alg).not.toBe('none')
        else expect(jwt).toMatch(/^Jwt /)
      }),
    )
  })

  it('reads nothing longer than any honest token', () => {
    expect(parseJwt(`${part({ alg: 'RS256' })}.${part({ x: 'y'.repeat(16_000) })}.AAAA`)).toBe(JWT_FAILURES.form)
  })
})

describe('KeySet', () => {
  it.each(['good', 'ec', 'ed', 'noKid'] as const)('believes a signature: %s', async (name) => {
    expect(await keySet().verify(parsed(TOKENS[name]))).toBeUndefined()
  })

  it('believes nothing that was changed, and no key of another type or name', async () => {
    expect(await keySet().verify(parsed(TOKENS.forged))).toBe(JWT_FAILURES.signature)
    expect(await keySet().verify(parsed(TOKENS.hmac))).toBe(JWT_FAILURES.noMatch)
    expect(await keySet().verify(parsed(TOKENS.otherKid))).toBe(JWT_FAILURES.noMatch)
    expect(parseJwt(TOKENS.unsigned)).toBe(JWT_FAILURES.form)
  })

  it('never uses a public key as the secret of an HMAC', async () => {
    const { keys } = JSON.parse(KEY_SET) as { readonly keys: readonly Record<string, string>[] }
    const nameless = keys.map(({ kid: _kid, alg: _alg, ...key }) => key)
    const set = keySet(JSON.stringify({ keys: nameless }))
    for (const alg of ['HS256', 'HS384', 'HS512']) {
      const token = parsed(`${part({ alg })}.${part({ sub: 'root' })}.${'A'.repeat(43)}`)
      expect(await set.verify(token)).toBe(JWT_FAILURES.noMatch)
    }
  })

  it('takes no set without keys, with too many, or of nothing it knows', () => {
    const key = { kty: 'RSA', n: 'AQAB', e: 'AQAB' }
    for (const text of ['', '{}', '{"keys":[]}', '{"keys":[{"kty":"x"}]}', '[]', 'null']) {
      expect(KeySet.parse(text)).toBeUndefined()
    }
    expect(KeySet.parse(JSON.stringify({ keys: Array.from({ length: 101 }, () => key) }))).toBeUndefined()
    expect(KeySet.parse(JSON.stringify({ keys: [{ ...key, use: 'enc' }] }))).toBeUndefined()
  })
})

describe('FetchedKeys', () => {
  it('says that it has none, asks once for many, and again after a while where it asks ahead', async () => {
    const clock = new ManualClock()
    let asked = 0
    const clusterOf = (): undefined => {
      asked++
      return undefined
    }
    const target = { uri: 'https://keys.test/set?a', cluster: 'keys', timeoutMs: 1_000 }
    const source = new FetchedKeys({ target, cacheMs: 60_000 }, clusterOf, new TimerWheel(clock))
    expect(await Promise.all([source.keys(), source.keys()])).toEqual([JWT_FAILURES.fetch, JWT_FAILURES.fetch])
    expect(asked).toBeLessThanOrEqual(2)
    const timers = new TimerWheel(clock)
    const ahead = new FetchedKeys({ target, cacheMs: 60_000, ahead: { failedRefetchMs: 1_000 } }, clusterOf, timers)
    asked = 0
    clock.advance(100)
    expect(asked).toBe(1)
    await Promise.resolve()
    clock.advance(1_100)
    expect(asked).toBe(2)
    ahead.close()
    clock.advance(5_000)
    expect([asked, timers.pending]).toEqual([2, 0])
  })
})

describe('parseStrictJson', () => {
  it('reads what JSON.parse reads', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        expect(parseStrictJson(JSON.stringify(value))).toEqual(JSON.parse(JSON.stringify(value)))
      }),
    )
  })

  it.each(['{"a":1,"a":2}', '[{"b":{"a":1,"\\u0061":2}}]', '{"a":1', '{"a":{},"x":[{"y":1}],"a":1}'])(
    'refuses %s',
    (text) => {
      expect(parseStrictJson(text)).toBeUndefined()
    },
  )

  it('lets two objects have the same names', () => {
    expect(parseStrictJson('[{"a":"a"},{"a":{"a":"\\"a\\":"}}]')).toEqual([{ a: 'a' }, { a: { a: '"a":' } }])
  })
})
