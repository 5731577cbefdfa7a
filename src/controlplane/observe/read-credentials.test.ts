import { assert, constantFrom, dictionary, property, string } from 'fast-check'
import { describe, expect, it } from 'vitest'
import { inspect } from 'node:util'
import { readCredentials } from './read-credentials.ts'

const read = (data: Record<string, string>, type?: string) =>
  readCredentials({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 's', namespace: 'shop' },
    data: Object.fromEntries(Object.entries(data).map(([key, value]) => [key, Buffer.from(value).toString('base64')])),
    ...(type !== undefined && { type }),
  })

const HASH = '5en6G6MezRroT3XKqkdPOmY/BfQ='

describe('readCredentials', () => {
  it('takes each entry for a consumer, without the newline of an editor', () => {
    const found = read({ acme: 'one\n', zenith: 'two\r\n', spaced: 'a b', empty: '' })
    expect(found?.keys.known.map(({ client, key }) => [client, key.reveal()])).toEqual([
      ['acme', 'one'],
      ['zenith', 'two'],
    ])
    expect(found?.keys.problems).toEqual([
      expect.stringMatching(/^entry empty is no key/),
      expect.stringMatching(/^entry spaced is no key/),
    ])
  })

  it('reads lines of htpasswd, and names those that no proxy can run by their number', () => {
    const found = read({ auth: `# people\n\nann:{SHA}${HASH}\r\nbob:$apr1$x\n:{SHA}${HASH}\na b:{SHA}${HASH}\n` })
    expect(found?.users.known.map(({ name, hash }) => [name, hash.reveal()])).toEqual([['ann', HASH]])
    expect(found?.users.problems).toEqual([4, 5, 6].map((line) => `entry auth line ${line} is not name:{SHA}hash`))
  })

  it('reads one name and password of type kubernetes.io/basic-auth, and keeps the hash only', () => {
    const found = read({ username: 'ann', password: 'secret' }, 'kubernetes.io/basic-auth')
    expect(found?.users.known.map(({ name, hash }) => [name, hash.reveal()])).toEqual([['ann', HASH]])
    expect(read({ username: 'a:b', password: 'x' }, 'kubernetes.io/basic-auth')?.users.known).toEqual([])
    expect(read({ username: 'a', password: '' }, 'kubernetes.io/basic-auth')?.users.known).toEqual([])
  })

  it('leaves out what is not Base64 of UTF-8', () => {
    const data = { a: '!!!', b: Buffer.from([0xff, 0xfe]).toString('base64') }
    const found = readCredentials({ apiVersion: 'v1', kind: 'Secret', metadata: { name: 's' }, data })
    expect(found?.keys.known).toEqual([])
    expect(found?.keys.problems).toHaveLength(2)
  })

  it('holds whatever bytes to their form, and never shows one', () => {
    const marked = string({ unit: 'binary', maxLength: 60 }).map((text) => `SECRET${text}`)
    assert(
      property(
        dictionary(constantFrom('a', 'auth', '.htpasswd', 'users', 'username', 'password'), marked),
        constantFrom(undefined, 'kubernetes.io/basic-auth'),
        (data, type) => {
          const found = read(data, type)
          for (const { client, key } of found?.keys.known ?? []) {
            expect(client).toMatch(/^[-._a-zA-Z0-9]+$/)
            expect(key.reveal()).toMatch(/^[\x21-\x7e]{1,4096}$/)
          }
          for (const { name, hash } of found?.users.known ?? []) {
            expect(`${name}:{SHA}${hash.reveal()}`).toMatch(/^[\x21-\x39\x3b-\x7e]+:\{SHA\}[A-Za-z0-9+/]{27}=$/)
          }
          const { users: _, ...shown } = found ?? { users: undefined }
          expect(JSON.stringify(shown)).not.toContain('SECRET')
          expect(inspect(found?.keys.problems)).not.toContain('SECRET')
          expect(inspect(found?.users.problems)).not.toContain('SECRET')
        },
      ),
    )
  })

  it('is bounded', () => {
    const many = Object.fromEntries(Array.from({ length: 10_002 }, (_, index) => [`c${index}`, `k${index}`]))
    const found = read(many)
    expect(found?.keys.known).toHaveLength(10_000)
    expect(found?.keys.problems).toHaveLength(1)
  })
})
