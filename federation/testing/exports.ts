/** Exports as tests need them: one line per case, everything else the same. Never imported by the product. */
import type { ClusterExport, ExportProperties } from '../exports/export.ts'

const PROPERTIES: ExportProperties = {
  sessionAffinity: 'None',
  sessionAffinityTimeoutSeconds: 0,
  internalTrafficPolicy: 'Cluster',
  trafficDistribution: '',
  labels: {},
  annotations: {},
}

export interface Given extends Partial<Omit<ClusterExport, 'properties' | 'ports'>> {
  /** `name/number/protocol`, as the worked cases of KEP-1645 write them. */
  readonly ports?: readonly string[]
  readonly properties?: Partial<ExportProperties>
}

export function exported(given: Given = {}): ClusterExport {
  const { ports = ['http/80/TCP'], properties, cluster = 'west', ...rest } = given
  return {
    cluster,
    namespace: 'shop',
    name: 'checkout',
    uid: `uid-${cluster}`,
    createdAt: '2026-01-01T00:00:00Z',
    type: 'ClusterSetIP',
    identities: [`spiffe://${cluster}.demo.mesh/ns/shop/sa/checkout`],
    zones: [{ cloud: 'aws', region: cluster, zone: 'a', ready: 2, total: 2 }],
    ...rest,
    ports: ports.map(portOf),
    properties: { ...PROPERTIES, ...properties },
  }
}

function portOf(text: string): { name: string; port: number; protocol: string } {
  const [name = '', number = '', protocol = 'TCP'] = text.split('/')
  return { name, port: Number(number), protocol }
}
