import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type DescriptorAction, type DescriptorRule, type GlobalRateLimit, PEER_METADATA } from '../../model/config.ts'
import { decodeListed, encodeListed } from '../../xds/codec/http-filters.ts'
import { compileDescriptors, type Descriptor, descriptorsOf } from './descriptors.ts'
import { RequestMetadata } from './metadata.ts'
import { readLimitResponse } from './rate-limit-messages.ts'
import type { Call } from './step.ts'

function made(rule: DescriptorRule, remoteAddress = '::ffff:10.1.2.3', metadata = new RequestMetadata()): Descriptor[] {
  const peer = {
    id: { trustDomain: 'east.mesh', namespace: 'shop', serviceAccount: 'web' },
    uri: 'spiffe://east.mesh/ns/shop/sa/web',
    issuerKeyId: '',
    notAfterMs: 0,
  }
  const call = {
    head: { headers: [], path: '/' },
    connection: { remoteAddress, peer },
    remoteAddress,
    clusterName: 'app',
    metadata,
    route: { name: '', descriptors: { own: compileDescriptors([rule]), host: [], both: false } },
  } as unknown as Call
  return descriptorsOf(call, 0, 'override')
}

const masked = (bits4: number, bits6: number): DescriptorAction => ({ kind: 'masked-address', bits4, bits6 })

describe('descriptors', () => {
  it.each([
    ['10.1.2.3', masked(8, 0), '10.0.0.0/8'],
    ['::ffff:10.1.2.3', masked(31, 0), '10.1.2.2/31'],
    ['10.1.2.3', masked(0, 0), '0.0.0.0/0'],
    ['2001:db8:1:2:3:4:5:6', masked(0, 48), '2001:db8:1::/48'],
    ['2001:db8::1', masked(0, 128), '2001:db8::1/128'],
    ['::1', masked(0, 0), '::/0'],
    ['fe80::1:2%eth0', masked(0, 120), 'fe80::1:0/120'],
  ])('%s in its network: %j', (address, action, value) => {
    expect(made({ actions: [action] }, address)[0]?.entries).toEqual([['masked_remote_address', value]])
  })

  it('count by who called, as the handshake proved it', () => {
    const by = (field: string): DescriptorAction => ({
      kind: 'metadata',
      key: field,
      from: { namespace: PEER_METADATA, path: [field] },
    })
    const actions = ['uri', 'trust_domain', 'namespace', 'service_account'].map(by)
    expect(made({ actions })[0]?.entries).toEqual([
      ['uri', 'spiffe://east.mesh/ns/shop/sa/web'],
      ['trust_domain', 'east.mesh'],
      ['namespace', 'shop'],
      ['service_account', 'web'],
    ])
    expect(made({ actions: [by('nothing')] })).toEqual([])
    // Metadata that a filter wrote cannot take its place.
    const forged = new RequestMetadata()
    forged.set(PEER_METADATA, 'uri', 'spiffe://evil')
    expect(made({ actions: [by('uri')] }, '', forged)[0]?.entries[0]?.[1]).toBe('spiffe://east.mesh/ns/shop/sa/web')
  })

  it('bring a limit of the request’s own where metadata has one', () => {
    const rule = { actions: [{ kind: 'remote-address' as const }], limit: { namespace: 'n', path: ['l'] } }
    const metadata = new RequestMetadata()
    expect(made(rule, '10.0.0.1', metadata)[0]?.limit).toBeUndefined()
    metadata.set('n', 'l', { requests_per_unit: 5, unit: 'HOUR' })
    expect(made(rule, '10.0.0.1', metadata)[0]?.limit).toEqual({ perUnit: 5, unit: 3 })
    metadata.set('n', 'l', { requests_per_unit: -5, unit: 'HOUR' })
    expect(made(rule, '10.0.0.1', metadata)[0]?.limit).toBeUndefined()
  })
})

describe('readLimitResponse', () => {
  it('reads any bytes as an answer or as none', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        expect(['answer', 'error']).toContain(readLimitResponse(Buffer.from(bytes)).kind)
      }),
    )
  })
})

const word = fc.stringMatching(/^[a-z][a-z0-9-]{0,8}$/)
const yes = fc.constant(true as const)
const limit: fc.Arbitrary<GlobalRateLimit> = fc.record(
  {
    service: fc.record({ cluster: word, timeoutMs: fc.nat(1e6) }),
    domain: word,
    stage: fc.integer({ min: 1, max: 10 }),
    requestType: fc.constantFrom('internal' as const, 'external' as const),
    failureModeDeny: yes,
    statusOnError: fc.integer({ min: 400, max: 599 }),
    hidesLimited: yes,
    statPrefix: word,
    status: fc.integer({ min: 400, max: 599 }),
    tellsClient: yes,
    resourceExhausted: yes,
    addResponse: fc.array(
      fc.record({ name: word.map((name) => `x-${name}`), value: word, action: fc.constant('append' as const) }),
      {
        minLength: 1,
        maxLength: 2,
      },
    ),
  },
  { requiredKeys: ['service', 'domain'] },
)

describe('the ratelimit codec', () => {
  it('returns every limit as it was', () => {
    fc.assert(
      fc.property(limit, (config) => {
        const filter = { name: 'a', kind: 'globalRateLimit' as const, config }
        expect(decodeListed('p', 'a', encodeListed(filter))).toEqual(filter)
      }),
    )
  })
})
