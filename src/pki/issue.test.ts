/** OpenSSL's opinion of every certificate we write, through node:crypto: our own reader is not the judge here. */
import { X509Certificate } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { createCsr, parseCsr, type ParsedCsr } from './csr.ts'
import {
  createRoot,
  createServingCa,
  issueIntermediate,
  issueServing,
  issueWorkload,
  WORKLOAD_TTL_MS,
  type Authority,
} from './issue.ts'
import { generateKey, parsePrivateKey } from './keys.ts'

const nowMs = Date.UTC(2026, 10, 21, 12)
const trustDomain = 'east.demo.mesh'
const id = { trustDomain, namespace: 'shop', serviceAccount: 'checkout' }

const root = authority(createRoot({ mesh: 'demo.mesh', nowMs }))
const clusterKey = generateKey()
const intermediate: Authority = {
  certificatePem: issueIntermediate({ root, publicKey: clusterKey.publicKey, trustDomain, nowMs }),
  key: clusterKey.privateKey,
}

function authority(created: { certificatePem: string; keyPem: string }): Authority {
  return { certificatePem: created.certificatePem, key: parsePrivateKey(created.keyPem) }
}

function requested(names: Parameters<typeof createCsr>[1]): ParsedCsr {
  const result = parseCsr(createCsr(generateKey().privateKey, names))
  if (!result.ok) throw new Error(result.reason)
  return result.csr
}

describe('createRoot', () => {
  it('is a self-signed CA on P-256', () => {
    const certificate = new X509Certificate(root.certificatePem)
    expect(certificate.ca).toBe(true)
    expect(certificate.verify(certificate.publicKey)).toBe(true)
    expect(certificate.publicKey.asymmetricKeyDetails?.namedCurve).toBe('prime256v1')
    expect(certificate.validFromDate.getTime()).toBe(nowMs - 60_000)
  })
})

describe('issueIntermediate', () => {
  it('chains to the root and outlives nothing', () => {
    const certificate = new X509Certificate(intermediate.certificatePem)
    const issuer = new X509Certificate(root.certificatePem)
    expect(certificate.ca).toBe(true)
    expect(certificate.checkIssued(issuer)).toBe(true)
    expect(certificate.verify(issuer.publicKey)).toBe(true)
    const late = issueIntermediate({
      root,
      publicKey: clusterKey.publicKey,
      trustDomain,
      nowMs,
      ttlMs: 20 * 365 * 86_400_000,
    })
    expect(new X509Certificate(late).validTo).toBe(issuer.validTo)
  })

  it('refuses a trust domain that could widen the fence', () => {
    for (const bad of ['', '.mesh', 'East.demo.mesh', 'a b', 'west@east', '*.mesh']) {
      expect(() => issueIntermediate({ root, publicKey: clusterKey.publicKey, trustDomain: bad, nowMs })).toThrow(
        /is not a trust domain/,
      )
    }
  })
})

describe('issueWorkload', () => {
  it('names exactly one URI, is no CA, and lives a day', () => {
    const { publicKey } = requested({ uri: 'spiffe://east.demo.mesh/ns/shop/sa/checkout' })
    const certificate = new X509Certificate(issueWorkload({ authority: intermediate, publicKey, id, nowMs }))
    expect(certificate.subjectAltName).toBe('URI:spiffe://east.demo.mesh/ns/shop/sa/checkout')
    expect(certificate.ca).toBe(false)
    expect(certificate.subject).toBeUndefined()
    expect(certificate.validToDate.getTime()).toBe(nowMs + WORKLOAD_TTL_MS)
    expect(certificate.checkIssued(new X509Certificate(intermediate.certificatePem))).toBe(true)
    expect(certificate.verify(clusterKey.publicKey)).toBe(true)
    expect(certificate.keyUsage?.toSorted()).toEqual(['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2'])
  })

  it('refuses a key that is not the authority’s, a leaf as authority, and an expired authority', () => {
    const { publicKey, privateKey } = generateKey()
    const leaf = issueWorkload({ authority: intermediate, publicKey, id, nowMs })
    const issue = (authority: Authority, at = nowMs): string => issueWorkload({ authority, publicKey, id, nowMs: at })
    expect(() => issue({ ...intermediate, key: privateKey })).toThrow(/not the key of a CA/)
    expect(() => issue({ certificatePem: leaf, key: privateKey })).toThrow(/not the key of a CA/)
    expect(() => issue(intermediate, nowMs + 91 * 86_400_000)).toThrow(/expired/)
  })
})

describe('createServingCa', () => {
  it('signs DNS names', () => {
    const ca = authority(createServingCa({ cluster: 'east', mesh: 'demo.mesh', nowMs }))
    const { publicKey } = generateKey()
    const dns = ['isthmus-control-plane.isthmus-system.svc']
    const certificate = new X509Certificate(issueServing({ authority: ca, publicKey, dns, nowMs }))
    expect(certificate.subjectAltName).toBe('DNS:isthmus-control-plane.isthmus-system.svc')
    expect(certificate.checkHost('isthmus-control-plane.isthmus-system.svc')).toBeDefined()
    expect(certificate.verify(new X509Certificate(ca.certificatePem).publicKey)).toBe(true)
  })
})

describe('parseCsr', () => {
  it('returns exactly the names asked for', () => {
    const uri = 'spiffe://east.demo.mesh/ns/shop/sa/checkout'
    expect(requested({ uri })).toMatchObject({ uris: [uri], dns: [] })
    expect(requested({ dns: ['a.b', 'c.d'] })).toMatchObject({ uris: [], dns: ['a.b', 'c.d'] })
  })
})
