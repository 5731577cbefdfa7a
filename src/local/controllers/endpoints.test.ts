import { describe, expect, it } from 'vitest'
import type { Node, Pod, Service } from '../../kube/kinds.ts'
import { desiredSlices, SLICE_ENDPOINTS_MAX } from './endpoints.ts'

const service = (spec: Partial<Service['spec']> = {}): Service => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'web', namespace: 'shop' },
  spec: { selector: { app: 'web' }, ports: [{ name: 'http', port: 80, targetPort: 'web' }], ...spec },
})
const node: Node = {
  apiVersion: 'v1',
  kind: 'Node',
  metadata: { name: 'n1', labels: { 'topology.kubernetes.io/zone': 'z1' } },
}

const pod = (
  name: string,
  facts: { ready?: boolean; port?: number; deleting?: boolean; spec?: Partial<Pod['spec']> } = {},
): Pod => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: {
    name,
    namespace: 'shop',
    uid: name,
    labels: { app: 'web' },
    ...(facts.deleting === true ? { deletionTimestamp: '2026-01-01T00:00:00Z' } : {}),
  },
  spec: {
    nodeName: 'n1',
    containers: [{ name: 'c', ports: [{ name: 'web', containerPort: facts.port ?? 8080 }] }],
    ...facts.spec,
  },
  status: {
    phase: 'Running',
    podIP: '127.9.1.2',
    conditions: [{ type: 'Ready', status: facts.ready === false ? 'False' : 'True' }],
  },
})

describe('desiredSlices', () => {
  it('tells ready, unready and terminating endpoints apart', () => {
    const pods = [pod('a'), pod('b', { ready: false }), pod('c', { deleting: true })]
    const [slice] = desiredSlices(service(), pods, [node])
    expect(slice?.endpoints.map((each) => each.conditions)).toEqual([
      { ready: true, serving: true, terminating: false },
      { ready: false, serving: false, terminating: false },
      { ready: false, serving: true, terminating: true },
    ])
    expect(slice?.endpoints[0]).toMatchObject({ nodeName: 'n1', zone: 'z1' })
  })

  it('publishes unready addresses when the Service says so', () => {
    const [slice] = desiredSlices(service({ publishNotReadyAddresses: true }), [pod('b', { ready: false })], [node])
    expect(slice?.endpoints[0]?.conditions).toEqual({ ready: true, serving: false, terminating: false })
  })

  it('separates pods whose named port differs, and splits what is too long', () => {
    const two = desiredSlices(service(), [pod('a'), pod('b', { port: 9090 })], [node])
    expect(two.map((slice) => slice.ports[0]?.port)).toEqual([8080, 9090])
    const many = Array.from({ length: SLICE_ENDPOINTS_MAX + 1 }, (_, index) => pod(`p${index}`))
    expect(desiredSlices(service(), many, [node]).map((slice) => slice.endpoints.length)).toEqual([
      SLICE_ENDPOINTS_MAX,
      1,
    ])
  })

  it('gives headless pods their host names, and nobody a slice of nothing', () => {
    const [slice] = desiredSlices(service(), [pod('a', { spec: { hostname: 'db-0', subdomain: 'web' } })], [node])
    expect(slice?.endpoints[0]?.hostname).toBe('db-0')
    expect(desiredSlices(service({ ports: [{ port: 80 }] }), [], [node])).toEqual([
      { ports: [{ name: '', port: 80, protocol: 'TCP' }], endpoints: [] },
    ])
  })
})
