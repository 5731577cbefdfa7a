import { describe, expect, it } from 'vitest'
import type { Peer } from './identity.ts'
import { formatPeerFacts, readPeerFacts } from './peer-facts.ts'

const peer: Peer = {
  id: { trustDomain: 'west.demo.mesh', namespace: 'shop', serviceAccount: 'checkout' },
  uri: 'spiffe://west.demo.mesh/ns/shop/sa/checkout',
  issuerKeyId: 'ab',
  notAfterMs: 0,
}

describe('readPeerFacts', () => {
  it('reads back what formatPeerFacts wrote', () => {
    const facts = { cluster: 'west', namespace: 'shop', workload: 'checkout', version: 'v2', region: 'r', zone: 'r-a' }
    expect(readPeerFacts(peer, formatPeerFacts(facts))).toEqual(facts)
  })

  it('believes the certificate, not the header, about cluster and namespace', () => {
    const facts = readPeerFacts(peer, 'cluster=east,namespace=kube-system,workload=checkout')
    expect(facts).toMatchObject({ cluster: 'west', namespace: 'shop', workload: 'checkout' })
  })

  it('drops values that no label could hold and falls back to the service account', () => {
    expect(readPeerFacts(peer, 'workload=%0d%0aX,version=%zz,zone="q"')).toEqual({
      cluster: 'west',
      namespace: 'shop',
      workload: 'checkout',
      version: '',
      region: '',
      zone: '',
    })
    expect(readPeerFacts(peer, undefined).workload).toBe('checkout')
  })
})
