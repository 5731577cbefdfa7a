/** TCP through real proxies: between two pods, and through a gateway, with what may go wrong on the way. */
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { type Cluster, type Endpoint, type FilterChain, type Listener, type TcpProxy } from '../../model/config.ts'
import { ALPN_TCP } from '../../model/tcp.ts'
import { clusterName, innerSni, tunnelAuthority } from '../../model/sni.ts'
import {
  listening,
  MESH,
  mtlsEndpoint,
  plainEndpoint,
  type Pod,
  until,
  World,
} from '../../../gateways/testing/world.ts'
import { systemClock } from '../../runtime/clock.ts'
import { decodeResource, encodeResource } from '../../xds/codec/codec.ts'

const PORT = 5432
const LISTENER_PORT = 15_432
const SERVICE = 'db.shop.svc.cluster.local'
const OUTBOUND = clusterName('outbound', PORT, SERVICE)
const sni = (domain: string): string => innerSni({ service: 'db', namespace: 'shop', domain, port: PORT })

let world: World
afterEach(() => world.close())

/** The application of a pod; what it does with each connection is the test's. */
async function app(pod: Pod, onSocket: (socket: Socket) => void): Promise<void> {
  const open = new Set<Socket>()
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    open.add(socket.on('error', () => {}))
    onSocket(socket)
  })
  server.listen(8080, pod.ip)
  await once(server, 'listening')
  world.onClose(() => {
    for (const socket of open) socket.destroy()
    server.close()
  })
}

function inboundChain(domain: string, trustDomains: readonly string[]): FilterChain {
  return {
    name: sni(domain),
    serverNames: [sni(domain)],
    tls: { certificate: 'default', validation: 'ROOTCA', alpn: [ALPN_TCP] },
    allow: { trustDomains, ids: [] },
    filter: { kind: 'tcp', statPrefix: 'in', cluster: 'inbound|8080||' },
  }
}

/** A pod that serves the database, for peers of these trust domains. */
async function database(
  cluster: string,
  onSocket: (socket: Socket) => void,
  trustDomains: readonly string[] = [`east.${MESH}`],
): Promise<Pod> {
  const pod = world.pod(cluster, 'db')
  await app(pod, onSocket)
  const chains = [inboundChain('cluster.local', trustDomains), inboundChain('clusterset.local', trustDomains)]
  const listener: Listener = { name: 'inbound-mesh', address: pod.ip, port: 15008, chains }
  const base = world.sidecarConfig(pod, {})
  const { rejected } = pod.proxy.apply({ ...base, listeners: new Map([[listener.name, listener]]) })
  expect(rejected).toEqual([])
  await listening(pod)
  return pod
}

interface CallerOptions {
  readonly identities?: readonly string[]
  readonly filter?: Partial<TcpProxy>
  readonly cluster?: Partial<Cluster>
}

/** A pod whose port 15432 leads to the service; through the codec, as a control plane would have sent it. */
async function caller(priorities: readonly (readonly Endpoint[])[], options: CallerOptions = {}): Promise<Pod> {
  const pod = world.pod('east', 'shop')
  const base = world.sidecarConfig(pod, {})
  const filter = {
    kind: 'tcp',
    statPrefix: 'out',
    cluster: OUTBOUND,
    connectAttemptsMax: 3,
    ...options.filter,
  } as const
  const chains = [{ name: 'tcp', serverNames: [], filter }]
  const listener = { name: 'tcp', address: pod.ip, port: LISTENER_PORT, chains }
  const decoded = decodeResource('listener', encodeResource({ kind: 'listener', value: listener }))
  if ('rejection' in decoded) throw new Error(JSON.stringify(decoded.rejection))
  expect(decoded.value).toEqual(listener)
  const localities = priorities.map((endpoints, priority) => ({
    locality: { cloud: 'aws', region: 'r', zone: `z${priority}` },
    priority,
    weight: 1,
    endpoints,
  }))
  const cluster: Cluster = {
    name: OUTBOUND,
    endpoints: { cluster: OUTBOUND, localities },
    lb: 'least-request',
    connectTimeoutMs: 1_000,
    tls: {
      certificate: 'default',
      validation: 'ROOTCA',
      sni: sni('cluster.local'),
      alpn: [ALPN_TCP],
      identities: options.identities ?? ['east', 'west'].map((name) => `spiffe://${name}.${MESH}/ns/shop/sa/db`),
    },
    outlier: { consecutiveErrors: 5, baseEjectionMs: 30_000, ejectionPercentMax: 100 },
    ...options.cluster,
  }
  const { rejected } = pod.proxy.apply({
    ...base,
    listeners: new Map([[listener.name, listener]]),
    clusters: new Map([[OUTBOUND, cluster]]),
  })
  expect(rejected).toEqual([])
  await listening(pod)
  return pod
}

function dial(pod: Pod): Socket {
  const socket = connect({ host: pod.ip, port: LISTENER_PORT, allowHalfOpen: true })
  world.onClose(() => void socket.destroy())
  return socket.on('error', () => {})
}

/** All that comes until the other side ends; `reset` where it broke. */
async function rest(socket: Socket): Promise<string> {
  let text = ''
  socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')))
  const how = await new Promise<string>((resolve) => {
    socket.on('end', () => resolve(''))
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? 'error'))
    socket.on('close', () => resolve(''))
  })
  return text + how
}

const recordOf = async (pod: Pod): Promise<Record<string, unknown>> => {
  await until(() => pod.records.length > 0)
  return pod.records.shift() ?? {}
}

const MUCH = 24 * 1024 * 1024

/** As many bytes one way as the other, compared at each end. */
class Much {
  readonly #bytes = randomBytes(MUCH)
  #arrived: Promise<Buffer> | undefined

  answer(socket: Socket): void {
    this.#arrived = digestOf(socket)
    socket.end(this.#bytes)
  }

  async ask(socket: Socket): Promise<void> {
    const returned = digestOf(socket)
    // In pieces of odd sizes, so that reads end anywhere.
    for (let at = 0; at < MUCH; at += 99_991) socket.write(this.#bytes.subarray(at, at + 99_991))
    socket.end()
    const wanted = createHash('sha256').update(this.#bytes).digest()
    expect((await returned).equals(wanted)).toBe(true)
    expect((await this.#arrived)?.equals(wanted)).toBe(true)
  }
}

/** Of all that comes, by a reader that pauses now and then. */
function digestOf(socket: Socket): Promise<Buffer> {
  const hash = createHash('sha256')
  let turn = 0
  socket.on('data', (chunk: Buffer) => {
    hash.update(chunk)
    if (++turn % 37 !== 0) return
    socket.pause()
    systemClock.after(turn % 5, () => socket.resume())
  })
  return new Promise((resolve) => void socket.on('end', () => resolve(hash.digest())))
}

describe('TCP between two pods', () => {
  it('brings the greeting of a server that speaks first, over mTLS, and says who called', async () => {
    world = new World()
    const pod = await database('east', (socket) => void socket.end('220 ready\r\n'))
    const from = await caller([[mtlsEndpoint(pod)]])
    const socket = dial(from)
    expect(await rest(socket)).toBe('220 ready\r\n')
    socket.end()
    const parties = {
      source: { cluster: 'east', namespace: 'shop', workload: 'shop', principal: from.uri },
      destination: { cluster: 'east', namespace: 'shop', workload: 'db', principal: pod.uri },
    }
    const common = { protocol: 'TCP', flags: '-', bytesSent: 11, bytesReceived: 0, service: SERVICE, ...parties }
    expect(await recordOf(pod)).toMatchObject({ reporter: 'destination', ...common })
    expect(await recordOf(from)).toMatchObject({ reporter: 'source', transport: 'mtls', attempts: 1, ...common })
  })

  it('carries both directions, and each side’s end on its own', async () => {
    world = new World()
    const heard: string[] = []
    const pod = await database('east', (socket) => {
      socket.on('data', (chunk: Buffer) => heard.push(chunk.toString()))
      // Answers only after the client has ended its side.
      socket.on('end', () => socket.end(`got ${heard.join('')}`))
    })
    const socket = dial(await caller([[mtlsEndpoint(pod)]]))
    socket.end('select 1')
    expect(await rest(socket)).toBe('got select 1')
  })

  it('counts connections and bytes while they are open', async () => {
    world = new World()
    const pod = await database('east', (socket) => void socket.write('hello'))
    const from = await caller([[mtlsEndpoint(pod)]])
    const socket = dial(from)
    await once(socket, 'data')
    const lineOf = (name: string, of: Pod): string | undefined =>
      of.proxy.acceptor.tcp
        .exposition()
        .split('\n')
        .find((line) => line.startsWith(`istio_tcp_${name}_total{`))
    await until(() => lineOf('sent_bytes', pod)?.endsWith(' 5') === true)
    expect(lineOf('sent_bytes', from)).toMatch(/reporter="source".*request_protocol="tcp".* 5$/)
    expect(lineOf('connections_opened', from)).toMatch(/destination_service_name="db".*response_flags="-".* 1$/)
    expect(lineOf('connections_closed', from)).toMatch(/ 0$/)
    expect(lineOf('connections_opened', pod)).toMatch(/connection_security_policy="mutual_tls"/)
    socket.destroy()
  })

  it('lets no byte through to an application whose rule names others, nor from one that is not meant', async () => {
    world = new World()
    let reached = 0
    const pod = await database('east', () => reached++, [`west.${MESH}`])
    expect(await rest(dial(await caller([[mtlsEndpoint(pod)]])))).toBe('ECONNRESET')
    const other = await database('east', () => reached++)
    const identities = [`spiffe://east.${MESH}/ns/shop/sa/other`]
    const from = await caller([[mtlsEndpoint(other)]], { identities })
    expect(await rest(dial(from))).toBe('ECONNRESET')
    expect(await recordOf(from)).toMatchObject({ flags: 'UF', upstream: '-', attempts: 1 })
    expect(reached).toBe(0)
  })

  it('passes a reset on as a reset', async () => {
    world = new World()
    const pod = await database('east', (socket) => void socket.write('half', () => socket.resetAndDestroy()))
    const from = await caller([[mtlsEndpoint(pod)]])
    expect(await rest(dial(from))).toMatch(/ECONNRESET$/)
    expect(await recordOf(from)).toMatchObject({ flags: 'UC' })
  })

  it('tries another endpoint where one cannot be connected to, and then leaves that one alone', async () => {
    world = new World()
    const gone = { ...mtlsEndpoint(world.pod('east', 'db')), port: 1 }
    const pod = await database('east', (socket) => void socket.end('here'))
    const from = await caller([[gone], [mtlsEndpoint(pod)]])
    for (const attempts of [2, 1]) {
      const socket = dial(from)
      expect(await rest(socket)).toBe('here')
      socket.end()
      expect(await recordOf(from)).toMatchObject({ flags: '-', attempts })
    }
  })

  it('resets a connection where no endpoint is left', async () => {
    world = new World()
    const gone = plainEndpoint(world.pod('east', 'db'), 1)
    const from = await caller([[gone]])
    expect(await rest(dial(from))).toBe('ECONNRESET')
    expect(await recordOf(from)).toMatchObject({ flags: 'UF', upstream: '-' })
    const empty = await caller([])
    expect(await rest(dial(empty))).toBe('ECONNRESET')
    expect(await recordOf(empty)).toMatchObject({ flags: 'UH' })
  })

  it('ends a connection that is silent, and one that has lived long enough', async () => {
    world = new World()
    const pod = await database('east', (socket) => void socket.resume())
    const silent = await caller([[mtlsEndpoint(pod)]], { filter: { idleMs: 50 } })
    await rest(dial(silent))
    expect(await recordOf(silent)).toMatchObject({ flags: 'SI' })
    const old = await caller([[mtlsEndpoint(pod)]], { filter: { durationMaxMs: 50 } })
    await rest(dial(old))
    expect(await recordOf(old)).toMatchObject({ flags: 'DT' })
  })

  it('holds to the limit of connections', async () => {
    world = new World()
    const pod = await database('east', (socket) => {
      socket.write('in')
      socket.resume().on('end', () => socket.end())
    })
    const cluster = { circuitBreakers: { default: { connectionsMax: 1 } } }
    const from = await caller([[mtlsEndpoint(pod)]], { cluster })
    const first = dial(from)
    await once(first, 'data')
    expect(await rest(dial(from))).toBe('ECONNRESET')
    expect(await recordOf(from)).toMatchObject({ flags: 'UO' })
    first.destroy()
    await recordOf(from)
    const third = dial(from)
    await once(third, 'data')
  })

  it('stops reading from one side while the other does not', async () => {
    world = new World()
    const chunk = Buffer.alloc(64 * 1024)
    let sent = 0
    const pod = await database('east', (socket) => {
      const fill = (): void => {
        do sent += chunk.length
        while (socket.write(chunk))
      }
      socket.on('drain', fill)
      fill()
    })
    const from = await caller([[mtlsEndpoint(pod)]])
    const socket = dial(from)
    await once(socket, 'connect')
    socket.pause()
    let before = -1
    await until(() => {
      const settled = sent === before && sent > 0
      before = sent
      return settled
    })
    // The kernel's buffers of three sockets, and little of ours.
    expect(sent).toBeLessThan(32 * 1024 * 1024)
    socket.resume()
    await until(() => sent > before + 64 * 1024 * 1024)
    socket.destroy()
  })

  it('loses and repeats no byte of much, in both directions at once, with readers that pause', async () => {
    world = new World()
    const much = new Much()
    const pod = await database('east', (socket) => much.answer(socket))
    const from = await caller([[mtlsEndpoint(pod)]])
    await much.ask(dial(from))
    expect(await recordOf(from)).toMatchObject({ flags: '-', bytesSent: MUCH, bytesReceived: MUCH })
  })

  it('closes what was admitted once the peer is no longer trusted', async () => {
    world = new World()
    const pod = await database('east', (socket) => void socket.write('in'))
    const from = await caller([[mtlsEndpoint(pod)]])
    const socket = dial(from)
    await once(socket, 'data')
    const { config } = pod.proxy.state.snapshot
    const [bundle] = config.secrets.values()
    if (bundle === undefined) throw new Error('no bundle')
    const secrets = new Map([['ROOTCA', { ...bundle, revokedTrustDomains: [`east.${MESH}`] }]])
    const ended = rest(socket)
    pod.proxy.apply({ ...config, secrets })
    await ended
  })
})

describe('TCP to another cluster', () => {
  async function exported(onSocket: (socket: Socket) => void): Promise<{ pod: Pod; gateway: Pod; endpoint: Endpoint }> {
    const pod = await database('west', onSocket, [`east.${MESH}`, `west.${MESH}`])
    const gateway = world.pod('west', 'isthmus-east-west', { gateway: true })
    gateway.proxy.apply(world.gatewayConfig(gateway, [{ name: 'db', port: PORT, pods: [pod], peers: ['east'] }]))
    await listening(gateway)
    const endpoint: Endpoint = {
      address: gateway.ip,
      port: 15443,
      health: 'healthy',
      weight: 1,
      transport: 'tunnel',
      workload: { cluster: 'west', namespace: 'shop', workload: 'db' },
      tunnel: {
        authority: tunnelAuthority({ service: 'db', namespace: 'shop', port: PORT }),
        cluster: 'west',
        trustDomain: `west.${MESH}`,
        gatewaySni: `gateway.west.${MESH}`,
        gatewayIdentity: `spiffe://west.${MESH}/ns/isthmus-system/sa/isthmus-east-west`,
        innerSni: sni('clusterset.local'),
        identities: [`spiffe://west.${MESH}/ns/shop/sa/db`],
        endpoints: 1,
      },
    }
    return { pod, gateway, endpoint }
  }

  it('runs mTLS end to end inside the gateway’s tunnel, greeting first, half-closes included', async () => {
    world = new World()
    const { pod, endpoint } = await exported((socket) => {
      socket.write('220 west\r\n')
      socket.on('data', () => {}).on('end', () => socket.end('bye'))
    })
    const from = await caller([[endpoint]])
    const socket = dial(from)
    const [greeting] = (await once(socket, 'data')) as [Buffer]
    expect(greeting.toString()).toBe('220 west\r\n')
    socket.end('quit')
    expect(await rest(socket)).toBe('bye')
    expect(await recordOf(pod)).toMatchObject({ reporter: 'destination', source: { principal: from.uri } })
    const sent = { flags: '-', transport: 'tunnel', destination: { cluster: 'west', principal: pod.uri } }
    expect(await recordOf(from)).toMatchObject(sent)
  })

  it('loses and repeats no byte of much in a tunnel', async () => {
    world = new World()
    const much = new Much()
    const { endpoint } = await exported((socket) => much.answer(socket))
    const from = await caller([[endpoint]])
    await much.ask(dial(from))
    expect(await recordOf(from)).toMatchObject({ flags: '-', bytesSent: MUCH, bytesReceived: MUCH })
  })

  it('fails over to the other cluster when the endpoints here are gone, and back', async () => {
    world = new World()
    const { endpoint } = await exported((socket) => void socket.end('west'))
    const near = await database('east', (socket) => void socket.end('east'))
    const from = await caller([[mtlsEndpoint(near)], [endpoint]])
    const answer = async (): Promise<string> => {
      const socket = dial(from)
      const text = await rest(socket)
      socket.end()
      return text
    }
    expect(await answer()).toBe('east')
    const { config } = near.proxy.state.snapshot
    near.proxy.apply({ ...config, listeners: new Map() })
    await until(() => near.proxy.listeners.portOf('inbound-mesh') === undefined)
    expect(await answer()).toBe('west')
    near.proxy.apply(config)
    await listening(near)
    let last = ''
    for (let turn = 0; last !== 'east' && turn < 100; turn++) {
      last = await answer()
      await new Promise((resolve) => setImmediate(resolve))
    }
    expect(last).toBe('east')
  })

  it('breaks with the gateway’s connection', async () => {
    world = new World()
    const { gateway, endpoint } = await exported((socket) => void socket.write('in'))
    const from = await caller([[endpoint]])
    const socket = dial(from)
    await once(socket, 'data')
    const ended = rest(socket)
    gateway.proxy.close()
    expect(await ended).toBe('ECONNRESET')
    expect(await recordOf(from)).toMatchObject({ flags: 'UC' })
  })
})
