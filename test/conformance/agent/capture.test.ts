/** Envoy where the kernel leads a pod's connections through it: a local cluster in network namespaces, and plain curl. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Outcome, run } from '../../harness/process.ts'
import { LocalShop, obstacleTo } from './cluster/local.ts'
import { APP_PORT, GREET_PORT } from './cluster/shop.ts'
import type { Seen } from './world.ts'

const obstacle = await obstacleTo('namespaced')
const STRICT = `apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: { name: strict, namespace: shop }
spec: { mtls: { mode: STRICT } }
`
const URI = 'spiffe://east.agent.test/ns/shop/sa/caller'

describe.skipIf(obstacle !== undefined)(
  obstacle === undefined ? 'captured Envoys' : `captured Envoys (skipped: needs ${obstacle})`,
  { timeout: 60_000 },
  () => {
    const shop = new LocalShop()
    beforeAll(() => shop.start('namespaced'), 240_000)
    afterAll(() => shop.stop(), 60_000)

    const inPod = (name: string, ...command: string[]): Promise<Outcome> =>
      run('ip', ['netns', 'exec', `isthmus-${shop.ipOf(name).replaceAll('.', '-')}`, ...command])

    /** As a program of the pod that knows of no mesh; undefined: no answer. */
    async function curl(from: string, url: string): Promise<Seen | undefined> {
      const { code, stdout } = await inPod(from, 'curl', '-sS', '-m', '5', url)
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
      await shop.apply(STRICT)
      await expect.poll(() => curl('shadow', url), { timeout: 20_000 }).toBeUndefined()
      expect(await curl('caller-ours', 'http://callee/strict')).toBeDefined()
      await shop.apply('')
    })

    it('carry bytes by mTLS, to either kind of sidecar', async () => {
      await shop.apply(STRICT)
      const heard = async (from: string, host: string): Promise<string> =>
        (await inPod(from, 'timeout', '5', 'bash', '-c', `exec 3<>/dev/tcp/${host}/${GREET_PORT} && cat <&3`)).stdout
      for (const from of ['caller-envoy', 'caller-ours']) {
        for (const version of ['v1', 'v2']) {
          await expect
            .poll(() => heard(from, `greet-${version}`), { timeout: 20_000 })
            .toBe(`hello from callee-${version}\n`)
        }
      }
      // Whoever has no certificate hears nothing.
      expect(await heard('shadow', 'greet-v1')).toBe('')
      await shop.apply('')
    })

    it('go to no metadata service', async () => {
      expect(await curl('caller-envoy', 'http://169.254.169.254/')).toBeUndefined()
      const asked = 'http://127.0.0.1:15000/stats?filter=forbidden.rbac.denied'
      const { stdout } = await inPod('caller-envoy', 'curl', '-sS', asked)
      expect(stdout).toMatch(/denied: [1-9]/)
    })
  },
)
