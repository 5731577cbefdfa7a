import { createServer, type Server } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { once } from 'node:events'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { systemClock } from '../../../src/runtime/clock.ts'
import { until } from '../../../gateways/testing/world.ts'
import { ORIGIN_ROUTE, type PlainProxy, startPlainProxy } from '../../harness/plain-proxy.ts'
import { h2Server, listen, recording } from '../../harness/codec.ts'
import { block, frame, GET, HELLO, RawPeer } from '../../harness/frames.ts'
import { ATTACKS, Bystander, flood } from './attacks.ts'

/** Far more than any budget lets through. */
const LIMITS = { ms: 10_000, bytes: 64 * 1024 * 1024 }

let origin: Server
let proxy: PlainProxy
beforeAll(async () => {
  origin = createServer((request, response) => {
    request.resume()
    if (request.url !== '/endless') {
      if (request.method !== 'POST') response.end('ok')
      return
    }
    const more = (): void => {
      while (!response.destroyed && response.write(Buffer.alloc(64 * 1024)));
    }
    response.on('drain', more)
    more()
  }).listen(0, '127.0.0.1')
  await once(origin, 'listening')
  proxy = await startPlainProxy({ way: 'captured-outbound', originPort: (origin.address() as AddressInfo).port })
})
afterAll(() => {
  proxy.close()
  origin.closeAllConnections()
  origin.close()
})

describe('an HTTP/2 flood', () => {
  it.each(ATTACKS)('is cut off while others are served: $name', async (attack) => {
    const bystander = new Bystander(proxy.port)
    const { afterMs, sentBytes } = await flood(proxy.port, attack, LIMITS)
    expect(await bystander.next()).toBe(true)
    bystander.stop()
    expect(afterMs).toBeDefined()
    expect(sentBytes).toBeLessThan(LIMITS.bytes)
    expect(bystander.failures).toBe(0)
  })
})

describe('a window that never opens', () => {
  it('makes a connection hold no more, the more streams it has', async () => {
    let held = 0
    const chunk = Buffer.alloc(64 * 1024)
    const server = await listen((socket) =>
      h2Server(
        socket,
        recording(({ stream }) => {
          stream.respond({ status: 200, headers: [], bodyLength: -1 }, false)
          do held += chunk.length
          while (stream.write(Buffer.from(chunk)))
        }),
      ),
    )
    const peer = await RawPeer.dial(server.port)
    peer.send(HELLO, ...Array.from({ length: 1_000 }, (_, index) => frame(1, 5, 1 + 2 * index, GET)))
    await until(() => held >= 1_000 * chunk.length)
    // Each stream's own mark is 256 KiB: without a common one it would be 250 MiB.
    expect(held).toBeLessThan(96 * 1024 * 1024)
    peer.socket.destroy()
    await server.close()
  })

  it('holds the origin back instead of our memory, and others are served', async () => {
    const bystander = new Bystander(proxy.port)
    const before = process.memoryUsage.rss()
    const peer = await RawPeer.dial(proxy.port)
    const endless = block(':method', 'GET', ':scheme', 'http', ':path', '/endless', ':authority', 'a')
    peer.send(HELLO, ...Array.from({ length: 200 }, (_, index) => frame(1, 5, 1 + 2 * index, endless)))
    await peer.find(({ type }) => type === 0)
    // Every answer is endless; 64 KiB is what the windows let through.
    await new Promise<void>((resolve) => systemClock.after(1_500, resolve))
    const received = peer.frames.reduce((sum, { type, payload }) => sum + (type === 0 ? payload.length : 0), 0)
    expect(received).toBeLessThanOrEqual(65_535)
    // 200 streams with their buffers, twice: the origin lives in this process too.
    expect(process.memoryUsage.rss() - before).toBeLessThan(400 * 1024 * 1024)
    expect(await bystander.next()).toBe(true)
    bystander.stop()
    peer.socket.destroy()
  })
})

describe('slow clients', () => {
  let direct: PlainProxy
  beforeAll(async () => {
    direct = await startPlainProxy({ way: 'forward', originPort: (origin.address() as AddressInfo).port })
  })
  afterAll(() => direct.close())

  async function open(bytes: string): Promise<Socket> {
    const socket = connect({ port: direct.port, host: '127.0.0.1' })
    socket.on('error', () => {})
    await once(socket, 'connect')
    if (bytes !== '') socket.write(bytes)
    return socket
  }

  it('that never finish a head are answered 408 in time, hundreds at once, and new clients are served', async () => {
    const answers: string[] = []
    const sockets = await Promise.all(
      Array.from({ length: 300 }, (_, index) => open(`GET / HTTP/1.1\r\nHost: a\r\nX-${index}: `)),
    )
    for (const socket of sockets) socket.on('data', (chunk: Buffer) => answers.push(String(chunk).slice(0, 12)))
    const startedAt = systemClock.monotonic()
    let dripping = true
    // A byte now and then moves no deadline.
    const drip = (): void => {
      if (!dripping) return
      for (const socket of sockets) if (!socket.destroyed) socket.write('a')
      systemClock.after(1_000, drip)
    }
    drip()
    const bystander = new Bystander(direct.port)
    await Promise.all(sockets.map((socket) => once(socket, 'close')))
    dripping = false
    expect(systemClock.monotonic() - startedAt).toBeLessThan(25_000)
    expect(answers.filter((answer) => answer === 'HTTP/1.1 408')).toHaveLength(300)
    expect(bystander.take().count).toBeGreaterThan(10)
    expect(bystander.failures).toBe(0)
    bystander.stop()
  }, 60_000)

  it('that stand still in a body are cut by the route’s idle time, readers that stop by the stream’s', async () => {
    const routes = [{ ...ORIGIN_ROUTE, idleTimeoutMs: 500 }]
    const port = (origin.address() as AddressInfo).port
    const strict = await startPlainProxy({ way: 'forward', originPort: port, routes })
    const sender = connect({ port: strict.port, host: '127.0.0.1' })
    sender.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nfirst')
    const [answer] = (await once(sender, 'data')) as [Buffer]
    expect(String(answer)).toMatch(/^HTTP\/1\.1 408 /)
    const reader = connect({ port: strict.port, host: '127.0.0.1' })
    reader.pause()
    reader.write('GET /endless HTTP/1.1\r\nHost: a\r\n\r\n')
    await until(() => strict.records.length === 2)
    expect(strict.records.map(({ flags }) => flags)).toEqual(['SI', 'SI'])
    reader.destroy()
    strict.close()
  })
})
