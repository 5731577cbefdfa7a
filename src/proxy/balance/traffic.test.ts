/** What balancing does to requests over real sockets; the rules themselves are the tables beside each file. */
import { afterEach, describe, expect, it } from 'vitest'
import { createServer } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import {
  type Answer,
  ask,
  listening,
  mtlsEndpoint,
  plainEndpoint,
  type Pod,
  until,
  World,
} from '../../../gateways/testing/world.ts'
import type { Cluster, Endpoint, LbPolicy } from '../../model/config.ts'
import { metricsPages } from '../admin.ts'
import type { ClusterState } from './cluster.ts'
import type { ClusterLimits } from './limits.ts'

const URL_OF_SERVICE = 'http://checkout.shop.svc.cluster.local/'

const NOWHERE = { cloud: '', region: '', zone: '' }

let world: World
afterEach(() => world.close())

/** A caller of `count` pods without sidecars, each of which answers its address. */
async function service(count: number, over: Partial<Cluster>, endpointOf = plainOf): Promise<Pod> {
  world = new World()
  const caller = world.pod('east', 'storefront')
  const pods = Array.from({ length: count }, () => world.pod('east', 'checkout'))
  for (const pod of pods) await world.app(pod.ip, (_request, response) => response.end(pod.ip))
  await configure(
    caller,
    pods.map((pod, index) => endpointOf(pod, index)),
    over,
  )
  return caller
}

async function configure(
  caller: Pod,
  endpoints: readonly Endpoint[],
  over: Partial<Cluster>,
  identities: readonly string[] = [],
): Promise<void> {
  const config = world.sidecarConfig(caller, {
    services: [{ name: 'checkout', endpoints: [endpoints], identities }],
  })
  const clusters = [...config.clusters].map(
    ([name, cluster]) => [name, name.startsWith('outbound') ? { ...cluster, ...over } : cluster] as const,
  )
  expect(caller.proxy.apply({ ...config, clusters: new Map(clusters) }).rejected).toEqual([])
  await listening(caller)
}

const plainOf = (pod: Pod, _index: number): Endpoint => plainEndpoint(pod)

async function answers(caller: Pod, count: number): Promise<string[]> {
  const bodies: string[] = []
  for (let index = 0; index < count; index++) bodies.push((await ask(caller, URL_OF_SERVICE)).body.toString())
  return bodies
}

describe('policies', () => {
  it.each<LbPolicy>(['round-robin', 'least-request', 'random', 'ring-hash', 'maglev'])(
    '%s reaches every pod',
    async (lb) => {
      const caller = await service(3, { lb })
      expect(new Set(await answers(caller, 60)).size).toBe(3)
    },
  )

  it('round robin goes round, by weight', async () => {
    const caller = await service(2, { lb: 'round-robin' }, (pod, index) => ({
      ...plainEndpoint(pod),
      weight: index + 1,
    }))
    const bodies = await answers(caller, 30)
    const counts = [...new Set(bodies)].map((pod) => bodies.filter((body) => body === pod).length)
    expect(counts.sort((one, other) => one - other)).toEqual([10, 20])
  })
})

describe('subsets', () => {
  it('keep a request to the default subset', async () => {
    const metadata = (index: number): Endpoint['metadata'] => ({ version: `v${index}` })
    const subsets = { selectors: [], fallback: 'default' as const, defaultSubset: { version: 'v1' } }
    const caller = await service(
      3,
      { subsets },
      (pod, index) => ({ ...plainEndpoint(pod), metadata: metadata(index) }) as Endpoint,
    )
    expect(new Set(await answers(caller, 10)).size).toBe(1)
  })
})

describe('panic', () => {
  it('uses unhealthy pods unless it is switched off', async () => {
    const unhealthy = (pod: Pod): Endpoint => ({ ...plainEndpoint(pod), health: 'unhealthy' })
    const caller = await service(1, {}, unhealthy)
    expect((await ask(caller, URL_OF_SERVICE)).status).toBe(200)
    await world.close()
    const strict = await service(1, { panicPercent: 0 }, unhealthy)
    const refused = await ask(strict, URL_OF_SERVICE)
    expect([refused.status, refused.headers['isthmus-flags']]).toEqual([503, 'UH'])
  })
})

describe('outlier detection', () => {
  it.each([
    { rule: { consecutive5xx: 3 }, status: 500, ejects: true },
    { rule: { consecutiveErrors: 3 }, status: 503, ejects: true },
    { rule: { consecutiveErrors: 3 }, status: 500, ejects: false },
  ])('$rule with answers of $status: $ejects', async ({ rule, status, ejects }) => {
    world = new World()
    const caller = world.pod('east', 'storefront')
    const pods = [world.pod('east', 'checkout'), world.pod('east', 'checkout')]
    let bad = 0
    for (const [index, pod] of pods.entries()) {
      await world.app(pod.ip, (_request, response) => {
        if (index === 0) bad++
        response.writeHead(index === 0 ? status : 200).end()
      })
    }
    const outlier = { consecutiveErrors: 0, baseEjectionMs: 30_000, ejectionPercentMax: 100, ...rule }
    await configure(
      caller,
      pods.map((pod) => plainEndpoint(pod)),
      { lb: 'round-robin', outlier },
    )
    for (let index = 0; index < 30; index++) await ask(caller, URL_OF_SERVICE)
    expect(bad).toBe(ejects ? 3 : 15)
  })
})

describe('STRICT_DNS', () => {
  it('reaches a host by its name', async () => {
    world = new World()
    const caller = world.pod('east', 'storefront')
    const server = createServer((_request, response) => response.end('by name'))
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    world.onClose(() => void server.close())
    const { port } = server.address() as AddressInfo
    const named = { ...plainEndpoint(caller, port), address: 'localhost' }
    const name = 'outbound|80||checkout.shop.svc.cluster.local'
    const endpoints = { cluster: name, localities: [{ locality: NOWHERE, priority: 0, weight: 1, endpoints: [named] }] }
    await configure(caller, [], { dns: { kind: 'strict', family: 'v4' }, endpoints })
    await until(() => usableOf(caller) === 1)
    expect([...clusterOf(caller).endpoints.values()].map((state) => state.endpoint.address)).toEqual(['127.0.0.1'])
    expect(await answers(caller, 1)).toEqual(['by name'])
  })
})

describe('active health checks', () => {
  const check = { timeoutMs: 500, intervalMs: 50, noTrafficIntervalMs: 50, unhealthyThreshold: 2, healthyThreshold: 1 }

  it('over HTTP take a pod out that says no, and bring it back', async () => {
    world = new World()
    const caller = world.pod('east', 'storefront')
    const pods = [world.pod('east', 'checkout'), world.pod('east', 'checkout')]
    let status = 200
    const asked = new Set<string | undefined>()
    for (const [index, pod] of pods.entries()) {
      await world.app(pod.ip, (request, response) => {
        if (request.url === '/healthy') asked.add(request.headers.host)
        response.writeHead(request.url === '/healthy' && index === 0 ? status : 200).end(pod.ip)
      })
    }
    const healthCheck = { ...check, check: { kind: 'http' as const, path: '/healthy', host: 'hc.example' } }
    await configure(
      caller,
      pods.map((pod) => plainEndpoint(pod)),
      { lb: 'round-robin', panicPercent: 0, healthCheck },
    )
    const usable = (): number => usableOf(caller)
    await until(() => usable() === 2)
    expect([...asked]).toEqual(['hc.example'])
    status = 503
    await until(() => usable() === 1)
    expect(new Set(await answers(caller, 10))).toEqual(new Set([pods[1]?.ip]))
    status = 200
    await until(() => usable() === 2)
    expect(new Set(await answers(caller, 10)).size).toBe(2)
  })

  it('over TCP tell a pod without a listener', async () => {
    world = new World()
    const caller = world.pod('east', 'storefront')
    const pods = [world.pod('east', 'checkout'), world.pod('east', 'checkout')]
    await world.app(pods[0]?.ip ?? '', (_request, response) => response.end(pods[0]?.ip))
    const healthCheck = { ...check, check: { kind: 'tcp' as const } }
    await configure(
      caller,
      pods.map((pod) => plainEndpoint(pod)),
      { lb: 'random', panicPercent: 0, healthCheck },
    )
    await until(() => usableOf(caller) === 1)
    expect(new Set(await answers(caller, 20))).toEqual(new Set([pods[0]?.ip]))
  })
})

describe('active health checks over gRPC', () => {
  it('ask through mTLS and understand what the pod says', async () => {
    world = new World()
    const caller = world.pod('east', 'storefront')
    const pod = world.pod('east', 'checkout')
    let serving = 1
    const asked: (string | undefined)[] = []
    await world.app(pod.ip, (request, response) => {
      asked.push(request.url)
      response.writeHead(200, { 'content-type': 'application/grpc', trailer: 'grpc-status' })
      response.write(Buffer.from([0, 0, 0, 0, 2, 8, serving]))
      response.addTrailers({ 'grpc-status': '0' })
      response.end()
    })
    pod.proxy.apply(world.sidecarConfig(pod, { inbound: [{ name: 'checkout' }] }))
    await listening(pod)
    const check = { kind: 'grpc' as const, service: 'checkout', authority: 'checkout' }
    const intervals = { timeoutMs: 500, intervalMs: 50, noTrafficIntervalMs: 50 }
    const healthCheck = { ...intervals, unhealthyThreshold: 1, healthyThreshold: 1, check }
    await configure(caller, [mtlsEndpoint(pod)], { healthCheck }, [pod.uri])
    await until(() => usableOf(caller) === 1, 3_000)
    serving = 2
    await until(() => usableOf(caller) === 0, 3_000)
    serving = 1
    await until(() => usableOf(caller) === 1, 3_000)
    expect(new Set(asked)).toEqual(new Set(['/grpc.health.v1.Health/Check']))
  })
})

const usableOf = (caller: Pod): number =>
  [...clusterOf(caller).endpoints.values()].filter((state) => state.usable).length

describe('circuit breakers', () => {
  /** A pod that answers when told to, and the sockets it saw. */
  async function held(
    over: Partial<Cluster>,
  ): Promise<{ caller: Pod; release: () => void; waiting: () => number; sockets: Set<unknown> }> {
    world = new World()
    const caller = world.pod('east', 'storefront')
    const pod = world.pod('east', 'checkout')
    const open: (() => void)[] = []
    const sockets = new Set<unknown>()
    const server = await world.app(pod.ip, (_request, response) => void open.push(() => response.end('ok')))
    server.on('connection', (socket: Socket) => {
      sockets.add(socket)
      socket.on('close', () => sockets.delete(socket))
    })
    await configure(caller, [plainEndpoint(pod)], over)
    return { caller, release: () => open.splice(0).forEach((run) => run()), waiting: () => open.length, sockets }
  }
  const flagsOf = (answer: Answer): unknown => [answer.status, answer.headers['isthmus-flags']]

  it('queue up to max_pending_requests behind max_connections, and refuse with UO', async () => {
    const breakers = { default: { connectionsMax: 1, pendingMax: 1 } }
    const { caller, release, waiting, sockets } = await held({ circuitBreakers: breakers })
    const first = ask(caller, URL_OF_SERVICE)
    await until(() => waiting() === 1)
    const second = ask(caller, URL_OF_SERVICE)
    await until(() => limitsOf(caller).of('default').pending === 1)
    expect(flagsOf(await ask(caller, URL_OF_SERVICE))).toEqual([503, 'UO'])
    expect(sockets.size).toBe(1)
    release()
    expect((await first).status).toBe(200)
    await until(() => waiting() === 1)
    release()
    expect((await second).status).toBe(200)
    expect(sockets.size).toBe(1)
    const limits = limitsOf(caller)
    expect([limits.of('default').active, limits.of('default').pending, limits.connections]).toEqual([0, 0, 1])
    expect(limits.refused.pending).toBe(1)
    const pages = metricsPages({ proxy: caller.proxy, awaited: () => [], logLevel: () => 'info' })
    expect(pages['/metrics']?.().body).toContain('isthmus_cluster_overflow_total{')
  })

  it('refuse beyond max_requests, and take more when some are done', async () => {
    const { caller, release, waiting } = await held({ circuitBreakers: { default: { requestsMax: 2 } } })
    const two = [ask(caller, URL_OF_SERVICE), ask(caller, URL_OF_SERVICE)]
    await until(() => waiting() === 2)
    expect(flagsOf(await ask(caller, URL_OF_SERVICE))).toEqual([503, 'UO'])
    release()
    expect((await Promise.all(two)).map((answer) => answer.status)).toEqual([200, 200])
    const third = ask(caller, URL_OF_SERVICE)
    await until(() => waiting() === 1)
    release()
    expect((await third).status).toBe(200)
    await until(() => caller.records.length === 4)
    expect(caller.records.filter((record) => record['flags'] === 'UO')).toHaveLength(1)
  })

  it('close an idle connection after its time, and one that has served its requests', async () => {
    const { caller, release, waiting, sockets } = await held({ connections: { idleMs: 100, requestsMax: 2 } })
    const once = async (): Promise<unknown> => {
      const answer = ask(caller, URL_OF_SERVICE)
      await until(() => waiting() === 1)
      release()
      await answer
      return [...sockets][0]
    }
    const [first, second] = [await once(), await once()]
    expect(second ?? first).toBe(first)
    expect(await once()).not.toBe(first)
    await until(() => sockets.size === 0, 2_000)
    expect(limitsOf(caller).connections).toBe(0)
  })
})

const limitsOf = (caller: Pod): ClusterLimits => clusterOf(caller).limits

function clusterOf(caller: Pod): ClusterState {
  const clusters = [...caller.proxy.state.snapshot.clusters.values()]
  const found = clusters.find((cluster) => cluster.config.name.startsWith('outbound'))
  if (found === undefined) throw new Error('no cluster')
  return found
}
