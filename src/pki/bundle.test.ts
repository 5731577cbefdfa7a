import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { formatBundle, parseBundle } from './bundle.ts'
import { createRoot } from './issue.ts'
import { generateKey, parsePrivateKey, privateKeyPem } from './keys.ts'
import { formatPem, parsePem, splitCertificates } from './pem.ts'
import { testMesh } from './testing/mesh.ts'

const mesh = testMesh({ clusters: ['east'] })
const root = mesh.root.certificatePem
const nowMs = Date.UTC(2026, 0, 1)
const other = createRoot({ mesh: 'demo.mesh', nowMs }).certificatePem

const refusal = (value: unknown): string => {
  const result = parseBundle(typeof value === 'string' ? value : JSON.stringify(value))
  return result.ok ? 'accepted' : result.reason
}

describe('parseBundle', () => {
  it('survives the round trip, sorted', () => {
    const bundle = new Map([
      ['west.demo.mesh', [root]],
      ['east.demo.mesh', [root, other]],
    ])
    const text = formatBundle(bundle)
    const result = parseBundle(text)
    expect(result.ok && formatBundle(result.bundle)).toBe(text)
    expect(result.ok && [...result.bundle.keys()]).toEqual(['east.demo.mesh', 'west.demo.mesh'])
    expect(formatBundle(new Map([...bundle].reverse()))).toBe(text)
  })

  it.each([
    ['not JSON', 'x', /not JSON/],
    ['a list', [], /not a JSON object/],
    ['null', 'null', /not a JSON object/],
    ['nothing in it', {}, /no trust domain/],
    ['a bad trust domain', { 'East@x': [root] }, /not a trust domain/],
    ['a prototype key', '{"__proto__": ["x"]}', /not a trust domain/],
    ['no roots', { 'east.demo.mesh': [] }, /not a list with a member/],
    ['a string instead of roots', { 'east.demo.mesh': root }, /not a list with a member/],
    ['too many roots', { 'east.demo.mesh': Array.from({ length: 9 }, () => root) }, /more than 8/],
    ['two certificates in one', { 'east.demo.mesh': [root + other] }, /exactly one PEM/],
    ['damaged PEM', { 'east.demo.mesh': [formatPem('certificate', Buffer.from('x'))] }, /not a self-signed CA/],
    ['an intermediate', { 'east.demo.mesh': [mesh.cluster('east').authority.certificatePem] }, /not a self-signed CA/],
    ['a private key', { 'east.demo.mesh': [privateKeyPem(generateKey().privateKey)] }, /exactly one PEM/],
    ['too much', ' '.repeat(1024 * 1024 + 1), /more than 1048576/],
  ])('refuses %s', (_name, value, reason) => {
    expect(refusal(value)).toMatch(reason)
  })

  it('never throws', () => {
    fc.assert(fc.property(fc.json(), (text) => !parseBundle(text).ok))
    const shape = fc.dictionary(fc.stringMatching(/^[a-z.]{0,8}$/), fc.array(fc.oneof(fc.string(), fc.constant(root))))
    fc.assert(fc.property(shape, (value) => typeof parseBundle(JSON.stringify(value)).ok === 'boolean'))
  })
})

describe('PEM', () => {
  it('splits chains and refuses anything else', () => {
    expect(splitCertificates(root + other)).toEqual([root, other])
    expect(splitCertificates(`${root}junk`)).toEqual([])
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 200 }), (bytes) => {
        const [der] = parsePem('certificate', formatPem('certificate', bytes)) ?? []
        return der?.equals(Buffer.from(bytes)) === true
      }),
    )
  })
})

describe('parsePrivateKey', () => {
  it('reads what privateKeyPem writes, and names what it cannot use', () => {
    const { privateKey } = generateKey()
    expect(parsePrivateKey(privateKeyPem(privateKey)).equals(privateKey)).toBe(true)
    expect(() => parsePrivateKey('x')).toThrow(/cannot read the private key/)
  })
})
