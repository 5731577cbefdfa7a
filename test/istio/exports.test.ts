/** What an exported service's policies mean for callers of peers: told on the export, and met by requests. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Pod } from '../../gateways/testing/world.ts'
import { until } from '../../gateways/testing/until.ts'
import { ExportCallers } from '../../src/controlplane/export-callers.ts'
import { SERVICE_EXPORTS } from '../../src/kube/kinds.ts'
import type { Condition } from '../../src/kube/object.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { createLog } from '../../src/runtime/log.ts'
import { systemRandom } from '../../src/runtime/random.ts'
import type { ApiSource } from '../mesh/api.ts'
import { Mesh, type Workload } from './mesh.ts'

let mesh: Mesh
let api: ApiSource
let front: Workload
let west: Pod

beforeAll(async () => {
  mesh = new Mesh()
  const back = mesh.pod('back')
  front = mesh.pod('front')
  mesh.service('back', [back])
  await mesh.app(back)
  west = mesh.peer('west', 'front', back)
  api = await mesh.useApi()
  const common = { client: api.client, clock: systemClock, random: systemRandom, log: createLog('test', 'fatal') }
  const callers = new ExportCallers(common)
  api.onSnapshot = (snapshot) => callers.set(snapshot)
  mesh.world.onClose(() => callers.stop())
})
afterAll(() => mesh.close())

const peer = (same: string): string =>
  `{apiVersion: isthmus.dev/v1alpha1, kind: ClusterPeer, metadata: {name: west}, spec: {mesh: demo.mesh, trustDomain: west.demo.mesh, gateways: ["192.0.2.1:15443"]${same}}}
---
{apiVersion: multicluster.x-k8s.io/v1beta1, kind: ServiceExport, metadata: {name: back}}
---
`
const policy = (action: string, source: string): string =>
  `{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: p}, spec: {action: ${action}, rules: [{from: [{source: ${source}}]}]}}`

const statuses = async (): Promise<number[]> => [
  (await mesh.ask(front, 'http://back.shop.svc.cluster.local/')).status,
  (await mesh.ask(west, 'http://back.shop.svc.clusterset.local/')).status,
]
async function admitted(): Promise<Condition | undefined> {
  const found = await api.client.get(SERVICE_EXPORTS, 'back', 'shop')
  const { conditions = [] } = (found as { status?: { conditions?: Condition[] } } | undefined)?.status ?? {}
  return conditions.find(({ type }) => type === 'PeersAdmitted')
}
const says = (status: string | undefined): Promise<void> => until(async () => (await admitted())?.status === status)

describe('a ServiceExport', () => {
  it.each([
    [
      'names of this cluster only',
      ['', 'ALLOW', '{principals: [cluster.local/ns/shop/sa/front]}'],
      'False',
      [200, 403],
    ],
    ['a namespace of this cluster only', ['', 'ALLOW', '{namespaces: [shop]}'], 'False', [200, 403]],
    ['accounts of this cluster only', ['', 'ALLOW', '{serviceAccounts: [front]}'], 'False', [200, 403]],
    [
      'a namespace that is the peer’s, too',
      [', sameNamespaces: [shop]', 'ALLOW', '{namespaces: [shop]}'],
      'True',
      [200, 200],
    ],
    [
      'another namespace of the peer',
      [', sameNamespaces: [guests]', 'ALLOW', '{namespaces: [shop]}'],
      'False',
      [200, 403],
    ],
    ['the peer’s trust domain', ['', 'ALLOW', '{trustDomains: [cluster.local, west.demo.mesh]}'], 'True', [200, 200]],
    ['anyone with a certificate', ['', 'ALLOW', '{principals: ["*"]}'], 'True', [200, 200]],
    ['all but this cluster', ['', 'DENY', '{notTrustDomains: [cluster.local]}'], 'False', [200, 403]],
    ['one of the peer’s accounts', ['', 'DENY', '{principals: [west.demo.mesh/ns/shop/sa/other]}'], 'True', [200, 200]],
  ] as const)('tells what %s means for its peers’ callers', async (_name, [same, action, source], status, expected) => {
    await mesh.apply(peer(same) + policy(action, source))
    await says(status)
    expect(await statuses()).toEqual(expected)
    if (status === 'False') {
      expect((await admitted())?.message).toContain(
        'callers of west.demo.mesh are refused by AuthorizationPolicy shop/p',
      )
    }
  })

  it('has nothing to tell without a policy', async () => {
    await mesh.apply(peer(''))
    await says(undefined)
    expect(await statuses()).toEqual([200, 200])
  })
})
