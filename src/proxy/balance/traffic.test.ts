/** What balancing does to requests over real sockets; the rules themselves are the tables beside each file. */
import { afterEach, describe, expect, it } from 'vitest'
import { ask, listening, plainEndpoint, type Pod, World } from '../../../gateways/testing/world.ts'
import type { Cluster, Endpoint, LbPolicy } from '../../model/config.ts'

const URL_OF_SERVICE = 'http://checkout.shop.svc.cluster.local/'

let world: World
afterEach(() => world.close())

/** A caller of `count` pods without sidecars, each of which answers its address. */
async function service(count: number, over: Partial<Cluster>, endpointOf = plainOf): Promise<Pod> {
  world = new World()
  const caller = world.pod('east', 'storefront')
  const pods = Array.from({ length: count }, () => world.pod('east', 'checkout'))
  for (const pod of pods) await world.app(pod.ip, (_request, response) => response.end(pod.ip))
  const endpoints = [pods.map((pod, index) => endpointOf(pod, index))]
  const config = world.sidecarConfig(caller, { services: [{ name: 'checkout', endpoints, identities: [] }] })
  const clusters = [...config.clusters].map(
    ([name, cluster]) => [name, name.startsWith('outbound') ? { ...cluster, ...over } : cluster] as const,
  )
  expect(caller.proxy.apply({ ...config, clusters: new Map(clusters) }).rejected).toEqual([])
  await listening(caller)
  return caller
}

const plainOf = (pod: Pod, _index: number): Endpoint => plainEndpoint(pod)

async function answers(caller: Pod, count: number): Promise<string[]> {
  const bodies: string[] = []
  for (let index = 0; index < count; index++) bodies.push((await ask(caller, URL_OF_SERVICE)).body.toString())
  return bodies
}

describe('policies', () => {
  it.each<LbPolicy>(['round-robin', 'least-request', 'random', 'ring-hash', 'maglev'])(
    '%s reaches every pod',
    async (lb) => {
      const caller = await service(3, { lb })
      expect(new Set(await answers(caller, 60)).size).toBe(3)
    },
  )

  it('round robin goes round, by weight', async () => {
    const caller = await service(2, { lb: 'round-robin' }, (pod, index) => ({
      ...plainEndpoint(pod),
      weight: index + 1,
    }))
    const bodies = await answers(caller, 30)
    const counts = [...new Set(bodies)].map((pod) => bodies.filter((body) => body === pod).length)
    expect(counts.sort((one, other) => one - other)).toEqual([10, 20])
  })
})

describe('subsets', () => {
  it('keep a request to the default subset', async () => {
    const metadata = (index: number): Endpoint['metadata'] => ({ version: `v${index}` })
    const subsets = { selectors: [], fallback: 'default' as const, defaultSubset: { version: 'v1' } }
    const caller = await service(
      3,
      { subsets },
      (pod, index) => ({ ...plainEndpoint(pod), metadata: metadata(index) }) as Endpoint,
    )
    expect(new Set(await answers(caller, 10)).size).toBe(1)
  })
})

describe('panic', () => {
  it('uses unhealthy pods unless it is switched off', async () => {
    const unhealthy = (pod: Pod): Endpoint => ({ ...plainEndpoint(pod), health: 'unhealthy' })
    const caller = await service(1, {}, unhealthy)
    expect((await ask(caller, URL_OF_SERVICE)).status).toBe(200)
    await world.close()
    const strict = await service(1, { panicPercent: 0 }, unhealthy)
    const refused = await ask(strict, URL_OF_SERVICE)
    expect([refused.status, refused.headers['isthmus-flags']]).toEqual([503, 'UH'])
  })
})
