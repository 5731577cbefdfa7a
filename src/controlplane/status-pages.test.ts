import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { readinessPages, servePages } from '../runtime/pages.ts'
import { Readiness } from '../runtime/readiness.ts'
import { createMetrics } from './metrics.ts'
import { statusPages } from './status-pages.ts'

const closers: (() => void)[] = []
afterEach(() => {
  for (const close of closers.splice(0)) close()
})

async function serve(
  pages: Parameters<typeof servePages>[2],
): Promise<(path: string, method?: string) => Promise<Response>> {
  const server = await servePages('127.0.0.1', 0, pages)
  closers.push(() => server.close().closeAllConnections())
  const { port } = server.address() as AddressInfo
  return (path, method = 'GET') => fetch(`http://127.0.0.1:${port}${path}`, { method })
}

const mesh = { mesh: 'demo', cluster: 'east', trustDomain: 'east.demo', domain: 'cluster.local' }

describe('pages', () => {
  it('say what is still awaited, with 503, and 200 once it is there', async () => {
    const readiness = new Readiness()
    const done = readiness.register('keys from the API server')
    const get = await serve(readinessPages(() => readiness.awaited))
    const awaiting = await get('/healthz/ready')
    expect(awaiting.status).toBe(503)
    expect(await awaiting.text()).toBe('awaiting keys from the API server\n')
    done()
    expect((await get('/healthz/ready')).status).toBe(200)
  })

  it('show proxies with what they refused, and count them', async () => {
    const nack = { message: 'a: no', nonce: '2', at: 1 }
    const refusing = { resources: 1, awaiting: undefined, acked: '1', nack, sentAt: undefined, ackedAt: 1 }
    const client = { namespace: 'shop', pod: 'a', podUid: 'u', role: 'sidecar' as const }
    const proxy = {
      node: 'n',
      client,
      connectedAt: 1,
      synced: false,
      version: '7',
      bytesSent: 1,
      kinds: { route: refusing },
    }
    const proxies = () => [proxy]
    const metrics = createMetrics({ proxies, snapshotVersion: () => 7 })
    metrics.certificates('issued')
    const observer = {
      snapshot: undefined,
      trust: undefined,
      objects: () => [],
      observed: () => ({ isWatched: true, isSettled: true, generation: 2, resourceVersion: '7' }),
    }
    const get = await serve(
      statusPages({
        mesh,
        ads: { status: proxies, inspect: () => [] },
        observer,
        metrics,
        access: { guard: (_path, page) => page },
      }),
    )
    const state: unknown = await (await get('/debug/syncz')).json()
    expect(state).toMatchObject({ version: null, joined: false, proxies: [{ kinds: { route: { nack } } }] })
    const text = await (await get('/metrics')).text()
    expect(text).toContain('isthmus_xds_proxies_refusing 1')
    expect(text).toContain('isthmus_xds_proxies_synced 0')
    expect(text).toContain('isthmus_certificate_requests_total{outcome="issued"} 1')
  })

  it('answer 404 with what there is, 405 to writers, 500 where a page fails', async () => {
    const get = await serve({ '/a': () => Promise.reject(new Error('broken')) })
    const missing = await get('/__proto__')
    expect([missing.status, await missing.text()]).toEqual([404, '/__proto__ is not here; there are: /a\n'])
    expect((await get('/a', 'POST')).status).toBe(405)
    expect((await get('/a')).status).toBe(500)
  })
})
