/**
 * gRPC's own interop suite through our proxies: the client's sidecar takes HTTP/2 with prior knowledge, the way between
 * is mTLS, and the server's sidecar speaks plain HTTP/2 to it. Once within a cluster, once through a gateway.
 */
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { pino } from 'pino'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  listening,
  mtlsEndpoint,
  plainEndpoint,
  type Pod,
  tunnelEndpoint,
  World,
} from '../../../gateways/testing/world.ts'
import type { Endpoint, Listener, ProxyConfig } from '../../../src/model/config.ts'
import { startProxy } from '../../../src/proxy/proxy.ts'
import { systemClock } from '../../../src/runtime/clock.ts'
import { seededRandom } from '../../../src/runtime/random.ts'
import { INSTALL, programs, runInteropClient, startInteropServer } from './programs.ts'

/**
 * All of the Go client's but those that ask for credentials of a cloud, and pick_first_unary, which wants an answer that
 * this server does not give (it fails without us in between as well).
 */
const CASES = [
  'empty_unary',
  'large_unary',
  'client_streaming',
  'server_streaming',
  'ping_pong',
  'empty_stream',
  'timeout_on_sleeping_server',
  'cancel_after_begin',
  'cancel_after_first_response',
  'status_code_and_message',
  'special_status_message',
  'custom_metadata',
  'unimplemented_method',
  'unimplemented_service',
  'orca_per_rpc',
  'orca_oob',
]

const CAPTURE = 'captured'
const DESTINATION = { address: '203.0.113.1', port: 80 }

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  return port
}

/** The pod's application listens elsewhere and speaks HTTP/2. */
function toServer(config: ProxyConfig, pod: Pod, port: number): ProxyConfig {
  const name = 'inbound|8080||'
  const endpoint = { ...plainEndpoint(pod, port), address: '127.0.0.1' }
  const locality = { cloud: '', region: '', zone: '' }
  const endpoints = { cluster: name, localities: [{ locality, priority: 0, weight: 1, endpoints: [endpoint] }] }
  const cluster = { name, endpoints, lb: 'least-request', connectTimeoutMs: 1_000, protocol: 'http2' } as const
  return { ...config, clusters: new Map([...config.clusters, [name, cluster]]) }
}

/** A pod whose application's connections come as if the kernel had led them here. */
function capturing(world: World): Pod {
  const pod = world.pod('east', 'storefront')
  pod.proxy.close()
  const own = { cluster: 'east', namespace: 'shop', workload: 'storefront', version: 'v1', region: '', zone: '' }
  const proxy = startProxy({
    podIp: pod.ip,
    own,
    trustDomain: world.mesh.cluster('east').trustDomain,
    identity: world.identity('east', 'storefront'),
    clock: systemClock,
    random: seededRandom(1),
    log: pino({ level: 'silent' }),
    accessLog: () => {},
    lookup: undefined,
    originalDestination: () => DESTINATION,
  })
  world.onClose(() => proxy.close())
  return { ...pod, proxy }
}

/** Whatever host the client names leads to the one service there is. */
function captured(config: ProxyConfig, pod: Pod): ProxyConfig {
  const table = config.routes.get('outbound')
  if (table === undefined) throw new Error('no routes')
  const listener: Listener = {
    name: CAPTURE,
    address: pod.ip,
    port: 0,
    capture: { direction: 'outbound', detectMs: 200 },
    chains: [
      {
        name: 'http',
        serverNames: [],
        destinations: { addresses: [DESTINATION.address], port: DESTINATION.port },
        filter: { kind: 'http', statPrefix: 'out', mode: 'forward', routes: { rds: 'outbound' } },
      },
    ],
  }
  const hosts = table.hosts.map((host) => ({ ...host, domains: ['*'] }))
  return {
    ...config,
    listeners: new Map([[CAPTURE, listener]]),
    routes: new Map([['outbound', { ...table, hosts }]]),
  }
}

const WAYS = ['from sidecar to sidecar', 'from cluster to cluster through a gateway'] as const

describe.skipIf(programs === undefined)(`gRPC interop${programs === undefined ? ` (skipped: ${INSTALL})` : ''}`, () => {
  let server: ChildProcess
  let serverPort: number
  beforeAll(async () => {
    serverPort = await freePort()
    server = await startInteropServer(programs?.server ?? '', serverPort)
  })
  afterAll(() => void server.kill())

  describe.each(WAYS)('%s', (way) => {
    let world: World
    let to: { readonly host: string; readonly port: number }
    beforeAll(async () => {
      world = new World()
      const far = way === WAYS[1]
      const pod = world.pod(far ? 'west' : 'east', 'checkout')
      pod.proxy.apply(
        toServer(world.sidecarConfig(pod, { inbound: [{ name: 'checkout', exported: far }] }), pod, serverPort),
      )
      const caller = capturing(world)
      let endpoint: Endpoint = mtlsEndpoint(pod)
      if (far) {
        const gateway = world.pod('west', 'isthmus-east-west', { gateway: true })
        gateway.proxy.apply(world.gatewayConfig(gateway, [{ name: 'checkout', pods: [pod], peers: ['east'] }]))
        await listening(gateway)
        const target = { cluster: 'west', service: 'checkout', address: gateway.ip }
        endpoint = tunnelEndpoint({ ...target, identities: [pod.uri], endpoints: 1 })
      }
      const service = { name: 'checkout', endpoints: [[endpoint]], identities: [pod.uri] }
      caller.proxy.apply(captured(world.sidecarConfig(caller, { services: [service] }), caller))
      await listening(pod)
      await listening(caller)
      to = { host: caller.ip, port: caller.proxy.listeners.portOf(CAPTURE) ?? 0 }
    })
    afterAll(() => world.close())

    it.each(CASES)(
      '%s',
      async (testCase) => {
        expect(await runInteropClient(programs?.client ?? '', { ...to, testCase })).toBe('')
      },
      40_000,
    )
  })
})
