/** Our side of each path: the configurations that the control plane would send, one process per proxy. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type {
  Cluster,
  Endpoint,
  FilterChain,
  Listener,
  LoadAssignment,
  RouteTable,
  RbacRules,
  RoutedFilters,
  UpstreamTls,
} from '../../src/model/config.ts'
import { FILTER_NAMES } from '../../src/model/filters.ts'
import { ORIGIN_H2_PORT, ORIGIN_PORT } from './origin.ts'
import {
  CONNECT_TIMEOUT_MS,
  GATEWAY_SNI,
  LOCAL,
  type Place,
  type Places,
  RETRIES_MAX,
  type ServiceNames,
  SHARED,
  TIMEOUT_MS,
  TUNNEL_AUTHORITY,
} from './places.ts'
import { type Running, startProgram, untilListening } from './programs.ts'
import { CAPTURED, type ProxyFile } from './proxy-role.ts'
import { type Path, type System, systemOf } from './system.ts'

export const FORWARD_PORT = 15003
const CAPTURED_PORT = 15001
export const MESH_PORT = 15008
export const GATEWAY_PORT = 15443
const INBOUND = 'inbound|8080||'

export interface IsthmusOptions {
  readonly places: Places
  readonly directory: string
  readonly origin: string
  /** Which build, relative to the repository. */
  readonly dist: string
  /** The client speaks HTTP/2, which captured listeners take and explicit ones do not. */
  readonly http2?: boolean
  /** HTTP/2 to the application. */
  readonly originH2?: boolean
  /** How many pods stand behind the destination; 1 if absent. */
  readonly pods?: number
  /** Where the caller finds the gateway that listens on this address: a relay between clusters. */
  readonly gatewayAt?: (gateway: string) => string
  /** Of the caller's route; what all systems have if absent. */
  readonly timeoutMs?: number
  /** Where caller and gateway listen, and dial from: a line's near end. Addresses of their own if absent. */
  readonly endsOn?: string
}

/** How a proxy is told what it runs: the lists of ProxyFile, with defaults. */
export type Config = Partial<ProxyFile['config']>

export async function startIsthmus(path: Path, options: IsthmusOptions): Promise<System> {
  const starter = new Starter(options)
  const { places } = options
  const caller = options.endsOn ?? places.address()
  if (path === 'one hop') {
    const port = options.originH2 === true ? ORIGIN_H2_PORT : ORIGIN_PORT
    const config = outbound(caller, LOCAL, [endpointOf(places.near, options.origin, port, 'plain')], {
      ...(options.originH2 === true ? { protocol: 'http2' as const } : {}),
      filters: { [FILTER_NAMES.rbac]: { kind: 'rbac', config: { rules: LOCAL_CLIENTS } } },
    })
    await starter.start('caller', places.caller, caller, config)
    const listening = options.http2 === true ? CAPTURED_PORT : FORWARD_PORT
    return starter.system({ address: caller, port: listening, authority: LOCAL.host })
  }
  const target = path === 'two hops' ? places.near : places.far
  const names = path === 'two hops' ? LOCAL : SHARED
  const pods = Array.from({ length: options.pods ?? 1 }, () => places.address())
  for (const pod of pods) await starter.start('pod', target, pod, inbound(pod, options, names))
  const tls: UpstreamTls = {
    certificate: 'default',
    validation: 'ROOTCA',
    sni: names.sni,
    alpn: ['h2'],
    identities: [target.uri],
  }
  let endpoints = pods.map((pod) => endpointOf(target, pod, MESH_PORT, 'mtls'))
  if (path === 'nested') {
    const gateway = options.endsOn ?? places.address()
    await starter.start(
      'gateway',
      places.gateway,
      gateway,
      gatewayConfig(
        gateway,
        pods.map((pod) => endpointOf(target, pod, MESH_PORT, 'plain')),
        places,
      ),
    )
    const tunnel = { ...tunnelTo(places), endpoints: pods.length }
    const way = endpointOf(target, options.gatewayAt?.(gateway) ?? gateway, GATEWAY_PORT, 'tunnel')
    endpoints = [{ ...way, tunnel }]
  }
  await starter.start('caller', places.caller, caller, outbound(caller, names, endpoints, { tls, ...options }))
  return starter.system({ address: caller, port: FORWARD_PORT, authority: names.host })
}

export class Starter {
  readonly #options: IsthmusOptions
  readonly #running: Running[] = []
  readonly #logs: string[] = []

  constructor(options: IsthmusOptions) {
    this.#options = options
  }

  async start(name: string, place: Place, podIp: string, config: Config): Promise<void> {
    const { directory, dist, places } = this.#options
    const { cluster, namespace, workload, trustDomain, certificate } = place
    const file = join(directory, `isthmus-${name}-${podIp}.json`)
    const log = join(directory, `isthmus-${name}-${podIp}.log`)
    const roots = Object.fromEntries(places.trustDomains.map((domain) => [domain, [places.rootPem]]))
    const content: ProxyFile = {
      podIp,
      own: { cluster, namespace, workload, version: 'v1', region: '', zone: '' },
      trustDomain,
      certificate,
      gateway: name === 'gateway',
      config: {
        listeners: [],
        routes: [],
        clusters: [],
        endpoints: [],
        secrets: [{ name: 'ROOTCA', roots, revokedTrustDomains: [], revokedIssuers: [] }],
        ...config,
      },
    }
    await writeFile(file, JSON.stringify(content))
    const nodeArguments = (process.env['BENCH_NODE_ARGS'] ?? '').split(' ').filter((argument) => argument !== '')
    this.#logs.push(log)
    this.#running.push(
      startProgram({
        name: `isthmus ${name}`,
        program: process.execPath,
        args: [...nodeArguments, join(import.meta.dirname, 'proxy-role.ts'), file],
        env: { BENCH_DIST: dist, NODE_COMPILE_CACHE: join(directory, 'compile-cache'), NODE_NO_WARNINGS: '1' },
        output: log,
      }),
    )
    for (const { address, port } of content.config.listeners) await untilListening(address, port)
  }

  system(target: System['target']): System {
    return systemOf({ target, running: this.#running, logs: this.#logs })
  }
}

export function endpointOf(place: Place, address: string, port: number, transport: Endpoint['transport']): Endpoint {
  const { cluster, namespace, workload } = place
  return { address, port, health: 'healthy', weight: 1, transport, workload: { cluster, namespace, workload } }
}

export function assignment(cluster: string, endpoints: readonly Endpoint[]): LoadAssignment {
  const locality = { cloud: 'aws', region: 'r1', zone: 'z1' }
  return { cluster, localities: [{ locality, priority: 0, weight: 1, endpoints }] }
}

/** One ALLOW policy where nobody has a certificate: clients of this machine. */
const LOCAL_CLIENTS: RbacRules = {
  action: 'allow',
  policies: {
    local: {
      permissions: [{ kind: 'any' }],
      principals: [{ kind: 'source-ip', address: '127.0.0.0', prefixLength: 8 }],
    },
  },
}

interface OutboundMore {
  readonly timeoutMs?: number
  readonly tls?: UpstreamTls
  readonly protocol?: 'http2'
  readonly filters?: RoutedFilters
}

export function outbound(
  address: string,
  names: ServiceNames,
  endpoints: readonly Endpoint[],
  { filters, tls, protocol, timeoutMs = TIMEOUT_MS }: OutboundMore,
): Config {
  const listener: Listener = {
    name: 'http-proxy',
    address,
    port: FORWARD_PORT,
    chains: [
      {
        name: 'forward',
        serverNames: [],
        filter: { kind: 'http', statPrefix: 'out', mode: 'forward', routes: { rds: 'outbound' } },
      },
    ],
  }
  const captured: Listener = {
    ...listener,
    name: 'outbound',
    port: CAPTURED_PORT,
    chains: listener.chains.map((chain) =>
      Object.assign({ destinations: { addresses: [], port: CAPTURED.port } }, chain),
    ),
    capture: { direction: 'outbound', detectMs: 100 },
  }
  const table: RouteTable = {
    name: 'outbound',
    ...(filters === undefined ? {} : { filters }),
    hosts: [
      {
        name: names.host,
        domains: [names.host, `${names.host}:80`],
        routes: [
          {
            match: { kind: 'prefix', prefix: '/' },
            cluster: names.cluster,
            timeoutMs,
            retry: { on: ['connect-failure', 'refused-stream', 'reset-before-request'], retriesMax: RETRIES_MAX },
          },
        ],
      },
    ],
  }
  const cluster: Cluster = {
    name: names.cluster,
    endpoints: assignment(names.cluster, endpoints),
    lb: 'least-request',
    connectTimeoutMs: CONNECT_TIMEOUT_MS,
    outlier: { consecutiveErrors: 5, baseEjectionMs: 30_000, ejectionPercentMax: 100 },
    ...(tls === undefined ? {} : { tls }),
    ...(protocol === undefined ? {} : { protocol }),
  }
  return { listeners: [listener, captured], routes: [table], clusters: [cluster] }
}

/** One ALLOW policy: workloads of the mesh's two trust domains. */
export function inbound(address: string, options: IsthmusOptions, names: ServiceNames): Config {
  const { places, origin } = options
  const allow = { trustDomains: places.trustDomains, ids: [] }
  const chain: FilterChain = {
    name: names.host,
    serverNames: [names.sni],
    tls: { certificate: 'default', validation: 'ROOTCA', alpn: ['h2'] },
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
            routes: [{ match: { kind: 'prefix', prefix: '/' }, cluster: INBOUND, timeoutMs: 0, allow }],
          },
        ],
      },
    },
  }
  const cluster: Cluster = {
    name: INBOUND,
    endpoints: assignment(INBOUND, [endpointOf(places.near, origin, ORIGIN_PORT, 'plain')]),
    lb: 'least-request',
    connectTimeoutMs: CONNECT_TIMEOUT_MS,
  }
  return { listeners: [{ name: 'inbound-mesh', address, port: MESH_PORT, chains: [chain] }], clusters: [cluster] }
}

export function gatewayConfig(address: string, pods: readonly Endpoint[], places: Places): Config {
  const cluster = `east-west|80||${SHARED.host}`
  const allow = { trustDomains: places.trustDomains, ids: [] }
  const chain: FilterChain = {
    name: 'tunnels',
    serverNames: [GATEWAY_SNI],
    tls: { certificate: 'default', validation: 'ROOTCA', alpn: ['h2'] },
    filter: {
      kind: 'http',
      statPrefix: 'ew',
      mode: 'tunnel',
      routes: {
        name: 'exports',
        hosts: [
          {
            name: TUNNEL_AUTHORITY,
            domains: [TUNNEL_AUTHORITY],
            routes: [{ match: { kind: 'connect' }, cluster, timeoutMs: 0, allow }],
          },
        ],
      },
    },
  }
  return {
    listeners: [{ name: 'east-west', address, port: GATEWAY_PORT, chains: [chain] }],
    clusters: [
      {
        name: cluster,
        endpoints: assignment(
          cluster,
          pods.map((pod, index) => ({ ...pod, id: `checkout${index + 1}` })),
        ),
        lb: 'least-request',
        connectTimeoutMs: CONNECT_TIMEOUT_MS,
      },
    ],
  }
}

export function tunnelTo(places: Places): NonNullable<Endpoint['tunnel']> {
  return {
    authority: TUNNEL_AUTHORITY,
    cluster: places.far.cluster,
    trustDomain: places.far.trustDomain,
    gatewaySni: GATEWAY_SNI,
    gatewayIdentity: places.gateway.uri,
    innerSni: SHARED.sni,
    identities: [places.far.uri],
    endpoints: 1,
  }
}
