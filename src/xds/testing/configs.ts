/** Small configurations for tests of server and client: one listener, one route table, clusters with endpoints. */
import {
  type Cluster,
  type LoadAssignment,
  OWN_CERTIFICATE,
  type ProxyConfig,
  TRUST_BUNDLE,
} from '../../model/config.ts'

export const ROOT_PEM = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'

export function clusterNamed(name: string): Cluster {
  return {
    name,
    endpoints: 'eds',
    lb: 'least-request',
    connectTimeoutMs: 1000,
    tls: {
      certificate: OWN_CERTIFICATE,
      validation: TRUST_BUNDLE,
      sni: `sni.${name}`,
      alpn: ['h2'],
      identities: [`spiffe://east.demo/ns/shop/sa/${name}`],
    },
  }
}

export function assignmentOf(cluster: string, addresses: readonly string[]): LoadAssignment {
  const workload = { cluster: 'east', namespace: 'shop', workload: cluster }
  return {
    cluster,
    localities: [
      {
        locality: { cloud: 'aws', region: 'us-east-1', zone: 'a' },
        priority: 0,
        weight: Math.max(addresses.length, 1),
        endpoints: addresses.map((address) => ({
          address,
          port: 15008,
          health: 'healthy' as const,
          weight: 1,
          transport: 'mtls' as const,
          workload,
        })),
      },
    ],
  }
}

/** One route table `outbound` that sends `/<cluster>` to each cluster. */
export function configOf(clusters: Readonly<Record<string, readonly string[]>>): ProxyConfig {
  const names = Object.keys(clusters)
  return {
    listeners: new Map([
      [
        'http-proxy',
        {
          name: 'http-proxy',
          address: '127.0.0.1',
          port: 15003,
          chains: [
            {
              name: 'forward',
              serverNames: [],
              filter: { kind: 'http', statPrefix: 'outbound', mode: 'forward', routes: { rds: 'outbound' } },
            },
          ],
        },
      ],
    ]),
    routes: new Map([
      [
        'outbound',
        {
          name: 'outbound',
          hosts: names.map((name) => ({
            name,
            domains: [`${name}.shop`],
            routes: [{ match: { kind: 'prefix', prefix: '/' }, cluster: name, timeoutMs: 15_000 }],
          })),
        },
      ],
    ]),
    clusters: new Map(names.map((name) => [name, clusterNamed(name)])),
    endpoints: new Map(names.map((name) => [name, assignmentOf(name, clusters[name] ?? [])])),
    secrets: new Map([
      [
        TRUST_BUNDLE,
        { name: TRUST_BUNDLE, roots: { 'east.demo': [ROOT_PEM] }, revokedTrustDomains: [], revokedIssuers: [] },
      ],
    ]),
  }
}
