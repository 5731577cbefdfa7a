import { describe, expect, it } from 'vitest'
import { isForbiddenTarget } from '../../../runtime/forbidden.ts'
import type { KubeObject } from '../../object.ts'
import { loopMs } from '../../testing/loop-time.ts'
import { adviseObject, adviseSet } from '../advise.ts'
import { refuses } from '../finding.ts'

const object = (kind: string, spec: object, metadata: object = {}): KubeObject =>
  ({
    apiVersion: 'networking.istio.io/v1',
    kind,
    metadata: { name: 'a', namespace: 'shop', ...metadata },
    spec,
  }) as KubeObject
const said = (kind: string, spec: object): string[] =>
  adviseObject(object(kind, spec)).map(
    ({ severity, code, field }) => `${severity === 'error' ? '' : 'warning '}${code} ${field}`,
  )

const to = (host: string, more: object = {}): object => ({ destination: { host }, ...more })
const ROUTE = { route: [to('web')] }
const virtual = (...http: object[]): string[] => said('VirtualService', { hosts: ['web'], http })

describe('VirtualService', () => {
  it.each([
    ['a route', { hosts: ['web'], http: [ROUTE] }],
    ['a gateway for all hosts', { hosts: ['*'], gateways: ['shop/edge'], http: [ROUTE] }],
    ['a delegate', { http: [{ match: [{ uri: { prefix: '/a' } }] }] }],
    ['weights', { hosts: ['web'], http: [{ route: [to('a', { weight: 20 }), to('b', { weight: 5 })] }] }],
    [
      'every retry condition',
      { hosts: ['web'], http: [{ ...ROUTE, retries: { attempts: 2, retryOn: '5xx,reset, 503' } }] },
    ],
  ])('may be %s', (_what, spec) => {
    expect(said('VirtualService', spec).filter((line) => !line.startsWith('FIELD_UNSUPPORTED'))).toEqual([])
  })

  it.each([
    [{ hosts: ['web'] }, ['FIELD_INVALID spec']],
    [{ hosts: ['*'], http: [ROUTE] }, ['FIELD_INVALID spec.hosts[0]']],
    [{ hosts: ['web', 'web'], http: [ROUTE] }, ['FIELD_INVALID spec.hosts[1]']],
    [{ hosts: ['we b'], http: [ROUTE] }, ['FIELD_INVALID spec.hosts[0]']],
    [{ gateways: ['mesh'], http: [] }, ['FIELD_INVALID spec.gateways']],
    [
      { hosts: ['a.b'], tls: [{ match: [{ sniHosts: ['c.d'] }], ...ROUTE }] },
      ['FIELD_INVALID spec.tls[0].match[0].sniHosts[0]'],
    ],
    [{ hosts: ['web'], tcp: [{}] }, ['FIELD_INVALID spec.tcp[0].route']],
    [{ hosts: ['web'], http: [ROUTE], exportTo: ['*', '.'] }, ['FIELD_INVALID spec.exportTo[0]']],
  ])('as a whole: %j', (spec, expected) => {
    expect(said('VirtualService', spec)).toEqual(expected)
  })

  it.each([
    [{}, 'FIELD_INVALID spec.http[0]'],
    [{ ...ROUTE, redirect: { uri: '/' } }, 'FIELD_INVALID spec.http[0].route'],
    [{ redirect: { uri: '/', prefixRewrite: '/b' } }, 'FIELD_INVALID spec.http[0].redirect.prefixRewrite'],
    [{ redirect: { uri: '/', redirectCode: 404 } }, 'FIELD_INVALID spec.http[0].redirect.redirectCode'],
    [{ directResponse: { status: 99 } }, 'FIELD_INVALID spec.http[0].directResponse.status'],
    [{ route: [to('a'), to('b')] }, 'FIELD_INVALID spec.http[0].route'],
    [{ route: [to('a', { weight: -1 })] }, 'FIELD_INVALID spec.http[0].route[0].weight'],
    [{ ...ROUTE, retries: { attempts: 0, retryOn: '5xx' } }, 'FIELD_INVALID spec.http[0].retries.retryOn'],
    [{ ...ROUTE, retries: { attempts: 1, retryOn: 'sometimes' } }, 'FIELD_INVALID spec.http[0].retries.retryOn'],
    [{ ...ROUTE, fault: {} }, 'FIELD_INVALID spec.http[0].fault'],
    [{ ...ROUTE, fault: { abort: { httpStatus: 700 } } }, 'FIELD_INVALID spec.http[0].fault.abort.httpStatus'],
    [{ ...ROUTE, fault: { abort: { percent: 5 } } }, 'FIELD_UNKNOWN spec.http[0].fault.abort.percent'],
    [
      { ...ROUTE, fault: { delay: { percent: 5, fixedDelay: '1s' } } },
      'warning FIELD_DEPRECATED spec.http[0].fault.delay.percent',
    ],
    [{ ...ROUTE, mirrorPercent: 5 }, 'warning FIELD_DEPRECATED spec.http[0].mirrorPercent'],
    [{ ...ROUTE, mirror: { host: 'a' }, mirrors: [] }, 'FIELD_INVALID spec.http[0].mirrors'],
    [
      { ...ROUTE, rewrite: { authority: 'a' }, headers: { request: { set: { Host: 'b' } } } },
      'FIELD_INVALID spec.http[0].headers.request.set.Host',
    ],
    [{ ...ROUTE, match: [{ uri: { regex: '(?=a)' } }] }, 'REGEX_INVALID spec.http[0].match[0].uri.regex'],
    [{ ...ROUTE, match: [{ headers: { a: { regex: '(' } } }] }, 'REGEX_INVALID spec.http[0].match[0].headers.a.regex'],
    [
      { ...ROUTE, fault: { abort: { http2Error: 'x', httpStatus: 500 } } },
      'FIELD_UNSUPPORTED spec.http[0].fault.abort.http2Error',
    ],
  ])('a rule: %j', (route, expected) => {
    expect(virtual(route)).toEqual([expected])
  })

  it('warns of rules that are never reached', () => {
    const exact = { match: [{ uri: { exact: '/a' } }], ...ROUTE }
    expect(virtual(exact, ROUTE, exact)).toEqual(['warning ROUTE_UNREACHABLE spec.http[2]'])
    expect(virtual(exact, { ...exact, match: [{ name: 'again', uri: { exact: '/a' } }] })).toEqual([
      'warning ROUTE_UNREACHABLE spec.http[1]',
    ])
    expect(virtual(exact, { match: [{ uri: { exact: '/a' } }, { uri: { exact: '/b' } }], ...ROUTE })).toEqual([
      'warning ROUTE_UNREACHABLE spec.http[1].match[0]',
    ])
    expect(virtual({ match: [{ uri: { prefix: '/' } }], ...ROUTE }, exact)).toEqual([
      'warning ROUTE_UNREACHABLE spec.http[1]',
    ])
  })

  const patterns = (count: number, pattern: (at: number) => string): KubeObject =>
    object('VirtualService', {
      hosts: ['web'],
      http: Array.from({ length: count }, (_, at) => ({ match: [{ uri: { regex: pattern(at) } }], ...ROUTE })),
    })

  it('refuses patterns that together would hold the event loop, before it compiles one', () => {
    const many = patterns(1_000, (at) => `(a+)+${at}$`)
    expect(adviseObject(many).map(({ code, field }) => `${code} ${field}`)).toEqual(['OBJECT_TOO_LARGE spec.http'])
    expect(loopMs(() => adviseObject(many))).toBeLessThan(50)
  })

  it.each([
    ['nested repetition', 8, '(a{10}){100}'],
    ['nested groups', 3, `${'(a|'.repeat(250)}b${')'.repeat(250)}`],
    ['nested quantifiers', 100, '(a+)+$'],
  ])('compiles what it admits in time: %s', (_what, count, pattern) => {
    // Others each time, since verdicts are remembered.
    let run = 0
    const judge = (): unknown => adviseObject(patterns(count, (at) => `${pattern}${(run += 1)}${at}`))
    expect(judge()).toEqual([])
    expect(loopMs(judge)).toBeLessThan(50)
  })
})

describe('DestinationRule', () => {
  const rule = (trafficPolicy: object, more: object = {}): string[] =>
    said('DestinationRule', { host: 'web', trafficPolicy, ...more })
  const locality = (localityLbSetting: object): object => ({ loadBalancer: { localityLbSetting } })
  const FAILOVER = { failover: [{ from: 'a', to: 'b' }] }
  const P = 'spec.trafficPolicy'

  it.each([
    [{ connectionPool: {} }, [`FIELD_INVALID ${P}.connectionPool`]],
    [
      { loadBalancer: { simple: 'RANDOM', consistentHash: { useSourceIp: true } } },
      [`FIELD_INVALID ${P}.loadBalancer.consistentHash`],
    ],
    [
      { tls: { mode: 'ISTIO_MUTUAL', credentialName: 'x' } },
      [`FIELD_INVALID ${P}.tls.credentialName`, `FIELD_UNSUPPORTED ${P}.tls.credentialName`],
    ],
    [{ portLevelSettings: [{ port: { number: 1 } }] }, [`FIELD_INVALID ${P}.portLevelSettings[0]`]],
    [
      locality({ distribute: [{ from: 'a/*', to: { 'a/*': 80 } }] }),
      [`FIELD_INVALID ${P}.loadBalancer.localityLbSetting.distribute[0].to`],
    ],
    [
      { ...locality({ failover: [{ from: 'a', to: 'a' }] }), outlierDetection: { maxEjectionPercent: 100 } },
      [`FIELD_INVALID ${P}.loadBalancer.localityLbSetting.failover[0].to`],
    ],
    [locality(FAILOVER), [`warning FAILOVER_INERT ${P}.loadBalancer.localityLbSetting`]],
    [
      { ...locality(FAILOVER), outlierDetection: {} },
      [`warning EJECTION_CAPPED ${P}.outlierDetection.maxEjectionPercent`],
    ],
    [{ ...locality(FAILOVER), outlierDetection: { maxEjectionPercent: 100 } }, []],
  ])('with %j', (policy, expected) => {
    expect(rule(policy)).toEqual(expected)
  })

  it('names each subset once', () => {
    expect(rule({}, { subsets: [{ name: 'v1' }, { name: 'v1' }] })).toEqual(['FIELD_INVALID spec.subsets[1].name'])
  })
})

describe('ServiceEntry', () => {
  const entry = (spec: object): string[] => said('ServiceEntry', { hosts: ['a.example'], ...spec })

  it('looks at every address that is forbidden, whatever it begins with', () => {
    for (let octet = 1; octet < 256; octet += 1) {
      for (const rest of ['254.169.254', '100.100.200', '63.129.16', '0.0.192']) {
        const address = `${octet}.${rest}`
        const flaws = entry({ resolution: 'STATIC', endpoints: [{ address }] })
        expect(flaws.length, address).toBe(isForbiddenTarget(address) ? 1 : 0)
      }
    }
  })

  it('judges thousands of endpoints in time', () => {
    const endpoints = Array.from({ length: 4_000 }, (_, at) => ({ address: `10.0.${at >> 8}.${at & 255}` }))
    const many = object('ServiceEntry', { hosts: ['a.example'], resolution: 'STATIC', endpoints })
    expect(adviseObject(many)).toEqual([])
    expect(loopMs(() => adviseObject(many))).toBeLessThan(50)
  })

  it.each([
    '169.254.169.254',
    'fe80::1',
    'fd00:ec2::254',
    '100.100.100.200',
    '168.63.129.16',
    '192.0.0.192',
    'metadata.google.internal',
    '2852039166',
  ])('may not lead to %s', (address) => {
    const findings = adviseObject(
      object('ServiceEntry', { hosts: ['a.example'], resolution: 'DNS', endpoints: [{ address }] }),
    )
    expect(findings.map(({ code, field }) => `${code} ${field}`)).toEqual([
      'ADDRESS_FORBIDDEN spec.endpoints[0].address',
    ])
    expect(findings.every(refuses)).toBe(true)
  })

  it.each([
    [{ addresses: ['169.254.0.0/16'] }, ['ADDRESS_FORBIDDEN spec.addresses[0]', 'FIELD_UNSUPPORTED spec.addresses[0]']],
    [{ hosts: ['metadata.google.internal'] }, ['ADDRESS_FORBIDDEN spec.hosts[0]']],
    [{ hosts: ['web.shop.svc.clusterset.local'] }, ['FIELD_INVALID spec.hosts[0]']],
    [{ hosts: ['*'] }, ['FIELD_INVALID spec.hosts[0]']],
    [
      { addresses: ['10.0.0.0/8'], resolution: 'DNS' },
      ['FIELD_INVALID spec.addresses[0]', 'FIELD_UNSUPPORTED spec.addresses[0]'],
    ],
    [{ endpoints: [{ address: '10.0.0.1' }] }, ['FIELD_INVALID spec.endpoints']],
    [{ hosts: ['*.example'], resolution: 'DNS' }, ['FIELD_INVALID spec.hosts[0]']],
    [
      { resolution: 'STATIC', endpoints: [{ address: '10.0.0.1', ports: { x: 1 } }] },
      ['FIELD_INVALID spec.endpoints[0].ports.x'],
    ],
    [{ resolution: 'STATIC', endpoints: [{}] }, ['FIELD_INVALID spec.endpoints[0].address']],
    [
      {
        ports: [
          { number: 80, name: 'a' },
          { number: 80, name: 'b' },
        ],
      },
      ['FIELD_INVALID spec.ports[1].number'],
    ],
    [{ resolution: 'STATIC', endpoints: [{ address: '127.0.0.1' }] }, []],
  ])('with %j', (spec, expected) => {
    expect(entry(spec)).toEqual(expected)
  })
})

describe('lint of traffic rules', () => {
  const core = (kind: string, name: string, more: object = {}, labels: object = {}): KubeObject =>
    ({ apiVersion: 'v1', kind, metadata: { name, namespace: 'shop', labels }, ...more }) as KubeObject
  const service = core('Service', 'web', { spec: { selector: { app: 'web' } } })
  const lint = (...objects: KubeObject[]): string[] =>
    adviseSet(objects, { isWhole: true }).map(({ code, object: { kind }, field }) => `${code} ${kind} ${field}`)
  const leads = (host: string, subset?: string): KubeObject =>
    object('VirtualService', {
      hosts: ['web'],
      http: [{ route: [to(host, { destination: { host, ...(subset === undefined ? {} : { subset }) } })] }],
    })
  const subsets = object('DestinationRule', { host: 'web', subsets: [{ name: 'v1', labels: { version: 'v1' } }] })

  it('finds nothing where everything is there', () => {
    const pod = core('Pod', 'p', { spec: { containers: [] } }, { app: 'web', version: 'v1' })
    expect(lint(service, pod, leads('web', 'v1'), subsets)).toEqual([])
  })

  it('finds hosts that nobody has, and knows entries and imports', () => {
    expect(lint(service, leads('wbe'))).toEqual(['HOST_UNKNOWN VirtualService spec.http[0].route[0].destination.host'])
    expect(lint(object('DestinationRule', { host: 'x.other.svc.cluster.local' }))).toEqual([
      'HOST_UNKNOWN DestinationRule spec.host',
    ])
    const entry = object('ServiceEntry', { hosts: ['*.example.com'] })
    expect(lint(entry, leads('api.example.com'))).toEqual([])
  })

  it('finds subsets that nobody defines, and those without pods', () => {
    expect(lint(service, leads('web', 'v2'), subsets)).toEqual([
      'SUBSET_UNKNOWN VirtualService spec.http[0].route[0].destination.subset',
      'SUBSET_EMPTY DestinationRule spec.subsets[0].labels',
    ])
  })

  it('finds hosts ruled twice: the younger one is named', () => {
    const older = {
      ...leads('web'),
      metadata: { name: 'older', namespace: 'shop', creationTimestamp: '2026-01-01T00:00:00Z' },
    }
    const younger = {
      ...leads('web'),
      metadata: { name: 'younger', namespace: 'shop', creationTimestamp: '2026-02-01T00:00:00Z' },
    }
    expect(
      adviseSet([service, younger, older], { isWhole: true }).map(({ code, object: { name } }) => `${code} ${name}`),
    ).toEqual(['HOST_SHARED younger'])
  })
})
