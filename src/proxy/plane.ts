/**
 * A data plane as whoever starts it sees it: this process alone, or a primary before several workers. Both take
 * configurations, say what they wait for, drain and show their pages; nothing else tells them apart.
 */
import { availableParallelism } from 'node:os'
import type { ProxyConfig } from '../model/config.ts'
import { numberSetting } from '../runtime/config.ts'
import { type Page, type Pages, readinessPages, TEXT } from '../runtime/pages.ts'
import { readyPage } from './admin.ts'
import { modesOf, type Proxy, type ProxyOptions, startProxy } from './proxy.ts'
import type { ApplyResult } from './state.ts'
import type { WorkerPool } from './workers/pool.ts'

const OK: Page = { type: TEXT, body: 'OK\n' }

export interface Plane {
  apply(config: ProxyConfig): ApplyResult
  /** Ports, or workers, that are not there yet. */
  readonly awaited: readonly string[]
  readonly busy: number
  drain(): void
  close(): Promise<void>
  /** All pages; readiness is as `awaited` says. */
  pages(awaited: () => readonly string[]): () => Pages
}

export interface PlaneOptions {
  readonly proxy: ProxyOptions
  readonly workers: number
  /** What workers begin with. */
  readonly setup?: string
  /** Of one process. */
  readonly pagesOf: (proxy: Proxy, awaited: () => readonly string[]) => Pages
}

/** What only a primary needs is loaded by a primary: an idle sidecar is small. */
export async function createPlane(options: PlaneOptions): Promise<Plane> {
  if (options.workers === 1) return onePlane(startProxy(options.proxy), options.pagesOf)
  const { WorkerPool: Pool } = await import('./workers/pool.ts')
  return manyPlane(options, Pool)
}

function onePlane(proxy: Proxy, pagesOf: PlaneOptions['pagesOf']): Plane {
  return {
    apply: (config) => proxy.apply(config),
    get awaited() {
      return proxy.listeners.awaited.map((name) => `listener ${name}`)
    },
    get busy() {
      return proxy.busy
    },
    drain: () => proxy.drain(),
    close: () => {
      proxy.close()
      return Promise.resolve()
    },
    pages: (awaited) => {
      const pages = pagesOf(proxy, awaited)
      return () => pages
    },
  }
}

function manyPlane({ proxy: options, workers, setup }: PlaneOptions, Pool: typeof WorkerPool): Plane {
  const { identity, clock, random, log, trustDomain } = options
  const pool = new Pool({
    workers,
    ...(setup !== undefined && { setup }),
    state: { modes: modesOf(options), trustDomain },
    identity,
    clock,
    random,
    log,
    output: (lines) => void process.stdout.write(lines),
  })
  return {
    apply: (config) => pool.apply(config),
    get awaited() {
      return pool.awaited
    },
    get busy() {
      return pool.busy
    },
    drain: () => pool.drain(),
    close: () => pool.close(),
    pages: (awaited) => () => ({
      ...pool.pages.known,
      ...readinessPages(awaited),
      '/ready': () => readyPage(awaited()),
      // The workers follow their primary.
      '/quitquitquit': { post: () => (process.kill(process.pid, 'SIGTERM'), OK) },
    }),
  }
}

/** More processes than this are a mistake. */
const WORKERS_MAX = 64

/** 0: one per core, as Envoy has it. */
export function workerCount(name: string, text: string): number {
  const count = numberSetting(name, text, { min: 0, max: WORKERS_MAX })
  return count === 0 ? Math.min(WORKERS_MAX, availableParallelism()) : count
}
