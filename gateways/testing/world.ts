/**
 * A mesh in one process for tests of the data path: real sockets, real certificates, real proxies and gateways, and
 * configurations written as the control plane would write them. Never imported by the product.
 */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createTcpServer, connect, type Socket, type LookupFunction } from 'node:net'
import pino from 'pino'
import { eastWest } from '../east-west.ts'
import type { LiveTunnels } from '../live-tunnels.ts'
import type {
  Cluster,
  Endpoint,
  FilterChain,
  LocalityEndpoints,
  ProxyConfig,
  RouteTable,
} from '../../src/model/config.ts'
import type { OverloadConfig } from '../../src/model/overload.ts'
import { formatSpiffeId } from '../../src/model/identity.ts'
import { clusterName, gatewaySni, hostOf, innerSni, tunnelAuthority } from '../../src/model/sni.ts'
import { type TestCredential, type TestMesh, testMesh } from '../../src/pki/testing/mesh.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { seededRandom } from '../../src/runtime/random.ts'
import type { OriginalDestination } from '../../src/proxy/capture/destination.ts'
import type { IdentitySource, OwnCertificate } from '../../src/proxy/identity.ts'
import { type Proxy, type ProxyOptions, startProxy } from '../../src/proxy/proxy.ts'
import { freshIp } from './fresh-ip.ts'

export { freshIp }

export { type Answer, ask } from './ask.ts'
export { listening, until } from './until.ts'

export const MESH = 'demo.mesh'
export const ORIGIN_PORT = 8080
const NAMESPACE = 'shop'
/** Each pod has its own seed. */
let pods = 0
export interface Pod {
  readonly ip: string
  readonly cluster: string
  readonly workload: string
  readonly proxy: Proxy
  readonly records: Record<string, unknown>[]
  readonly uri: string
  /** Id in isthmus-endpoint. */
  readonly id: string
  live?: LiveTunnels
}

export interface ServiceSpec {
  readonly name: string
  readonly port?: number
  readonly domain?: 'cluster.local' | 'clusterset.local'
  /** Priorities in order; each a list of endpoints. */
  readonly endpoints: readonly (readonly Endpoint[])[]
  readonly identities: readonly string[]
  readonly timeoutMs?: number
  readonly gatewayError?: boolean
  readonly connectTimeoutMs?: number
}

interface PodOptions {
  readonly gateway?: boolean
  readonly identity?: IdentitySource
  readonly overload?: OverloadConfig | undefined
  /** Where captured connections wanted to go. */
  readonly originalDestination?: OriginalDestination
  readonly namespace?: string
  /** Its ServiceAccount. Absent: named as the workload. */
  readonly account?: string
  /** Where logs that configurations ask for go. */
  readonly openLog?: ProxyOptions['openLog']
  /** Of an ingress or egress gateway. */
  readonly modes?: ProxyOptions['modes']
  /** How it resolves names; absent: as the machine does. */
  readonly lookup?: LookupFunction
}

export class World {
  readonly mesh: TestMesh
  readonly #closers: (() => void | Promise<void>)[] = []

  constructor(clusters: readonly string[] = ['east', 'west', 'europe']) {
    this.mesh = testMesh({ clusters, mesh: MESH })
  }

  onClose(closer: () => void | Promise<void>): void {
    this.#closers.push(closer)
  }

  async close(): Promise<void> {
    for (const closer of this.#closers.reverse()) await closer()
  }

  identity(cluster: string, serviceAccount: string, namespace = NAMESPACE, ttlMs?: number): IdentitySource {
    const { trustDomain } = this.mesh.cluster(cluster)
    const id = { trustDomain, namespace, serviceAccount }
    const credential = this.mesh.cluster(cluster).workload(id, ttlMs === undefined ? {} : { ttlMs })
    const notAfterMs = systemClock.now() + (ttlMs ?? 86_400_000)
    return { current: () => ownCertificate(credential, id, notAfterMs), onChange: () => () => {} }
  }

  pod(cluster: string, workload: string, options: PodOptions = {}): Pod {
    const ip = freshIp()
    const gateway = options.gateway === true
    const namespace = gateway ? 'isthmus-system' : (options.namespace ?? NAMESPACE)
    const account = options.account ?? workload
    const { trustDomain } = this.mesh.cluster(cluster)
    const records: Record<string, unknown>[] = []
    const role = gateway ? eastWest() : undefined
    const proxy = startProxy({
      podIp: ip,
      own: { cluster, namespace, workload, version: 'v1', region: '', zone: '' },
      trustDomain,
      identity: options.identity ?? this.identity(cluster, account, namespace),
      clock: systemClock,
      random: seededRandom(++pods),
      log: pino({ level: process.env['TEST_LOG'] ?? 'silent' }),
      accessLog: (lines) => {
        for (const line of lines.toString().trim().split('\n'))
          records.push(JSON.parse(line) as Record<string, unknown>)
      },
      lookup: options.lookup,
      ...(role === undefined ? {} : { tunnels: role.tunnels }),
      ...(options.overload === undefined ? {} : { overload: options.overload }),
      ...(options.originalDestination === undefined ? {} : { originalDestination: options.originalDestination }),
      ...(options.openLog === undefined ? {} : { openLog: options.openLog }),
      ...(options.modes === undefined ? {} : { modes: options.modes }),
    })
    this.onClose(() => proxy.close())
    const uri = formatSpiffeId({ trustDomain, namespace, serviceAccount: account })
    const id = `${workload}${ip.replaceAll('.', '')}`.replaceAll('-', '')
    return { ip, cluster, workload, proxy, records, uri, id, ...(role === undefined ? {} : { live: role.live }) }
  }

  /** The pod's application. */
  async app(ip: string, handler: (request: IncomingMessage, response: ServerResponse) => void): Promise<Server> {
    const server = createServer(handler)
    server.listen(ORIGIN_PORT, ip)
    await once(server, 'listening')
    this.onClose(() => {
      server.closeAllConnections()
      server.close()
    })
    return server
  }

  /** Forwards TCP until frozen: then it stops reading and answering, and closes nothing. */
  async relay(target: { address: string; port: number }): Promise<Relay> {
    const relay = new Relay(target)
    await relay.start()
    this.onClose(() => relay.close())
    return relay
  }

  /** `roots`: whom this proxy trusts; all clusters of the mesh unless said otherwise. */
  secrets(trustDomains: readonly string[]): ProxyConfig['secrets'] {
    const roots = Object.fromEntries(trustDomains.map((name) => [name, [this.mesh.root.certificatePem]]))
    const context = { name: 'ROOTCA', roots, revokedTrustDomains: [] as string[], revokedIssuers: [] as string[] }
    return new Map([['ROOTCA', context]])
  }

  allTrustDomains(): string[] {
    return ['east', 'west', 'europe'].map((name) => `${name}.${MESH}`)
  }

  sidecarConfig(
    pod: Pod,
    options: {
      services?: readonly ServiceSpec[]
      inbound?: readonly { name: string; exported?: boolean; peers?: readonly string[]; port?: number }[]
      trustDomains?: readonly string[]
    },
  ): ProxyConfig {
    const routes = outboundRoutes(options.services ?? [])
    const clusters = new Map<string, Cluster>()
    const endpoints = new Map()
    for (const service of options.services ?? []) {
      const name = clusterName('outbound', service.port ?? 80, hostOfService(service))
      clusters.set(name, outboundCluster(service, name))
      endpoints.set(name, { cluster: name, localities: localitiesOf(service.endpoints) })
    }
    clusters.set('inbound|8080||', inboundCluster(pod))
    const chains = (options.inbound ?? []).flatMap((service) => this.inboundChains(pod, service))
    return {
      listeners: new Map([
        [
          'http-proxy',
          {
            name: 'http-proxy',
            address: pod.ip,
            port: 15003,
            chains: [
              {
                name: 'forward',
                serverNames: [],
                filter: { kind: 'http', statPrefix: 'out', mode: 'forward', routes: { rds: 'outbound' } },
              },
            ],
          },
        ],
        ['inbound-mesh', { name: 'inbound-mesh', address: pod.ip, port: 15008, chains }],
      ]),
      routes: new Map([['outbound', routes]]),
      clusters,
      endpoints,
      secrets: this.secrets(options.trustDomains ?? this.allTrustDomains()),
    }
  }

  inboundChains(
    pod: Pod,
    service: { name: string; exported?: boolean; peers?: readonly string[]; port?: number },
  ): FilterChain[] {
    const own = this.mesh.cluster(pod.cluster).trustDomain
    const peers = service.exported === true ? (service.peers ?? this.allTrustDomains()) : []
    const domains = service.exported === true ? ['cluster.local', 'clusterset.local'] : ['cluster.local']
    return domains.map((domain) => ({
      name: `${service.name}.${domain}`,
      serverNames: [innerSni({ service: service.name, namespace: NAMESPACE, domain, port: service.port ?? 80 })],
      tls: { certificate: 'default', validation: 'ROOTCA', alpn: ['h2'] },
      allow: { trustDomains: [...new Set([own, ...peers])], ids: [] },
      filter: {
        kind: 'http',
        statPrefix: 'in',
        mode: 'inbound',
        routes: {
          name: 'inbound',
          hosts: [
            {
              name: 'all',
              domains: ['*'],
              routes: [{ match: { kind: 'prefix', prefix: '/' }, cluster: 'inbound|8080||', timeoutMs: 0 }],
            },
          ],
        },
      },
    }))
  }

  gatewayConfig(
    gateway: Pod,
    exports: readonly { name: string; port?: number; pods: readonly Pod[]; peers: readonly string[] }[],
  ): ProxyConfig {
    const clusters = new Map<string, Cluster>()
    const hosts = exports.map(({ name, port = 80, pods, peers }) => {
      const authority = tunnelAuthority({ service: name, namespace: NAMESPACE, port })
      const cluster = clusterName(
        'east-west',
        port,
        hostOf({ service: name, namespace: NAMESPACE, domain: 'clusterset.local' }),
      )
      clusters.set(cluster, {
        name: cluster,
        endpoints: {
          cluster,
          localities: localitiesOf([pods.map((pod) => ({ ...plainEndpoint(pod, 15008), id: pod.id }))]),
        },
        lb: 'least-request',
        connectTimeoutMs: 1_000,
      })
      return {
        name: authority,
        domains: [authority],
        routes: [
          {
            match: { kind: 'connect' as const },
            cluster,
            timeoutMs: 0,
            allow: { trustDomains: peers.map((peer) => `${peer}.${MESH}`), ids: [] },
          },
        ],
      }
    })
    return {
      listeners: new Map([
        [
          'east-west',
          {
            name: 'east-west',
            address: gateway.ip,
            port: 15443,
            chains: [
              {
                name: 'tunnels',
                serverNames: [gatewaySni(gateway.cluster, MESH)],
                tls: { certificate: 'default', validation: 'ROOTCA', alpn: ['h2'] },
                filter: { kind: 'http', statPrefix: 'ew', mode: 'tunnel', routes: { name: 'exports', hosts } },
              },
            ],
          },
        ],
      ]),
      routes: new Map(),
      clusters,
      endpoints: new Map(),
      secrets: this.secrets(this.allTrustDomains()),
    }
  }
}

export class Relay {
  readonly ip = freshIp()
  readonly port = 15443
  readonly #target: { address: string; port: number }
  readonly #sockets = new Set<Socket>()
  readonly captured: Buffer[] = []
  #frozen = false
  readonly #server = createTcpServer({ allowHalfOpen: true }, (socket) => this.#accept(socket))

  constructor(target: { address: string; port: number }) {
    this.#target = target
  }

  async start(): Promise<void> {
    this.#server.listen(this.port, this.ip)
    await once(this.#server, 'listening')
  }

  freeze(): void {
    this.#frozen = true
    for (const socket of this.#sockets) socket.pause()
  }

  thaw(): void {
    this.#frozen = false
    for (const socket of this.#sockets) socket.resume()
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy()
    this.#server.close()
  }

  #accept(socket: Socket): void {
    const upstream = connect({ host: this.#target.address, port: this.#target.port, allowHalfOpen: true })
    this.#carry(socket, upstream)
    this.#carry(upstream, socket)
    if (!this.#frozen) return
    socket.pause()
    upstream.pause()
  }

  #carry(from: Socket, to: Socket): void {
    this.#sockets.add(from)
    from.on('data', (chunk: Buffer) => {
      this.captured.push(chunk)
      to.write(chunk)
    })
    from.on('end', () => to.end())
    from.on('error', () => to.destroy())
    from.on('close', () => {
      this.#sockets.delete(from)
      if (from.destroyed && !this.#frozen) to.destroySoon()
    })
  }
}

export function ownCertificate(
  credential: TestCredential,
  id: OwnCertificate['id'],
  notAfterMs: number,
): OwnCertificate {
  return { id, keyPem: credential.keyPem, chainPem: credential.chain.join(''), notAfterMs }
}

export function mtlsEndpoint(pod: Pod): Endpoint {
  return { ...plainEndpoint(pod, 15008), transport: 'mtls' }
}

export function plainEndpoint(pod: Pod, port = ORIGIN_PORT): Endpoint {
  return {
    address: pod.ip,
    port,
    health: 'healthy',
    weight: 1,
    transport: 'plain',
    workload: { cluster: pod.cluster, namespace: NAMESPACE, workload: pod.workload },
  }
}

export function tunnelEndpoint(options: {
  readonly cluster: string
  readonly service: string
  readonly address: string
  readonly port?: number
  readonly identities: readonly string[]
  readonly endpoints: number
}): Endpoint {
  const { cluster, service } = options
  const trustDomain = `${cluster}.${MESH}`
  const name = { service, namespace: NAMESPACE, port: 80 }
  return {
    address: options.address,
    port: options.port ?? 15443,
    health: 'healthy',
    weight: options.endpoints,
    transport: 'tunnel',
    workload: { cluster, namespace: NAMESPACE, workload: service },
    tunnel: {
      authority: tunnelAuthority(name),
      cluster,
      trustDomain,
      gatewaySni: gatewaySni(cluster, MESH),
      gatewayIdentity: `spiffe://${trustDomain}/ns/isthmus-system/sa/isthmus-east-west`,
      innerSni: innerSni({ ...name, domain: 'clusterset.local' }),
      identities: options.identities,
      endpoints: options.endpoints,
    },
  }
}

const hostOfService = (service: ServiceSpec): string =>
  hostOf({ service: service.name, namespace: NAMESPACE, domain: service.domain ?? 'cluster.local' })

function localitiesOf(priorities: readonly (readonly Endpoint[])[]): LocalityEndpoints[] {
  return priorities.map((endpoints, priority) => ({
    locality: { cloud: 'aws', region: 'r1', zone: `z${priority}` },
    priority,
    weight: 1,
    endpoints,
  }))
}

function outboundRoutes(services: readonly ServiceSpec[]): RouteTable {
  return {
    name: 'outbound',
    hosts: services.map((service) => {
      const host = hostOfService(service)
      const port = service.port ?? 80
      return {
        name: host,
        domains: [`${host}:${port}`, ...(port === 80 ? [host] : [])],
        routes: [
          {
            match: { kind: 'prefix' as const, prefix: '/' },
            cluster: clusterName('outbound', port, host),
            timeoutMs: service.timeoutMs ?? 15_000,
            retry: {
              on: [
                'connect-failure' as const,
                'refused-stream' as const,
                'reset-before-request' as const,
                ...(service.gatewayError === true ? ['gateway-error' as const] : []),
              ],
              retriesMax: 2,
            },
          },
        ],
      }
    }),
  }
}

function outboundCluster(service: ServiceSpec, name: string): Cluster {
  const sni = innerSni({
    service: service.name,
    namespace: NAMESPACE,
    domain: service.domain ?? 'cluster.local',
    port: service.port ?? 80,
  })
  return {
    name,
    endpoints: 'eds',
    lb: 'least-request',
    connectTimeoutMs: service.connectTimeoutMs ?? 1_000,
    tls: { certificate: 'default', validation: 'ROOTCA', sni, alpn: ['h2'], identities: service.identities },
    outlier: { consecutiveErrors: 5, baseEjectionMs: 30_000, ejectionPercentMax: 100 },
  }
}

function inboundCluster(pod: Pod): Cluster {
  const endpoints = { cluster: 'inbound|8080||', localities: localitiesOf([[plainEndpoint(pod)]]) }
  return { name: 'inbound|8080||', endpoints, lb: 'least-request', connectTimeoutMs: 1_000 }
}
