/**
 * One data plane in this process in front of one origin, without mesh, certificates or control plane: what is asked of
 * it arrives in plain text, by each of the ways that plain text can arrive. For suites that judge protocols.
 */
import { pino } from 'pino'
import {
  type Cluster,
  type FilterChain,
  type HttpFilterChain,
  type Listener,
  PASSTHROUGH_CLUSTER,
  type Route,
} from '../../src/model/config.ts'
import { type Proxy, startProxy } from '../../src/proxy/proxy.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { seededRandom } from '../../src/runtime/random.ts'

const HOST = '127.0.0.1'

/** How a plaintext connection reaches a proxy. */
export const PLAIN_WAYS = [
  'forward',
  'captured-outbound',
  'captured-inbound',
  'captured-undeclared',
  'generic',
] as const
export type PlainWay = (typeof PLAIN_WAYS)[number]

export interface PlainProxyOptions {
  readonly way: PlainWay
  readonly originPort: number
  readonly cluster?: Partial<Cluster>
  /** Absent: everything goes to the origin. */
  readonly routes?: readonly Route[]
  readonly http?: Partial<HttpFilterChain>
}

export interface PlainProxy {
  readonly port: number
  readonly proxy: Proxy
  readonly records: Record<string, unknown>[]
  close(): void
}

export const ORIGIN_ROUTE: Route = { match: { kind: 'prefix', prefix: '/' }, cluster: 'origin', timeoutMs: 15_000 }

export async function startPlainProxy(options: PlainProxyOptions): Promise<PlainProxy> {
  const records: Record<string, unknown>[] = []
  const proxy = startProxy({
    podIp: HOST,
    own: { cluster: 'east', namespace: 'shop', workload: 'storefront', version: '', region: '', zone: '' },
    trustDomain: 'east.test',
    identity: { current: () => undefined, onChange: () => () => {} },
    clock: systemClock,
    random: seededRandom(1),
    log: pino({ level: process.env['TEST_LOG'] ?? 'silent' }),
    accessLog: (text) => {
      for (const line of text.toString().trim().split('\n')) records.push(JSON.parse(line) as Record<string, unknown>)
    },
    lookup: undefined,
    modes: ['forward', 'inbound', 'reverse'],
    originalDestination: () => ({ address: '203.0.113.1', port: 80 }),
  })
  const { rejected } = proxy.apply({
    listeners: new Map([['plain', listenerOf(options)]]),
    routes: new Map(),
    clusters: new Map([['origin', originCluster(options)]]),
    endpoints: new Map(),
    secrets: new Map(),
  })
  if (rejected.length > 0) throw new Error(JSON.stringify(rejected))
  const port = await portOf(proxy)
  return { port, proxy, records, close: () => proxy.close() }
}

async function portOf(proxy: Proxy): Promise<number> {
  for (;;) {
    const port = proxy.listeners.portOf('plain')
    if (port !== undefined) return port
    await new Promise<void>((resolve) => systemClock.after(2, resolve))
  }
}

const MODES: Readonly<Record<PlainWay, HttpFilterChain['mode']>> = {
  forward: 'forward',
  'captured-outbound': 'forward',
  'captured-undeclared': 'forward',
  'captured-inbound': 'inbound',
  generic: 'reverse',
}

function listenerOf({ way, routes = [ORIGIN_ROUTE], http }: PlainProxyOptions): Listener {
  const filter: HttpFilterChain = {
    kind: 'http',
    statPrefix: 'plain',
    mode: MODES[way],
    routes: { name: 'plain', hosts: [{ name: 'any', domains: ['*'], routes }] },
    ...http,
  }
  const base = { name: 'plain', address: HOST, port: 0 }
  if (way === 'generic') return { ...base, chains: [], generic: { inspect: {}, chains: [{ name: 'plain', filter }] } }
  if (way === 'forward') return { ...base, chains: [{ name: 'plain', serverNames: [], filter }] }
  const direction = way === 'captured-inbound' ? 'inbound' : 'outbound'
  return { ...base, chains: capturedChains(way, filter), capture: { direction, detectMs: 200 } }
}

function capturedChains(way: PlainWay, filter: HttpFilterChain): FilterChain[] {
  if (way !== 'captured-undeclared') {
    const destinations = { addresses: ['203.0.113.1'], port: 80 }
    return [{ name: 'plain', serverNames: [], destinations, filter }, PASSTHROUGH]
  }
  return [{ name: 'plain', serverNames: [], protocol: 'http', filter }, PASSTHROUGH]
}

const PASSTHROUGH: FilterChain = {
  name: 'rest',
  serverNames: [],
  filter: { kind: 'tcp', statPrefix: 'rest', cluster: PASSTHROUGH_CLUSTER },
}

function originCluster({ originPort, cluster }: PlainProxyOptions): Cluster {
  const workload = { cluster: 'east', namespace: 'shop', workload: 'checkout' }
  const endpoint = {
    address: HOST,
    port: originPort,
    health: 'healthy',
    weight: 1,
    transport: 'plain',
    workload,
  } as const
  const locality = { cloud: '', region: '', zone: '' }
  return {
    name: 'origin',
    endpoints: { cluster: 'origin', localities: [{ locality, priority: 0, weight: 1, endpoints: [endpoint] }] },
    lb: 'least-request',
    connectTimeoutMs: 1_000,
    ...cluster,
  }
}
