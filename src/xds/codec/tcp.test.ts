/** TCP over the wire and back, and what is refused by its path. */
import { describe, expect, it } from 'vitest'
import type { Cluster, Listener, NetworkFilter, TcpProxy } from '../../model/config.ts'
import { decodeResource, encodeResource } from './codec.ts'

const RULES = {
  action: 'allow',
  policies: {
    net: {
      permissions: [{ kind: 'any' }],
      principals: [
        { kind: 'source-ip', address: '10.0.0.0', prefixLength: 8 },
        { kind: 'source-ip', address: 'fd00::', prefixLength: 8, direct: true },
      ],
    },
  },
} as const
const NETWORK: readonly NetworkFilter[] = [
  { kind: 'rbac', statPrefix: 'door.', rules: RULES, shadow: { ...RULES, action: 'deny' } },
  { kind: 'connection-limit', statPrefix: 'few', connectionsMax: 3, delayMs: 250 },
  { kind: 'rate-limit', statPrefix: 'slow', bucket: { tokensMax: 4, tokensPerFill: 2, fillMs: 500 } },
  { kind: 'sni-cluster' },
]
const PROXY: TcpProxy = {
  kind: 'tcp',
  statPrefix: 'main',
  cluster: '',
  weighted: [
    { name: 'a', weight: 1, subset: { stage: 'green' } },
    { name: 'b', weight: 3 },
  ],
  subset: { zone: 'x' },
  hashSourceIp: true,
  connectAttemptsMax: 3,
  idleMs: 0,
  durationMaxMs: 60_000,
}

const listenerOf = (filter: TcpProxy, network: readonly NetworkFilter[] = []): Listener => ({
  name: 'tcp',
  address: '127.0.0.1',
  port: 9_000,
  chains: [],
  generic: {
    inspect: { proxyProtocol: { optional: true, disallowed: ['v1'] }, tls: true },
    chains: [{ name: '', ...(network.length > 0 && { network }), filter }],
  },
})
const clusterOf = (more: Partial<Cluster>): Cluster => ({
  name: 'app',
  endpoints: { cluster: 'app', localities: [] },
  lb: 'round-robin',
  connectTimeoutMs: 1_000,
  localityWeighted: false,
  ...more,
})

describe('TCP on the wire', () => {
  it('comes back as it was: proxy, network filters, PROXY protocol', () => {
    const value = listenerOf(PROXY, NETWORK)
    const decoded = decodeResource('listener', encodeResource({ kind: 'listener', value }))
    expect(decoded).toEqual({ kind: 'listener', value })
  })

  it.each<Partial<Cluster>>([
    { proxyHeader: 'v1' },
    { proxyHeader: 'v2' },
    { originalDst: {} },
    { originalDst: { header: 'x-to', portOverride: 8_080 } },
  ])('comes back as it was: a cluster with %j', (more) => {
    const { localityWeighted: _, ...plain } = clusterOf(more)
    const value = more.originalDst === undefined ? clusterOf(more) : plain
    expect(decodeResource('cluster', encodeResource({ kind: 'cluster', value }))).toEqual({ kind: 'cluster', value })
  })

  const at = 'filter_chains[0].filters[0].typed_config'
  it.each<[string, NetworkFilter]>([
    [
      `${at}.rules.policies["x"]`,
      {
        kind: 'rbac',
        statPrefix: 'a',
        rules: {
          action: 'deny',
          policies: { x: { permissions: [{ kind: 'any' }], principals: [{ kind: 'not', of: { kind: 'peer' } }] } },
        },
      },
    ],
    [`${at}.max_connections`, { kind: 'connection-limit', statPrefix: 'a', connectionsMax: 0 }],
    [`${at}.stat_prefix`, { kind: 'connection-limit', statPrefix: '', connectionsMax: 1 }],
    [
      `${at}.token_bucket.fill_interval`,
      { kind: 'rate-limit', statPrefix: 'a', bucket: { tokensMax: 1, tokensPerFill: 1, fillMs: 10 } },
    ],
  ])('refuses %s', (path, filter) => {
    const value = listenerOf({ kind: 'tcp', statPrefix: 'm', cluster: 'app' }, [filter])
    const decoded = decodeResource('listener', encodeResource({ kind: 'listener', value }))
    expect(decoded).toMatchObject({ rejection: { path } })
  })

  it.each<[string, Partial<TcpProxy>]>([
    ['max_connect_attempts', { connectAttemptsMax: 0 }],
    ['max_downstream_connection_duration', { durationMaxMs: 0 }],
    ['weighted_clusters.clusters', { weighted: [] }],
    ['weighted_clusters.clusters[0].weight', { weighted: [{ name: 'a', weight: 0 }] }],
  ])('refuses a proxy’s %s', (field, more) => {
    const value = listenerOf({ ...PROXY, ...more })
    const decoded = decodeResource('listener', encodeResource({ kind: 'listener', value }))
    expect(decoded).toMatchObject({ rejection: { path: `${at}.${field}` } })
  })
})
