/** ServiceEntries, ExternalName and headless Services by their effect on requests. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ORIGIN_PORT } from '../../gateways/testing/world.ts'
import { MeshWorld } from './world.ts'

let mesh: MeshWorld
beforeEach(() => void (mesh = new MeshWorld()))
afterEach(() => mesh.close())

const entry = (name: string, spec: string): string => `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: ${name} }
spec: ${spec}
---
`
const HTTP = `ports: [{ number: 80, name: http, protocol: HTTP, targetPort: ${ORIGIN_PORT} }]`

describe('a ServiceEntry', () => {
  it('gives a name to addresses outside the mesh, with their shares', async () => {
    await mesh.pod('front')
    const one = await mesh.pod('one', { sidecar: false })
    const two = await mesh.pod('two', { sidecar: false })
    await mesh.apply(
      entry(
        'api',
        `{ hosts: [api.example.com], resolution: STATIC, ${HTTP}, endpoints: [{ address: ${one.ip}, weight: 3 }, { address: ${two.ip} }] }`,
      ),
    )
    const found = await mesh.bodies('front', 'http://api.example.com/', 80)
    expect((found['one'] ?? 0) + (found['two'] ?? 0)).toBe(80)
    expect(found['one']).toBeGreaterThan(found['two'] ?? 0)
    expect(one.seen[0]?.headers.host).toBe('api.example.com')
  })

  it('resolves names', async () => {
    await mesh.pod('front')
    const one = await mesh.pod('one', { sidecar: false })
    await mesh.apply(
      entry('api', `{ hosts: [api.example.com], resolution: DNS, ${HTTP}, endpoints: [{ address: ${one.ip} }] }`),
    )
    expect(await mesh.bodies('front', 'http://api.example.com/', 2)).toEqual({ one: 2 })
  })

  it('takes pods and WorkloadEntries that it selects; pods with sidecars over mTLS, by its own name', async () => {
    await mesh.pod('front')
    await mesh.pod('meshed', { labels: { kind: 'machine' } })
    const bare = await mesh.pod('bare', { sidecar: false })
    await mesh.apply(`${entry('vms', `{ hosts: [vm.internal], location: MESH_INTERNAL, resolution: STATIC, ${HTTP}, workloadSelector: { labels: { kind: machine } } }`)}
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: { name: bare }
spec: { address: ${bare.ip}, labels: { kind: machine } }
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: vms }
spec: { host: vm.internal, trafficPolicy: { loadBalancer: { simple: ROUND_ROBIN } } }
`)
    expect(await mesh.bodies('front', 'http://vm.internal/', 10)).toEqual({ meshed: 5, bare: 5 })
    // mTLS would fail without a chain of that name at the pod, and is insisted on here.
    await mesh.apply(`
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: vms }
spec: { host: vm.internal, trafficPolicy: { tls: { mode: ISTIO_MUTUAL } }, subsets: [] }
---
${entry('vms', `{ hosts: [vm.internal], location: MESH_INTERNAL, resolution: STATIC, ${HTTP}, workloadSelector: { labels: { app: meshed } } }`)}`)
    expect(await mesh.bodies('front', 'http://vm.internal/', 3)).toEqual({ meshed: 3 })
  })

  it('is led and limited by rules like any host', async () => {
    await mesh.pod('front')
    const one = await mesh.pod('one', { sidecar: false })
    await mesh.apply(`${entry('api', `{ hosts: [api.example.com], resolution: STATIC, ${HTTP}, endpoints: [{ address: ${one.ip} }] }`)}
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: api }
spec:
  hosts: [api.example.com]
  http:
    - { match: [{ uri: { prefix: /closed } }], directResponse: { status: 403 } }
    - { rewrite: { uri: /v1 }, route: [{ destination: { host: api.example.com } }] }
`)
    expect((await mesh.get('front', 'http://api.example.com/closed')).status).toBe(403)
    await mesh.get('front', 'http://api.example.com/')
    expect(one.seen[0]?.url).toBe('/v1')
  })

  it('reaches no metadata service', async () => {
    await mesh.pod('front')
    mesh.put(
      entry(
        'bad',
        `{ hosts: [bad.example.com], resolution: STATIC, ${HTTP}, endpoints: [{ address: 169.254.169.254 }] }`,
      ),
    )
    await mesh.apply()
    expect((await mesh.get('front', 'http://bad.example.com/')).status).toBe(503)
  })

  it('does not take over the name of a service', async () => {
    await mesh.pod('front')
    await mesh.pod('reviews')
    const thief = await mesh.pod('thief', { sidecar: false })
    mesh.service('reviews')
    await mesh.apply(
      entry(
        'thief',
        `{ hosts: [reviews.shop.svc.cluster.local], resolution: STATIC, ${HTTP}, endpoints: [{ address: ${thief.ip} }] }`,
      ),
    )
    expect(await mesh.bodies('front', 'http://reviews/', 3)).toEqual({ reviews: 3 })
  })
})

describe('an ExternalName Service', () => {
  it('is another name for a host', async () => {
    await mesh.pod('front')
    const one = await mesh.pod('one', { sidecar: false })
    await mesh.apply(`
apiVersion: v1
kind: Service
metadata: { name: alias }
spec: { type: ExternalName, externalName: '${one.ip}', ports: [{ name: http, port: ${ORIGIN_PORT} }] }
`)
    expect(await mesh.bodies('front', `http://alias:${ORIGIN_PORT}/`, 2)).toEqual({ one: 2 })
  })
})

describe('a pod of a headless Service', () => {
  it('is a host for requests, by its own name, over mTLS', async () => {
    await mesh.pod('front')
    const pods = [
      await mesh.pod('db-0', { labels: { app: 'db' } }),
      await mesh.pod('db-1', { labels: { app: 'db' } }),
      await mesh.pod('db-2', { labels: { app: 'db' }, sidecar: false }),
    ]
    mesh.service('db', { clusterIP: 'None' })
    await mesh.apply()
    for (const { name } of pods) {
      for (const host of [`${name}.db.shop.svc.cluster.local`, `${name}.db`]) {
        expect([host, await mesh.bodies('front', `http://${host}/`, 4)]).toEqual([host, { [name]: 4 }])
      }
    }
    // Only a sidecar asks with a certificate, and only another one tells whose.
    expect(pods[1]?.seen[0]?.headers['x-forwarded-client-cert']).toContain('/sa/front')
    expect(pods[2]?.seen[0]?.headers['x-forwarded-client-cert']).toBeUndefined()
    // By the service's name any of them answers.
    expect(Object.keys(await mesh.bodies('front', 'http://db/', 40)).length).toBeGreaterThan(1)
  })

  it('gives way to a service of the same short name', async () => {
    await mesh.pod('front')
    await mesh.pod('db-0', { labels: { app: 'db' } })
    mesh.service('db', { clusterIP: 'None' })
    await mesh.apply(`
apiVersion: v1
kind: Service
metadata: { name: db-0, namespace: db }
spec: { clusterIP: 10.96.0.9, ports: [{ name: http, port: 80 }] }
`)
    expect((await mesh.get('front', 'http://db-0.db/')).status).toBe(503)
    expect(await mesh.bodies('front', 'http://db-0.db.shop.svc.cluster.local/', 1)).toEqual({ 'db-0': 1 })
  })
})
