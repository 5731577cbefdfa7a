/** `/server_info`, `/listeners`, `/memory`: the process itself. */
import { JSON_TYPE, type Page, TEXT } from '../../runtime/pages.ts'
import { VERSION } from '../../runtime/version.ts'
import type { Proxy } from '../proxy.ts'

export interface ServerFacts {
  readonly node: { readonly id: string; readonly cluster: string }
  /** Empty: there was none. */
  readonly configPath: string
  readonly drainMs: number
}

const json = (value: unknown): Page => ({ type: JSON_TYPE, body: `${JSON.stringify(value, null, 1)}\n` })

export function serverInfo(proxy: Proxy, facts: ServerFacts | undefined, awaited: readonly string[]): Page {
  const uptime = `${Math.floor(process.uptime())}s`
  const state = proxy.isDraining || proxy.failsHealth ? 'DRAINING' : awaited.length > 0 ? 'INITIALIZING' : 'LIVE'
  return json({
    version: `isthmus/${VERSION}/node-${process.versions.node}`,
    state,
    uptime_current_epoch: uptime,
    uptime_all_epochs: uptime,
    hot_restart_version: 'disabled',
    command_line_options: {
      concurrency: 1,
      config_path: facts?.configPath ?? '',
      drain_time: `${(facts?.drainMs ?? 0) / 1_000}s`,
      mode: 'Serve',
    },
    node: { ...facts?.node, user_agent_name: 'isthmus', user_agent_version: VERSION },
  })
}

export function listenersPage(proxy: Proxy, query: URLSearchParams): Page {
  const listeners = [...proxy.state.snapshot.listeners.values()].map(({ name, address, port }) => ({
    name,
    address,
    port: proxy.listeners.portOf(name) ?? port,
  }))
  if (query.get('format') !== 'json') {
    const host = (address: string): string => (address.includes(':') ? `[${address}]` : address)
    return { type: TEXT, body: listeners.map((one) => `${one.name}::${host(one.address)}:${one.port}\n`).join('') }
  }
  return json({
    listener_statuses: listeners.map(({ name, address, port }) => ({
      name,
      local_address: { socket_address: { address, port_value: port } },
    })),
  })
}

export function memoryPage(): Page {
  const { heapUsed, heapTotal, rss, external } = process.memoryUsage()
  return json({
    allocated: String(heapUsed + external),
    heap_size: String(heapTotal + external),
    pageheap_unmapped: '0',
    pageheap_free: String(heapTotal - heapUsed),
    total_thread_cache: '0',
    total_physical_bytes: String(rss),
  })
}
