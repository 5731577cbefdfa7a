import { describe, expect, it } from 'vitest'
import type { KubeObject } from '../../object.ts'
import { adviseSet } from '../advise.ts'
import { plaintextCallers } from './plaintext-callers.ts'

const API: Readonly<Record<string, string>> = {
  AuthorizationPolicy: 'security.istio.io/v1',
  PeerAuthentication: 'security.istio.io/v1',
  DestinationRule: 'networking.istio.io/v1',
  ServiceExport: 'multicluster.x-k8s.io/v1alpha1',
  ClusterPeer: 'isthmus.dev/v1alpha1',
}

const object = (kind: string, name: string, spec: object, metadata: object = {}): KubeObject =>
  ({
    apiVersion: API[kind] ?? 'v1',
    kind,
    metadata: { name, ...(kind === 'ClusterPeer' ? {} : { namespace: 'shop' }), ...metadata },
    spec,
  }) as KubeObject

const pod = (name: string, sidecar: boolean, metadata: object = {}): KubeObject =>
  object(
    'Pod',
    name,
    { containers: [{ name: 'app' }, ...(sidecar ? [{ name: 'isthmus-proxy' }] : [])] },
    { labels: { app: name }, ...metadata },
  )

const BASE = [
  object('Service', 'cart', { selector: { app: 'cart' } }),
  pod('cart', true),
  object('ServiceExport', 'cart', {}),
]
const peer = (name: string, more: object = {}): KubeObject =>
  object('ClusterPeer', name, { mesh: 'demo', trustDomain: `${name}.demo`, gateways: ['10.0.0.1:15443'], ...more })
const policy = (source: object, more: object = {}): KubeObject =>
  object('AuthorizationPolicy', 'let', { rules: [{ from: [{ source }] }], ...more })

const refused = (...objects: KubeObject[]): { message: string; hint: string }[] =>
  adviseSet([...BASE, ...objects], { isWhole: true }).filter(({ code }) => code === 'PEERS_REFUSED')

describe('policies on exported services', () => {
  it.each([
    [{ principals: ['cluster.local/ns/shop/sa/front'] }, '["west.demo/ns/shop/sa/front"]'],
    [{ namespaces: ['web'] }, '["west.demo/ns/web/*"]'],
    [{ serviceAccounts: ['front', 'web/back'] }, '["west.demo/ns/shop/sa/front","west.demo/ns/web/sa/back"]'],
    [{ trustDomains: ['east.demo'], namespaces: ['web'] }, '["west.demo/ns/web/*"]'],
  ])('that admit %j refuse the callers of peers, and the way out is a rule', (source, principals) => {
    const [found] = refused(peer('west'), policy(source))
    expect(found?.message).toContain('service shop/cart is exported, and callers of west would be refused')
    expect(found?.hint).toContain(`{from: [{source: {principals: ${principals}}}]}`)
    // The rule that is offered is the way out.
    expect(refused(peer('west'), policy({ principals: JSON.parse(principals) as string[] }))).toEqual([])
  })

  it.each([
    ['everybody', {}],
    ['the peer', { trustDomains: ['west.demo'] }],
    ['any peer', { trustDomains: ['*.demo'] }],
    ['every principal', { principals: ['*'] }],
    ['addresses', { ipBlocks: ['10.0.0.0/8'] }],
  ])('that admit %s do not', (_what, source) => {
    expect(refused(peer('west'), policy(source))).toEqual([])
  })

  it('do not where the peer’s namespaces count as ours, the policy refuses, speaks of others, or no peer is meant', () => {
    const local = { namespaces: ['web'] }
    expect(refused(peer('west', { sameNamespaces: ['web'] }), policy(local))).toEqual([])
    expect(refused(peer('west', { sameNamespaces: ['*'] }), policy(local))).toEqual([])
    expect(refused(peer('west', { sameNamespaces: ['other'] }), policy(local))).toHaveLength(1)
    expect(refused(peer('west'), policy(local, { action: 'DENY' }))).toEqual([])
    expect(refused(peer('west'), policy(local, { selector: { matchLabels: { app: 'front' } } }))).toEqual([])
    expect(refused(policy(local))).toEqual([])
    expect(refused(peer('west'), object('AuthorizationPolicy', 'nobody', {}))).toEqual([])
  })

  it('ask only the peers that the export is for', () => {
    const exported = object('ServiceExport', 'cart', {}, { annotations: { 'isthmus.dev/export-to': 'north' } })
    const [found] = refused(peer('west'), peer('north'), exported, policy({ namespaces: ['web'] }))
    expect(found?.message).toContain('callers of north would be refused')
  })
})

const plaintext = (...objects: KubeObject[]): string[] =>
  adviseSet([...BASE, ...objects], { isWhole: true, rules: [plaintextCallers] })
    .filter(({ code }) => code === 'PLAINTEXT_CALLERS')
    .map(({ object: { kind, name }, message }) => `${kind} ${name}: ${message}`)

describe('before STRICT', () => {
  it('each service that still takes plaintext names the workloads without a sidecar, neighbours first', () => {
    const owner = {
      ownerReferences: [{ apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'old-7d4b9', uid: 'u', controller: true }],
    }
    const lines = plaintext(pod('a', false, { namespace: 'another' }), pod('old-7d4b9-x', false, owner))
    expect(lines).toEqual([
      'Service cart: workloads without a sidecar could no longer call it under STRICT: shop/old, another/a',
    ])
  })

  it('says nothing where all have sidecars, of the cluster’s own parts, and of services that are STRICT', () => {
    expect(plaintext(pod('front', true))).toEqual([])
    expect(plaintext(pod('dns', false, { namespace: 'kube-system' }))).toEqual([])
    expect(plaintext(pod('old', false), object('PeerAuthentication', 'strict', { mtls: { mode: 'STRICT' } }))).toEqual(
      [],
    )
  })

  it('names rules that end the mesh’s mTLS', () => {
    const rule = object('DestinationRule', 'off', { host: 'cart', trafficPolicy: { tls: { mode: 'DISABLE' } } })
    expect(plaintext(rule)[0]).toMatch(/^DestinationRule off: callers that follow it come to cart\.shop/)
  })
})
