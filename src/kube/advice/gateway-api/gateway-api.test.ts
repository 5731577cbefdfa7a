/** What is said of the Gateway API's objects: by CEL rules of the definitions, by rules of this folder, by lint. */
import { describe, expect, it } from 'vitest'
import type { KubeObject } from '../../object.ts'
import { ruleProblems } from '../../cel/validations.ts'
import { objectSchema } from '../../schemas/definition.ts'
import { KINDS } from '../../schemas/index.ts'
import { adviseSet } from '../advise.ts'
import { celRuleFlaws } from '../cel.ts'

const SERVICE = { group: '', kind: 'Service', name: 'web' }
const TO = { name: 'web', port: 80 }

function object(kind: string, spec: object, name = 'a'): KubeObject {
  const metadata = kind === 'GatewayClass' ? { name } : { name, namespace: 'shop' }
  return { apiVersion: 'gateway.networking.k8s.io/v1', kind, metadata, spec } as KubeObject
}

/** As `isthmus validate` says it. */
const said = (...objects: KubeObject[]): string[] =>
  adviseSet(objects, { isWhole: false, more: celRuleFlaws }).map(({ code, field }) => `${code} ${field}`)

const http = (rule: object, spec: object = {}): KubeObject =>
  object('HTTPRoute', { parentRefs: [SERVICE], rules: [rule], ...spec })

it.each(
  KINDS.filter(({ resource }) => resource.group === 'gateway.networking.k8s.io').map(
    (kind) => [kind.resource.kind, kind] as const,
  ),
)('%s has rules that an API server can read', (_, definition) => {
  expect(ruleProblems(objectSchema(definition), '')).toEqual([])
  expect(definition.annotations).toMatchObject({ 'gateway.networking.k8s.io/bundle-version': 'v1.6.1' })
})

describe('sound objects', () => {
  it.each([
    http({ backendRefs: [TO] }),
    object('HTTPRoute', { parentRefs: [SERVICE] }),
    object('HTTPRoute', {}),
    http({
      name: 'all',
      matches: [
        {
          path: { value: '/a' },
          method: 'GET',
          headers: [{ name: 'x', value: 'a.*', type: 'RegularExpression' }],
          queryParams: [{ name: 'q', value: '1' }],
        },
      ],
      filters: [
        { type: 'RequestHeaderModifier', requestHeaderModifier: { set: [{ name: 'a', value: 'b' }], remove: ['c'] } },
        { type: 'URLRewrite', urlRewrite: { path: { type: 'ReplacePrefixMatch', replacePrefixMatch: '/b' } } },
        { type: 'RequestMirror', requestMirror: { backendRef: TO, fraction: { numerator: 1 } } },
        { type: 'CORS', cors: { allowOrigins: ['https://*.example.org'], allowMethods: ['*'] } },
      ],
      backendRefs: [
        { ...TO, weight: 3, filters: [] },
        { group: 'multicluster.x-k8s.io', kind: 'ServiceImport', name: 'web' },
      ],
      timeouts: { request: '10s', backendRequest: '1s' },
      retry: { codes: [503], attempts: 2, backoff: '50ms' },
    }),
    http({ filters: [{ type: 'RequestRedirect', requestRedirect: { statusCode: 308, port: 8443 } }] }),
    http({ timeouts: { request: '0s', backendRequest: '9s' }, backendRefs: [TO] }),
    object('GRPCRoute', {
      parentRefs: [SERVICE],
      rules: [{ matches: [{ method: { service: 'a.B' } }], backendRefs: [TO] }],
    }),
    object('TLSRoute', { hostnames: ['*.example.org'], rules: [{ backendRefs: [TO] }] }),
    object('TCPRoute', { rules: [{ backendRefs: [TO] }] }),
    object('ReferenceGrant', {
      from: [{ group: '', kind: 'A', namespace: 'b' }],
      to: [{ group: '', kind: 'Service' }],
    }),
    object('GatewayClass', { controllerName: 'isthmus.dev/gateway-controller' }),
    object('Gateway', {
      gatewayClassName: 'isthmus',
      listeners: [
        { name: 'http', port: 80, protocol: 'HTTP' },
        { name: 'https', port: 443, protocol: 'HTTPS', hostname: '*.a.org', tls: { certificateRefs: [{ name: 'c' }] } },
        { name: 'tls', port: 443, protocol: 'TLS', tls: { mode: 'Passthrough' } },
      ],
    }),
  ])('has nothing to say of %j', (found) => {
    expect(said(found)).toEqual([])
  })
})

const redirect = { type: 'RequestRedirect', requestRedirect: {} }
const prefix = { type: 'URLRewrite', urlRewrite: { path: { type: 'ReplacePrefixMatch', replacePrefixMatch: '/b' } } }
const listener = (fields: object): KubeObject =>
  object('Gateway', { gatewayClassName: 'isthmus', listeners: [{ name: 'a', port: 80, protocol: 'HTTP', ...fields }] })

describe('what is refused, by field', () => {
  it.each([
    [http({ backendRefs: [{ name: 'web' }] }), 'spec.rules[0].backendRefs[0]'],
    [http({ backendRefs: [TO], filters: [redirect] }), 'spec.rules[0]'],
    [http({ filters: [redirect, prefix] }), 'spec.rules[0].filters'],
    [http({ filters: [{ type: 'URLRewrite' }] }), 'spec.rules[0].filters[0]'],
    [http({ filters: [{ type: 'CORS', cors: {}, urlRewrite: {} }] }), 'spec.rules[0].filters[0]'],
    [http({ filters: [prefix], matches: [{ path: { type: 'Exact', value: '/a' } }] }), 'spec.rules[0]'],
    [
      http({ filters: [{ type: 'CORS', cors: { allowHeaders: ['*', 'a'] } }] }),
      'spec.rules[0].filters[0].cors.allowHeaders',
    ],
    [http({ matches: [{ path: { type: 'Exact', value: 'a' } }] }), 'spec.rules[0].matches[0].path'],
    [http({ matches: [{ path: { value: '/a//b' } }] }), 'spec.rules[0].matches[0].path'],
    [http({ matches: [{ path: { value: '/a/../b' } }] }), 'spec.rules[0].matches[0].path'],
    [http({ timeouts: { request: '1s', backendRequest: '2s' } }), 'spec.rules[0].timeouts'],
    [http({ timeouts: { request: '1.5s' } }), 'spec.rules[0].timeouts.request'],
    [
      http({ filters: [{ type: 'RequestRedirect', requestRedirect: { statusCode: 304 } }] }),
      'spec.rules[0].filters[0].requestRedirect.statusCode',
    ],
    [http({}, { parentRefs: [SERVICE, SERVICE] }), 'spec.parentRefs'],
    [http({}, { rules: [{ name: 'a' }, { name: 'a' }] }), 'spec.rules'],
    [object('GRPCRoute', { rules: [{ matches: [{ method: {} }] }] }), 'spec.rules[0].matches[0].method'],
    [
      object('GRPCRoute', { rules: [{ matches: [{ method: { service: 'a/b' } }] }] }),
      'spec.rules[0].matches[0].method',
    ],
    [object('TLSRoute', { hostnames: ['10.0.0.1'], rules: [{ backendRefs: [TO] }] }), 'spec.hostnames'],
    [listener({ tls: { certificateRefs: [{ name: 'c' }] } }), 'spec.listeners'],
    [listener({ protocol: 'TCP', hostname: 'a.org' }), 'spec.listeners'],
    [listener({ protocol: 'HTTPS', tls: {} }), 'spec.listeners[0].tls'],
    [object('BackendTLSPolicy', { targetRefs: [SERVICE], validation: { hostname: 'a.org' } }), 'spec.validation'],
  ])('%j at %s', (found, field) => {
    expect(said(found).find((word) => !word.startsWith('KIND_UNSUPPORTED'))).toBe(`FIELD_INVALID ${field}`)
  })

  it('regular expressions that RE2 does not know', () => {
    const pattern = { type: 'RegularExpression', value: '(?=a)' }
    const route = http({ matches: [{ path: pattern, headers: [{ name: 'a', ...pattern }] }] })
    expect(said(route)).toEqual([
      'REGEX_INVALID spec.rules[0].matches[0].path.value',
      'REGEX_INVALID spec.rules[0].matches[0].headers[0].value',
    ])
    expect(
      said(object('GRPCRoute', { rules: [{ matches: [{ method: { type: 'RegularExpression', method: '(' } }] }] })),
    ).toEqual(['REGEX_INVALID spec.rules[0].matches[0].method.method'])
  })

  it('kinds that nothing here acts on', () => {
    const validation = { hostname: 'a.org', wellKnownCACertificates: 'System' }
    expect(said(object('BackendTLSPolicy', { targetRefs: [SERVICE], validation }))).toEqual(['KIND_UNSUPPORTED '])
  })

  it('fields that nothing here acts on', () => {
    const extension = { type: 'ExtensionRef', extensionRef: { group: 'a.org', kind: 'B', name: 'c' } }
    const route = http({
      filters: [extension],
      backendRefs: [{ ...TO, filters: [{ type: 'CORS', cors: {} }] }],
      sessionPersistence: {},
    })
    expect(said(route)).toEqual([
      'FIELD_UNSUPPORTED spec.rules[0].sessionPersistence',
      'FIELD_UNSUPPORTED spec.rules[0].filters[0].extensionRef',
      'FIELD_UNSUPPORTED spec.rules[0].backendRefs[0].filters[0].cors',
    ])
  })
})

describe('lint', () => {
  const web = {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'web', namespace: 'shop' },
    spec: { ports: [{ name: 'http', port: 80 }] },
  } as unknown as KubeObject

  it('names parents and backends that are not there', () => {
    const route = http(
      { backendRefs: [TO, { name: 'wbe', port: 80 }, { name: 'web', port: 81 }] },
      { parentRefs: [{ ...SERVICE, name: 'x' }] },
    )
    expect(said(web, route)).toEqual([
      'REFERENCE_UNKNOWN spec.parentRefs[0]',
      'REFERENCE_UNKNOWN spec.rules[0].backendRefs[1]',
      'REFERENCE_UNKNOWN spec.rules[0].backendRefs[2].port',
    ])
  })

  it('names VirtualServices that a route overrules', () => {
    const service = {
      apiVersion: 'networking.istio.io/v1',
      kind: 'VirtualService',
      metadata: { name: 'web', namespace: 'shop' },
      spec: { hosts: ['web'], http: [{ route: [{ destination: { host: 'web' } }] }] },
    } as unknown as KubeObject
    expect(said(web, http({ backendRefs: [TO] }), service)).toEqual(['ROUTE_OVERRULES spec.hosts[0]'])
  })

  it('names routes of a kind that loses its port', () => {
    const tcp = object('TCPRoute', { parentRefs: [SERVICE], rules: [{ backendRefs: [TO] }] })
    const elsewhere = object(
      'TCPRoute',
      { parentRefs: [{ ...SERVICE, port: 9000 }], rules: [{ backendRefs: [TO] }] },
      'b',
    )
    expect(said(http({ backendRefs: [TO] }), tcp, elsewhere)).toEqual(['ROUTE_CONFLICT spec.parentRefs[0]'])
  })
})
