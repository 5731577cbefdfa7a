import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { request, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { ask, freshIp, listening, MESH, mtlsEndpoint, type Pod, World } from '../../gateways/testing/world.ts'
import type { ProxyConfig } from '../model/config.ts'
import { readinessPages, servePages } from '../runtime/pages.ts'
import { configDump } from '../xds/config-dump.ts'
import { METRIC_NAMES } from './admin/metric-names.ts'
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
    const { clusters } = (await (await get('/clusters?format=isthmus')).json()) as { clusters: ClusterPage[] }
    const found = clusters.find(({ name }) => name === 'outbound|80||checkout.shop.svc.cluster.local')
    expect(found?.endpoints).toMatchObject([
      { transport: 'mtls', cluster: 'east', locality: 'r1/z0', usable: true, ejected: false, requests: 1, errors: 0 },
    ])
    const dump = await (await get('/config_dump?format=model')).text()
    expect(dump).toContain('outbound|80||checkout.shop.svc.cluster.local')
    expect(dump).toContain(`spiffe://east.${MESH}/ns/shop/sa/checkout`)
    expect(dump).not.toContain('PRIVATE KEY')
    expect((await get('/logging')).status).toBe(405)
    expect((await get('/nothing')).status).toBe(404)
    expect((await get('/clusters', { method: 'POST' })).status).toBe(405)
  })
})

const text = async (response: Promise<Response>): Promise<string> => (await response).text()

describe('Envoy’s admin interface', () => {
  it('names its pages, counts what happened and forgets it when asked', async () => {
    const caller = await callerWithOneService()
    await ask(caller, 'http://checkout.shop.svc.cluster.local/')
    const get = await serve(adminPages({ proxy: caller.proxy, awaited: () => [], logLevel: () => 'info' }))
    const cluster = 'cluster.outbound|80||checkout.shop.svc.cluster.local'
    const stats = await text(get('/stats?usedonly'))
    for (const line of ['upstream_rq_total: 1', 'upstream_rq_200: 1', 'upstream_rq_2xx: 1', 'upstream_rq_active: 0']) {
      expect(stats).toContain(`${cluster}.${line}`)
    }
    expect(stats).toContain(`${cluster}.membership_healthy: 1`)
    expect(stats).toContain(`${cluster}.upstream_cx_http2_total: 1`)
    expect(stats).toMatch(/\.upstream_rq_time: P0\(/)
    expect(stats).toMatch(/^http\..*downstream_rq_2xx: 1$/m)
    expect(stats).toMatch(/^listener\.127.*_15003\.downstream_cx_total: 1$/m)
    expect(stats).not.toContain('upstream_rq_timeout')
    expect(await text(get('/stats?filter=upstream_rq_tot'))).toMatch(/^(cluster\..*upstream_rq_total: \d+\n)+$/)
    expect(await text(get('/stats?filter=^server\\.live$'))).toBe('server.live: 1\n')
    expect((await get('/stats?filter=(')).status).toBe(400)
    const json = (await (await get('/stats?format=json&filter=upstream_rq_200')).json()) as { stats: unknown }
    expect(json.stats).toEqual([{ name: `${cluster}.upstream_rq_200`, value: 1 }])
    const prometheus = await text(get('/stats?format=prometheus'))
    expect(prometheus).toContain(
      'envoy_cluster_upstream_rq{envoy_response_code="200",envoy_cluster_name="outbound|80||checkout.shop.svc.cluster.local"} 1',
    )
    expect((await get('/reset_counters', { method: 'POST' })).status).toBe(200)
    expect(await text(get('/stats?usedonly'))).not.toContain(`${cluster}.upstream_rq_total`)
    expect(await text(get('/nowhere'))).toContain('/stats')
    expect(await text(get('/help'))).toContain('/drain_listeners (POST)')
  })

  it('shows endpoints in Envoy’s text and JSON', async () => {
    const caller = await callerWithOneService()
    await ask(caller, 'http://checkout.shop.svc.cluster.local/')
    const get = await serve(adminPages({ proxy: caller.proxy, awaited: () => [], logLevel: () => 'info' }))
    const lines = await text(get('/clusters'))
    const host = /^outbound\|80\|\|checkout\.shop\.svc\.cluster\.local::127\.[0-9.]+:15008::/
    const found = lines.split('\n').filter((line) => host.test(line))
    const facts = Object.fromEntries(found.map((line) => line.replace(host, '').split('::')))
    expect(facts).toMatchObject({
      cx_active: '1',
      cx_total: '1',
      rq_total: '1',
      rq_success: '1',
      rq_error: '0',
      health_flags: 'healthy',
      weight: '1',
      region: 'r1',
      priority: '0',
      success_rate: '-1',
    })
    const body = (await (await get('/clusters?format=json')).json()) as {
      cluster_statuses: { host_statuses: unknown }[]
    }
    expect(JSON.stringify(body.cluster_statuses)).toContain('{"value":"1","name":"rq_success"}')
  })

  it('changes only what is asked for by POST: level, health, drain', async () => {
    const caller = await callerWithOneService()
    let level = 'info'
    const quits: string[] = []
    const options = {
      proxy: caller.proxy,
      awaited: () => [],
      logLevel: () => level,
      setLogLevel: (wanted: string) => void (level = wanted),
      quit: () => void quits.push('quit'),
    }
    const get = await serve(adminPages(options))
    const post = (path: string): Promise<Response> => get(path, { method: 'POST' })
    expect(await text(post('/logging?level=debug'))).toBe('active loggers:\n  main: debug\n\n')
    expect(level).toBe('debug')
    for (const bad of ['/logging?level=loud', '/logging?http=debug', '/logging?level=info&main=info']) {
      expect((await post(bad)).status).toBe(400)
    }
    expect((await get('/healthcheck/fail')).status).toBe(405)
    expect(await text(get('/ready'))).toBe('LIVE\n')
    await post('/healthcheck/fail')
    expect((await get('/ready')).status).toBe(503)
    await post('/healthcheck/ok')
    expect((await get('/ready')).status).toBe(200)
    await post('/drain_listeners?graceful')
    const info = (await (await get('/server_info')).json()) as { state: string }
    expect(info.state).toBe('DRAINING')
    await post('/quitquitquit')
    expect(quits).toEqual(['quit'])
  })

  it('dumps the configuration in Envoy’s sections, without what is secret', async () => {
    const caller = await callerWithOneService()
    const envoyDump = async (config: ProxyConfig): Promise<readonly object[]> => [
      ...configDump(config, { isStatic: false, updatedAtMs: 0 }),
      { '@type': 'x', tls_certificate: { private_key: { inline_string: 'hush' }, password: 'hush' } },
    ]
    const options = { proxy: caller.proxy, awaited: () => [], logLevel: () => 'info', envoyDump }
    const get = await serve(adminPages(options))
    const whole = await text(get('/config_dump?include_eds'))
    expect(whole).not.toContain('hush')
    const { configs } = JSON.parse(whole) as { configs: { readonly '@type': string }[] }
    expect(configs.map((section) => section['@type'].split('.').at(-1))).toEqual([
      'BootstrapConfigDump',
      'ClustersConfigDump',
      'ListenersConfigDump',
      'RoutesConfigDump',
      'EndpointsConfigDump',
      'SecretsConfigDump',
      'x',
    ])
    expect(whole).toContain('type.googleapis.com/envoy.config.cluster.v3.Cluster')
    const clusters = (await (await get('/config_dump?resource=dynamic_active_clusters')).json()) as {
      configs: { cluster: { name: string } }[]
    }
    expect(clusters.configs.map(({ cluster }) => cluster.name)).toContain(
      'outbound|80||checkout.shop.svc.cluster.local',
    )
    expect((await get('/config_dump?mask=a')).status).toBe(400)
    expect((await get('/config_dump?resource=nope')).status).toBe(404)
  })

  it('answers nobody who asks under a name that is not local', async () => {
    const caller = await callerWithOneService()
    const ip = freshIp()
    server = await servePages(ip, 0, adminPages({ proxy: caller.proxy, awaited: () => [], logLevel: () => 'info' }), {
      guarded: true,
    })
    const { port } = server.address() as AddressInfo
    const status = (headers: Record<string, string>): Promise<number> =>
      new Promise((resolve, reject) => {
        const asked = request({ host: ip, port, path: '/stats', headers }, (response) => {
          response.resume()
          resolve(response.statusCode ?? 0)
        })
        asked.on('error', reject)
        asked.end()
      })
    expect(await status({ host: `${ip}:${port}` })).toBe(200)
    expect(await status({ host: 'localhost:15000' })).toBe(200)
    expect(await status({ host: 'evil.example' })).toBe(403)
    expect(await status({ host: `${ip}:${port}`, origin: 'http://evil.example' })).toBe(403)
    expect(await status({ host: `${ip}:${port}`, origin: `http://${ip}:${port}` })).toBe(200)
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

const hasPromtool = spawnSync('promtool', ['--version']).status === 0

describe('docs/reference/metrics.md', () => {
  it('knows every family that a proxy shows, with its type and text', async () => {
    const caller = await callerWithOneService()
    await ask(caller, 'http://checkout.shop.svc.cluster.local/')
    const get = await serve(metricsPages({ proxy: caller.proxy, awaited: () => [], logLevel: () => 'info' }))
    const shown = await text(get('/metrics'))
    const known = new Map(METRIC_NAMES.map(({ name, type, doc }) => [name, { type, doc }]))
    for (const [, name = '', doc] of shown.matchAll(/^# HELP (\S+) (.*)$/gm)) {
      expect(known.get(name), name).toMatchObject({ doc })
      expect(shown).toContain(`# TYPE ${name} ${known.get(name)?.type}`)
    }
  })
})

describe('promtool', () => {
  it.skipIf(!hasPromtool)('finds nothing wrong with what the admin port shows', async () => {
    const caller = await callerWithOneService()
    await ask(caller, 'http://checkout.shop.svc.cluster.local/')
    const get = await serve(adminPages({ proxy: caller.proxy, awaited: () => [], logLevel: () => 'info' }))
    const { stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], {
      input: await text(get('/stats/prometheus')),
      encoding: 'utf8',
    })
    // Envoy's and Istio's names are theirs, whatever a linter thinks of their units and endings.
    const theirs =
      /^(envoy_|istio_)\S+ (counter metrics should have|non-counter metrics should not|metric names should not|use base unit)/
    expect([...stdout.split('\n'), ...stderr.split('\n')].filter((line) => line !== '' && !theirs.test(line))).toEqual(
      [],
    )
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
