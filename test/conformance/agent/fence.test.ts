/**
 * The fence between clusters at an Envoy's mesh port: who holds the CA of `west` speaks for west and for nobody else, and
 * strangers for nobody. What comes through is judged by the application: it has seen no request.
 */
import { connect as connectHttp2 } from 'node:http2'
import { connect as connectTls } from 'node:tls'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { PORTS } from '../../../src/model/ports.ts'
import { innerSni } from '../../../src/model/sni.ts'
import { type ForgedFields, testMesh, type TestCredential } from '../../../src/pki/testing/mesh.ts'
import { systemClock } from '../../../src/runtime/clock.ts'
import { envoyBinary } from '../envoy/binary.ts'
import { NAMESPACE, SidecarWorld, type TestPod } from './world.ts'

const hasEnvoy = envoyBinary() !== undefined
const MESH = 'demo.mesh'
const DAY_MS = 86_400_000
const WEST = `spiffe://west.${MESH}/ns/shop/sa/front`
const EAST = `spiffe://east.${MESH}/ns/shop/sa/front`

/** What a thief of west's CA mints that must not be taken. */
const FORGERIES: Readonly<Record<string, ForgedFields>> = {
  'an identity of east': { uris: [EAST] },
  'the gateway of east': { uris: [`spiffe://east.${MESH}/ns/isthmus-system/sa/isthmus-east-west`] },
  'an identity outside the mesh': { uris: ['spiffe://north.example/ns/shop/sa/front'] },
  'an identity of west and one of east': { uris: [WEST, EAST] },
  'east before an @': { uris: [`spiffe://east.${MESH}@west.${MESH}/ns/shop/sa/front`] },
  'a DNS name of east beside the identity': { uris: [WEST], dns: [`front.east.${MESH}`] },
  'an IP address beside the identity': { uris: [WEST], ips: [[10, 0, 0, 1]] },
  'a common name alone': { commonName: EAST },
  'the rights of a CA': { uris: [WEST], isCa: true },
  'an end in the past': {
    uris: [WEST],
    notBeforeMs: systemClock.now() - 2 * DAY_MS,
    notAfterMs: systemClock.now() - DAY_MS,
  },
  'a beginning in the future': { uris: [WEST], notBeforeMs: systemClock.now() + DAY_MS / 2 },
}

describe.skipIf(!hasEnvoy)(
  hasEnvoy ? 'the fence at an Envoy' : 'the fence at an Envoy (skipped: no Envoy 1.40 here)',
  () => {
    let world: SidecarWorld
    let pod: TestPod
    const strangers = testMesh({ clusters: ['east', 'west'], mesh: MESH })

    beforeAll(async () => {
      world = new SidecarWorld()
      await world.listen()
      pod = world.pod('checkout', 'envoy')
      await world.app(pod)
      world.service('checkout', [pod])
      world.apply('', [
        {
          apiVersion: 'isthmus.dev/v1alpha1',
          kind: 'ClusterPeer',
          metadata: { name: 'west' },
          spec: { mesh: MESH, trustDomain: `west.${MESH}`, gateways: [], signer: false },
        } as never,
        {
          apiVersion: 'multicluster.x-k8s.io/v1beta1',
          kind: 'ServiceExport',
          metadata: { name: 'checkout', namespace: NAMESPACE },
        },
      ])
      await world.start()
    }, 60_000)
    afterAll(() => world?.close())

    /** The status of a request over a connection with this certificate; undefined: none came. */
    function ask(
      credential: TestCredential | undefined,
      maxVersion: 'TLSv1.3' | 'TLSv1.2' = 'TLSv1.3',
    ): Promise<number | undefined> {
      const name = { service: 'checkout', namespace: NAMESPACE, domain: 'clusterset.local', port: 80 }
      return new Promise((resolve) => {
        const socket = connectTls({
          host: pod.ip,
          port: PORTS.inboundMesh,
          servername: innerSni(name),
          ALPNProtocols: ['h2'],
          maxVersion,
          rejectUnauthorized: false,
          ...(credential !== undefined && { key: credential.keyPem, cert: credential.chain.join('') }),
        })
        const over = (status?: number): void => {
          socket.destroy()
          resolve(status)
        }
        socket.on('error', () => over())
        socket.on('close', () => over())
        socket.on('secureConnect', () => {
          const session = connectHttp2('http://checkout', { createConnection: () => socket })
          session.on('error', () => over())
          const stream = session.request({ ':path': '/fence' })
          stream.on('error', () => over())
          stream.on('response', (headers) => over(Number(headers[':status'])))
        })
      })
    }

    it('is open to what the other cluster may issue', async () => {
      const id = { trustDomain: `west.${MESH}`, namespace: 'shop', serviceAccount: 'front' }
      expect(await ask(world.world.mesh.cluster('west').workload(id))).toBe(200)
      expect(world.seen.splice(0)).toHaveLength(1)
    })

    it.each(Object.keys(FORGERIES))('is shut to a certificate with %s', async (forgery) => {
      const fields = FORGERIES[forgery] ?? {}
      expect(await ask(world.world.mesh.cluster('west').forge(fields))).not.toBe(200)
      expect(world.seen).toEqual([])
    })

    it('is shut to strangers, to nobody’s certificate and to TLS 1.2', async () => {
      const id = { trustDomain: `east.${MESH}`, namespace: 'shop', serviceAccount: 'front' }
      expect(await ask(strangers.cluster('east').workload(id))).toBeUndefined()
      expect(await ask(undefined)).toBeUndefined()
      expect(await ask(world.world.mesh.cluster('east').workload(id), 'TLSv1.2')).toBeUndefined()
      expect(world.seen).toEqual([])
    })
  },
)
