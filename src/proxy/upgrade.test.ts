import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer as createHttp } from 'node:http'
import {
  connect as connectHttp2,
  type ClientHttp2Session,
  createServer as createHttp2,
  type IncomingHttpHeaders,
} from 'node:http2'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { listening, mtlsEndpoint, type Pod, until, World } from '../../gateways/testing/world.ts'
import { tunnelEndpoint } from '../../gateways/testing/world.ts'
import {
  ORIGIN_ROUTE,
  type PlainProxy,
  type PlainProxyOptions,
  startPlainProxy,
} from '../../test/harness/plain-proxy.ts'
import { systemClock } from '../runtime/clock.ts'

const open: (() => void | Promise<void>)[] = []
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close()
})

const accept = (key: string): string =>
  createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')

interface Server_ {
  readonly port: number
  /** Bytes that came before the server accepted, and after. */
  readonly early: string[]
  readonly seen: string[]
  readonly heads: string[]
  readonly sockets: Socket[]
}

/** Accepts upgrades after `delayMs` and echoes in capitals; `/deny` is refused. */
async function upgrading(address = '127.0.0.1', port = 0): Promise<Server_> {
  const state: Server_ = { port: 0, early: [], seen: [], heads: [], sockets: [] }
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    let accepted = false
    let head = ''
    state.sockets.push(socket)
    socket.on('error', () => {})
    socket.on('data', (chunk: Buffer) => {
      const text = chunk.toString('latin1')
      if (accepted) {
        state.seen.push(text)
        socket.write(text.toUpperCase())
        return
      }
      const [first = '', rest = ''] = `${head}${text}`.split('\r\n\r\n', 2)
      if (head !== '') state.early.push(text)
      head = `${first}\r\n\r\n`
      if (rest !== '') state.early.push(rest)
      state.heads.push(first)
      if (first.includes(' /deny ')) {
        socket.write('HTTP/1.1 403 No\r\ncontent-length: 2\r\n\r\nno')
        return
      }
      systemClock.after(first.includes(' /slow ') ? 80 : 0, () => {
        accepted = true
        const key = /sec-websocket-key: (\S+)/i.exec(first)?.[1] ?? ''
        const protocol = /upgrade: (\S+)\r?/i.exec(first.split('\r\n').find((line) => /^upgrade:/i.test(line)) ?? '')
        socket.write(
          `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${protocol?.[1]}\r\nSec-WebSocket-Accept: ${accept(key)}\r\n\r\nhello `,
        )
      })
    })
    socket.on('end', () => {
      state.seen.push('<end>')
      socket.write('last')
      socket.end()
    })
  })
  return Object.assign(state, { port: await listenAt(server, address, port) })
}

async function listenAt(server: Server, address = '127.0.0.1', port = 0): Promise<number> {
  server.listen(port, address)
  await once(server, 'listening')
  open.push(() => void server.close())
  return (server.address() as AddressInfo).port
}

async function proxyTo(originPort: number, more: Partial<PlainProxyOptions> = {}): Promise<PlainProxy> {
  const proxy = await startPlainProxy({ way: 'forward', originPort, ...more })
  open.push(() => proxy.close())
  return proxy
}

class Client {
  readonly socket: Socket
  text = ''
  ended = false
  closed = false

  constructor(port: number, host = '127.0.0.1') {
    this.socket = connect({ port, host, allowHalfOpen: true, noDelay: true })
    this.socket.on('error', () => {})
    this.socket.on('data', (chunk: Buffer) => (this.text += chunk.toString('latin1')))
    this.socket.on('end', () => (this.ended = true))
    this.socket.on('close', () => (this.closed = true))
    open.push(() => void this.socket.destroy())
  }

  async send(text: string, until_: string): Promise<string> {
    this.socket.write(Buffer.from(text, 'latin1'))
    await until(() => this.text.includes(until_))
    return this.text
  }
}

/** Until `count` stands still. */
async function quiet(count: () => number): Promise<void> {
  for (let before = -1; before !== count();) {
    before = count()
    await new Promise<void>((resolve) => systemClock.after(100, resolve))
  }
}

const ask = (path: string, more = '', protocol = 'websocket'): string =>
  `GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: ${protocol}\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n${more}\r\n`

describe('an upgrade over HTTP/1.1', () => {
  it('carries bytes both ways, counts them and ends each half on its own', async () => {
    const origin = await upgrading()
    const proxy = await proxyTo(origin.port)
    const client = new Client(proxy.port)
    expect(await client.send(ask('/'), 'hello ')).toMatch(
      /^HTTP\/1\.1 101 Switching Protocols\r\n[^]*connection: upgrade\r\nupgrade: websocket\r\n/,
    )
    expect(client.text).toContain('sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=')
    expect(origin.heads[0]).toMatch(/connection: upgrade\r\nupgrade: websocket/)
    await client.send('abc', 'ABC')
    client.socket.end()
    await until(() => client.ended)
    expect(client.text.endsWith('hello ABClast')).toBe(true)
    expect(origin.seen).toEqual(['abc', '<end>'])
    await until(() => proxy.records.length === 1)
    expect(proxy.records[0]).toMatchObject({ status: 101, flags: '-', method: 'GET', path: '/' })
    expect(proxy.records[0]?.['bytesReceived']).toBe(ask('/').length + 3)
  })

  it('sends no byte of the client before the origin accepted', async () => {
    const origin = await upgrading()
    const proxy = await proxyTo(origin.port)
    const client = new Client(proxy.port)
    await client.send(`${ask('/slow')}early`, 'EARLY')
    expect(origin.early).toEqual([])
    expect(origin.seen.join('')).toBe('early')
  })

  it('passes a refusal on, reads nothing behind it and closes', async () => {
    const origin = await upgrading()
    const proxy = await proxyTo(origin.port)
    const client = new Client(proxy.port)
    await client.send(`${ask('/deny')}GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n`, 'no')
    await until(() => client.ended)
    expect(client.text).toMatch(/^HTTP\/1\.1 403 [^]*\r\nconnection: close\r\n\r\nno$/)
    expect([origin.early, origin.heads.length]).toEqual([[], 1])
  })

  it('refuses what is not allowed with 403 and no byte upstream; a route may allow or forbid', async () => {
    const origin = await upgrading()
    const to = (prefix: string, type: string, enabled: boolean) => ({
      ...ORIGIN_ROUTE,
      match: { kind: 'prefix' as const, prefix },
      upgrades: [{ type, enabled }],
    })
    const proxy = await proxyTo(origin.port, {
      routes: [to('/foo', 'foo', true), to('/never', 'websocket', false), ORIGIN_ROUTE],
    })
    const status = async (text: string): Promise<string> =>
      (await new Client(proxy.port).send(text, '\r\n\r\n')).slice(9, 12)
    expect(await status(ask('/', '', 'foo'))).toBe('403')
    expect(await status(ask('/never'))).toBe('403')
    expect(await status(ask('/foo', '', 'foo'))).toBe('101')
    expect(await status(ask('/foo'))).toBe('101')
    expect(origin.heads).toHaveLength(2)
  })

  it('has no time limit but the idle one once it is open', async () => {
    const origin = await upgrading()
    const route = { ...ORIGIN_ROUTE, timeoutMs: 50, idleTimeoutMs: 400 }
    const proxy = await proxyTo(origin.port, { routes: [route] })
    const client = new Client(proxy.port)
    await client.send(ask('/'), 'hello')
    for (let round = 0; round < 3; round++) {
      await new Promise<void>((resolve) => systemClock.after(150, resolve))
      await client.send(`r${round}`, `R${round}`)
    }
    expect(client.closed).toBe(false)
    await until(() => client.ended || client.closed)
    await until(() => proxy.records.length === 1)
    expect(proxy.records[0]).toMatchObject({ status: 101, flags: 'SI' })
  })

  it('stops the side that a slow reader cannot follow', async () => {
    const origin = await upgrading()
    const proxy = await proxyTo(origin.port)
    const client = new Client(proxy.port)
    await client.send(ask('/'), 'hello')
    client.socket.pause()
    const sent = origin.sockets[0]
    const block = Buffer.alloc(64 * 1024, 'x')
    const total = 64 * 1024 * 1024
    let written = 0
    const pump = (): void => {
      while (written < total) {
        written += block.length
        if (sent?.write(block) === false) return
      }
    }
    sent?.on('drain', pump)
    pump()
    await quiet(() => written)
    // The kernel's own buffers take a few megabytes; an endless one of ours would take all.
    expect(written).toBeLessThan(total / 2)
    client.socket.resume()
    await until(() => written === total && sent?.writableLength === 0)
  })

  it('tells a client that its origin broke off, and the origin that its client went', async () => {
    const origin = await upgrading()
    const proxy = await proxyTo(origin.port)
    const first = new Client(proxy.port)
    await first.send(ask('/'), 'hello')
    origin.sockets[0]?.resetAndDestroy()
    await until(() => first.closed || first.ended)
    const second = new Client(proxy.port)
    await second.send(ask('/'), 'hello')
    second.socket.resetAndDestroy()
    await until(() => origin.sockets[1]?.destroyed === true || origin.seen.includes('<end>'))
    await until(() => proxy.records.length === 2)
    expect(proxy.records.map(({ flags }) => flags)).toEqual(['UC', 'DC'])
  })
})

describe('an upgrade over HTTP/2', () => {
  async function session(port: number): Promise<ClientHttp2Session> {
    const session = connectHttp2(`http://127.0.0.1:${port}`)
    open.push(() => session.destroy())
    await once(session, 'remoteSettings')
    return session
  }

  it('comes as extended CONNECT and leaves as HTTP/1.1 with a key of our own', async () => {
    const origin = await upgrading()
    const proxy = await proxyTo(origin.port, { way: 'captured-outbound' })
    const client = await session(proxy.port)
    expect(client.remoteSettings.enableConnectProtocol).toBe(true)
    const stream = client.request({
      ':method': 'CONNECT',
      ':protocol': 'websocket',
      ':scheme': 'http',
      ':path': '/slow',
      ':authority': 'a',
      'sec-websocket-version': '13',
    })
    stream.write('early')
    const [headers] = (await once(stream, 'response')) as [Record<string, unknown>]
    expect(headers[':status']).toBe(200)
    let text = ''
    stream.on('data', (chunk: Buffer) => (text += String(chunk)))
    await until(() => text === 'hello EARLY')
    expect(origin.early).toEqual([])
    expect(origin.heads[0]).toMatch(/^GET \/slow HTTP\/1\.1\r\n[^]*sec-websocket-key: \S{24}/)
    stream.end()
    await once(stream, 'close')
    expect(text).toBe('hello EARLYlast')
    expect(origin.seen).toEqual(['early', '<end>'])
  })

  it('leaves as extended CONNECT where the endpoint speaks HTTP/2, and the key of an HTTP/1.1 client is answered', async () => {
    const server = createHttp2({ settings: { enableConnectProtocol: true } })
    const heads: IncomingHttpHeaders[] = []
    server.on('stream', (stream, headers) => {
      heads.push(headers)
      stream.on('error', () => {})
      stream.respond({ ':status': 200 })
      stream.write('hello ')
      stream.on('data', (chunk: Buffer) => stream.write(String(chunk).toUpperCase()))
      stream.on('end', () => stream.end('last'))
    })
    const port = await listenAt(server)
    const proxy = await proxyTo(port, { cluster: { protocol: 'http2' } })
    const client = new Client(proxy.port)
    await client.send(`${ask('/chat')}early`, 'EARLY')
    expect(client.text).toContain('sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=')
    expect(heads[0]).toMatchObject({ ':method': 'CONNECT', ':protocol': 'websocket', ':path': '/chat' })
    client.socket.end()
    await until(() => client.ended)
    expect(client.text.endsWith('hello EARLYlast')).toBe(true)
  })

  it('is refused with 403 by an endpoint that has no extended CONNECT', async () => {
    const server = createHttp2()
    let streams = 0
    server.on('stream', () => streams++)
    const proxy = await proxyTo(await listenAt(server), { cluster: { protocol: 'http2' } })
    expect(await new Client(proxy.port).send(ask('/'), '\r\n\r\n')).toMatch(/^HTTP\/1\.1 403 /)
    expect(streams).toBe(0)
  })

  it('is refused where nobody allowed it, and malformed where extended CONNECT was never offered', async () => {
    const origin = await upgrading()
    const proxy = await proxyTo(origin.port, { way: 'captured-outbound' })
    const client = await session(proxy.port)
    const stream = client.request({
      ':method': 'CONNECT',
      ':protocol': 'foo',
      ':scheme': 'http',
      ':path': '/',
      ':authority': 'a',
    })
    const [headers] = (await once(stream, 'response')) as [Record<string, unknown>]
    expect(headers[':status']).toBe(403)
    stream.close()
    expect(origin.heads).toEqual([])
  })
})

describe('WebSocket in the mesh', () => {
  /** Node's own client against a server of four lines; frames of the server are unmasked, of the client masked. */
  async function echo(ip: string): Promise<void> {
    const server = createHttp()
    server.on('upgrade', (request, socket: Socket) => {
      const key = request.headers['sec-websocket-key'] ?? ''
      socket.on('error', () => {})
      socket.write(
        `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${accept(key)}\r\n\r\n`,
      )
      socket.on('data', (frame: Buffer) => {
        const opcode = (frame[0] ?? 0) & 15
        const length = (frame[1] ?? 0) & 127
        const mask = frame.subarray(2, 6)
        const text = Buffer.from(frame.subarray(6, 6 + length).map((byte, index) => byte ^ (mask[index % 4] ?? 0)))
        if (opcode === 8) socket.end(Buffer.concat([Buffer.from([0x88, text.length]), text]))
        else socket.write(Buffer.concat([Buffer.from([0x81, text.length]), text]))
      })
    })
    await listenAt(server, ip, 8080)
  }

  async function talk(caller: Pod): Promise<string> {
    // The application knows nothing of proxies; capture would lead its connection here.
    const relay = createServer({ allowHalfOpen: true }, (socket) => {
      const upstream = connect({ host: caller.ip, port: 15003, allowHalfOpen: true })
      for (const one of [socket, upstream]) one.on('error', () => {})
      socket.pipe(upstream).pipe(socket)
    })
    const port = await listenAt(relay)
    const client = new WebSocket(`ws://127.0.0.1:${port}/chat`)
    const heard: string[] = []
    return new Promise((resolve, reject) => {
      client.addEventListener('error', () => reject(new Error('the handshake failed')))
      client.addEventListener('message', ({ data }) => {
        heard.push(String(data))
        if (heard.length === 1) client.send('two')
        else client.close(1000)
      })
      client.addEventListener('close', ({ code }) => resolve(`${heard.join(' ')} ${code}`))
      client.addEventListener('open', () => client.send('one'))
    })
  }

  it('works by default from sidecar to sidecar, over mTLS and one HTTP/2 connection', async () => {
    const world = new World()
    open.push(() => world.close())
    const caller = world.pod('east', 'storefront')
    const pod = world.pod('east', 'checkout')
    await echo(pod.ip)
    pod.proxy.apply(world.sidecarConfig(pod, { inbound: [{ name: 'checkout' }] }))
    const service = { name: 'checkout', endpoints: [[mtlsEndpoint(pod)]], identities: [pod.uri] }
    caller.proxy.apply(hostless(world.sidecarConfig(caller, { services: [service] })))
    await listening(pod)
    await listening(caller)
    expect(await talk(caller)).toBe('one two 1000')
    await until(() => caller.records.length === 1 && pod.records.length === 1)
    expect(pod.records[0]).toMatchObject({ status: 101, protocol: 'HTTP/2', flags: '-' })
    expect(caller.records[0]).toMatchObject({ status: 101, protocol: 'HTTP/1.1', transport: 'mtls', flags: '-' })
  })

  it('works from cluster to cluster through the gateway', async () => {
    const world = new World()
    open.push(() => world.close())
    const caller = world.pod('east', 'storefront')
    const pod = world.pod('west', 'checkout')
    const gateway = world.pod('west', 'isthmus-east-west', { gateway: true })
    await echo(pod.ip)
    pod.proxy.apply(world.sidecarConfig(pod, { inbound: [{ name: 'checkout', exported: true }] }))
    gateway.proxy.apply(world.gatewayConfig(gateway, [{ name: 'checkout', pods: [pod], peers: ['east'] }]))
    const endpoint = tunnelEndpoint({
      cluster: 'west',
      service: 'checkout',
      address: gateway.ip,
      identities: [pod.uri],
      endpoints: 1,
    })
    const service = { name: 'checkout', endpoints: [[endpoint]], identities: [pod.uri] }
    caller.proxy.apply(hostless(world.sidecarConfig(caller, { services: [service] })))
    for (const one of [pod, gateway, caller]) await listening(one)
    expect(await talk(caller)).toBe('one two 1000')
  })

  /** Any host leads to the one service: the client names the relay it was led through. */
  function hostless(config: ReturnType<World['sidecarConfig']>): ReturnType<World['sidecarConfig']> {
    const routes = new Map(
      [...config.routes].map(([name, table]) => [
        name,
        { ...table, hosts: table.hosts.map((host) => ({ ...host, domains: ['*'] })) },
      ]),
    )
    return { ...config, routes }
  }
})

describe('CONNECT', () => {
  const connectRoute = { match: { kind: 'connect' as const }, cluster: 'origin', timeoutMs: 0 }

  async function greeting(): Promise<{ port: number; seen: string[] }> {
    const seen: string[] = []
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      socket.on('error', () => {})
      socket.write('220 hello\r\n')
      socket.on('data', (chunk: Buffer) => void (seen.push(String(chunk)), socket.write(`echo ${String(chunk)}`)))
      socket.on('end', () => socket.end('bye'))
    })
    return { port: await listenAt(server), seen }
  }

  it('ends where a route says so, with a server that speaks first, and half-closes', async () => {
    const origin = await greeting()
    const proxy = await proxyTo(origin.port, { routes: [connectRoute, ORIGIN_ROUTE] })
    const client = new Client(proxy.port)
    await client.send('CONNECT a:25 HTTP/1.1\r\nHost: a:25\r\n\r\nearly', 'echo early')
    expect(client.text).toMatch(/^HTTP\/1\.1 200 OK\r\n[^]*\r\n220 hello\r\necho early$/)
    client.socket.end()
    await until(() => client.ended)
    expect(client.text.endsWith('bye')).toBe(true)
    await until(() => proxy.records.length === 1)
    expect(proxy.records[0]).toMatchObject({ method: 'CONNECT', status: 200, flags: '-' })
  })

  it('is refused where no route ends it, and answered 503 where nobody listens', async () => {
    const refusing = await proxyTo(1)
    expect(await new Client(refusing.port).send('CONNECT a:25 HTTP/1.1\r\nHost: a:25\r\n\r\n', '\r\n\r\n')).toMatch(
      /^HTTP\/1\.1 405 /,
    )
    const proxy = await proxyTo(1, { routes: [connectRoute] })
    const client = new Client(proxy.port)
    await client.send('CONNECT a:25 HTTP/1.1\r\nHost: a:25\r\n\r\n', '\r\n\r\n')
    expect(client.text).toMatch(/^HTTP\/1\.1 503 [^]*connection: close\r\n/)
  })

  it('works over HTTP/2 too', async () => {
    const origin = await greeting()
    const proxy = await proxyTo(origin.port, { way: 'captured-outbound', routes: [connectRoute] })
    const client = connectHttp2(`http://127.0.0.1:${proxy.port}`)
    open.push(() => client.destroy())
    const stream = client.request({ ':method': 'CONNECT', ':authority': 'a:25' })
    let text = ''
    stream.on('data', (chunk: Buffer) => (text += String(chunk)))
    stream.write('x')
    await until(() => text === '220 hello\r\necho x')
    stream.end()
    await once(stream, 'close')
    expect(text.endsWith('bye')).toBe(true)
  })
})
