/**
 * What a stolen cluster CA can do, with real handshakes: `east`'s intermediate and key in an attacker's hands mint
 * everything they can think of, against a `west` peer that expects `west` or any identity it knows. Goals, table D row 6.
 */
import { describe, expect, it } from 'vitest'
import { systemClock } from '../runtime/clock.ts'
import { createRoot, issueWorkload } from './issue.ts'
import { generateKey, privateKeyPem } from './keys.ts'
import { handshake, type HandshakeOutcome } from './testing/handshake.ts'
import { authorityOf, testMesh, type TestCredential } from './testing/mesh.ts'
import type { LeafExpectations } from './verify.ts'

const mesh = testMesh({ clusters: ['east', 'west'] })
const [east, west] = [mesh.cluster('east'), mesh.cluster('west')]
const checkout = { namespace: 'shop', serviceAccount: 'checkout' }
const eastId = { ...checkout, trustDomain: east.trustDomain }
const westId = { ...checkout, trustDomain: west.trustDomain }
const WEST = 'spiffe://west.demo.mesh/ns/shop/sa/checkout'
const EAST = 'spiffe://east.demo.mesh/ns/shop/sa/checkout'
const roots = [mesh.root.certificatePem]
const nowMs = systemClock.now()
const DAY_MS = 86_400_000
const anyone: LeafExpectations = {}
const westOnly: LeafExpectations = { trustDomains: [west.trustDomain] }

/** The suspect once as client of an honest server, once as server of an honest client. */
async function bothRoles(suspect: TestCredential, expects: LeafExpectations): Promise<readonly HandshakeOutcome[]> {
  const honest = { credential: west.workload(westId), roots, expects }
  const attacker = { credential: suspect, roots, expects: anyone }
  return [await handshake({ server: honest, client: attacker }), await handshake({ server: attacker, client: honest })]
}

async function expectRefused(suspect: TestCredential, by: string, expects: LeafExpectations = anyone): Promise<void> {
  const [asClient, asServer] = await bothRoles(suspect, expects)
  expect({ by: asClient?.server, bytes: asClient?.bytesAtServer, answered: asClient?.bytesAtClient }).toEqual({
    by,
    bytes: 0,
    answered: 0,
  })
  expect({ by: asServer?.client, bytes: asServer?.bytesAtClient, sent: asServer?.bytesAtServer }).toEqual({
    by,
    bytes: 0,
    sent: 0,
  })
}

describe('an honest certificate', () => {
  it('is accepted in both roles, so that refusals below mean something', async () => {
    for (const outcome of await bothRoles(east.workload(eastId), anyone)) {
      expect(outcome).toEqual({ server: 'accepted', client: 'accepted', bytesAtServer: 16, bytesAtClient: 16 })
    }
    for (const outcome of await bothRoles(east.forge({ uris: [EAST] }), { ids: [EAST] })) {
      expect(outcome.server).toBe('accepted')
    }
  })

  it('of the wrong cluster or workload is not who is expected', async () => {
    await expectRefused(east.workload(eastId), 'not-expected', westOnly)
    await expectRefused(west.workload(westId), 'not-expected', { ids: [`${WEST}-admin`] })
  })
})

describe('east’s CA minting west’s names is refused by OpenSSL', () => {
  it.each([
    ['URI', { uris: [WEST] }],
    ['own URI and west’s', { uris: [EAST, WEST] }],
    ['DNS', { dns: ['gateway.west.demo.mesh'] }],
    ['own URI and west’s DNS', { uris: [EAST], dns: ['gateway.west.demo.mesh'] }],
    ['IP', { ips: [[127, 0, 0, 1]] }],
    ['own URI and an IP', { uris: [EAST], ips: [[10, 0, 0, 1]] }],
    ['CN alone', { commonName: 'gateway.west.demo.mesh' }],
    ['below its own domain', { uris: ['spiffe://west.east.demo.mesh/ns/shop/sa/checkout'] }],
    ['above its own domain', { uris: ['spiffe://demo.mesh/ns/shop/sa/checkout'] }],
    ['a port on west', { uris: ['spiffe://west.demo.mesh:80/ns/shop/sa/checkout'] }],
    ['user and west', { uris: ['spiffe://east.demo.mesh@west.demo.mesh/ns/shop/sa/checkout'] }],
  ])('%s', async (_name, fields) => {
    await expectRefused(east.forge(fields), 'tls')
  })
})

describe('what passes OpenSSL’s fence is refused by the parser', () => {
  it.each([
    ['west as user of east', 'spiffe://west.demo.mesh@east.demo.mesh/ns/shop/sa/checkout', 'not-an-identity'],
    ['no path', 'spiffe://east.demo.mesh', 'not-an-identity'],
    ['root path', 'spiffe://east.demo.mesh/', 'not-an-identity'],
    ['short path', 'spiffe://east.demo.mesh/ns/shop', 'not-an-identity'],
    ['upper case', 'spiffe://EAST.demo.mesh/ns/shop/sa/checkout', 'not-an-identity'],
    ['upper-case scheme', 'SPIFFE://east.demo.mesh/ns/shop/sa/checkout', 'not-an-identity'],
    ['a port', 'spiffe://east.demo.mesh:443/ns/shop/sa/checkout', 'not-an-identity'],
    ['a query', `${EAST}?x`, 'not-an-identity'],
    ['a fragment', `${EAST}#x`, 'not-an-identity'],
    ['dots in the path', 'spiffe://east.demo.mesh/ns/../sa/checkout', 'not-an-identity'],
    ['an escape', 'spiffe://east.demo.mesh/ns/shop/sa/check%6fut', 'not-an-identity'],
    ['an empty segment', 'spiffe://east.demo.mesh//ns/shop/sa/checkout', 'not-an-identity'],
    ['more than 2,048 bytes', `spiffe://east.demo.mesh/ns/shop/sa/${'a'.repeat(2048)}`, 'not-an-identity'],
  ])('%s', async (_name, uri, by) => {
    await expectRefused(east.forge({ uris: [uri] }), by)
  })

  it('a trailing dot, by either', async () => {
    const [asClient, asServer] = await bothRoles(
      east.forge({ uris: ['spiffe://east.demo.mesh./ns/shop/sa/checkout'] }),
      anyone,
    )
    expect([asClient?.server, asServer?.client]).not.toContain('accepted')
    expect([asClient?.bytesAtServer, asServer?.bytesAtClient]).toEqual([0, 0])
  })

  it('NUL and control bytes in a name', async () => {
    const [asClient, asServer] = await bothRoles(east.forge({ uris: [`${EAST}\0.west`] }), anyone)
    expect([asClient?.server, asServer?.client]).not.toContain('accepted')
    expect([asClient?.bytesAtServer, asServer?.bytesAtClient]).toEqual([0, 0])
  })

  it('two URI names of its own, none, and DNS alone', async () => {
    await expectRefused(east.forge({ uris: [EAST, EAST] }), 'no-single-uri')
    await expectRefused(east.forge({ commonName: 'checkout' }), 'no-single-uri')
    await expectRefused(east.forge({ dns: ['a.east.demo.mesh'] }), 'no-single-uri')
  })

  it('key usages of a CA, or none that signs', async () => {
    await expectRefused(east.forge({ uris: [EAST], keyUsageBits: [1, 0x86] }), 'wrong-key-usage')
  })
})

describe('a wrong chain', () => {
  it('a CA as leaf', async () => {
    await expectRefused(east.forge({ uris: [EAST], isCa: true }), 'ca-as-leaf')
  })

  it('the intermediate itself as leaf', async () => {
    const suspect: TestCredential = {
      keyPem: privateKeyPem(east.authority.key),
      chain: [east.authority.certificatePem],
    }
    const [asClient, asServer] = await bothRoles(suspect, anyone)
    expect([asClient?.server, asServer?.client]).not.toContain('accepted')
    expect([asClient?.bytesAtServer, asServer?.bytesAtClient]).toEqual([0, 0])
  })

  it('a leaf of a leaf', async () => {
    const middle = east.forge({ commonName: 'sub CA', isCa: true, keyUsageBits: [1, 0x06] })
    const { privateKey, publicKey } = generateKey()
    const [middlePem = ''] = middle.chain
    const authority = authorityOf({ certificatePem: middlePem, keyPem: middle.keyPem })
    const leaf = issueWorkload({ authority, publicKey, id: eastId, nowMs })
    // Path length 0 of the intermediate forbids a CA below it.
    await expectRefused({ keyPem: privateKeyPem(privateKey), chain: [leaf, ...middle.chain] }, 'tls')
  })

  it('expired, and not yet valid', async () => {
    await expectRefused(east.forge({ uris: [EAST], notBeforeMs: nowMs - 2 * DAY_MS, notAfterMs: nowMs - 1000 }), 'tls')
    await expectRefused(
      east.forge({ uris: [EAST], notBeforeMs: nowMs + DAY_MS, notAfterMs: nowMs + 2 * DAY_MS }),
      'tls',
    )
  })

  it('an unknown CA with the very same names', async () => {
    const foreign = testMesh({ clusters: ['east', 'west'] })
    await expectRefused(foreign.cluster('west').workload(westId), 'tls')
    // West's real intermediate sent along does not make the leaf its own.
    const leaf = foreign.cluster('west').workload(westId)
    await expectRefused({ ...leaf, chain: [leaf.chain[0] ?? '', west.authority.certificatePem] }, 'tls')
  })

  it('signed by the serving CA, which no peer trusts', async () => {
    const { privateKey, publicKey } = generateKey()
    const leaf = issueWorkload({ authority: west.serving, publicKey, id: westId, nowMs })
    await expectRefused({ keyPem: privateKeyPem(privateKey), chain: [leaf, west.serving.certificatePem] }, 'tls')
  })

  it('without its intermediate', async () => {
    const { keyPem, chain } = east.workload(eastId)
    await expectRefused({ keyPem, chain: chain.slice(0, 1) }, 'tls')
  })

  it('a leaf signed by a root that is not in the pool, self-signed root sent along', async () => {
    const other = authorityOf(createRoot({ mesh: 'demo.mesh', nowMs }))
    const { privateKey, publicKey } = generateKey()
    const leaf = issueWorkload({ authority: other, publicKey, id: westId, nowMs })
    await expectRefused({ keyPem: privateKeyPem(privateKey), chain: [leaf, other.certificatePem] }, 'tls')
  })

  it('no certificate at all', async () => {
    const honest = { credential: west.workload(westId), roots, expects: anyone }
    const outcome = await handshake({ server: honest, client: { roots, expects: anyone } })
    expect(outcome).toMatchObject({ server: 'tls', bytesAtServer: 0, bytesAtClient: 0 })
  })
})

describe('revocation', () => {
  it('refuses a trust domain, and one issuer of it, in both roles', async () => {
    const suspect = east.workload(eastId)
    await expectRefused(suspect, 'revoked-trust-domain', { revokedTrustDomains: [east.trustDomain] })
    const { verifyLeaf } = await import('./verify.ts')
    const { X509Certificate } = await import('node:crypto')
    const judged = verifyLeaf(new X509Certificate(suspect.chain[0] ?? '').raw, anyone)
    const issuer = judged.ok ? judged.leaf.issuerKeyId : ''
    expect(issuer).toMatch(/^[0-9a-f]{40}$/)
    await expectRefused(suspect, 'revoked-issuer', { revokedIssuers: [issuer] })
    await expectRefused(west.workload(westId), 'not-expected', { revokedIssuers: [issuer], ids: [] })
  })
})
