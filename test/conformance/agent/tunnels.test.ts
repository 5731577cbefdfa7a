/**
 * Envoy between clusters: as a caller over the peer's gateway, by a listener of its own process (design, "How a request
 * travels" 6), and as the pod at the end of a tunnel. The gateway and the other clusters' proxies are ours.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ask, listening, mtlsEndpoint, type Pod } from '../../../gateways/testing/world.ts'
import type { KubeObject } from '../../../src/kube/object.ts'
import { envoyBinary } from '../envoy/binary.ts'
import { NAMESPACE, type Seen, SidecarWorld, type TestPod } from './world.ts'

const hasEnvoy = envoyBinary() !== undefined
const PODS = 3
const FAR = 'http://stock.shop.svc.clusterset.local/far'

describe.skipIf(!hasEnvoy)(
  hasEnvoy ? 'Envoy between clusters' : 'Envoy between clusters (skipped: no Envoy 1.40 here)',
  () => {
    let world: SidecarWorld
    let caller: TestPod
    let exported: TestPod
    let hidden: TestPod
    let gateway: Pod
    const remote: Pod[] = []

    beforeAll(async () => {
      world = new SidecarWorld()
      await world.listen()
      const inner = world.world
      for (let index = 0; index < PODS; index += 1) {
        const pod = inner.pod('west', 'stock')
        await inner.app(pod.ip, (request, response) => {
          response.end(
            JSON.stringify({
              pod: `stock-${index}`,
              method: request.method,
              url: request.url,
              headers: request.headers,
            }),
          )
        })
        pod.proxy.apply(inner.sidecarConfig(pod, { inbound: [{ name: 'stock', exported: true }] }))
        remote.push(pod)
      }
      gateway = inner.pod('west', 'isthmus-east-west', { gateway: true })
      gateway.proxy.apply(inner.gatewayConfig(gateway, [{ name: 'stock', pods: remote, peers: ['east'] }]))
      await Promise.all([...remote, gateway].map(listening))
      caller = world.pod('caller', 'envoy')
      exported = world.pod('checkout', 'envoy')
      await world.app(exported)
      hidden = world.pod('hidden', 'envoy')
      await world.app(hidden)
      world.service('checkout', [exported])
      world.service('hidden', [hidden])
      world.apply('', peers(gateway.ip, remote[0]?.uri ?? ''))
      await world.start()
    }, 60_000)

    afterAll(() => world?.close())

    it('reaches every pod behind the gateway, and each knows the caller by its own certificate', async () => {
      const found = new Set<string>()
      for (let turn = 0; turn < 60; turn += 1) {
        const answer = await world.ask(caller, FAR)
        expect(answer.status).toBe(200)
        const seen = JSON.parse(answer.body.toString()) as Seen
        found.add(seen.pod)
        expect(seen.headers['x-forwarded-client-cert']).toContain('URI=spiffe://east.demo.mesh/ns/shop/sa/caller')
      }
      expect([...found].sort()).toEqual(['stock-0', 'stock-1', 'stock-2'])
      expect(gateway.live?.size ?? 0).toBeLessThanOrEqual(PODS)
    })

    it('goes through no gateway that is another workload', async () => {
      const impostor = world.world.pod('west', 'stock')
      impostor.proxy.apply(world.world.gatewayConfig(impostor, [{ name: 'stock', pods: remote, peers: ['east'] }]))
      await listening(impostor)
      // Tunnels that are open stay as they are; so somebody asks who has none.
      const late = world.pod('late', 'envoy')
      world.apply('', peers(impostor.ip, remote[0]?.uri ?? ''))
      await world.start()
      expect((await world.ask(late, FAR)).status).toBe(503)
      world.apply('', peers(gateway.ip, remote[0]?.uri ?? ''))
      await world.synced()
      await expect.poll(async () => (await world.ask(late, FAR)).status, { timeout: 10_000 }).toBe(200)
    })

    it('believes no pod behind the gateway but those whose identities its cluster published', async () => {
      world.apply('', peers(gateway.ip, 'spiffe://west.demo.mesh/ns/shop/sa/somebody-else'))
      await world.synced()
      await expect.poll(async () => (await world.ask(caller, FAR)).status, { timeout: 10_000 }).toBe(503)
      world.apply('', peers(gateway.ip, remote[0]?.uri ?? ''))
      await world.synced()
    })

    it('is reached from another cluster where its service is exported, and nowhere else', async () => {
      const from = async (account: string, name: string, to: TestPod): Promise<Pod> => {
        const far = world.world.pod('west', account)
        const domain = name === 'checkout' ? 'clusterset.local' : 'cluster.local'
        const services = [{ name, domain, endpoints: [[mtls(to)]], identities: [uriOf(to)] }] as const
        far.proxy.apply(world.world.sidecarConfig(far, { services }))
        await listening(far)
        return far
      }
      const answer = await ask(
        await from('front', 'checkout', exported),
        'http://checkout.shop.svc.clusterset.local/exported',
      )
      expect(answer.status).toBe(200)
      const seen = JSON.parse(answer.body.toString()) as Seen
      expect(seen.headers['x-forwarded-client-cert']).toContain('URI=spiffe://west.demo.mesh/ns/shop/sa/front')
      world.seen.splice(0)
      const refused = await ask(await from('back', 'hidden', hidden), 'http://hidden.shop.svc.cluster.local/')
      expect(refused.status).toBeGreaterThanOrEqual(403)
      expect(world.seen).toEqual([])
    })

    const uriOf = ({ name }: TestPod): string => `spiffe://east.demo.mesh/ns/shop/sa/${name}`
    const mtls = ({ ip }: TestPod): ReturnType<typeof mtlsEndpoint> =>
      mtlsEndpoint({ ip, cluster: 'east', workload: 'checkout' } as Pod)
  },
)

/** What federation writes: the peer and its gateway, what it exports, and what this cluster does. */
function peers(gatewayIp: string, identity: string): readonly KubeObject[] {
  const facts = {
    cluster: 'west',
    identities: [identity],
    cloud: 'aws',
    region: 'us-west-2',
    zone: 'a',
    ready: PODS,
    total: PODS,
  }
  return [
    {
      apiVersion: 'isthmus.dev/v1alpha1',
      kind: 'ClusterPeer',
      metadata: { name: 'west' },
      spec: { mesh: 'demo.mesh', trustDomain: 'west.demo.mesh', gateways: [`${gatewayIp}:15443`], signer: false },
    },
    {
      apiVersion: 'multicluster.x-k8s.io/v1beta1',
      kind: 'ServiceImport',
      metadata: { name: 'stock', namespace: NAMESPACE },
      spec: { type: 'ClusterSetIP', ports: [{ name: 'http', port: 80, protocol: 'TCP' }], ips: ['240.0.0.1'] },
    },
    {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: {
        name: 'stock-west',
        namespace: NAMESPACE,
        labels: {
          'multicluster.kubernetes.io/service-name': 'stock',
          'multicluster.kubernetes.io/source-cluster': 'west',
          'endpointslice.kubernetes.io/managed-by': 'federation.isthmus.dev',
        },
        annotations: { 'isthmus.dev/facts': JSON.stringify(facts) },
      },
      addressType: 'IPv4',
      ports: [{ name: 'http', port: 80, protocol: 'TCP' }],
      endpoints: [{ addresses: ['240.0.0.1'], conditions: { ready: true }, zone: 'a' }],
    },
    {
      apiVersion: 'multicluster.x-k8s.io/v1beta1',
      kind: 'ServiceExport',
      metadata: { name: 'checkout', namespace: NAMESPACE },
    },
  ] as unknown as readonly KubeObject[]
}
