import { createHash, X509Certificate } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { createCsr } from '../../src/pki/csr.ts'
import { createRoot } from '../../src/pki/issue.ts'
import { generateKey, parsePrivateKey } from '../../src/pki/keys.ts'
import { planTrust, type TrustData, type TrustInput } from './trust-plan.ts'

const NOW = Date.parse('2026-01-01T00:00:00Z')
const made = createRoot({ mesh: 'demo.mesh', nowMs: NOW })
const root = { certificatePem: made.certificatePem, key: parsePrivateKey(made.keyPem) }
const request = (): string => createCsr(generateKey().privateKey, { uri: 'spiffe://east.demo.mesh' })
const csrPem = request()
const base: TrustInput = {
  trustDomain: 'east.demo.mesh',
  csrPem,
  current: undefined,
  root,
  peers: [],
  nowMs: NOW,
}

function issued(): TrustData {
  const plan = planTrust(base)
  if (plan.kind !== 'write') throw new Error(plan.kind)
  return plan.data
}

describe('planTrust', () => {
  it('signs the own request in the signer cluster, once', () => {
    const current = issued()
    expect(
      new X509Certificate(current.intermediatePem).verify(new X509Certificate(root.certificatePem).publicKey),
    ).toBe(true)
    expect(planTrust({ ...base, current })).toMatchObject({ kind: 'none' })
  })

  it('names every member’s trust domain under the one root, and keeps the certificate while it does', () => {
    const current = issued()
    const plan = planTrust({ ...base, current, peers: ['west.demo.mesh', 'europe.demo.mesh'] })
    expect(plan).toMatchObject({ kind: 'write', issued: false, data: { intermediatePem: current.intermediatePem } })
    const bundle = plan.kind === 'write' ? (JSON.parse(plan.data.bundleJson) as Record<string, string[]>) : {}
    const pins = Object.values(bundle).map(([pem = '']) => createHash('sha256').update(pem).digest('hex'))
    expect(Object.keys(bundle)).toEqual(['east.demo.mesh', 'europe.demo.mesh', 'west.demo.mesh'])
    expect(new Set(pins).size).toBe(1)
  })

  it('renews at half-life and for another key: itself where the root is, else by asking the signer', () => {
    const current = issued()
    const late = { ...base, current, nowMs: NOW + 46 * 86_400_000 }
    expect(planTrust(late)).toMatchObject({ kind: 'write', issued: true })
    expect(planTrust({ ...late, root: undefined })).toMatchObject({ kind: 'ask-signer', csrPem })
    const rekeyed = { ...base, current, csrPem: request() }
    expect(planTrust(rekeyed)).toMatchObject({ kind: 'write', issued: true })
    expect(planTrust({ ...rekeyed, root: undefined })).toMatchObject({ kind: 'ask-signer' })
  })

  it('does nothing without a root, without a request, or for a request of another cluster', () => {
    const wrong = createCsr(generateKey().privateKey, { uri: 'spiffe://west.demo.mesh' })
    for (const changes of [{ root: undefined }, { csrPem: undefined }, { csrPem: wrong }, { csrPem: 'no csr' }]) {
      expect(planTrust({ ...base, ...changes })).toMatchObject({ kind: 'none' })
    }
  })
})
