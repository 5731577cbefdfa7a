import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import type { KubeObject } from '../../kube/object.ts'
import type { TlsRow } from '../../model/explain.ts'
import type { Page } from '../../runtime/pages.ts'
import { snapshotOf } from '../testing/snapshot-of.ts'
import { podReport } from './describe-pod.ts'
import { serviceReport } from './describe-service.ts'
import { explainPages } from './pages.ts'
import { configText } from './proxy-config.ts'
import { tlsReport, type TlsQuestion } from './tls-check.ts'
import { Views } from './views.ts'

const MESH = { mesh: 'demo', cluster: 'east', trustDomain: 'east.demo', domain: 'cluster.local' }

const pod = (name: string, ip: string, sidecar: boolean, labels: object): object => ({
  kind: 'Pod',
  metadata: { name, namespace: 'shop', uid: `uid-${name}`, labels },
  spec: {
    serviceAccountName: 'sa',
    nodeName: 'n1',
    containers: [{ name: 'app' }, ...(sidecar ? [{ name: 'isthmus-proxy' }] : [])],
  },
  status: { phase: 'Running', podIP: ip, conditions: [{ type: 'Ready', status: 'True' }] },
})

const service = (name: string, address: string): object => ({
  kind: 'Service',
  metadata: { name, namespace: 'shop' },
  spec: { selector: { app: name }, clusterIP: address, ports: [{ name: 'http', port: 80, targetPort: 8080 }] },
})

const slice = (name: string, ip: string, target: string): object => ({
  kind: 'EndpointSlice',
  metadata: { name: `${name}-1`, namespace: 'shop', labels: { 'kubernetes.io/service-name': name } },
  addressType: 'IPv4',
  ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
  endpoints: [{ addresses: [ip], conditions: { ready: true }, targetRef: { kind: 'Pod', name: target } }],
})

const BASE = [
  pod('web-1', '10.0.0.1', true, { app: 'web' }),
  pod('legacy-1', '10.0.0.2', false, { app: 'legacy' }),
  pod('cart-1', '10.0.0.3', true, { app: 'cart', version: 'v1' }),
  service('web', '10.96.0.1'),
  service('legacy', '10.96.0.2'),
  service('cart', '10.96.0.3'),
  service('empty', '10.96.0.4'),
  slice('cart', '10.0.0.3', 'cart-1'),
  slice('legacy', '10.0.0.2', 'legacy-1'),
]

const withApi: Readonly<Record<string, string>> = {
  PeerAuthentication: 'security.istio.io/v1',
  AuthorizationPolicy: 'security.istio.io/v1',
  RequestAuthentication: 'security.istio.io/v1',
  VirtualService: 'networking.istio.io/v1',
  DestinationRule: 'networking.istio.io/v1',
}

const objectsOf = (more: readonly object[]): KubeObject[] =>
  [...BASE, ...more].map((object) => {
    const { kind } = object as KubeObject
    return Object.assign({ apiVersion: withApi[kind] ?? 'v1' }, object as KubeObject)
  })

/** One line per row, as people read it. */
function check(more: readonly object[], question: Partial<TlsQuestion> & { caller: string }): string[] {
  const snapshot = snapshotOf({ mesh: MESH, objects: objectsOf(more), roots: {} })
  const report = tlsReport(new Views(), snapshot, { namespace: 'shop', ...question })
  return (report?.callers ?? []).flatMap(({ rows }) => rows.map(line))
}

const line = ({ host, port, subset, status, server, client, authnPolicy, destinationRule }: TlsRow): string =>
  [
    `${host.split('.')[0]}:${port}${subset && `|${subset}`}`,
    status,
    server.join() || '-',
    client.join() || '-',
    authnPolicy.join() || '-',
    destinationRule.join() || '-',
  ].join(' ')

const peer = (name: string, namespace: string, spec: object): object => ({
  kind: 'PeerAuthentication',
  metadata: { name, namespace, creationTimestamp: '2026-01-01T00:00:00Z' },
  spec,
})
const rule = (name: string, spec: object): object => ({
  kind: 'DestinationRule',
  metadata: { name, namespace: 'shop' },
  spec,
})
const mtls = (mode: string): object => ({ mtls: { mode } })
const tls = (mode: string): object => ({ trafficPolicy: { tls: { mode } } })

describe('tls-check', () => {
  it('shows every host that the caller sees', () => {
    expect(check([], { caller: 'web-1' })).toEqual([
      'cart:80 OK PERMISSIVE mTLS - -',
      'empty:80 UNKNOWN - - - -',
      'legacy:80 OK none plain - -',
      'web:80 UNKNOWN - - - -',
    ])
  })

  it.each([
    [
      'STRICT for the mesh',
      [peer('default', 'istio-system', mtls('STRICT'))],
      'web-1',
      'cart:80 OK STRICT mTLS istio-system/default -',
    ],
    [
      'a caller without a sidecar under STRICT',
      [peer('default', 'istio-system', mtls('STRICT'))],
      'legacy-1',
      'cart:80 CONFLICT STRICT plain istio-system/default -',
    ],
    [
      'the namespace over the mesh',
      [peer('default', 'istio-system', mtls('STRICT')), peer('ns', 'shop', mtls('PERMISSIVE'))],
      'legacy-1',
      'cart:80 OK PERMISSIVE plain shop/ns -',
    ],
    [
      'a port of a workload',
      [
        peer('default', 'istio-system', mtls('STRICT')),
        peer('cart', 'shop', {
          selector: { matchLabels: { app: 'cart' } },
          portLevelMtls: { '8080': { mode: 'PERMISSIVE' } },
        }),
      ],
      'legacy-1',
      'cart:80 OK PERMISSIVE plain shop/cart -',
    ],
    [
      'a rule that turns mTLS off under STRICT',
      [peer('default', 'shop', mtls('STRICT')), rule('off', { host: 'cart', ...tls('DISABLE') })],
      'web-1',
      'cart:80 CONFLICT STRICT plain shop/default shop/off',
    ],
    [
      'TLS of a rule’s own under STRICT',
      [peer('default', 'shop', mtls('STRICT')), rule('own', { host: 'cart', ...tls('SIMPLE') })],
      'web-1',
      'cart:80 CONFLICT STRICT TLS shop/default shop/own',
    ],
    [
      'a rule that insists where nobody takes it',
      [peer('default', 'shop', mtls('DISABLE')), rule('on', { host: 'cart', ...tls('ISTIO_MUTUAL') })],
      'web-1',
      'cart:80 CONFLICT DISABLE mTLS shop/default shop/on',
    ],
    [
      'DISABLE, which automatic mTLS heeds',
      [peer('default', 'shop', mtls('DISABLE'))],
      'web-1',
      'cart:80 OK DISABLE plain shop/default -',
    ],
  ])('%s', (_what, more, caller, expected) => {
    expect(check(more, { caller, service: 'cart' })).toEqual([expected])
  })

  it('insisting on mTLS to a pod without a sidecar is a conflict', () => {
    expect(
      check([rule('on', { host: 'legacy', ...tls('ISTIO_MUTUAL') })], { caller: 'web-1', service: 'legacy' }),
    ).toEqual(['legacy:80 CONFLICT none mTLS - shop/on'])
  })

  it('a subset that is dialled in another way has a row of its own', () => {
    const subsets = [
      { name: 'v1', labels: { version: 'v1' }, ...tls('DISABLE') },
      { name: 'same', labels: { version: 'v1' } },
    ]
    expect(check([rule('r', { host: 'cart', subsets })], { caller: 'web-1', service: 'cart' })).toEqual([
      'cart:80 OK PERMISSIVE mTLS - shop/r',
      'cart:80|v1 OK PERMISSIVE plain - shop/r',
    ])
  })

  it.each([
    [{ caller: 'svc/web', service: 'cart' }, ['cart:80 OK PERMISSIVE mTLS - -']],
    [{ caller: 'web', service: 'cart.shop', namespace: 'shop' }, ['cart:80 OK PERMISSIVE mTLS - -']],
    [
      { caller: 'web-1.shop', service: 'cart.shop.svc.cluster.local', namespace: 'default' },
      ['cart:80 OK PERMISSIVE mTLS - -'],
    ],
    [{ caller: 'web-1', service: 'cart', port: 81 }, ['cart:81 UNKNOWN - - - -']],
    [{ caller: 'web-1', service: 'nobody' }, ['nobody:0 UNKNOWN - - - -']],
    [{ caller: 'nobody' }, []],
    [{ caller: 'svc/web-1' }, []],
  ])('%j', (question, expected) => {
    expect(check([], question)).toEqual(expected)
  })
})

const VIRTUAL = parse(`
kind: VirtualService
metadata: {name: cart, namespace: shop, creationTimestamp: "2026-01-01T00:00:00Z"}
spec:
  hosts: [cart]
  http:
    - match: [{uri: {prefix: /v2}, headers: {x-user: {exact: ann}}}]
      route: [{destination: {host: cart, subset: v1}, weight: 80}, {destination: {host: cart}, weight: 20}]
      retries: {attempts: 2}
    - redirect: {uri: /new}
`) as object

describe('describe', () => {
  const policy = (name: string, action: string): object => ({
    kind: 'AuthorizationPolicy',
    metadata: { name, namespace: 'shop', creationTimestamp: '2026-01-01T00:00:00Z' },
    spec: {
      action,
      rules: [{ from: [{ source: { namespaces: ['shop'] } }], to: [{ operation: { methods: ['GET'] } }] }],
    },
  })
  const tokens = {
    kind: 'RequestAuthentication',
    metadata: { name: 'tokens', namespace: 'shop' },
    spec: { jwtRules: [{ issuer: 'https://id.example', jwks: '{"keys":[]}' }] },
  }
  const younger = {
    ...VIRTUAL,
    metadata: { name: 'late', namespace: 'shop', creationTimestamp: '2026-02-01T00:00:00Z' },
  }
  const objects = objectsOf([
    VIRTUAL,
    younger,
    policy('let', 'ALLOW'),
    policy('not', 'DENY'),
    tokens,
    rule('cart', {
      host: 'cart',
      trafficPolicy: { connectionPool: { tcp: { maxConnections: 5 } } },
      subsets: [
        { name: 'v1', labels: { version: 'v1' } },
        { name: 'v9', labels: { version: 'v9' } },
      ],
    }),
  ])
  const snapshot = snapshotOf({ mesh: MESH, objects, roots: {} })

  it('a service: routes in order, policies in the order in which they judge, what has no effect and why, advice', () => {
    const report = serviceReport(new Views(), snapshot, { name: 'cart', namespace: 'shop' }, objects)
    expect(report?.routes).toEqual([
      {
        source: 'VirtualService shop/cart',
        protocol: 'http',
        rules: [
          {
            match: 'uri.prefix=/v2, headers.x-user.exact=ann',
            to: 'cart subset v1 weight 80, cart weight 20',
            with: ['retries.attempts=2'],
          },
          { match: 'everything', to: 'redirect uri=/new', with: [] },
        ],
      },
    ])
    expect(report?.policies.map(({ name, action }) => `${name} ${action}`)).toEqual([
      'shop/tokens ',
      'shop/not DENY',
      'shop/let ALLOW',
    ])
    expect(report?.policies[2]?.detail).toBe('namespaces=shop to methods=GET; for every pod in its reach')
    expect(report?.overruled.map(({ object }) => object)).toEqual(['VirtualService shop/late'])
    expect(report?.destinationRules).toMatchObject([
      { name: 'shop/cart', detail: 'connectionPool.tcp.maxConnections=5' },
    ])
    expect(report?.subsets).toMatchObject([
      { name: 'v1', pods: 1 },
      { name: 'v9', pods: 0 },
    ])
    expect(report?.mtls.map(line)).toEqual(['cart:80 OK PERMISSIVE mTLS - shop/cart'])
    const codes = report?.warnings.map(({ code, object }) => `${code} ${object}`)
    expect(codes).toContain('SUBSET_EMPTY DestinationRule shop/cart')
    expect(codes).toContain('HOST_SHARED VirtualService shop/late')
    expect(serviceReport(new Views(), snapshot, { name: 'nobody', namespace: 'shop' }, objects)).toBeUndefined()
  })

  it('a pod: who it is, what its ports take, who judges its callers', () => {
    const report = podReport(new Views(), snapshot, { name: 'cart-1', namespace: 'shop' }, objects)
    expect(report).toMatchObject({
      name: 'shop/cart-1',
      identity: 'spiffe://east.demo/ns/shop/sa/sa',
      services: ['shop/cart'],
      mtls: [{ port: 8080, names: ['cart:80'], mode: 'PERMISSIVE', decidedBy: '' }],
      unknownHosts: 'passed',
    })
    expect(report?.policies).toHaveLength(3)
  })
})

describe('the pages', () => {
  const objects = objectsOf([])
  const snapshot = snapshotOf({ mesh: MESH, objects, roots: {} })
  const pages = explainPages({ observer: { snapshot, objects: () => objects }, ads: { inspect: () => [] } })
  const ask = async (path: string, query: string): Promise<Page> => {
    const found = pages[path]
    if (found === undefined) throw new Error(`no page ${path}`)
    return found.page({ query: new URLSearchParams(query) })
  }

  it.each([
    ['/debug/tls', 'caller=web-1&namespace=shop&service=cart', 200],
    ['/debug/tls', 'caller=nobody&namespace=shop', 404],
    ['/debug/tls', 'caller=web-1&namespace=shop&port=70000000', 400],
    ['/debug/tls', '', 404],
    ['/debug/describe', 'kind=service&name=cart&namespace=shop', 200],
    ['/debug/describe', 'kind=service&name=cart&namespace=shop&from=web-1', 200],
    ['/debug/describe', 'kind=service&name=cart&namespace=shop&from=nobody', 404],
    ['/debug/describe', 'kind=pod&name=web-1&namespace=shop', 200],
    ['/debug/describe', 'kind=mesh&name=a&namespace=shop', 400],
    ['/debug/describe', 'kind=pod&name=__proto__&namespace=shop', 404],
    ['/debug/proxy', 'pod=web-1&namespace=shop', 404],
  ])('%s?%s answers %d', async (path, query, status) => {
    expect((await ask(path, query)).status ?? 200).toBe(status)
  })

  it('ask about the namespace that a name brings along, and about who looks too', () => {
    const asks = pages['/debug/describe']?.asks(
      new URLSearchParams('kind=service&name=cart.other&namespace=shop&from=web-1.third'),
    )
    expect(asks).toEqual([
      { resource: 'descriptions', namespace: 'other', name: 'cart' },
      { resource: 'descriptions', namespace: 'third', name: 'web-1' },
    ])
  })
})

describe('what was sent', () => {
  it('never shows a key', () => {
    const pem = '-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n'
    const config = { secrets: new Map([['a', { name: 'a', file: `chain ${pem}` }]]) }
    const text = JSON.stringify(configText(config as never))
    expect(text).toContain('[redacted]')
    expect(text).not.toContain('AAAA')
  })
})
