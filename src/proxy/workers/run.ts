/** One worker: a data plane whose configuration, certificate and sockets come from its primary. */
import type { ProxyConfig } from '../../model/config.ts'
import { followLoad, releaseStartupMemory } from '../../runtime/heap.ts'
import type { Pages } from '../../runtime/pages.ts'
import { type Proxy, type ProxyOptions, startProxy } from '../proxy.ts'
import { applyDelta } from './config-delta.ts'
import type { WorkerLink } from './link.ts'
import type { Load, ToWorker } from './messages.ts'

export interface WorkerParts {
  readonly options: ProxyOptions
  /** What it can answer when the primary is asked. */
  readonly pagesOf: (proxy: Proxy, awaited: () => readonly string[]) => Pages
}

/** How often the primary learns how busy we are, if that changed: between two of these it counts for itself. */
const LOAD_EVERY_MS = 50

const EMPTY: ProxyConfig = {
  listeners: new Map(),
  routes: new Map(),
  clusters: new Map(),
  endpoints: new Map(),
  secrets: new Map(),
}

export function runWorker(link: WorkerLink, parts: WorkerParts): void {
  const { clock, log } = parts.options
  const proxy = startProxy({ ...parts.options, createPort: link.createPort })
  const pages = parts.pagesOf(proxy, () => [])
  followLoad(clock)
  let config = EMPTY
  let ready = false
  let ended = 0
  let told = ''
  link.onSocketEnd = () => void ended++
  const tellLoad = (): void => {
    const load: Load = { ended, streams: proxy.activeStreams, busy: proxy.busy, awaited: awaitedOf(proxy) }
    const text = JSON.stringify(load)
    if (text === told) return
    told = text
    link.send({ kind: 'load', load })
  }
  const apply = (delta: Parameters<typeof applyDelta>[1]): void => {
    config = applyDelta(config, delta)
    const { rejected } = proxy.apply(config)
    if (rejected.length > 0) log.warn({ rejected }, 'this worker refuses parts of the configuration')
    tellLoad()
    if (ready) return
    ready = true
    releaseStartupMemory()
    const paths = Object.keys(pages)
    const changes = paths.filter((path) => typeof pages[path] === 'object')
    link.send({ kind: 'ready', pages: paths, changes })
  }
  link.listen((message: ToWorker) => {
    if (message.kind === 'config') apply(message.delta)
    else if (message.kind === 'drain') {
      proxy.drain()
      tellLoad()
    } else if (message.kind === 'stop') {
      proxy.close()
      // Standard output is a pipe, which is written at once: nothing is left behind.
      process.exit(0)
    } else if (message.kind === 'page') void answer({ link, pages, proxy }, message)
  })
  clock.every(LOAD_EVERY_MS, tellLoad)
}

const awaitedOf = (proxy: Proxy): readonly string[] => [
  ...(proxy.failsHealth ? ['/healthcheck/ok'] : []),
  ...proxy.listeners.awaited.map((name) => `listener ${name}`),
]

interface Answering {
  readonly link: WorkerLink
  readonly pages: Pages
  readonly proxy: Proxy
}

async function answer(
  { link, pages, proxy }: Answering,
  { id, path, query }: Extract<ToWorker, { kind: 'page' }>,
): Promise<void> {
  const found = pages[path]
  const handler = typeof found === 'object' ? found.post : found
  const request = { query: new URLSearchParams(query) }
  const page = await Promise.resolve(handler?.(request)).catch(() => undefined)
  // What is counted adds up before it is written down.
  const samples = path === '/stats' ? { samples: proxy.state.stats.samples() } : {}
  link.send({ kind: 'page', id, page, ...samples })
}
