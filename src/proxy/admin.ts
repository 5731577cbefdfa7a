/**
 * What people and probes may ask a data plane: readiness, metrics, and on the private port Envoy's admin pages: stats,
 * clusters, configuration, log level, drain. Changes are POST only. Not on the data path: runtime/pages serves them,
 * and the pages themselves stand in admin/.
 */
import type { ProxyConfig } from '../model/config.ts'
import {
  EXPOSITION,
  JSON_TYPE,
  type Page,
  type PageHandler,
  type PageRequest,
  type Pages,
  readinessPages,
  TEXT,
} from '../runtime/pages.ts'
import { certificates } from './admin/certificates.ts'
import { clustersPage } from './admin/clusters.ts'
import { dumpPage, modelPage } from './admin/config-dump.ts'
import { exposition } from './admin/exposition.ts'
import { helpPage } from './admin/help.ts'
import { loggingPage } from './admin/logging.ts'
import { listenersPage, memoryPage, type ServerFacts, serverInfo } from './admin/server.ts'
import { statsPage } from './admin/stats.ts'
import type { Proxy } from './proxy.ts'
import { statExposition } from './stats/text.ts'

export type { ClusterPage, EndpointPage } from './admin/clusters.ts'

export interface AdminOptions {
  readonly proxy: Proxy
  /** Empty when ready; else what is awaited. */
  readonly awaited: () => readonly string[]
  readonly logLevel: () => string
  /** Lines of a role's own metrics. */
  readonly metrics?: () => string
  /** Absent: the level stays as it is. */
  readonly setLogLevel?: (level: string) => void
  /** A configuration in Envoy's words (src/xds); loaded when someone asks. */
  readonly envoyDump?: (config: ProxyConfig) => Promise<readonly object[]>
  /** Ends the process as SIGTERM would. Absent: this process is not ours to end. */
  readonly quit?: () => void
  readonly server?: ServerFacts
}

export function metricsPages(options: AdminOptions): Readonly<Record<string, () => Page>> {
  const page = (): Page => ({ type: EXPOSITION, body: exposition(options.proxy, options.metrics?.() ?? '') })
  return { '/metrics': page, '/stats/prometheus': page }
}

/** Of all pages those that anyone may read. */
export function metricsOf(pages: Pages): Pages {
  return Object.fromEntries(Object.entries(pages).filter(([path]) => METRICS_PATHS.has(path)))
}

/** Beside those of the data plane: what the process does itself, however many workers it has. */
export function withMetrics(pages: Pages, more: () => string): Pages {
  const added = [...METRICS_PATHS].flatMap((path) => {
    const handler = pages[path]
    if (typeof handler !== 'function') return []
    const page: PageHandler = async (request) => {
      const shown = await handler(request)
      return { ...shown, body: `${shown.body}\n${more()}\n` }
    }
    return [[path, page] as const]
  })
  return { ...pages, ...Object.fromEntries(added) }
}

const METRICS_PATHS: ReadonlySet<string> = new Set(['/metrics', '/stats/prometheus'])
const done = (): Page => ({ type: TEXT, body: 'OK\n' })

export function adminPages(options: AdminOptions): Pages {
  const { proxy, awaited } = options
  const failing = (): readonly string[] => (proxy.failsHealth ? ['/healthcheck/ok'] : [])
  const pages: Pages = {
    ...readinessPages(() => [...failing(), ...awaited()]),
    ...statPages(options),
    ...changes(options),
    '/ready': () => readyPage([...failing(), ...awaited()]),
    '/config_dump': ({ query }) =>
      query.get('format') === 'model' || options.envoyDump === undefined
        ? modelPage(proxy.state.snapshot.config)
        : dumpPage(options.envoyDump(proxy.state.snapshot.config), query),
    '/clusters': ({ query }) => clustersPage(proxy.state.snapshot.clusters.values(), query),
    '/listeners': ({ query }) => listenersPage(proxy, query),
    '/server_info': () => serverInfo(proxy, options.server, options.awaited()),
    '/certs': () => json({ certificates: certificates(proxy.state.certificate, proxy.now()) }),
    '/memory': memoryPage,
    '/runtime': () => json({ layers: [], entries: {} }),
  }
  return { ...pages, '/help': () => helpPage(), '/': () => helpPage() }
}

const json = (value: unknown): Page => ({ type: JSON_TYPE, body: `${JSON.stringify(value, null, 1)}\n` })

/** Envoy's words for it. */
export function readyPage(awaited: readonly string[]): Page {
  if (awaited.length === 0) return { type: TEXT, body: 'LIVE\n' }
  return { type: TEXT, status: 503, body: `awaiting ${awaited.join(', ')}\n` }
}

function statPages(options: AdminOptions): Pages {
  const { proxy } = options
  const prometheus = (): Page => ({
    type: EXPOSITION,
    body: `${exposition(proxy, options.metrics?.() ?? '')}\n${statExposition(proxy.state.stats.samples())}`,
  })
  return {
    '/metrics': metricsPages(options)['/metrics'] ?? prometheus,
    '/stats/prometheus': prometheus,
    '/stats': ({ query }) => {
      if (query.get('format') === 'prometheus') return prometheus()
      return statsPage(proxy.state.stats.samples(), query)
    },
  }
}

function changes({ proxy, quit, logLevel, setLogLevel }: AdminOptions): Pages {
  const change = (act: (request: PageRequest) => void) => ({
    post: (request: PageRequest): Page => {
      act(request)
      return done()
    },
  })
  return {
    '/logging': { post: ({ query }) => loggingPage(query, logLevel, setLogLevel) },
    '/healthcheck/fail': change(() => proxy.failHealth(true)),
    '/healthcheck/ok': change(() => proxy.failHealth(false)),
    '/drain_listeners': change(({ query }) => proxy.drainListeners({ keepsOpen: query.has('skip_exit') })),
    '/reopen_logs': change(() => proxy.logs.reopen()),
    '/reset_counters': change(() => proxy.state.stats.reset()),
    ...(quit !== undefined && { '/quitquitquit': change(quit) }),
  }
}
