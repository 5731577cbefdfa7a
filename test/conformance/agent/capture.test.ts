/** Envoy where the kernel leads a pod's connections through it: a local cluster in network namespaces, and plain curl. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { run } from '../../harness/process.ts'
import { LocalShop, obstacleTo } from './cluster/local.ts'
import { APP_PORT } from './cluster/shop.ts'
import type { Seen } from './world.ts'

const obstacle = await obstacleTo('namespaced')
const URI = 'spiffe://east.agent.test/ns/shop/sa/caller'

describe.skipIf(obstacle !== undefined)(
  obstacle === undefined ? 'captured Envoys' : `captured Envoys (skipped: needs ${obstacle})`,
  { timeout: 60_000 },
  () => {
    const shop = new LocalShop()
    beforeAll(() => shop.start('namespaced'), 240_000)
    afterAll(() => shop.stop(), 60_000)

    /** As a program of the pod that knows of no mesh; undefined: no answer. */
    async function curl(from: string, url: string): Promise<Seen | undefined> {
      const space = `isthmus-${shop.ipOf(from).replaceAll('.', '-')}`
      const { code, stdout } = await run('ip', ['netns', 'exec', space, 'curl', '-sS', '-m', '5', url])
      return code === 0 && stdout.startsWith('{') ? (JSON.parse(stdout) as Seen) : undefined
    }

    it('reach services by mTLS, and are reached', async () => {
      for (const from of ['caller-envoy', 'caller-ours']) {
        const seen = await curl(from, 'http://callee/mesh')
        expect(seen?.headers['x-forwarded-client-cert']).toContain(`URI=${URI}`)
      }
    })

    it('speak HTTP/1.1 to what has no sidecar, by name and by address', async () => {
      expect(await curl('caller-envoy', 'http://shadow/bare')).toMatchObject({ pod: 'shadow' })
      const outside = await curl('caller-envoy', `http://${shop.ipOf('outside')}:${APP_PORT}/address`)
      expect(outside).toMatchObject({ pod: 'outside' })
      expect(outside?.headers).not.toHaveProperty('isthmus-peer')
    })

    it('take plaintext from outside the mesh until the mesh is strict', async () => {
      const url = `http://${shop.ipOf('callee-v1')}:${APP_PORT}/plain`
      const seen = await curl('shadow', url)
      expect(seen).toMatchObject({ pod: 'callee-v1' })
      expect(seen?.headers).not.toHaveProperty('x-forwarded-client-cert')
      await shop.apply(
        'apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: { name: strict, namespace: shop }\nspec: { mtls: { mode: STRICT } }\n',
      )
      await expect.poll(() => curl('shadow', url), { timeout: 20_000 }).toBeUndefined()
      expect(await curl('caller-ours', 'http://callee/strict')).toBeDefined()
      await shop.apply('')
    })

    it('go to no metadata service', async () => {
      expect(await curl('caller-envoy', 'http://169.254.169.254/')).toBeUndefined()
      const space = `isthmus-${shop.ipOf('caller-envoy').replaceAll('.', '-')}`
      const asked = ['http://127.0.0.1:15000/stats?filter=forbidden.rbac.denied']
      const { stdout } = await run('ip', ['netns', 'exec', space, 'curl', '-sS', ...asked])
      expect(stdout).toMatch(/denied: [1-9]/)
    })
  },
)
