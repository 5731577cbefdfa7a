import { once } from 'node:events'
import { Agent, createServer, get, type IncomingMessage } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { cluster, listener, manager, type Reverse, startReverse, TYPE } from '../../gateways/testing/reverse.ts'

const closers: (() => void)[] = []
afterEach(() => {
  for (const close of closers.splice(0)) close()
})

/** Answers its name; `/slow` is answered by whoever `onSlow` tells. */
async function app(name: string, onSlow = (answer: () => void): void => answer()): Promise<number> {
  const server = createServer((request, response) => {
    if (request.url === '/slow') onSlow(() => response.end(name))
    else response.end(name)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  closers.push(() => server.close().closeAllConnections())
  return (server.address() as AddressInfo).port
}

async function ask(port: number, agent: Agent, path = '/'): Promise<string> {
  const asked = get({ host: '127.0.0.1', port, agent, path })
  const [response] = (await once(asked, 'response')) as [IncomingMessage]
  let body = ''
  for await (const chunk of response) body += String(chunk)
  return `${response.statusCode} ${body}`
}

const TO_NEXT = { match: { prefix: '/' }, route: { cluster: 'next' } }

/** Every swap changes routes, clusters, filters, logs and tracing at once. */
function resources(swap: number, apps: readonly number[], port: number): object {
  const odd = swap % 2 === 1
  const fault = { '@type': `${TYPE}.extensions.filters.http.fault.v3.HTTPFault` }
  const cors = { '@type': `${TYPE}.extensions.filters.http.cors.v3.Cors` }
  const filter = { name: odd ? 'fault' : 'cors', typed_config: odd ? fault : cors }
  const router = { name: 'router', typed_config: { '@type': `${TYPE}.extensions.filters.http.router.v3.Router` } }
  const log = {
    name: 'log',
    typed_config: { '@type': `${TYPE}.extensions.access_loggers.file.v3.FileAccessLog`, path: `/log${swap % 3}` },
  }
  const chain = manager([{ ...TO_NEXT, name: `route-${swap}`, request_headers_to_add: [header(swap)] }], {
    http_filters: [filter, router],
    access_log: [log],
    ...(odd && { tracing: {} }),
  })
  return {
    listeners: [listener(chain, { address: { socket_address: { address: '127.0.0.1', port_value: port } } })],
    clusters: [cluster('next', apps[swap % apps.length] ?? 0), cluster(`unused-${swap}`, apps[0] ?? 0)],
  }
}

const header = (swap: number): object => ({ header: { key: 'x-swap', value: String(swap) } })

async function freePort(): Promise<number> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

describe('a configuration that changes under load', () => {
  it('costs no request: 50 swaps of routes, clusters, filters, logs and tracing', async () => {
    const apps = [await app('a'), await app('b')]
    const port = await freePort()
    const running = await startReverse(resources(0, apps, port))
    closers.push(() => running.proxy.close())
    const agent = new Agent({ keepAlive: true, maxSockets: 8 })
    closers.push(() => agent.destroy())
    const answers = new Map<string, number>()
    const swapping = { on: true }
    const load = async (): Promise<void> => {
      while (swapping.on) {
        const answer = await ask(port, agent).catch(String)
        answers.set(answer, (answers.get(answer) ?? 0) + 1)
      }
    }
    const loads = Array.from({ length: 8 }, load)
    for (let swap = 1; swap <= 50; swap++) {
      running.apply(resources(swap, apps, port))
      // Some requests meet each configuration, and some its end.
      for (let count = 0; count < 3; count++) await ask(port, agent)
    }
    swapping.on = false
    await Promise.all(loads)
    expect([...answers.keys()].sort()).toEqual(['200 a', '200 b'])
    expect([...answers.values()].reduce((sum, count) => sum + count, 0)).toBeGreaterThan(200)
    // Not one request was counted twice, or not at all.
    const samples = running.proxy.state.stats.samples()
    const valueOf = (name: string): unknown => samples.find((sample) => sample.name === name)
    const total = [...answers.values()].reduce((sum, count) => sum + count, 150)
    expect(valueOf('http.hcm.downstream_rq_2xx')).toMatchObject({ value: total })
    expect(valueOf('http.hcm.downstream_rq_active')).toMatchObject({ value: 0 })
  }, 30_000)

  it('lets requests finish on a listener that goes, refuses new ones, and takes them when it is back', async () => {
    let arrived = (_answer: () => void): void => {}
    const slowRequest = new Promise<() => void>((resolve) => (arrived = resolve))
    const apps = [await app('a', (answer) => arrived(answer))]
    const port = await freePort()
    const running: Reverse = await startReverse(resources(0, apps, port))
    closers.push(() => running.proxy.close())
    const agent = new Agent({ keepAlive: false })
    const slow = ask(port, agent, '/slow')
    const answer = await slowRequest
    running.apply({ listeners: [], clusters: [] })
    const [refused] = (await once(connect(port, '127.0.0.1'), 'error').catch((error: unknown) => [error])) as [Error]
    expect(String(refused)).toContain('ECONNREFUSED')
    answer()
    expect(await slow).toBe('200 a')
    running.apply(resources(2, apps, port))
    while (running.proxy.listeners.awaited.length > 0) await new Promise((resolve) => setImmediate(resolve))
    expect(await ask(port, agent)).toBe('200 a')
  })
})
