/** A proxy from a bootstrap of the test's own, in this process, with what it logs kept in memory. Never imported by the product. */
import { systemClock } from '../../src/runtime/clock.ts'
import { createLog } from '../../src/runtime/log.ts'
import { seededRandom } from '../../src/runtime/random.ts'
import { readBootstrap } from '../../src/xds/bootstrap/bootstrap.ts'
import { type Proxy, startProxy } from '../../src/proxy/proxy.ts'

export const TYPE = 'type.googleapis.com/envoy'

export interface Reverse {
  readonly proxy: Proxy
  /** Of the listener named `main`. */
  readonly port: number
  /** What went to a path, or to `stdout`, so far. */
  readonly lines: (path: string) => readonly string[]
  /** Runs another file. */
  readonly apply: (resources: object) => void
}

export const address = (port: number, host = '127.0.0.1'): object => ({
  socket_address: { address: host, port_value: port },
})

export const cluster = (name: string, port: number, more: object = {}): object => ({
  name,
  connect_timeout: '1s',
  load_assignment: {
    cluster_name: name,
    endpoints: [{ lb_endpoints: [{ endpoint: { address: address(port) } }] }],
  },
  ...more,
})

/** A connection manager with these routes and more of its own fields. */
export const manager = (routes: readonly object[], more: object = {}): object => ({
  name: 'hcm',
  typed_config: {
    '@type': `${TYPE}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager`,
    stat_prefix: 'hcm',
    route_config: { name: 'rt', virtual_hosts: [{ name: 'v', domains: ['*'], routes }] },
    http_filters: [{ name: 'router', typed_config: { '@type': `${TYPE}.extensions.filters.http.router.v3.Router` } }],
    ...more,
  },
})

export const listener = (filter: object, more: object = {}): object => ({
  name: 'main',
  address: address(0),
  filter_chains: [{ name: 'ch1', filters: [filter] }],
  ...more,
})

export async function startReverse(resources: object): Promise<Reverse> {
  const written = new Map<string, string>()
  const proxy = startProxy({
    podIp: '',
    own: { cluster: '', namespace: '', workload: '', version: '', region: '', zone: '' },
    trustDomain: '',
    identity: { current: () => undefined, onChange: () => () => {} },
    modes: ['reverse'],
    clock: systemClock,
    random: seededRandom(1),
    log: createLog('test', 'silent'),
    accessLog: undefined,
    lookup: undefined,
    hostname: 'vm',
    openLog: (sink) => {
      const key = sink.kind === 'file' ? sink.path : sink.kind
      const write = (lines: string): void => void written.set(key, (written.get(key) ?? '') + lines)
      return { write, reopen: () => {}, close: () => {} }
    },
  })
  const apply = (static_resources: object): void => {
    const read = readBootstrap(JSON.stringify({ static_resources }))
    if (!read.ok) throw new Error(JSON.stringify(read.faults))
    const { rejected } = proxy.apply(read.bootstrap.config)
    if (rejected.length > 0) throw new Error(JSON.stringify(rejected))
  }
  apply(resources)
  while (proxy.listeners.awaited.length > 0) await new Promise((resolve) => setImmediate(resolve))
  const lines = (path: string): readonly string[] => (written.get(path) ?? '').split('\n').slice(0, -1)
  return { proxy, port: proxy.listeners.portOf('main') ?? 0, lines, apply }
}
