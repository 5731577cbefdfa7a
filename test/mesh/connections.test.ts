/** `tls` and `tcp` of VirtualServices, TLS of ServiceEntries, and Sidecars, by their effect on captured connections. */
import { once } from 'node:events'
import { request } from 'node:http'
import type { Socket } from 'node:net'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ORIGIN_PORT } from '../../gateways/testing/world.ts'
import { until } from '../../gateways/testing/until.ts'
import { clientHello } from './client-hello.ts'
import { MeshWorld } from './world.ts'

let mesh: MeshWorld
beforeEach(() => void (mesh = new MeshWorld()))
afterEach(() => mesh.close())

/** Says its name, whatever comes. */
const saying = (name: string) => ({
  bytes: (server: { on: (event: 'connection', listener: (socket: Socket) => void) => unknown }) =>
    void server.on('connection', (socket) => {
      socket.on('error', () => {})
      socket.once('data', () => socket.end(name))
    }),
})

async function database(): Promise<void> {
  await mesh.pod('front', { captured: true })
  await mesh.pod('db-v1', { labels: { app: 'db', version: 'v1' }, ...saying('db-v1') })
  await mesh.pod('db-v2', { labels: { app: 'db', version: 'v2' }, ...saying('db-v2') })
  mesh.service('db', { port: 3306, portName: 'tcp-db', clusterIP: '240.9.9.1' })
  await mesh.apply(`
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: db }
spec: { host: db, subsets: [{ name: v1, labels: { version: v1 } }, { name: v2, labels: { version: v2 } }] }
`)
}
const DB = { address: '240.9.9.1', port: 3306 }

const leading = (route: string): string => `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: db }
spec: { hosts: [db], tcp: [${route}] }
`

const sidecar = (spec: string): string => `
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: { name: default }
spec: ${spec}
`

describe('tcp of a VirtualService', () => {
  it('leads connections to a subset, and by weight', async () => {
    await database()
    await mesh.apply(leading('{ match: [{ port: 3306 }], route: [{ destination: { host: db, subset: v2 } }] }'))
    for (let index = 0; index < 4; index += 1) expect(await mesh.said('front', DB, 'x')).toBe('db-v2')
    await mesh.apply(
      leading(
        '{ route: [{ destination: { host: db, subset: v1 }, weight: 50 }, { destination: { host: db, subset: v2 }, weight: 50 }] }',
      ),
    )
    const found = new Set<string>()
    for (let index = 0; index < 24; index += 1) found.add(await mesh.said('front', DB, 'x'))
    expect([...found].sort()).toEqual(['db-v1', 'db-v2'])
  })

  it('is nothing to callers and ports that it is not for', async () => {
    await database()
    await mesh.apply(
      leading(
        '{ match: [{ sourceLabels: { app: other } }, { port: 1 }], route: [{ destination: { host: nowhere } }] }',
      ),
    )
    expect(await mesh.said('front', DB, 'x')).toMatch(/^db-v[12]$/)
  })
})

describe('a headless Service', () => {
  it('gives each pod its own connections, over mTLS', async () => {
    await mesh.pod('front', { captured: true })
    const pods = []
    for (const name of ['db-0', 'db-1']) pods.push(await mesh.pod(name, { labels: { app: 'db' }, ...saying(name) }))
    mesh.service('db', { port: ORIGIN_PORT, portName: 'tcp-db', clusterIP: 'None' })
    await mesh.apply(sidecar('{ outboundTrafficPolicy: { mode: REGISTRY_ONLY } }'))
    for (const pod of [...pods, ...pods]) {
      expect(await mesh.said('front', { address: pod.ip, port: ORIGIN_PORT }, 'x')).toBe(pod.name)
    }
    // What came in clear would have gone past the sidecar, which would have nothing to tell.
    for (const { proxy } of pods) await until(() => (proxy?.records.length ?? 0) === 2)
  })
})

const tlsEntry = (name: string, address: string): string => `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: ${name.replaceAll('.', '-')} }
spec:
  hosts: [${name}]
  resolution: STATIC
  ports: [{ number: 443, name: tls, protocol: TLS, targetPort: ${ORIGIN_PORT} }]
  endpoints: [{ address: ${address} }]
---`
const ELSEWHERE = { address: '203.0.113.7', port: 443 }

describe('TLS of the application’s own', () => {
  it('goes by the name in its ClientHello, whatever its address', async () => {
    await mesh.pod('front', { captured: true })
    const one = await mesh.pod('one', { sidecar: false, ...saying('one') })
    const two = await mesh.pod('two', { sidecar: false, ...saying('two') })
    await mesh.apply(`${tlsEntry('one.example.com', one.ip)}${tlsEntry('two.example.com', two.ip)}`.replace(/---$/, ''))
    expect(await mesh.said('front', ELSEWHERE, await clientHello('one.example.com'))).toBe('one')
    expect(await mesh.said('front', ELSEWHERE, await clientHello('two.example.com'))).toBe('two')
  })

  it('is led by tls of a VirtualService, wildcards too', async () => {
    await mesh.pod('front', { captured: true })
    const one = await mesh.pod('one', { sidecar: false, ...saying('one') })
    await mesh.apply(`${tlsEntry('one.example.com', one.ip)}
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: all }
spec:
  hosts: ['*.example.org']
  tls: [{ match: [{ port: 443, sniHosts: ['*.example.org'] }], route: [{ destination: { host: one.example.com, port: { number: 443 } } }] }]
`)
    expect(await mesh.said('front', ELSEWHERE, await clientHello('any.example.org'))).toBe('one')
  })

  it('is reached through the explicit proxy by CONNECT', async () => {
    await mesh.pod('front')
    const one = await mesh.pod('one', { sidecar: false, ...saying('one') })
    await mesh.apply(tlsEntry('one.example.com', one.ip).replace(/---$/, ''))
    const front = mesh.addressOf('front')
    const asked = request({ host: front, port: 15003, method: 'CONNECT', path: 'one.example.com:443' })
    asked.end()
    const [response, socket] = (await once(asked, 'connect')) as [{ statusCode: number }, Socket]
    expect(response.statusCode).toBe(200)
    socket.write('x')
    const [said] = (await once(socket, 'data')) as [Buffer]
    expect(said.toString()).toBe('one')
    socket.destroy()
  })
})

describe('a Sidecar', () => {
  it('refuses what is not known where only the registry may be reached', async () => {
    await mesh.pod('front', { captured: true })
    const stranger = await mesh.pod('stranger', { sidecar: false, ...saying('stranger') })
    const destination = { address: stranger.ip, port: ORIGIN_PORT }
    await mesh.apply()
    expect(await mesh.said('front', destination, 'x')).toBe('stranger')
    await mesh.apply(sidecar('{ outboundTrafficPolicy: { mode: REGISTRY_ONLY } }'))
    expect(await mesh.said('front', destination, 'x')).toBe('reset')
    expect(
      await mesh.said('front', destination, 'GET / HTTP/1.1\r\nHost: unknown\r\nConnection: close\r\n\r\n'),
    ).toMatch(/^HTTP\/1\.1 (404|502)/)
  })

  it('passes nothing to metadata services, whatever it says', async () => {
    await mesh.pod('front', { captured: true })
    await mesh.apply(sidecar('{ outboundTrafficPolicy: { mode: ALLOW_ANY } }'))
    expect(await mesh.said('front', { address: '169.254.169.254', port: 80 }, 'x')).toBe('reset')
  })

  it('says which hosts are known, and where their rules lead', async () => {
    await mesh.pod('front')
    for (const name of ['reviews', 'ratings', 'secret']) {
      await mesh.pod(name)
      mesh.service(name)
    }
    await mesh.apply(`${sidecar('{ egress: [{ hosts: [./reviews.shop.svc.cluster.local] }] }')}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: reviews }
spec:
  hosts: [reviews]
  http: [{ match: [{ uri: { prefix: /r } }], route: [{ destination: { host: ratings } }] }, { route: [{ destination: { host: reviews } }] }]
`)
    expect((await mesh.get('front', 'http://reviews/')).body.toString()).toBe('reviews')
    expect((await mesh.get('front', 'http://reviews/r')).body.toString()).toBe('ratings')
    expect((await mesh.get('front', 'http://secret/')).status).not.toBe(200)
  })

  it('is for the workloads that it selects', async () => {
    await mesh.pod('front')
    await mesh.pod('back')
    await mesh.pod('reviews')
    mesh.service('reviews')
    await mesh.apply(sidecar("{ workloadSelector: { labels: { app: back } }, egress: [{ hosts: ['~/*'] }] }"))
    expect((await mesh.get('front', 'http://reviews/')).status).toBe(200)
    expect((await mesh.get('back', 'http://reviews/')).status).not.toBe(200)
  })
})
