import { once } from 'node:events'
import { createServer } from 'node:http'
import { createServer as createHttp2 } from 'node:http2'
import { createServer as createTcp } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import type { AppProbes } from '../kube/inject-probes.ts'
import { appProbePages } from './app-probes.ts'

const IP = '127.0.0.1'
const closers: (() => void)[] = []
afterEach(() => {
  for (const close of closers.splice(0)) close()
})

async function ask(probe: AppProbes[string]): Promise<string> {
  const page = appProbePages(JSON.stringify({ '/p': probe }), IP)['/p']
  if (typeof page !== 'function') throw new Error('no page')
  const { status = 200, body } = await page({ query: new URLSearchParams() })
  return `${status} ${body.trim()}`
}

async function port(server: {
  listen(port: number, host: string): unknown
  address(): unknown
  close(): void
}): Promise<number> {
  server.listen(0, IP)
  await once(server as never, 'listening')
  closers.push(() => server.close())
  return (server.address() as { port: number }).port
}

describe('appProbePages', () => {
  it('asks over HTTP with the probe’s own path and headers, and follows the host’s own redirects', async () => {
    const seen: string[] = []
    const at = await port(
      createServer((request, response) => {
        const { url = '', headers } = request
        seen.push([url, headers['x-a'], headers['user-agent']?.split('/')[0]].join(' '))
        const to = { '/there': '/ill', '/away': 'http://192.0.2.1/', '/round': '/round' }[url]
        if (to !== undefined) response.writeHead(302, { location: to })
        response.statusCode = to === undefined ? (url === '/ill' ? 503 : 200) : 302
        response.end()
      }),
    )
    const http = (path: string): AppProbes[string] => ({
      timeoutSeconds: 1,
      http: { port: at, path, scheme: 'HTTP', headers: [['X-A', 'b']] },
    })
    expect(await ask(http('/well?x=1'))).toBe('200 ok')
    expect(seen).toEqual(['/well?x=1 b kube-probe'])
    expect(await ask(http('/ill'))).toBe('500 HTTP probe failed with statuscode: 503')
    expect(await ask(http('/there'))).toBe('500 HTTP probe failed with statuscode: 503')
    expect(await ask(http('/away'))).toBe('200 ok')
    expect(await ask(http('/round'))).toBe('500 stopped after 10 redirects')
  })

  it('asks over TCP', async () => {
    const server = createTcp((socket) => socket.end())
    const at = await port(server)
    expect(await ask({ timeoutSeconds: 1, tcp: { port: at } })).toBe('200 ok')
    server.close()
    await once(server, 'close')
    expect(await ask({ timeoutSeconds: 1, tcp: { port: at } })).toMatch(/^500 dial tcp/)
  })

  it('asks over gRPC for the service’s health', async () => {
    const asked: string[] = []
    const at = await port(
      createHttp2().on('stream', (stream, headers) => {
        const chunks: Buffer[] = []
        stream.on('data', (chunk: Buffer) => chunks.push(chunk))
        stream.on('end', () => {
          const name = Buffer.concat(chunks).subarray(7).toString()
          asked.push(`${headers[':path']} ${name}`)
          const state = name === 'ill' ? 2 : 1
          stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
          stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': name === 'nobody' ? '5' : '0' }))
          stream.end(Buffer.from([0, 0, 0, 0, 2, 0x08, state]))
        })
      }),
    )
    const grpc = (service: string): AppProbes[string] => ({ timeoutSeconds: 1, grpc: { port: at, service } })
    expect(await ask(grpc('shop'))).toBe('200 ok')
    expect(asked).toEqual(['/grpc.health.v1.Health/Check shop'])
    expect(await ask(grpc(''))).toBe('200 ok')
    expect(await ask(grpc('ill'))).toBe('500 service unhealthy (gRPC status 0)')
    expect(await ask(grpc('nobody'))).toBe('500 service unhealthy (gRPC status 5)')
    closers.splice(0).forEach((close) => close())
  })

  it('asks no more than a kubelet would, no longer than it is told, and nobody but its own pod', async () => {
    const at = await port(createServer(() => {}).on('connection', (socket) => closers.push(() => socket.destroy())))
    const pages = appProbePages(
      JSON.stringify({ '/p': { timeoutSeconds: 1, http: { port: at, path: '/', scheme: 'HTTP', headers: [] } } }),
      IP,
    )
    const page = pages['/p']
    if (typeof page !== 'function') throw new Error('no page')
    const answers = await Promise.all(
      Array.from({ length: 9 }, async () => await page({ query: new URLSearchParams() })),
    )
    expect(answers.map(({ status }) => status)).toEqual([...Array.from({ length: 8 }, () => 500), 503])
    expect(appProbePages('', IP)).toEqual({})
    expect(() => appProbePages('{', IP)).toThrow('ISTHMUS_APP_PROBES')
  })
})
