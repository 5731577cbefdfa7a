import { once } from 'node:events'
import { connect as connectHttp2 } from 'node:http2'
import { createServer as createHttp, type RequestListener } from 'node:http'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { pino } from 'pino'
import { afterEach, describe, expect, it } from 'vitest'
import {
  type Cluster,
  type FilterChain,
  type Listener,
  PASSTHROUGH_CLUSTER,
  type ProxyConfig,
  type RouteTable,
} from '../../model/config.ts'
import { systemClock } from '../../runtime/clock.ts'
import { seededRandom } from '../../runtime/random.ts'
import { type Proxy, startProxy } from '../proxy.ts'
import type { Destination } from './destination.ts'
import { detect } from './detect.ts'

const CLIENT_IP = '127.0.0.1'
const open: (() => void)[] = []
afterEach(() => {
  for (const close of open.splice(0).reverse()) close()
})

async function portOf(server: Server): Promise<number> {
  server.listen(0, CLIENT_IP)
  open.push(() => server.close())
  await once(server, 'listening')
  const address = server.address()
  return typeof address === 'object' && address !== null ? address.port : 0
}

const http = (handler: RequestListener): Promise<number> => portOf(createHttp(handler))
const tcp = (onSocket: (socket: Socket) => void): Promise<number> =>
  portOf(createServer((socket) => onSocket(socket.on('error', () => {}))))

function clusterTo(name: string, port: number): Cluster {
  const workload = { cluster: 'east', namespace: 'shop', workload: 'checkout' }
  const endpoint = { address: CLIENT_IP, port, health: 'healthy', weight: 1, transport: 'plain', workload } as const
  const locality = { cloud: '', region: '', zone: '' }
  const localities = [{ locality, priority: 0, weight: 1, endpoints: [endpoint] }]
  return { name, endpoints: { cluster: name, localities }, lb: 'least-request', connectTimeoutMs: 1_000 }
}

const routesTo = (cluster: string, domains: readonly string[]): RouteTable => ({
  name: 'outbound',
  hosts: [{ name: 'host', domains, routes: [{ match: { kind: 'prefix', prefix: '/' }, cluster, timeoutMs: 2_000 }] }],
})

const passthrough: FilterChain = {
  name: 'rest',
  serverNames: [],
  filter: { kind: 'tcp', statPrefix: 'rest', cluster: PASSTHROUGH_CLUSTER },
}
const httpChain = (mode: 'forward' | 'inbound', routes: RouteTable, name = 'http'): FilterChain => ({
  name,
  serverNames: [],
  protocol: 'http',
  filter: { kind: 'http', statPrefix: 'http', mode, routes },
})
const at = (port: number, address = CLIENT_IP): Pick<FilterChain, 'destinations'> => ({
  destinations: { addresses: [address], port },
})

interface Captured {
  readonly proxy: Proxy
  readonly lines: Record<string, unknown>[]
  /** As if the kernel had redirected the connection. */
  readonly dial: (destination: Destination) => Socket
}

async function captured(
  direction: 'outbound' | 'inbound',
  chains: readonly FilterChain[],
  options: { clusters?: readonly Cluster[]; detectMs?: number } = {},
): Promise<Captured> {
  const lines: Record<string, unknown>[] = []
  /** In the order of the connections. */
  const targets: Destination[] = []
  const proxy = startProxy({
    podIp: CLIENT_IP,
    own: { cluster: 'east', namespace: 'shop', workload: 'storefront', version: '', region: '', zone: '' },
    trustDomain: 'east.test',
    identity: { current: () => undefined, onChange: () => () => {} },
    clock: systemClock,
    random: seededRandom(1),
    log: pino({ level: 'silent' }),
    accessLog: (text) =>
      void lines.push(
        ...text
          .toString()
          .trim()
          .split('\n')
          .map((line) => JSON.parse(line) as Record<string, unknown>),
      ),
    lookup: undefined,
    originalDestination: () => targets.shift(),
  })
  open.push(() => proxy.close())
  const capture = { direction, detectMs: options.detectMs ?? 100 }
  const listener: Listener = { name: 'captured', address: CLIENT_IP, port: 0, chains, capture }
  const config: ProxyConfig = {
    listeners: new Map([[listener.name, listener]]),
    routes: new Map(),
    clusters: new Map((options.clusters ?? []).map((cluster) => [cluster.name, cluster])),
    endpoints: new Map(),
    secrets: new Map(),
  }
  expect(proxy.apply(config).rejected).toEqual([])
  await until(() => proxy.listeners.portOf('captured') !== undefined)
  const dial = (destination: Destination): Socket => {
    targets.push(destination)
    const socket = connect({ host: CLIENT_IP, port: proxy.listeners.portOf('captured') ?? 0 })
    open.push(() => socket.destroy())
    return socket.on('error', () => {})
  }
  return { proxy, lines, dial }
}

async function until(condition: () => boolean): Promise<void> {
  for (let turn = 0; !condition(); turn++) {
    if (turn > 400) throw new Error('did not come true')
    await new Promise((resolve) => void systemClock.after(5, () => resolve(undefined)))
  }
}

async function read(socket: Socket, enough: (text: string) => boolean = () => false): Promise<string> {
  let text = ''
  const done = new Promise<void>((resolve) => void socket.once('close', () => resolve()))
  const heard = new Promise<void>((resolve) => {
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1')
      if (enough(text)) resolve()
    })
  })
  await Promise.race([done, heard])
  return text
}

const request = (host: string): string => `GET /a HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`

describe('captured outbound', () => {
  it('routes HTTP by its host, wherever the connection was going', async () => {
    const port = await http((_, response) => response.end('checkout'))
    const chains = [httpChain('forward', routesTo('checkout', ['checkout.shop'])), passthrough]
    const { dial, lines } = await captured('outbound', chains, { clusters: [clusterTo('checkout', port)] })
    const socket = dial({ address: '203.0.113.1', port: 80 })
    socket.write(request('checkout.shop'))
    expect(await read(socket)).toContain('checkout')
    await until(() => lines.length > 0)
    expect(lines[0]).toMatchObject({ reporter: 'source', authority: 'checkout.shop', status: 200 })
  })

  it('passes a host that the mesh does not know to where it was going', async () => {
    const port = await http((message, response) => response.end(`elsewhere ${message.headers.host}`))
    const chains = [httpChain('forward', routesTo('checkout', ['checkout.shop'])), passthrough]
    const { dial, lines } = await captured('outbound', chains)
    const socket = dial({ address: CLIENT_IP, port })
    socket.write(request('example.org'))
    expect(await read(socket)).toContain('elsewhere example.org')
    await until(() => lines.length > 0)
    expect(lines[0]).toMatchObject({ cluster: PASSTHROUGH_CLUSTER, upstream: `${CLIENT_IP}:${port}` })
  })

  it('lets a server speak first without waiting where TCP is declared', async () => {
    const port = await tcp((socket) => socket.end('220 ready\r\n'))
    const chains = [{ ...passthrough, ...at(port) }, httpChain('forward', routesTo('x', ['x'])), passthrough]
    // Detection would take longer than the test.
    const { dial } = await captured('outbound', chains, { detectMs: 600_000 })
    expect(await read(dial({ address: CLIENT_IP, port }))).toBe('220 ready\r\n')
  })

  it('waits for the client only so long where nothing is declared', async () => {
    const port = await tcp((socket) => socket.end('220 ready\r\n'))
    const chains = [httpChain('forward', routesTo('x', ['x'])), passthrough]
    const { dial } = await captured('outbound', chains, { detectMs: 20 })
    expect(await read(dial({ address: CLIENT_IP, port }))).toBe('220 ready\r\n')
  })

  it('gives bytes that are not HTTP to the TCP route of the destination', async () => {
    const port = await tcp((socket) => socket.once('data', (chunk: Buffer) => socket.end(`got ${chunk.toString()}`)))
    const route: FilterChain = {
      ...passthrough,
      destinations: { addresses: ['203.0.113.5'], port: 9000 },
      filter: { kind: 'tcp', statPrefix: 'queue', cluster: 'queue' },
    }
    const { dial } = await captured('outbound', [route, passthrough], { clusters: [clusterTo('queue', port)] })
    const socket = dial({ address: '203.0.113.5', port: 9000 })
    socket.write('\u0001hello')
    expect(await read(socket)).toBe('got \u0001hello')
  })

  it('waits for a client that connects long before it asks where HTTP is declared', async () => {
    const port = await http((_, response) => response.end('checkout'))
    const { protocol: _, ...declared } = httpChain('forward', routesTo('checkout', ['checkout.shop']))
    const chains = [{ ...declared, ...at(80, '203.0.113.1') }, passthrough]
    const { dial } = await captured('outbound', chains, { clusters: [clusterTo('checkout', port)], detectMs: 1 })
    const socket = dial({ address: '203.0.113.1', port: 80 })
    await new Promise((resolve) => void systemClock.after(150, () => resolve(undefined)))
    socket.write(request('checkout.shop'))
    expect(await read(socket)).toContain('checkout')
  })

  it('serves HTTP/2 with prior knowledge at a destination that it knows', async () => {
    const origin = await http((message, response) => response.end(`bridged ${message.headers.host}`))
    const chain = { ...httpChain('forward', routesTo('grpc', ['grpc.shop:9090'])), ...at(9090, '203.0.113.9') }
    const { dial } = await captured('outbound', [chain, passthrough], { clusters: [clusterTo('grpc', origin)] })
    const socket = dial({ address: '203.0.113.9', port: 9090 })
    const client = connectHttp2('http://grpc.shop:9090', { createConnection: () => socket })
    open.push(() => client.destroy())
    const stream = client.request({ ':path': '/' })
    let text = ''
    stream.on('data', (chunk: Buffer) => (text += chunk.toString()))
    await once(stream, 'end')
    expect(text).toBe('bridged grpc.shop:9090')
  })

  it.each(['169.254.169.254', '100.100.100.200'])('refuses %s', async (address) => {
    const { dial, proxy } = await captured('outbound', [passthrough])
    expect(await read(dial({ address, port: 80 }))).toBe('')
    expect(proxy.acceptor.refused.get('forbidden-destination')).toBe(1)
  })

  it('refuses a connection to itself, which would come back without end', async () => {
    const { dial, proxy } = await captured('outbound', [passthrough])
    const own = { address: CLIENT_IP, port: proxy.listeners.portOf('captured') ?? 0 }
    expect(await read(dial(own))).toBe('')
    expect(proxy.acceptor.refused.get('capture-loop')).toBe(1)
  })

  it('resets a connection whose destination refuses it', async () => {
    const port = await tcp(() => {})
    open.pop()?.()
    const { dial, lines } = await captured('outbound', [passthrough])
    const socket = dial({ address: CLIENT_IP, port })
    expect(await read(socket)).toBe('')
    await until(() => lines.length > 0)
    expect(lines[0]).toMatchObject({ flags: 'UF' })
  })
})

describe('captured inbound', () => {
  it('brings plaintext to the application and says that no one vouched for the caller', async () => {
    const port = await http((message, response) => response.end(`app ${message.url}`))
    const service = 'checkout.shop.svc.cluster.local'
    const routes = routesTo(`inbound|${port}||`, ['*'])
    const chains = [
      { ...httpChain('inbound', routes, service), ...at(port) },
      { ...passthrough, ...at(port) },
      passthrough,
    ]
    const { dial, lines, proxy } = await captured('inbound', chains, {
      clusters: [clusterTo(`inbound|${port}||`, port)],
    })
    const socket = dial({ address: CLIENT_IP, port })
    socket.write(request('any.name'))
    expect(await read(socket)).toContain('app /a')
    await until(() => lines.length > 0)
    expect(lines[0]).toMatchObject({ reporter: 'destination', service, source: { workload: '' } })
    expect(proxy.recorder.metrics.exposition()).toContain('connection_security_policy="none"')
  })

  it('hands other bytes to the port they came for', async () => {
    const port = await tcp((socket) => socket.end('220 ready\r\n'))
    const { dial, lines, proxy } = await captured('inbound', [{ ...passthrough, ...at(port) }, passthrough])
    expect(await read(dial({ address: CLIENT_IP, port }))).toBe('220 ready\r\n')
    await until(() => lines.length > 0)
    expect(lines[0]).toMatchObject({ reporter: 'destination', bytesSent: 11 })
    expect(proxy.acceptor.captured.served.get('inbound|tcp')).toBe(1)
  })
})

describe('a configuration', () => {
  it.each<[string, Listener]>([
    [
      'destinations without capture',
      { name: 'x', address: CLIENT_IP, port: 0, chains: [{ ...passthrough, ...at(1) }] },
    ],
    ['passthrough without capture', { name: 'x', address: CLIENT_IP, port: 0, chains: [passthrough] }],
    [
      'an inbound mode on an outbound listener',
      {
        name: 'x',
        address: CLIENT_IP,
        port: 0,
        chains: [httpChain('inbound', routesTo('x', ['*']))],
        capture: { direction: 'outbound', detectMs: 1 },
      },
    ],
  ])('with %s is refused', async (_name, listener) => {
    const { proxy } = await captured('outbound', [passthrough])
    const { rejected } = proxy.apply({
      listeners: new Map([['x', listener]]),
      routes: new Map(),
      clusters: new Map(),
      endpoints: new Map(),
      secrets: new Map(),
    })
    expect(rejected).toMatchObject([{ kind: 'listener', resource: 'x', path: 'filter_chains[0]' }])
  })
})

describe('detect', () => {
  it.each<[string, string, ReturnType<typeof detect>]>([
    ['nothing', '', { kind: 'more', begun: false }],
    ['a letter that could be anything', 'P', { kind: 'more', begun: false }],
    ['half a method', 'POS', { kind: 'more', begun: false }],
    ['half a head', 'POST / HTTP/1.1\r\nHo', { kind: 'more', begun: true }],
    ['a head', 'POST / HTTP/1.1\r\nHOST:  A.b:80 \r\n\r\nbody', { kind: 'http1', host: 'a.b:80' }],
    ['two hosts', 'GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n', { kind: 'http1', host: undefined }],
    ['the absolute form', 'GET http://A.b/x HTTP/1.1\r\nhost: c\r\n\r\n', { kind: 'http1', host: 'a.b' }],
    ['the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', { kind: 'h2' }],
    ['half the preface', 'PRI *', { kind: 'more', begun: true }],
    ['TLS', '\u0016\u0003\u0001', { kind: 'other' }],
    ['another protocol', 'PING\r\n', { kind: 'other' }],
  ])('%s', (_name, text, speech) => {
    expect(detect(Buffer.from(text, 'latin1'))).toEqual(speech)
  })
})
