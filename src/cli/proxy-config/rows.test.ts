import { describe, expect, it } from 'vitest'
import { endpointRows, listenerRows, secretRows, type ConfigDump } from './rows.ts'

const DUMP: ConfigDump = {
  listeners: {
    'inbound-mesh': {
      name: 'inbound-mesh',
      address: '10.0.0.1',
      port: 15008,
      chains: [
        {
          name: 'a',
          serverNames: ['x.svc'],
          tls: { certificate: 'default', validation: 'ROOTCA', alpn: ['h2'] },
          filter: { kind: 'http', statPrefix: '', mode: 'inbound', routes: { name: 'to-app', hosts: [] } },
        },
        { name: 'b', serverNames: [], filter: { kind: 'tcp', statPrefix: '', cluster: 'leader' } },
      ],
    },
  },
  routes: {},
  clusters: {},
  endpoints: {
    c: {
      cluster: 'c',
      localities: [
        {
          locality: { cloud: 'aws', region: 'us', zone: 'us-a' },
          priority: 1,
          weight: 2,
          endpoints: [
            {
              address: '10.0.0.2',
              port: 15443,
              health: 'healthy',
              weight: 2,
              transport: 'tunnel',
              workload: { cluster: 'west', namespace: 'shop', workload: 'cart' },
            },
          ],
        },
      ],
    },
  },
  secrets: {
    ROOTCA: { name: 'ROOTCA', roots: { 'west.mesh': ['PEM'] }, revokedTrustDomains: ['west.mesh'], revokedIssuers: [] },
  },
}

describe('proxy-config tables', () => {
  it('show one row per filter chain, endpoint and trust domain', () => {
    expect(listenerRows(DUMP).slice(1)).toEqual([
      ['inbound-mesh', '10.0.0.1:15008', 'x.svc', 'mTLS 1.3', 'inbound to-app'],
      ['inbound-mesh', '10.0.0.1:15008', '*', 'none', 'tcp leader'],
    ])
    expect(endpointRows(DUMP).slice(1)).toEqual([
      ['10.0.0.2:15443', 'healthy', 'west', 'us/us-a', '1', '2', 'tunnel', 'c'],
    ])
    expect(secretRows(DUMP).slice(1)).toEqual([['ROOTCA', 'west.mesh', '1', 'revoked']])
  })
})
