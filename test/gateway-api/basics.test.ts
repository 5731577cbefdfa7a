/** HTTPRoutes on Services by what requests meet: by address and by name, for producers and consumers. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { EchoWorld } from './echo-world.ts'

let mesh: EchoWorld
beforeAll(async () => void (mesh = await EchoWorld.start()))
afterAll(() => mesh.close())

const route = (rules: string, more = ''): string => `
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: echo }
spec:
  parentRefs: [{ group: '', kind: Service, name: echo${more} }]
  rules:
${rules}
`

describe('a Service', () => {
  it('is reached without any route, by address and by name', async () => {
    await mesh.apply('')
    expect((await mesh.dialed(mesh.client, { to: 'echo' })).status).toBe(200)
    expect((await mesh.named(mesh.client, { to: 'echo' })).status).toBe(200)
  })

  it('is led elsewhere by a route, and a request that no rule takes is answered 404', async () => {
    await mesh.apply(route('    - { matches: [{ path: { value: /v1 } }], backendRefs: [{ name: echo-v1, port: 80 }] }'))
    for (const ask of [mesh.dialed.bind(mesh), mesh.named.bind(mesh)]) {
      expect(await ask(mesh.client, { to: 'echo', path: '/v1/x' })).toMatchObject({
        status: 200,
        pod: 'echo-v1',
        path: '/v1/x',
      })
      expect((await ask(mesh.client, { to: 'echo', path: '/v1x' })).status).toBe(404)
      expect((await ask(mesh.consumer, { to: 'echo', path: '/v1' })).pod).toBe('echo-v1')
    }
  })
})
