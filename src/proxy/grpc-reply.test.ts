import { afterEach, describe, expect, it } from 'vitest'
import { ask, listening, mtlsEndpoint, until, World } from '../../gateways/testing/world.ts'

let world: World
afterEach(() => world.close())

describe('gRPC in the mesh', () => {
  it('goes elsewhere when a pod’s proxy cannot reach its application, though that answer is a 200', async () => {
    world = new World()
    const caller = world.pod('east', 'storefront')
    const pods = [world.pod('east', 'checkout'), world.pod('east', 'checkout')]
    // The first pod's application is not there.
    await world.app(pods[1]?.ip ?? '', (_request, response) => response.end('served'))
    for (const pod of pods) {
      pod.proxy.apply(world.sidecarConfig(pod, { inbound: [{ name: 'checkout' }] }))
      await listening(pod)
    }
    const endpoints = [pods.map((pod) => mtlsEndpoint(pod))]
    const identities = pods.map((pod) => pod.uri)
    caller.proxy.apply(world.sidecarConfig(caller, { services: [{ name: 'checkout', endpoints, identities }] }))
    await listening(caller)
    for (let index = 0; index < 20; index++) {
      const answer = await ask(caller, 'http://checkout.shop.svc.cluster.local/', {
        method: 'POST',
        headers: { 'content-type': 'application/grpc' },
      })
      expect([answer.status, answer.body.toString()]).toEqual([200, 'served'])
    }
    await until(() => caller.records.length === 20)
    expect(caller.records.some(({ attempts }) => attempts === 2)).toBe(true)
  })

  it('tells a client of ours in its own terms', async () => {
    world = new World()
    const caller = world.pod('east', 'storefront')
    caller.proxy.apply(
      world.sidecarConfig(caller, { services: [{ name: 'checkout', endpoints: [[]], identities: [] }] }),
    )
    await listening(caller)
    const headers = { 'content-type': 'application/grpc' }
    const answer = await ask(caller, 'http://checkout.shop.svc.cluster.local/', { method: 'POST', headers })
    expect([answer.status, answer.headers['grpc-status'], answer.body.length]).toEqual([200, '14', 0])
    expect(answer.headers['isthmus-error']).toBe('UPSTREAM_NONE')
    await until(() => caller.records.length === 1)
    expect(caller.records[0]).toMatchObject({ flags: 'UH' })
  })
})
