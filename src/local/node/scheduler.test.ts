import { describe, expect, it } from 'vitest'
import type { Node, Pod } from '../../kube/kinds.ts'
import { chooseNode, type Placement } from './scheduler.ts'

const node = (name: string, zone: string): Node => ({
  apiVersion: 'v1',
  kind: 'Node',
  metadata: { name, labels: { 'topology.kubernetes.io/zone': zone } },
})
const nodes = [node('east-a', 'a'), node('east-b', 'b')]

const podOf = (owner: string, spec: Partial<Pod['spec']> = {}): Pod => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: {
    name: 'p',
    namespace: 'n',
    labels: { 'pod-template-hash': owner.split('-')[1] ?? '' },
    ownerReferences: [{ apiVersion: 'apps/v1', kind: 'ReplicaSet', name: owner, uid: owner, controller: true }],
  },
  spec: { containers: [], ...spec },
})

describe('chooseNode', () => {
  it('spreads the pods of one owner over the nodes, old and new revision together', () => {
    const placements: Placement[] = [
      { pod: podOf('web-v1'), node: 'east-a' },
      { pod: podOf('db-x'), node: 'east-b' },
      { pod: podOf('db-x'), node: 'east-b' },
    ]
    expect(chooseNode(podOf('web-v2'), nodes, placements)).toEqual({ node: 'east-b' })
    expect(chooseNode(podOf('new-1'), nodes, placements)).toEqual({ node: 'east-a' })
  })

  it('honours node selectors and required affinity, and says when nothing fits', () => {
    const selector = { 'topology.kubernetes.io/zone': 'b' }
    expect(chooseNode(podOf('w-1', { nodeSelector: selector }), nodes, [])).toEqual({ node: 'east-b' })
    const affinity = (operator: string, values: string[]): Partial<Pod['spec']> => ({
      affinity: {
        nodeAffinity: {
          requiredDuringSchedulingIgnoredDuringExecution: {
            nodeSelectorTerms: [{ matchExpressions: [{ key: 'topology.kubernetes.io/zone', operator, values }] }],
          },
        },
      },
    })
    expect(chooseNode(podOf('w-1', affinity('NotIn', ['a'])), nodes, [])).toEqual({ node: 'east-b' })
    expect(chooseNode(podOf('w-1', affinity('In', ['c'])), nodes, [])).toMatchObject({
      reason: expect.stringContaining('0/2 nodes') as string,
    })
  })
})
