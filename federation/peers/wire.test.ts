import { describe, expect, it } from 'vitest'
import type { ClusterPeer, Service } from '../../src/kube/kinds.ts'
import { MeshError } from '../../src/runtime/errors.ts'
import { seededRandom } from '../../src/runtime/random.ts'
import { exported, type Given } from '../testing/exports.ts'
import { admit, SERVICES_PER_PEER_MAX } from './admit.ts'
import { decodeMessage, encodeMessage } from './codec.ts'
import { gatewayAddresses } from './gateway-addresses.ts'
import type { Peer } from './link.ts'
import { clusterPeer, memberChanges, peerOf } from './members.ts'
import type { Member, PeerMessage } from './message.ts'
import { GatewayResolver } from './resolver.ts'

const { cluster: _own, ...service } = exported({
  ports: ['http/80/TCP', '/90/UDP'],
  properties: { labels: { a: 'b' } },
})
const member = (cluster: string, signer = false): Member => ({
  cluster,
  trustDomain: `${cluster}.demo.mesh`,
  gateways: [`${cluster}.example:15443`],
  signer,
})

describe('codec', () => {
  const hello = { versionMin: 1, versionMax: 1, cluster: 'east', epoch: 7, features: ['x'], gateways: ['a:1'] }
  const withdrawal = { namespace: 'shop', name: 'a', uid: 'u', version: 3 }
  const messages: readonly PeerMessage[] = [
    { kind: 'hello', hello: { ...hello, members: undefined } },
    { kind: 'hello', hello: { ...hello, members: { members: [member('west', true)], removed: ['old'] } } },
    { kind: 'snapshot', version: 1, services: [service], withdrawals: [withdrawal], last: true },
    { kind: 'delta', version: 2, baseVersion: 1, upserts: [service], withdrawals: [withdrawal] },
    { kind: 'ack', version: 2, rejected: [{ namespace: 'n', name: 'a', code: 'C', message: 'm' }], held: true },
    { kind: 'heartbeat', seq: 4, data: 'Lost' },
    { kind: 'members', members: { members: [member('west')], removed: [] } },
    { kind: 'trust-request', csrPem: 'pem' },
    { kind: 'trust-grant', answer: { ok: true, intermediatePem: 'pem' } },
    { kind: 'trust-grant', answer: { ok: false, code: 'C', message: 'm' } },
  ]
  it.each(messages)('carries $kind', (message) => {
    expect(decodeMessage(encodeMessage(message))).toEqual(message)
  })

  it('tells garbage from what only a newer peer knows', () => {
    expect(decodeMessage(Buffer.from('garbage'))).toBeUndefined()
    expect(decodeMessage(Buffer.from([0xa2, 0x01, 0x00]))).toBe('unknown') // field 20, empty
  })
})

describe('admit', () => {
  const zone = { cloud: '', region: '', zone: 'a', ready: 1, total: 1 }
  const refusals: readonly (readonly [string, Given, string])[] = [
    ['a foreign identity', { identities: ['spiffe://east.demo.mesh/ns/shop/sa/x'] }, 'EXPORT_FOREIGN_IDENTITY'],
    [
      'an identity smuggled through userinfo',
      { identities: ['spiffe://west.demo.mesh@east/ns/a/sa/b'] },
      'EXPORT_FOREIGN_IDENTITY',
    ],
    ['a system namespace', { namespace: 'kube-system' }, 'EXPORT_SYSTEM_NAMESPACE'],
    ['a namespace that is no label', { namespace: '../x' }, 'EXPORT_INVALID'],
    ['a name that is no label', { name: 'A' }, 'EXPORT_INVALID'],
    ['no uid', { uid: '' }, 'EXPORT_INVALID'],
    ['a time that is none', { createdAt: 'yesterday' }, 'EXPORT_INVALID'],
    ['a port out of range', { ports: ['http/70000/TCP'] }, 'EXPORT_INVALID'],
    ['a port twice', { ports: ['a/80/TCP', 'b/80/TCP'] }, 'EXPORT_INVALID'],
    ['an unknown protocol', { ports: ['a/80/ICMP'] }, 'EXPORT_INVALID'],
    ['more ready than there are', { zones: [{ ...zone, ready: 2 }] }, 'EXPORT_INVALID'],
    ['a zone twice', { zones: [zone, zone] }, 'EXPORT_INVALID'],
    ['a zone that is no label', { zones: [{ ...zone, zone: 'a b' }] }, 'EXPORT_INVALID'],
    ['a label that is none', { properties: { labels: { 'a b': '' } } }, 'EXPORT_INVALID'],
    ['annotations without end', { properties: { annotations: { a: 'x'.repeat(9_000) } } }, 'EXPORT_INVALID'],
  ]
  it.each(refusals)('refuses %s, and that service alone', (_what, given, code) => {
    const { admitted, rejected } = admit([exported(given), exported({ name: 'fine' })], 'west.demo.mesh', new Set())
    expect(rejected.map((each) => each.code)).toEqual([code])
    expect(admitted.map(({ name }) => name)).toEqual(['fine'])
  })

  it('takes no more services than the quota, and goes on updating those it has', () => {
    const known = new Set(Array.from({ length: SERVICES_PER_PEER_MAX }, (_, index) => `shop/s${index}`))
    const { admitted, rejected } = admit([exported({ name: 's1' }), exported({ name: 'new' })], 'west.demo.mesh', known)
    expect([admitted.map(({ name }) => name), rejected.map(({ code }) => code)]).toEqual([['s1'], ['EXPORT_QUOTA']])
  })
})

describe('memberChanges', () => {
  const own = { cluster: 'east', mesh: 'demo.mesh' }
  const west: Peer = { name: 'west', trustDomain: 'west.demo.mesh', gateways: ['west.example:15443'], signer: false }
  const known = (...members: readonly Member[]): ReadonlyMap<string, ClusterPeer> =>
    new Map(members.map((each) => [each.cluster, clusterPeer(each, 'demo.mesh')]))
  const changes = (
    from: Peer,
    members: readonly Member[],
    rest: { removed?: readonly string[]; peers?: ReadonlyMap<string, ClusterPeer>; connected?: readonly string[] } = {},
  ): unknown => {
    const { removed = [], peers = known(member('west')), connected = [] } = rest
    const found = memberChanges({ own, from, said: { members, removed }, peers, connected: new Set(connected) })
    return Object.fromEntries(Object.entries(found).map(([verb, objects]) => [verb, objects.map(nameAndGateways)]))
  }
  const nameAndGateways = (peer: ClusterPeer): string => `${peer.metadata.name ?? ''} ${peer.spec.gateways.join()}`
  const moved = (cluster: string): Member => ({ ...member(cluster), gateways: ['new:1'] })
  const none = { create: [], update: [], remove: [] }

  it('believes the signer about third clusters, and no one else', () => {
    const said = [member('europe'), member('east'), { ...member('x'), trustDomain: 'east.demo.mesh' }]
    expect(changes({ ...west, signer: true }, said)).toEqual({ ...none, create: ['europe europe.example:15443'] })
    expect(changes(west, said)).toEqual(none)
  })

  it('believes a peer about its own addresses, and the signer’s copy only while that peer is away', () => {
    const peers = known(member('west'), member('europe'))
    expect(changes(west, [moved('west'), moved('europe')], { peers })).toEqual({ ...none, update: ['west new:1'] })
    const signer = { ...west, signer: true }
    expect(changes(signer, [moved('europe')], { peers })).toEqual({ ...none, update: ['europe new:1'] })
    expect(changes(signer, [moved('europe')], { peers, connected: ['europe'] })).toEqual(none)
    expect(changes(west, [{ ...member('west'), gateways: [] }], { peers })).toEqual(none)
  })

  it('removes whom the signer names as removed, never for being absent, never the signer itself', () => {
    const peers = known(member('west'), member('europe'), member('asia'))
    const removed = ['europe', 'west', 'unknown']
    expect(changes({ ...west, signer: true }, [], { peers, removed })).toEqual({
      ...none,
      remove: ['europe europe.example:15443'],
    })
    expect(changes(west, [], { peers, removed })).toEqual(none)
  })

  it('says which field of a ClusterPeer cannot be', () => {
    const good = clusterPeer(member('west'), 'demo.mesh')
    expect(peerOf(good, own)).toMatchObject({ name: 'west', signer: false })
    const wrong: readonly ClusterPeer[] = [
      { ...good, metadata: { name: 'east' } },
      { ...good, spec: { ...good.spec, mesh: 'other' } },
      { ...good, spec: { ...good.spec, trustDomain: 'east.demo.mesh' } },
      { ...good, spec: { ...good.spec, gateways: ['nowhere'] } },
    ]
    for (const each of wrong) expect(peerOf(each, own)).toBeInstanceOf(MeshError)
  })
})

describe('gatewayAddresses', () => {
  const gateway = (annotation: string | undefined, ingress: { ip?: string; hostname?: string }[]): Service => ({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: annotation === undefined ? {} : { annotations: { 'isthmus.dev/gateway-address': annotation } },
    spec: {},
    status: { loadBalancer: { ingress } },
  })
  it('goes by the annotation, else by the load balancer, with the port if none is given', () => {
    expect(gatewayAddresses(undefined)).toEqual([])
    expect(gatewayAddresses(gateway(undefined, [{ ip: '1.2.3.4' }, { hostname: 'lb.example' }]))).toEqual([
      '1.2.3.4:15443',
      'lb.example:15443',
    ])
    expect(gatewayAddresses(gateway('a.example:443, fd00::1,', [{ ip: '1.2.3.4' }]))).toEqual([
      'a.example:443',
      '[fd00::1]:15443',
    ])
  })
})

describe('GatewayResolver', () => {
  it('asks anew for every dial and keeps the last good answer when DNS fails', async () => {
    let answers: readonly string[] | undefined = ['10.0.0.1']
    const resolver = new GatewayResolver((_name, _options, callback) => {
      if (answers === undefined) callback(new Error('SERVFAIL'), [])
      else
        callback(
          null,
          answers.map((address) => ({ address, family: 4 })),
        )
    }, seededRandom(1))
    expect(await resolver.resolve('gw.example:15443')).toEqual({ host: '10.0.0.1', port: 15443 })
    answers = ['10.0.0.2']
    expect((await resolver.resolve('gw.example:15443')).host).toBe('10.0.0.2')
    answers = undefined
    expect((await resolver.resolve('gw.example:15443')).host).toBe('10.0.0.2')
    await expect(resolver.resolve('other.example:15443')).rejects.toThrow('SERVFAIL')
    expect(await resolver.resolve('[fd00::1]:15443')).toEqual({ host: 'fd00::1', port: 15443 })
  })
})
