/** Real Envoy 1.40 as a sidecar beside ours, by the agent and over our xDS: who reaches whom, and as whom. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { envoyBinary } from '../envoy/binary.ts'
import { type Seen, SidecarWorld, type TestPod } from './world.ts'

const hasEnvoy = envoyBinary() !== undefined

describe.skipIf(!hasEnvoy)(hasEnvoy ? 'Envoy as a sidecar' : 'Envoy as a sidecar (skipped: no Envoy 1.40 here)', () => {
  let world: SidecarWorld
  let envoy: TestPod
  let sotw: TestPod
  let ours: TestPod

  beforeAll(async () => {
    world = new SidecarWorld()
    await world.listen()
    envoy = world.pod('checkout', 'envoy')
    sotw = world.pod('basket', 'envoy', { protocol: 'sotw' })
    ours = world.pod('stock', 'ours')
    const bare = world.pod('legacy', 'none')
    const mixed = [
      world.pod('mixed-1', 'ours', { labels: { app: 'mixed' } }),
      world.pod('mixed-2', 'none', { labels: { app: 'mixed' } }),
    ]
    for (const pod of [envoy, sotw, ours, bare, ...mixed]) await world.app(pod)
    for (const pod of [envoy, sotw, ours, bare]) world.service(pod.name, [pod])
    world.service('mixed', mixed)
    world.apply()
    await world.start()
  }, 60_000)

  afterAll(() => world?.close())

  const seenBy = async (from: TestPod, host: string, headers = {}): Promise<Seen & { status: number }> => {
    const answer = await world.ask(from, `http://${host}/hello`, { headers })
    return { ...(JSON.parse(answer.body.toString() || '{}') as Seen), status: answer.status }
  }
  const uri = (account: string): string => `spiffe://east.demo.mesh/ns/shop/sa/${account}`

  it('reaches a pod with our proxy by mTLS, and is known there', async () => {
    for (const from of [envoy, sotw]) {
      const seen = await seenBy(from, 'stock')
      expect(seen).toMatchObject({
        status: 200,
        pod: 'stock',
        headers: { 'x-forwarded-client-cert': expect.stringContaining(`URI=${uri(from.name)}`) as string },
      })
      expect(seen.headers).not.toHaveProperty('isthmus-peer')
      await expect
        .poll(() => ours.records.at(-1), { timeout: 10_000 })
        .toMatchObject({
          reporter: 'destination',
          protocol: 'HTTP/2',
          source: { cluster: 'east', namespace: 'shop', workload: from.name, principal: uri(from.name) },
        })
    }
  })

  it('is reached by our proxy and by other Envoys by mTLS, and knows them', async () => {
    for (const from of [ours, sotw]) {
      const seen = await seenBy(from, 'checkout', {
        'isthmus-peer': 'workload=forged',
        'x-forwarded-client-cert': 'URI=forged',
      })
      expect(seen).toMatchObject({ status: 200, pod: 'checkout' })
      expect(seen.headers['x-forwarded-client-cert']).toContain(`URI=${uri(from.name)}`)
      expect(JSON.stringify(seen.headers)).not.toContain('forged')
    }
    await expect
      .poll(() => ours.records.at(-1), { timeout: 10_000 })
      .toMatchObject({ reporter: 'source', transport: 'mtls', status: 200 })
  })

  it('speaks HTTP/1.1 to an application without a sidecar', async () => {
    for (const from of [envoy, sotw]) {
      const seen = await seenBy(from, 'legacy')
      expect(seen).toMatchObject({ status: 200, pod: 'legacy' })
      expect(seen.headers).not.toHaveProperty('isthmus-peer')
    }
  })

  it('reaches both kinds of pods behind one service', async () => {
    const found = new Set<string>()
    for (let turn = 0; turn < 40; turn += 1) {
      const { status, pod } = await seenBy(envoy, 'mixed')
      expect(status).toBe(200)
      found.add(pod)
    }
    expect([...found].sort()).toEqual(['mixed-1', 'mixed-2'])
  })

  it('refuses hosts that nothing names', async () => {
    expect((await world.ask(envoy, 'http://nobody.example/')).status).toBe(502)
  })
})
