import { describe, expect, it } from 'vitest'
import type { KubeObject } from '../../object.ts'
import { fieldsAt } from '../fields.ts'
import { NETWORKING_ADVICE } from './advice.ts'

/** This area's words alone. */
function said(kind: string, spec: object): string[] {
  const object = { apiVersion: 'networking.istio.io/v1', kind, metadata: { name: 'a', namespace: 'shop' }, spec }
  const advice = NETWORKING_ADVICE.kinds.find(({ resource }) => resource.kind === kind)
  const flaws = (advice?.rules ?? []).flatMap((rule) => Array.from(rule(object as unknown as KubeObject)))
  const fields = (advice?.unsupported ?? []).flatMap(({ path }) => fieldsAt(object, path))
  return [...flaws.map(({ code, field }) => `${code} ${field}`), ...fields.map(({ path }) => `list ${path}`)]
}

describe('what nothing here acts on', () => {
  it.each([
    ['VirtualService', { gateways: ['edge', 'mesh'] }, []],
    [
      'VirtualService',
      { http: [{ directResponse: { status: 200, body: { string: 'x'.repeat(4_097) } } }] },
      ['FIELD_UNSUPPORTED spec.http[0].directResponse.body'],
    ],
    [
      'VirtualService',
      { http: [{ corsPolicy: { unmatchedPreflights: 'IGNORE' }, retries: { retryIgnorePreviousHosts: false } }] },
      [
        'FIELD_UNSUPPORTED spec.http[0].corsPolicy.unmatchedPreflights',
        'FIELD_UNSUPPORTED spec.http[0].retries.retryIgnorePreviousHosts',
      ],
    ],
    [
      'VirtualService',
      { http: [{ route: [{ headers: { request: { set: { 'x-a': '100%' } } } }] }] },
      ['FIELD_INVALID spec.http[0].route[0].headers.request.set.x-a'],
    ],
    [
      'Gateway',
      {
        servers: [
          {
            port: { number: 443, name: 'a', protocol: 'HTTPS' },
            hosts: ['*'],
            bind: '1.2.3.4',
            tls: { mode: 'SIMPLE', serverCertificate: '/a', privateKey: '/b' },
          },
        ],
      },
      [
        'list spec.servers[0].bind',
        'list spec.servers[0].tls.serverCertificate',
        'list spec.servers[0].tls.privateKey',
      ],
    ],
    ['VirtualService', { http: [{ match: [{ statPrefix: 'a' }] }] }, ['list spec.http[0].match[0].statPrefix']],
    [
      'DestinationRule',
      { trafficPolicy: { portLevelSettings: [{ tls: { mode: 'ISTIO_MUTUAL', sni: 'a' } }], tunnel: {} } },
      ['FIELD_UNSUPPORTED spec.trafficPolicy.portLevelSettings[0].tls.sni', 'list spec.trafficPolicy.tunnel'],
    ],
    [
      'ServiceEntry',
      { resolution: 'DYNAMIC_DNS', addresses: ['10.0.0.0/8', '10.0.0.1/32'], endpoints: [{ address: 'unix:///a' }] },
      [
        'FIELD_UNSUPPORTED spec.resolution',
        'FIELD_UNSUPPORTED spec.addresses[0]',
        'FIELD_UNSUPPORTED spec.endpoints[0].address',
      ],
    ],
  ])('%s %j', (kind, spec, expected) => {
    expect(said(kind, spec)).toEqual(expected)
  })
})

describe('Sidecar', () => {
  it.each([
    [{}, ['FIELD_INVALID spec']],
    [{ egress: [{ hosts: ['./*', 'bank/*.example.com', '~/*', '*/a.b'] }] }, []],
    [{ egress: [{ hosts: ['reviews'] }] }, ['FIELD_INVALID spec.egress[0].hosts[0]']],
    [{ egress: [{ hosts: ['*/*'] }, { port: { number: 1 }, hosts: ['*/*'] }] }, ['FIELD_INVALID spec.egress[0].port']],
    [
      {
        egress: [
          { port: { number: 1 }, hosts: ['*/*'] },
          { port: { number: 1 }, hosts: [] },
        ],
      },
      ['FIELD_INVALID spec.egress[1].port.number', 'FIELD_INVALID spec.egress[1].hosts'],
    ],
  ])('%j', (spec, expected) => {
    expect(said('Sidecar', spec)).toEqual(expected)
  })
})

describe('Gateway', () => {
  const server = (protocol: string, more: object = {}): object => ({
    servers: [{ port: { number: 1, protocol, name: 'a' }, hosts: ['*'], ...more }],
  })
  it.each([
    [{ servers: [] }, ['FIELD_INVALID spec.servers']],
    [server('HTTP', { tls: { httpsRedirect: true } }), []],
    [server('HTTP', { tls: { mode: 'SIMPLE' } }), ['FIELD_INVALID spec.servers[0].tls']],
    [server('HTTPS'), ['FIELD_INVALID spec.servers[0].tls']],
    [server('HTTPS', { tls: { mode: 'SIMPLE' } }), ['FIELD_INVALID spec.servers[0].tls']],
    [server('HTTPS', { tls: { mode: 'SIMPLE', credentialName: 'a' } }), []],
    [server('TLS', { tls: { mode: 'PASSTHROUGH' } }), []],
    [server('UDP'), ['FIELD_INVALID spec.servers[0].port.protocol']],
    [server('TCP', { hosts: [] }), ['FIELD_INVALID spec.servers[0].hosts']],
  ])('%j', (spec, expected) => {
    expect(said('Gateway', spec).filter((line) => !line.startsWith('list'))).toEqual(expected)
  })
})
