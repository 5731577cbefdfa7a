import { describe, expect, it } from 'vitest'
import type {
  EndpointSlice,
  Namespace,
  Node,
  Pod,
  Service,
  ServiceExport,
  SliceEndpoint,
} from '../../src/kube/kinds.ts'
import { collect, type ClusterObjects } from './collect.ts'

const service = (spec: Service['spec'] = {}): Service => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'checkout', namespace: 'shop', labels: { not: 'exported' } },
  spec: { clusterIP: '10.0.0.1', ports: [{ port: 80 }], ...spec },
})
const serviceExport = (
  changes: Partial<ServiceExport> = {},
  annotations: Record<string, string> = {},
): ServiceExport => ({
  apiVersion: 'multicluster.x-k8s.io/v1beta1',
  kind: 'ServiceExport',
  metadata: {
    name: 'checkout',
    namespace: 'shop',
    uid: 'u',
    creationTimestamp: '2026-01-01T00:00:00Z',
    annotations,
  },
  ...changes,
})
const node = (name: string, zone: string): Node => ({
  apiVersion: 'v1',
  kind: 'Node',
  metadata: { name, labels: { 'topology.kubernetes.io/region': 'r', 'topology.kubernetes.io/zone': zone } },
  spec: { providerID: 'gce://project/zone/name' },
})
const pod = (name: string, serviceAccountName?: string): Pod => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, namespace: 'shop' },
  spec: {
    containers: [{ name: 'isthmus-proxy' }],
    ...(serviceAccountName === undefined ? {} : { serviceAccountName }),
  },
})
const endpoint = (name: string, changes: Partial<SliceEndpoint> = {}): SliceEndpoint => ({
  addresses: ['10.1.0.1'],
  nodeName: 'n1',
  targetRef: { kind: 'Pod', name },
  ...changes,
})
const slice = (...endpoints: SliceEndpoint[]): EndpointSlice => ({
  apiVersion: 'discovery.k8s.io/v1',
  kind: 'EndpointSlice',
  metadata: { name: 's', namespace: 'shop', labels: { 'kubernetes.io/service-name': 'checkout' } },
  addressType: 'IPv4',
  endpoints,
})
const shop: Namespace = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } }

function collected(changes: Partial<ClusterObjects> = {}): ReturnType<typeof collect> {
  const objects: ClusterObjects = {
    serviceExports: [serviceExport()],
    services: [service()],
    slices: [],
    pods: [],
    nodes: [],
    namespaces: [shop],
    ...changes,
  }
  return collect(objects, 'east.demo.mesh')
}
const only = (changes: Partial<ClusterObjects> = {}): NonNullable<ReturnType<typeof firstOf>> => {
  const found = firstOf(changes)
  if (found === undefined) throw new Error('nothing was exported')
  return found
}
const firstOf = (changes: Partial<ClusterObjects>): ReturnType<ReturnType<typeof collected>['exports']['get']> =>
  collected(changes).exports.get('shop/checkout')

describe('collect', () => {
  it('counts each pod once, per zone, ready unless it says otherwise or is going', () => {
    const endpoints = [
      endpoint('p1'),
      endpoint('p2', { conditions: { ready: false } }),
      endpoint('p3', { nodeName: 'n2' }),
      endpoint('p4', { conditions: { ready: true, terminating: true } }),
    ]
    const slices = [slice(...endpoints), slice(endpoint('p1', { addresses: ['fd00::1'] }))]
    const pods = [pod('p1', 'checkout'), pod('p2', 'checkout'), pod('p3'), pod('p4', 'checkout')]
    const { zones, identities } = only({ slices, pods, nodes: [node('n1', 'a'), node('n2', 'b')] }).service
    expect(zones).toEqual([
      { cloud: 'gcp', region: 'r', zone: 'a', ready: 1, total: 3 },
      { cloud: 'gcp', region: 'r', zone: 'b', ready: 1, total: 1 },
    ])
    expect(identities).toEqual([
      'spiffe://east.demo.mesh/ns/shop/sa/checkout',
      'spiffe://east.demo.mesh/ns/shop/sa/default',
    ])
  })

  it('does not count as ready what no peer can reach, and says so', () => {
    const bare = { ...pod('p2'), spec: { containers: [{ name: 'app' }] } }
    const changes = { slices: [slice(endpoint('p1'), endpoint('p2'))], pods: [pod('p1'), bare] }
    expect(only(changes).service.zones).toMatchObject([{ ready: 1, total: 2 }])
    expect(collected(changes).remarks.get('shop/checkout')).toMatch(/^1 ready endpoints have no sidecar/)
  })

  it('takes properties from the Service and labels from the export’s spec alone', () => {
    const spec = { exportedLabels: { team: 'shop' } }
    const properties = {
      sessionAffinity: 'ClientIP' as const,
      sessionAffinityConfig: { clientIP: { timeoutSeconds: 10 } },
    }
    const exported = only({ serviceExports: [serviceExport({ spec })], services: [service(properties)] })
    expect(exported.service.properties).toMatchObject({
      sessionAffinity: 'ClientIP',
      sessionAffinityTimeoutSeconds: 10,
      labels: { team: 'shop' },
      annotations: {},
    })
    expect(only({ services: [service({ clusterIP: 'None' })] }).service.type).toBe('Headless')
  })

  it('names why an export is not valid', () => {
    const reason = (changes: Partial<ClusterObjects>, key = 'shop/checkout'): unknown =>
      collected(changes).validity.get(key)
    expect(reason({ services: [] })).toMatchObject({ valid: false, reason: 'NoService' })
    expect(reason({ services: [service({ type: 'ExternalName' })] })).toMatchObject({ reason: 'InvalidServiceType' })
    const system = serviceExport()
    system.metadata.namespace = 'kube-system'
    expect(reason({ serviceExports: [system] }, 'kube-system/checkout')).toMatchObject({ reason: 'SystemNamespace' })
    expect(collected({ services: [] }).exports.size).toBe(0)
  })

  it('honours export-to on the export, else on the namespace, else means everyone', () => {
    const annotations = { 'isthmus.dev/export-to': ' west, europe,' }
    const namespaces = [{ ...shop, metadata: { name: 'shop', annotations } }]
    expect(only().to).toBe('all')
    expect(only({ namespaces }).to).toEqual(['europe', 'west'])
    expect(only({ namespaces, serviceExports: [serviceExport({}, { 'isthmus.dev/export-to': '' })] }).to).toEqual([])
  })
})
