/**
 * One proxy of ours as a process of its own, from a file instead of a control plane: what `isthmus proxy` and
 * `isthmus gateway` start once certificate and configuration are in hand, and nothing else. The built product runs
 * (`dist`, or another build by BENCH_DIST), so that what is measured is what ships.
 */
import { appendFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import pino from 'pino'
import type { ProxyConfig } from '../../src/model/config.ts'
import type { OwnCertificate } from '../../src/proxy/identity.ts'
import type { PeerFacts } from '../../src/proxy/peer-facts.ts'
import type { Proxy } from '../../src/proxy/proxy.ts'
import { repositoryRoot } from '../harness/repository.ts'

export interface ProxyFile {
  readonly podIp: string
  readonly own: PeerFacts
  readonly trustDomain: string
  readonly certificate: OwnCertificate
  readonly gateway: boolean
  /** Maps of the configuration as lists. */
  readonly config: {
    readonly [K in keyof ProxyConfig]: readonly (ProxyConfig[K] extends ReadonlyMap<string, infer V> ? V : never)[]
  }
}

const STATS_EVERY_MS = 2_000

/** Where connections to captured listeners seem to have gone. */
export const CAPTURED = { address: '10.96.0.1', port: 80 } as const

type Built = typeof import('../../src/proxy/proxy.ts') &
  typeof import('../../gateways/east-west.ts') &
  typeof import('../../src/runtime/clock.ts') &
  typeof import('../../src/runtime/heap.ts') &
  typeof import('../../src/runtime/random.ts')

/** What older builds had in its place. */
interface Older {
  readonly growYoungGenerationUnderLoad?: Built['followLoad']
}

async function built(): Promise<Built & Older> {
  const root = join(repositoryRoot, process.env['BENCH_DIST'] ?? 'dist')
  const load = (file: string): Promise<object> => import(pathToFileURL(join(root, file)).href) as Promise<object>
  const runtime = ['clock', 'heap', 'random'].map((name) => `src/runtime/${name}.js`)
  const files = ['src/proxy/proxy.js', 'gateways/east-west.js', ...runtime]
  return Object.assign({}, ...(await Promise.all(files.map(load)))) as Built
}

async function serve(path: string): Promise<void> {
  const file = JSON.parse(await readFile(path, 'utf8')) as ProxyFile
  const product = await built()
  const { startProxy, eastWest, systemClock, systemRandom } = product
  // As src/main.ts and src/proxy/main.ts do; a build to compare with may be older than the second.
  product.keepYoungGenerationSmall()
  const follow = product.followLoad ?? product.growYoungGenerationUnderLoad
  follow?.(systemClock)
  const { podIp, own, trustDomain, certificate, config } = file
  const proxy = startProxy({
    podIp,
    own,
    trustDomain,
    identity: { current: () => certificate, onChange: () => () => {} },
    clock: systemClock,
    random: systemRandom,
    log: pino({ level: process.env['BENCH_LOG_LEVEL'] ?? 'warn' }, pino.destination(2)),
    accessLog: await accessLog(),
    lookup: undefined,
    // Nothing is redirected here: whoever connects to a captured listener meant the service.
    originalDestination: () => CAPTURED,
    ...(file.gateway ? { tunnels: eastWest().tunnels } : {}),
  })
  const byName = <T extends { readonly name: string }>(list: readonly T[]): Map<string, T> =>
    new Map(list.map((item) => [item.name, item]))
  const { rejected } = proxy.apply({
    listeners: byName(config.listeners),
    routes: byName(config.routes),
    clusters: byName(config.clusters),
    endpoints: new Map(config.endpoints.map((item) => [item.cluster, item])),
    secrets: byName(config.secrets),
  })
  if (rejected.length > 0) throw new Error(`the proxy refused its configuration: ${JSON.stringify(rejected)}`)
  const stats = process.env['BENCH_STATS']
  if (stats !== undefined) writeStats(join(stats, `${process.pid}.jsonl`), proxy)
  // A profile is written only by a process that ends by itself.
  process.on('SIGTERM', () => {
    proxy.close()
    process.exit(0)
  })
}

/** For the soak: what only the process itself knows. */
export interface OwnStats {
  readonly heapMiB: number
  readonly externalMiB: number
  readonly connections: number
  readonly streams: number
  /** Everything that keeps the event loop alive: sockets, timers, intervals. */
  readonly resources: number
  readonly timers: number
}

function writeStats(path: string, proxy: Proxy): void {
  setInterval(() => {
    const { heapUsed, external } = process.memoryUsage()
    const resources = process.getActiveResourcesInfo()
    const stats: OwnStats = {
      heapMiB: heapUsed / 2 ** 20,
      externalMiB: external / 2 ** 20,
      connections: proxy.activeConnections,
      streams: proxy.activeStreams,
      resources: resources.length,
      timers: resources.filter((name) => name === 'Timeout').length,
    }
    appendFileSync(path, `${JSON.stringify(stats)}\n`)
  }, STATS_EVERY_MS).unref()
}

/** As the product writes it: to standard output, which the bench points at a file. */
async function accessLog(): Promise<(lines: string | Buffer) => void> {
  return (lines) => void process.stdout.write(lines)
}

if (process.argv[1] === import.meta.filename) await serve(process.argv[2] ?? '')
