import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import type { KubeObject } from '../../object.ts'
import { adviseObject, adviseSet } from '../advise.ts'

const object = (kind: string, spec: string, namespace = 'shop'): KubeObject =>
  ({
    apiVersion: kind === 'Telemetry' ? 'telemetry.istio.io/v1' : 'security.istio.io/v1',
    kind,
    metadata: { name: 'p', namespace },
    spec: parse(spec) as object,
  }) as KubeObject

const said = (kind: string, spec: string, namespace?: string): string[] =>
  adviseObject(object(kind, spec, namespace)).map(({ severity, code, field }) => `${severity} ${code} ${field}`)

const invalid = (...fields: readonly string[]): string[] => fields.map((field) => `error FIELD_INVALID ${field}`)

describe('advice on PeerAuthentication', () => {
  it.each<[string, string[]]>([
    ['{mtls: {mode: STRICT}}', []],
    ['{}', []],
    ['{mtls: {mode: OFF}}', invalid('spec.mtls.mode')],
    ['{mtls: {mode: STRICT}, portLevelMtls: {"80": {mode: DISABLE}}}', invalid('spec.portLevelMtls')],
    ['{selector: {matchLabels: {a: b}}, portLevelMtls: {}}', invalid('spec.portLevelMtls')],
    ['{selector: {matchLabels: {a: b}}, portLevelMtls: {"0": {mode: DISABLE}}}', invalid('spec.portLevelMtls.0')],
    ['{selector: {matchLabels: {a: "b*"}}}', invalid('spec.selector.matchLabels.a')],
    ['{mtlss: {}}', ['error FIELD_UNKNOWN spec.mtlss']],
  ])('%s', (spec, expected) => {
    expect(said('PeerAuthentication', spec)).toEqual(expected)
  })

  it('warns of a selector where it is ignored', () => {
    const spec = '{selector: {matchLabels: {a: b}}, mtls: {mode: STRICT}}'
    expect(said('PeerAuthentication', spec, 'istio-system')).toEqual(['warning POLICY_INEFFECTIVE spec.selector'])
  })
})

describe('advice on RequestAuthentication', () => {
  it.each<[string, string[]]>([
    ['{jwtRules: [{issuer: a, jwksUri: "http://keys.shop.svc.cluster.local/keys"}]}', []],
    ['{jwtRules: [{issuer: a, jwksUri: "https://a/keys"}]}', []],
    ['{jwtRules: [{issuer: "https://a"}]}', []],
    ['{jwtRules: [{issuer: a}]}', ['error FIELD_UNSUPPORTED spec.jwtRules[0].issuer']],
    ['{jwtRules: [{issuer: "http://a"}]}', ['error FIELD_UNSUPPORTED spec.jwtRules[0].issuer']],
    [
      '{jwtRules: [{issuer: a, jwksUri: "https://169.254.169.254/keys"}]}',
      ['error ADDRESS_FORBIDDEN spec.jwtRules[0].jwksUri'],
    ],
    [
      '{jwtRules: [{jwksUri: "http://keys.shop.svc.cluster.local/keys"}]}',
      ['error FIELD_REQUIRED spec.jwtRules[0].issuer'],
    ],
    [
      '{jwtRules: [{issuer: a, jwks: "{}", jwksUri: "http://a.b.svc.cluster.local"}]}',
      invalid('spec.jwtRules[0]', 'spec.jwtRules[0].jwks'),
    ],
    ['{jwtRules: [{issuer: a, jwksUri: "ftp://a"}]}', invalid('spec.jwtRules[0].jwksUri')],
    ['{jwtRules: [{issuer: a, jwksUri: "https://me:secret@a"}]}', invalid('spec.jwtRules[0].jwksUri')],
    ['{jwtRules: [{issuer: a, jwksUri: "http://a.example"}]}', ['error FIELD_UNSUPPORTED spec.jwtRules[0].jwksUri']],
    ['{jwtRules: [{issuer: a, jwks: \'{"keys": [{}]}\', timeout: 0s}]}', invalid('spec.jwtRules[0].timeout')],
    ['{selector: {matchLabels: {a: b}}, targetRefs: [{kind: Service, name: a}]}', invalid('spec')],
    [
      '{targetRefs: [{kind: Gateway, group: gateway.networking.k8s.io, name: a}]}',
      ['error FIELD_UNSUPPORTED spec.targetRefs[0].kind'],
    ],
    ['{targetRefs: [{kind: Service, name: a, namespace: b}]}', invalid('spec.targetRefs[0].namespace')],
  ])('%s', (spec, expected) => {
    expect(said('RequestAuthentication', spec)).toEqual(expected)
  })
})

describe('advice on AuthorizationPolicy', () => {
  const rule = (text: string): string => `{rules: [{${text}}]}`
  const at = 'spec.rules[0]'
  it.each<[string, string[]]>([
    ['{}', []],
    ['{rules: [{}]}', []],
    ['{action: DENY}', invalid('spec.rules')],
    ['{action: CUSTOM, rules: [{}]}', invalid('spec.provider.name')],
    ['{provider: {name: a}}', invalid('spec.provider')],
    [rule('from: []'), invalid(`${at}.from`)],
    [rule('to: []'), invalid(`${at}.to`)],
    [rule('from: [{source: {}}]'), invalid(`${at}.from[0].source`)],
    [rule('from: [{}]'), invalid(`${at}.from[0].source`)],
    [rule('to: [{operation: {methods: []}}]'), invalid(`${at}.to[0].operation.methods`)],
    [
      rule('from: [{source: {ipBlocks: [10.0.0.0/33, "::1", 1.2.3]}}]'),
      invalid(`${at}.from[0].source.ipBlocks[0]`, `${at}.from[0].source.ipBlocks[2]`),
    ],
    [rule('from: [{source: {serviceAccounts: [a], namespaces: [b]}}]'), invalid(`${at}.from[0].source`)],
    [rule('from: [{source: {serviceAccounts: ["a/*"]}}]'), invalid(`${at}.from[0].source.serviceAccounts[0]`)],
    [
      rule('from: [{source: {principals: ["spiffe://cluster.local/ns/a/sa/b"]}}]'),
      invalid(`${at}.from[0].source.principals[0]`),
    ],
    [
      rule('to: [{operation: {ports: ["0", "80", http]}}]'),
      invalid(`${at}.to[0].operation.ports[0]`, `${at}.to[0].operation.ports[2]`),
    ],
    [rule('to: [{operation: {paths: ["/a/{*}/b", "/{**}", "/{**}/x"]}}]'), []],
    [rule('to: [{operation: {paths: ["/{x}"]}}]'), invalid(`${at}.to[0].operation.paths[0]`)],
    [rule('to: [{operation: {paths: ["/{*}/*"]}}]'), invalid(`${at}.to[0].operation.paths[0]`)],
    [rule('to: [{operation: {paths: ["/{**}/{*}"]}}]'), invalid(`${at}.to[0].operation.paths[0]`)],
    [rule('when: [{key: source.moon, values: [a]}]'), invalid(`${at}.when[0].key`)],
    [rule('when: [{key: experimental.envoy.filters.a, values: [a]}]'), [`error FIELD_UNSUPPORTED ${at}.when[0].key`]],
    [rule('when: [{key: source.ip}]'), invalid(`${at}.when[0]`)],
    [rule('when: [{key: source.ip, values: [a]}]'), invalid(`${at}.when[0]`)],
    [rule('when: [{key: "request.auth.claims[a][b]", values: [a]}, {key: "request.headers[x]", notValues: [a]}]'), []],
    ['{action: DENY, rules: [{to: [{operation: {paths: [/a]}}]}]}', [`warning DENY_REFUSES_TCP ${at}`]],
    [
      '{action: DENY, rules: [{from: [{source: {requestPrincipals: ["*"]}}], when: [{key: "request.headers[x]", values: [a]}]}]}',
      [`warning DENY_REFUSES_TCP ${at}`],
    ],
    ['{action: DENY, rules: [{to: [{operation: {paths: [/a], ports: ["80"]}}]}]}', []],
  ])('%s', (spec, expected) => {
    expect(said('AuthorizationPolicy', spec)).toEqual(expected)
  })
})

describe('advice on Telemetry', () => {
  it.each<[string, string[]]>([
    ['{accessLogging: [{providers: [{name: envoy}], filter: {expression: "response.code >= 400"}}]}', []],
    [
      '{accessLogging: [{filter: {expression: "moon"}}]}',
      ['error FIELD_UNSUPPORTED spec.accessLogging[0].filter.expression'],
    ],
    ['{tracing: [{randomSamplingPercentage: 101}]}', invalid('spec.tracing[0].randomSamplingPercentage')],
    ['{tracing: [{providers: [{name: a}, {name: b}]}]}', invalid('spec.tracing[0].providers')],
    [
      '{tracing: [{customTags: {a: {literal: {value: b}, header: {name: c}}}}]}',
      invalid('spec.tracing[0].customTags.a'),
    ],
    ['{tracing: [{customTags: {a: {environment: {name: B}}}}]}', []],
    ['{metrics: [{providers: [{name: prometheus}]}]}', []],
    ['{metrics: [{providers: [{name: other}]}]}', ['error FIELD_UNSUPPORTED spec.metrics[0].providers[0].name']],
    [
      '{metrics: [{overrides: [{tagOverrides: {a: {}}}]}]}',
      [
        ...invalid('spec.metrics[0].overrides[0].tagOverrides.a.value'),
        'error FIELD_UNSUPPORTED spec.metrics[0].overrides',
      ],
    ],
  ])('%s', (spec, expected) => {
    expect(said('Telemetry', spec)).toEqual(expected)
  })
})

describe('advice on providers', () => {
  const custom = object('AuthorizationPolicy', '{action: CUSTOM, provider: {name: judge}, rules: [{}]}')
  const settings = (text: string): KubeObject =>
    ({
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'isthmus', namespace: 'isthmus-system' },
      data: { mesh: text },
    }) as KubeObject

  it('names those that the mesh settings do not have', () => {
    const telemetry = object(
      'Telemetry',
      '{accessLogging: [{providers: [{name: envoy}]}], tracing: [{providers: [{name: otel}]}]}',
    )
    const found = adviseSet([custom, telemetry], { isWhole: true })
    expect(found.map(({ code, field }) => `${code} ${field}`)).toEqual([
      'PROVIDER_UNKNOWN spec.provider.name',
      'PROVIDER_UNKNOWN spec.tracing[0].providers[0].name',
    ])
  })

  it('finds those that it has, and says nothing of files alone', () => {
    expect(adviseSet([custom, settings('extensionProviders: [{name: judge}]')], { isWhole: true })).toEqual([])
    expect(adviseSet([custom], { isWhole: false })).toEqual([])
    expect(adviseSet([custom, settings('extensionProviders: [')], { isWhole: true })).toHaveLength(1)
  })
})
