/** Judgement of a leaf as bytes; its behaviour in handshakes stands in fence.test.ts. */
import { X509Certificate } from 'node:crypto'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { testMesh } from './testing/mesh.ts'
import { verifyLeaf } from './verify.ts'

const nowMs = Date.UTC(2026, 0, 2)
const east = testMesh({ clusters: ['east'], nowMs }).cluster('east')
const uri = 'spiffe://east.demo.mesh/ns/shop/sa/checkout'
const id = { trustDomain: 'east.demo.mesh', namespace: 'shop', serviceAccount: 'checkout' }
const leaf = new X509Certificate(east.workload(id).chain[0] ?? '').raw

describe('verifyLeaf', () => {
  it('returns who it is, who vouched, and until when', () => {
    const result = verifyLeaf(leaf, { ids: [uri] })
    expect(result).toEqual({
      ok: true,
      leaf: {
        id,
        uri,
        issuerKeyId: expect.stringMatching(/^[0-9a-f]{40}$/),
        notBeforeMs: nowMs - 60_000,
        notAfterMs: nowMs + 86_400_000,
      },
    })
  })

  it.each([
    ['any identity', {}, true],
    ['its trust domain', { trustDomains: ['east.demo.mesh'] }, true],
    ['its id beside other trust domains', { trustDomains: ['west.demo.mesh'], ids: [uri] }, true],
    ['nobody', { trustDomains: [], ids: [] }, false],
    ['nobody by domain', { trustDomains: [] }, false],
    ['another id', { ids: [`${uri}2`] }, false],
    ['a longer domain', { trustDomains: ['east.demo.mesh2', 'x.east.demo.mesh'] }, false],
    ['its own validity', { nowMs: nowMs + 86_400_000 }, true],
    ['a time after', { nowMs: nowMs + 86_400_001 }, false],
    ['a time before', { nowMs: nowMs - 60_001 }, false],
  ])('admits %s: %j', (_name, expectations, admitted) => {
    expect(verifyLeaf(leaf, expectations).ok).toBe(admitted)
  })

  it('lets revocation win over every admission', () => {
    expect(verifyLeaf(leaf, { ids: [uri], revokedTrustDomains: ['east.demo.mesh'] })).toMatchObject({
      ok: false,
      refusal: 'revoked-trust-domain',
    })
  })

  it('refuses absence and damage, and never throws', () => {
    expect(verifyLeaf(undefined, {})).toMatchObject({ refusal: 'no-certificate' })
    expect(verifyLeaf(Buffer.alloc(0), {})).toMatchObject({ refusal: 'no-certificate' })
    expect(verifyLeaf(Buffer.concat([leaf, Buffer.from([0])]), {})).toMatchObject({ refusal: 'malformed' })
    fc.assert(
      fc.property(
        fc.nat(leaf.length - 1),
        fc.integer({ min: 1, max: 255 }),
        fc.nat(leaf.length),
        (at, flip, length) => {
          const mutated = Buffer.from(leaf)
          mutated[at] = (mutated[at] ?? 0) ^ flip
          return typeof verifyLeaf(mutated, {}).ok === 'boolean' && !verifyLeaf(mutated.subarray(0, length - 1), {}).ok
        },
      ),
      { numRuns: 1_000 },
    )
  })
})
