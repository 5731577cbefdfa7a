import { once } from 'node:events'
import { createHash, randomBytes } from 'node:crypto'
import { connect as connectTls, createServer as createTlsServer, type TLSSocket } from 'node:tls'
import { afterEach, describe, expect, it } from 'vitest'
import type { Endpoint, ProxyConfig } from '../src/model/config.ts'
import { gatewaySni } from '../src/model/sni.ts'
import { H2ClientConnection } from '../src/proxy/h2/client.ts'
import { openTunnel } from '../src/proxy/h2/tunnel.ts'
import { H2_BUDGETS, H2_TUNNEL_LIMITS, type TunnelOutcome } from '../src/proxy/h2/types.ts'
import { headerOf } from '../src/proxy/message.ts'
import { TimerWheel } from '../src/proxy/timer-wheel.ts'
import { systemClock } from '../src/runtime/clock.ts'
import {
  ask,
  freshIp,
  listening,
  MESH,
  plainEndpoint,
  type Pod,
  type Relay,
  tunnelEndpoint,
  until,
  World,
} from './testing/world.ts'

const URL = 'http://checkout.shop.svc.clusterset.local/'
const AUTHORITY = 'checkout.shop.svc.clusterset.local:80'

let world: World
afterEach(() => world.close())

interface Remote {
  readonly cluster: string
  readonly gateway: Pod
  readonly relay: Relay
  readonly pods: readonly Pod[]
}

type App = Parameters<World['app']>[1]

/** A cluster that exports checkout: gateway behind a relay, and pods with sidecars. */
async function exporter(cluster: string, count: number, app: (pod: Pod) => App, peers = ['east']): Promise<Remote> {
  const gateway = world.pod(cluster, 'isthmus-east-west', { gateway: true })
  const pods = Array.from({ length: count }, () => world.pod(cluster, 'checkout'))
  for (const pod of pods) {
    await world.app(pod.ip, app(pod))
    const trustDomains = peers.map((peer) => `${peer}.${MESH}`)
    pod.proxy.apply(world.sidecarConfig(pod, { inbound: [{ name: 'checkout', exported: true, peers: trustDomains }] }))
    await listening(pod)
  }
  gateway.proxy.apply(world.gatewayConfig(gateway, [{ name: 'checkout', pods, peers }]))
  await listening(gateway)
  const relay = await world.relay({ address: gateway.ip, port: 15443 })
  return { cluster, gateway, relay, pods }
}

/** A caller in east whose priorities are the given clusters in order. */
async function callerOf(remotes: readonly Remote[]): Promise<Pod> {
  const caller = world.pod('east', 'storefront')
  const identities = remotes.map(({ cluster }) => `spiffe://${cluster}.${MESH}/ns/shop/sa/checkout`)
  const endpoints = remotes.map(({ cluster, relay, pods }, index) => [
    tunnelEndpoint({
      cluster,
      service: 'checkout',
      address: relay.ip,
      identities: [identities[index] ?? ''],
      endpoints: pods.length,
    }),
  ])
  const service = { name: 'checkout', domain: 'clusterset.local' as const, endpoints, identities }
  caller.proxy.apply(world.sidecarConfig(caller, { services: [service] }))
  await listening(caller)
  return caller
}

const answering =
  (pod: Pod): App =>
  (_request, response) =>
    void response.end(pod.ip)

describe('the nested path', () => {
  it('carries requests end to end and no plaintext on the gateway’s wire', async () => {
    world = new World()
    const seen: unknown[] = []
    const west = await exporter('west', 1, () => (request, response) => {
      seen.push(request.headers['x-forwarded-client-cert'])
      response.setHeader('x-answer', 'marker-answer-4711').end('marker-body-4711')
    })
    const caller = await callerOf([west])
    for (let index = 0; index < 10; index++) {
      const answer = await ask(caller, URL, { headers: { 'x-secret': 'marker-secret-4711' } })
      expect(answer.status).toBe(200)
      expect(answer.body.toString()).toBe('marker-body-4711')
    }
    const wire = Buffer.concat(west.relay.captured).toString('latin1')
    expect(wire.length).toBeGreaterThan(1_000)
    for (const marker of ['marker', '4711', 'checkout', 'x-secret']) expect(wire).not.toContain(marker)
    // The destination sees the caller's own identity, not the gateway's.
    expect(seen[0]).toBe(`By=${west.pods[0]?.uri};URI=${caller.uri}`)
    await until(() => caller.records.length === 10 && west.pods[0]?.records.length === 10)
    expect(caller.records[9]).toMatchObject({
      transport: 'tunnel',
      source: { cluster: 'east', workload: 'storefront' },
      destination: { cluster: 'west', workload: 'checkout' },
    })
    expect(west.pods[0]?.records[9]).toMatchObject({ reporter: 'destination', source: { cluster: 'east' } })
    // The one in use, and one for when that carries a large body.
    await until(() => west.gateway.live?.size === 2)
    expect(west.gateway.live?.exposition()).toContain('isthmus_tunnels_total{source_cluster="east",result="open"} 2')
  })

  it('keeps tunnels to different pods and spreads requests over them', async () => {
    world = new World()
    const west = await exporter('west', 4, answering)
    const caller = await callerOf([west])
    await ask(caller, URL)
    await until(() => west.gateway.live?.size === 4)
    const counts = new Map<string, number>()
    for (let index = 0; index < 200; index++) {
      const body = (await ask(caller, URL)).body.toString()
      counts.set(body, (counts.get(body) ?? 0) + 1)
    }
    expect(counts.size).toBe(4)
    for (const count of counts.values()) expect(count).toBeGreaterThan(40)
  })

  it('moves 32 MiB through a tunnel unharmed', async () => {
    world = new World()
    const west = await exporter('west', 1, () => (request, response) => void request.pipe(response))
    const caller = await callerOf([west])
    const body = randomBytes(32 * 1024 * 1024)
    const answer = await ask(caller, URL, { method: 'PUT', body })
    expect(answer.status).toBe(200)
    expect(createHash('sha256').update(answer.body).digest('hex')).toBe(createHash('sha256').update(body).digest('hex'))
  })

  it('keeps one failing pod from costing more than its tunnel', async () => {
    world = new World()
    let bad: Pod | undefined
    const west = await exporter('west', 4, (pod) => (_request, response) => {
      bad ??= pod
      response.statusCode = pod === bad ? 500 : 200
      response.end(pod.ip)
    })
    const europe = await exporter('europe', 1, answering)
    const caller = await callerOf([west, europe])
    const outcomes: string[] = []
    for (let index = 0; index < 300; index++) {
      const answer = await ask(caller, URL)
      outcomes.push(`${answer.status} ${answer.body.toString()}`)
    }
    const failed = outcomes.filter((outcome) => outcome.startsWith('500')).length
    // Five in a row end the bad tunnel, and the gateway is asked to avoid that pod: nothing moves to europe.
    expect(failed).toBeLessThan(40)
    expect(outcomes.slice(150).filter((outcome) => outcome.startsWith('500'))).toEqual([])
    expect(outcomes.filter((outcome) => outcome.includes(europe.pods[0]?.ip ?? 'none'))).toEqual([])
  })
})

describe('losing a cluster', () => {
  /** 100 requests/s for `ms`; the time and outcome of each. */
  async function load(caller: Pod, ms: number, during: (at: number) => void): Promise<Outcome[]> {
    const outcomes: Outcome[] = []
    const pending: Promise<void>[] = []
    const start = systemClock.monotonic()
    // Caller, gateways and pods are this one process: while it has no processor, nobody could answer.
    let [lostMs, lookedAt] = [0, 0]
    await new Promise<void>((resolve) => {
      const cancel = systemClock.every(10, () => {
        const at = systemClock.monotonic() - start
        lostMs += Math.max(0, at - lookedAt - 50)
        lookedAt = at
        const lostBeforeMs = lostMs
        if (at > ms) {
          cancel()
          return resolve()
        }
        during(at)
        pending.push(
          ask(caller, URL).then(
            (answer) => {
              const tookMs = systemClock.monotonic() - start - at - (lostMs - lostBeforeMs)
              outcomes.push({ at, tookMs, status: answer.status, body: answer.body.toString() })
            },
            (error: unknown) => {
              outcomes.push({ at, tookMs: 0, status: 0, body: String(error) })
            },
          ),
        )
      })
    })
    await Promise.all(pending)
    return outcomes.sort((a, b) => a.at - b.at)
  }

  interface Outcome {
    readonly at: number
    readonly tookMs: number
    readonly status: number
    readonly body: string
  }

  it('moves everything within 5 s when a gateway goes silent, and comes back within 5 s', async () => {
    world = new World()
    const west = await exporter('west', 2, () => (_request, response) => void response.end('west'))
    const europe = await exporter('europe', 2, () => (_request, response) => void response.end('europe'))
    const caller = await callerOf([west, europe])
    expect((await ask(caller, URL)).body.toString()).toBe('west')
    let frozen = false
    let thawed = false
    const outcomes = await load(caller, 17_000, (at) => {
      if (at >= 4_000 && !frozen) {
        frozen = true
        west.relay.freeze()
      }
      if (at >= 10_000 && !thawed) {
        thawed = true
        west.relay.thaw()
      }
    })
    const failed = outcomes.filter((outcome) => outcome.status !== 200)
    expect(failed).toEqual([])
    const slow = outcomes.filter((outcome) => outcome.tookMs > 1_000)
    expect(slow.length).toBeLessThan(300)
    expect(Math.max(...outcomes.map((outcome) => outcome.tookMs))).toBeLessThan(5_000)
    const during = outcomes.filter(({ at }) => at > 7_000 && at < 10_000)
    expect(new Set(during.map(({ body }) => body))).toEqual(new Set(['europe']))
    expect(Math.max(...during.map(({ tookMs }) => tookMs))).toBeLessThan(500)
    const after = outcomes.filter(({ at }) => at > 15_000)
    expect(new Set(after.map(({ body }) => body))).toEqual(new Set(['west']))
  }, 40_000)

  it('moves at once when a gateway is killed', async () => {
    world = new World()
    const west = await exporter('west', 2, () => (_request, response) => void response.end('west'))
    const europe = await exporter('europe', 2, () => (_request, response) => void response.end('europe'))
    const caller = await callerOf([west, europe])
    expect((await ask(caller, URL)).body.toString()).toBe('west')
    let killed = false
    const outcomes = await load(caller, 2_000, (at) => {
      if (at < 500 || killed) return
      killed = true
      west.relay.close()
    })
    expect(outcomes.filter((outcome) => outcome.status !== 200)).toEqual([])
    expect(outcomes.at(-1)?.body).toBe('europe')
    expect(Math.max(...outcomes.map((outcome) => outcome.tookMs))).toBeLessThan(1_500)
  }, 20_000)
})

describe('draining a gateway', () => {
  it('moves tunnels to the other gateway of the cluster without a failed request, POST included', async () => {
    world = new World()
    const west = await exporter('west', 2, () => (_request, response) => void response.end('west'))
    const second = world.pod('west', 'isthmus-east-west', { gateway: true })
    const exported = [{ name: 'checkout', pods: west.pods, peers: ['east'] }]
    second.proxy.apply(world.gatewayConfig(second, exported))
    await listening(second)
    const caller = world.pod('east', 'storefront')
    const identities = [`spiffe://west.${MESH}/ns/shop/sa/checkout`]
    const endpoints = [west.gateway, second].map(({ ip }) =>
      tunnelEndpoint({ cluster: 'west', service: 'checkout', address: ip, identities, endpoints: 2 }),
    )
    const service = { name: 'checkout', domain: 'clusterset.local' as const, endpoints: [endpoints], identities }
    caller.proxy.apply(world.sidecarConfig(caller, { services: [service] }))
    await listening(caller)
    const statuses: number[] = []
    const running = Promise.all(
      Array.from({ length: 10 }, async () => {
        for (let index = 0; index < 60; index++) {
          statuses.push((await ask(caller, URL, { method: 'POST', body: Buffer.from('x') })).status)
        }
      }),
    )
    await until(() => statuses.length > 100)
    expect(west.gateway.live?.size).toBeGreaterThan(0)
    west.gateway.proxy.drain()
    await until(() => west.gateway.proxy.busy === 0)
    await running
    expect(statuses.filter((status) => status !== 200)).toEqual([])
  })
})

describe('the gateway', () => {
  async function gatewayOnly(): Promise<Remote> {
    world = new World()
    return exporter('west', 2, answering)
  }

  /** The wire contract spoken by hand, with any certificate. */
  async function tunnel(
    gateway: Pod,
    options: { cluster?: string; authority?: string; headers?: string[] },
  ): Promise<{ status: number; error: string | undefined; id: string | undefined; outcome: TunnelOutcome }> {
    const id = { trustDomain: `${options.cluster ?? 'east'}.${MESH}`, namespace: 'shop', serviceAccount: 'storefront' }
    const own = world.mesh.cluster(options.cluster ?? 'east').workload(id)
    const socket = connectTls({
      host: gateway.ip,
      port: 15443,
      servername: gatewaySni('west', MESH),
      ALPNProtocols: ['h2'],
      rejectUnauthorized: false,
      key: own.keyPem,
      cert: own.chain.join(''),
    })
    await once(socket, 'secureConnect')
    const nothing = (): void => {}
    const handler = { onCapacity: nothing, onIdle: nothing, onDraining: nothing, onClose: nothing }
    const timers = new TimerWheel(systemClock)
    const connection = new H2ClientConnection(socket, handler, {
      limits: H2_TUNNEL_LIMITS,
      budgets: H2_BUDGETS,
      timers,
    })
    world.onClose(() => connection.destroy('local'))
    const head = {
      method: 'CONNECT',
      scheme: '',
      authority: options.authority ?? AUTHORITY,
      path: '',
      protocol: '',
      headers: options.headers ?? ['isthmus-version', '1'],
      bodyLength: -1,
    }
    const outcome = await new Promise<TunnelOutcome>((resolve) => openTunnel(connection, head, resolve))
    const answer = outcome.kind === 'failed' ? undefined : outcome.head
    return {
      status: answer?.status ?? 0,
      error: headerOf(answer?.headers ?? [], 'isthmus-error'),
      id: headerOf(answer?.headers ?? [], 'isthmus-endpoint'),
      outcome,
    }
  }

  it('answers a service not exported to the caller exactly as one that does not exist', async () => {
    const west = await gatewayOnly()
    const denied = await tunnel(west.gateway, { cluster: 'europe' })
    const unknown = await tunnel(west.gateway, { authority: 'nothing.shop.svc.clusterset.local:80' })
    for (const answer of [denied, unknown]) {
      expect(answer).toMatchObject({ status: 404, error: 'TUNNEL_UNKNOWN', id: undefined })
    }
    expect(denied.outcome).toEqual(unknown.outcome)
  })

  it.each([
    [{ headers: ['isthmus-version', '9'] }, 505, 'TUNNEL_VERSION'],
    [{ headers: [] }, 400, 'TUNNEL_MALFORMED'],
    [{ authority: '127.0.0.1:80' }, 400, 'TUNNEL_MALFORMED'],
  ])('answers %j with %i %s', async (options, status, error) => {
    const west = await gatewayOnly()
    expect(await tunnel(west.gateway, options)).toMatchObject({ status, error })
  })

  it('picks the pod with the fewest tunnels, honours avoid and a wanted endpoint', async () => {
    const west = await gatewayOnly()
    const [a, b] = west.pods.map((pod) => pod.id)
    const first = await tunnel(west.gateway, {})
    const second = await tunnel(west.gateway, {})
    expect(new Set([first.id, second.id])).toEqual(new Set([a, b]))
    const third = await tunnel(west.gateway, { headers: ['isthmus-version', '1', 'isthmus-avoid', String(a)] })
    const fourth = await tunnel(west.gateway, { headers: ['isthmus-version', '1', 'isthmus-avoid', String(a)] })
    expect([third.id, fourth.id]).toEqual([b, b])
    const wanted = await tunnel(west.gateway, { headers: ['isthmus-version', '1', 'isthmus-endpoint', String(a)] })
    expect(wanted.id).toBe(a)
    const gone = await tunnel(west.gateway, { headers: ['isthmus-version', '1', 'isthmus-endpoint', 'nosuchendpoint'] })
    expect(gone).toMatchObject({ status: 503, error: 'TUNNEL_NONE_READY' })
  })

  it('answers 502 when every endpoint refuses and 503 when none is ready', async () => {
    const west = await gatewayOnly()
    for (const pod of west.pods) pod.proxy.close()
    expect(await tunnel(west.gateway, {})).toMatchObject({ status: 502, error: 'TUNNEL_REFUSED' })
    west.gateway.proxy.apply(world.gatewayConfig(west.gateway, [{ name: 'checkout', pods: [], peers: ['east'] }]))
    expect(await tunnel(west.gateway, {})).toMatchObject({ status: 503, error: 'TUNNEL_NONE_READY' })
  })

  it('cuts live tunnels when the export is withdrawn from the caller', async () => {
    const west = await gatewayOnly()
    const { outcome } = await tunnel(west.gateway, {})
    if (outcome.kind !== 'open') throw new Error(outcome.kind)
    outcome.duplex.resume()
    const closed = new Promise<void>((resolve) => outcome.duplex.once('close', () => resolve()))
    expect(west.gateway.live?.size).toBe(1)
    const narrowed = [{ name: 'checkout', pods: west.pods, peers: ['europe'] }]
    west.gateway.proxy.apply(world.gatewayConfig(west.gateway, narrowed))
    await closed
    expect(west.gateway.live?.size).toBe(0)
    expect(await tunnel(west.gateway, {})).toMatchObject({ status: 404 })
  })

  it('is bypassed in vain: the destination refuses a caller it is not exported to', async () => {
    world = new World()
    // The gateway lets europe through, the pods know better.
    const west = await exporter('west', 1, answering, ['east'])
    west.gateway.proxy.apply(
      world.gatewayConfig(west.gateway, [{ name: 'checkout', pods: west.pods, peers: ['east', 'europe'] }]),
    )
    const caller = world.pod('europe', 'storefront')
    const identities = [`spiffe://west.${MESH}/ns/shop/sa/checkout`]
    const endpoint = tunnelEndpoint({
      cluster: 'west',
      service: 'checkout',
      address: west.relay.ip,
      identities,
      endpoints: 1,
    })
    const service = { name: 'checkout', domain: 'clusterset.local' as const, endpoints: [[endpoint]], identities }
    caller.proxy.apply(world.sidecarConfig(caller, { services: [service] }))
    await listening(caller)
    expect((await ask(caller, URL)).status).toBe(503)
    expect(west.pods[0]?.records).toEqual([])
    expect(west.pods[0]?.proxy.acceptor.refused.get('not-allowed')).toBeGreaterThan(0)
  })

  it('gives 0 bytes to strangers and to unknown server names', async () => {
    const west = await gatewayOnly()
    const stranger = new World(['east']).mesh.cluster('east')
    const own = stranger.workload({ trustDomain: `east.${MESH}`, namespace: 'shop', serviceAccount: 'storefront' })
    for (const servername of [gatewaySni('west', MESH), gatewaySni('north', MESH), `federation.west.${MESH}`]) {
      const socket = connectTls({
        host: west.gateway.ip,
        port: 15443,
        servername,
        ALPNProtocols: ['h2'],
        rejectUnauthorized: false,
        key: own.keyPem,
        cert: own.chain.join(''),
      })
      let bytes = 0
      socket.on('data', (chunk: Buffer) => (bytes += chunk.length))
      socket.on('error', () => {})
      await new Promise<void>((resolve) => socket.on('close', () => resolve()))
      expect(bytes).toBe(0)
    }
    expect(west.gateway.live?.size).toBe(0)
  })

  it('passes other server names through untouched, and closes them while nobody is behind', async () => {
    const west = await gatewayOnly()
    const sni = `federation.west.${MESH}`
    const own = world.mesh.cluster('west').workload({
      trustDomain: `west.${MESH}`,
      namespace: 'isthmus-system',
      serviceAccount: 'isthmus-federation',
    })
    const ip = freshIp()
    const leader = createTlsServer({ key: own.keyPem, cert: own.chain.join('') }, (socket) => socket.pipe(socket))
    leader.listen(15022, ip)
    await once(leader, 'listening')
    world.onClose(() => void leader.close())
    const config = world.gatewayConfig(west.gateway, [])
    const listener = config.listeners.get('east-west')
    if (listener === undefined) throw new Error('no listener')
    const chain = {
      name: 'federation-peer',
      serverNames: [sni],
      filter: { kind: 'tcp' as const, statPrefix: 'federation-peer', cluster: 'federation-peer' },
    }
    const withLeader = (endpoints: Endpoint[]): ProxyConfig => ({
      ...config,
      listeners: new Map([['east-west', { ...listener, chains: [...listener.chains, chain] }]]),
      clusters: new Map([
        [
          'federation-peer',
          {
            name: 'federation-peer',
            endpoints: {
              cluster: 'federation-peer',
              localities: [{ locality: { cloud: '', region: '', zone: '' }, priority: 0, weight: 1, endpoints }],
            },
            lb: 'least-request',
            connectTimeoutMs: 1_000,
          },
        ],
      ]),
    })
    const dial = (): TLSSocket =>
      connectTls({ host: west.gateway.ip, port: 15443, servername: sni, rejectUnauthorized: false })
    west.gateway.proxy.apply(withLeader([]))
    const alone = dial()
    alone.on('error', () => {})
    await new Promise<void>((resolve) => alone.on('close', () => resolve()))
    const endpoint = { ...plainEndpoint(west.gateway, 15022), address: ip }
    expect(west.gateway.proxy.apply(withLeader([endpoint])).rejected).toEqual([])
    const socket = dial()
    await once(socket, 'secureConnect')
    const body = randomBytes(1024 * 1024)
    const hash = createHash('sha256')
    let received = 0
    socket.on('data', (chunk: Buffer) => {
      hash.update(chunk)
      received += chunk.length
    })
    socket.write(body)
    await until(() => received === body.length)
    expect(hash.digest('hex')).toBe(createHash('sha256').update(body).digest('hex'))
    // The handshake was the leader's own, not the gateway's.
    expect(socket.getPeerX509Certificate()?.subjectAltName).toContain('isthmus-federation')
    const ended = once(socket, 'close')
    socket.end()
    await ended
    await until(() =>
      west.gateway.records.some(
        (record) => record['cluster'] === 'federation-peer' && record['upstream'] === `${ip}:15022`,
      ),
    )
    // Whose connections these are is not known here, and not counted as a service's.
    expect(west.gateway.proxy.acceptor.tcp.exposition()).toBe('')
  })

  it('is refused by a caller when its identity is another workload’s', async () => {
    world = new World()
    const west = await exporter('west', 1, answering)
    const impostor = world.pod('west', 'isthmus-east-west', {
      gateway: true,
      identity: world.identity('west', 'checkout', 'shop'),
    })
    impostor.proxy.apply(world.gatewayConfig(impostor, [{ name: 'checkout', pods: west.pods, peers: ['east'] }]))
    await listening(impostor)
    const relay = await world.relay({ address: impostor.ip, port: 15443 })
    const caller = await callerOf([{ ...west, relay }])
    const answer = await ask(caller, URL)
    expect(answer.status).toBe(503)
    expect(answer.body.toString()).toContain('not-expected')
    expect(impostor.live?.size).toBe(0)
  })
})
