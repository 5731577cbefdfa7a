import { once } from 'node:events'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { ask, freshIp, listening, MESH, mtlsEndpoint, type Pod, World } from '../../gateways/testing/world.ts'
import { readinessPages, servePages } from '../runtime/pages.ts'
import { adminPages, type ClusterPage, metricsPages } from './admin.ts'

let world: World
let server: Server | undefined
afterEach(async () => {
  server?.closeAllConnections()
  server?.close()
  await world.close()
})

async function serve(
  pages: Parameters<typeof servePages>[2],
): Promise<(path: string, init?: RequestInit) => Promise<Response>> {
  const ip = freshIp()
  server = await servePages(ip, 0, pages)
  const { port } = server.address() as AddressInfo
  return (path, init) => fetch(`http://${ip}:${port}${path}`, init)
}

async function callerWithOneService(): Promise<Pod> {
  world = new World()
  const pod = world.pod('east', 'checkout')
  await world.app(pod.ip, (_request, response) => response.end('ok'))
  pod.proxy.apply(world.sidecarConfig(pod, { inbound: [{ name: 'checkout' }] }))
  await listening(pod)
  const caller = world.pod('east', 'storefront')
  const service = { name: 'checkout', endpoints: [[mtlsEndpoint(pod)]], identities: [pod.uri] }
  caller.proxy.apply(world.sidecarConfig(caller, { services: [service] }))
  await listening(caller)
  return caller
}

describe('adminPages', () => {
  it('shows endpoints with health, locality and what went over them, and the configuration without a key', async () => {
    const caller = await callerWithOneService()
    await ask(caller, 'http://checkout.shop.svc.cluster.local/')
    const get = await serve(adminPages({ proxy: caller.proxy, awaited: () => [], logLevel: () => 'info' }))
    const { clusters } = (await (await get('/clusters')).json()) as { clusters: ClusterPage[] }
    const found = clusters.find(({ name }) => name === 'outbound|80||checkout.shop.svc.cluster.local')
    expect(found?.endpoints).toMatchObject([
      { transport: 'mtls', cluster: 'east', locality: 'r1/z0', usable: true, ejected: false, requests: 1, errors: 0 },
    ])
    const dump = await (await get('/config_dump')).text()
    expect(dump).toContain('outbound|80||checkout.shop.svc.cluster.local')
    expect(dump).toContain(`spiffe://east.${MESH}/ns/shop/sa/checkout`)
    expect(dump).not.toContain('PRIVATE KEY')
    expect(await (await get('/logging')).json()).toEqual({ level: 'info' })
    expect((await get('/nothing')).status).toBe(404)
    expect((await get('/clusters', { method: 'POST' })).status).toBe(405)
  })
})

describe('metricsPages', () => {
  it('speaks Istio’s names and labels in the text format', async () => {
    const caller = await callerWithOneService()
    await ask(caller, 'http://checkout.shop.svc.cluster.local/')
    const get = await serve(metricsPages({ proxy: caller.proxy, awaited: () => [], logLevel: () => 'info' }))
    const text = await (await get('/stats/prometheus')).text()
    const line = text.split('\n').find((candidate) => candidate.startsWith('istio_requests_total{'))
    expect(line).toMatch(/ 1$/)
    for (const label of [
      'reporter="source"',
      'source_workload="storefront"',
      'source_cluster="east"',
      'destination_workload="checkout"',
      'destination_cluster="east"',
      'destination_service="checkout.shop.svc.cluster.local"',
      'destination_service_namespace="shop"',
      'response_code="200"',
      'response_flags="-"',
    ]) {
      expect(line).toContain(label)
    }
    expect(text).toContain('istio_request_duration_milliseconds_bucket{')
    for (const row of text.split('\n')) expect(row).toMatch(/^(#.*|[a-z_]+(\{.*\})? [0-9.e+]+|)$/)
  })
})

describe('readinessPages', () => {
  it('says what is awaited until nothing is', async () => {
    world = new World()
    const awaited = ['the first configuration']
    const get = await serve(readinessPages(() => awaited))
    const before = await get('/healthz/ready')
    expect(before.status).toBe(503)
    expect(await before.text()).toContain('the first configuration')
    awaited.length = 0
    expect((await get('/healthz/ready')).status).toBe(200)
  })
})

describe('servePages', () => {
  it('rejects when the port is taken', async () => {
    world = new World()
    const ip = freshIp()
    server = await servePages(ip, 0, {})
    const { port } = server.address() as AddressInfo
    await expect(servePages(ip, port, {})).rejects.toThrow('EADDRINUSE')
    const closed = once(server, 'close')
    server.close()
    await closed
  })
})
