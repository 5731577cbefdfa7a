/**
 * `isthmus proxy -c FILE`: a data plane from Envoy's own configuration, without mesh, certificate or control plane of
 * ours. Reads the file, opens the listeners and the admin port, drains on SIGTERM.
 */
import { hostname } from 'node:os'
import { readFile, stat } from 'node:fs/promises'
import { delay, systemClock } from '../../runtime/clock.ts'
import { MeshError, messageOf } from '../../runtime/errors.ts'
import { TextTarget } from '../../runtime/log-target.ts'
import { followLoad, releaseStartupMemory } from '../../runtime/heap.ts'
import { createLog, type Log } from '../../runtime/log.ts'
import { type Pages, servePages } from '../../runtime/pages.ts'
import { systemRandom } from '../../runtime/random.ts'
import type { ProxyConfig, Rejection } from '../../model/config.ts'
import { type Bootstrap, type Fault, readBootstrap } from '../../xds/bootstrap/bootstrap.ts'
import { FILE_BYTES_MAX } from '../../xds/bootstrap/document.ts'
import { adminPages, type AdminOptions } from '../admin.ts'
import { createPlane, type Plane } from '../plane.ts'
import { adsClientOf } from './ads.ts'
import { type Proxy, type ProxyOptions, startProxy } from '../proxy.ts'
import { isWorker } from '../workers/is-worker.ts'

export interface FileOptions {
  readonly file: string
  readonly mode: 'serve' | 'validate'
  readonly logLevel: string
  /** What is in flight may finish for so long after SIGTERM. */
  readonly drainMs: number
  readonly workers: number
}

/** A person mends a handful at a time. */
const FAULTS_SHOWN = 20
const DRAIN_POLL_MS = 20
const FIRST_FETCH_MS = 15_000

export async function runFromFile(options: FileOptions): Promise<void> {
  const link = isWorker() ? (await import('../workers/link.ts')).openLink() : undefined
  // A worker that starts later must not meet another state of the file.
  const text = await (link?.setup ?? readText(options.file))
  const bootstrap = parse(options.file, text)
  const log = createLog('proxy', options.logLevel)
  if (options.mode === 'validate') return validate(options.file, bootstrap, log)
  const pagesOf = (proxy: Proxy, awaited: () => readonly string[]): Pages =>
    adminPages(adminOptions({ proxy, awaited, log, bootstrap, options }))
  if (link !== undefined)
    return (await import('../workers/run.ts')).runWorker(link, { options: proxyOptions(bootstrap, log), pagesOf })
  const plane = await createPlane({
    proxy: proxyOptions(bootstrap, log),
    workers: options.workers,
    setup: text,
    pagesOf,
  })
  const shutdown = { draining: false }
  process.once('SIGTERM', () => {
    shutdown.draining = true
    void drain(plane, options.drainMs, log)
  })
  refuseFile(options.file, faultsOf(plane.apply(bootstrap.config).rejected, bootstrap))
  const dynamic = followServer(bootstrap, plane, log)
  const awaited = (): readonly string[] => [
    ...(shutdown.draining ? ['the end: it drains'] : []),
    ...plane.awaited,
    ...dynamic.awaited(),
  ]
  const { admin } = bootstrap
  if (admin !== undefined) {
    await servePages(admin.address, admin.port, plane.pages(awaited), { guarded: true })
    log.info({ address: admin.address, port: admin.port }, 'admin')
  }
  followLoad(systemClock)
  releaseStartupMemory()
  while (awaited().length > 0 && !shutdown.draining) await delay(systemClock, DRAIN_POLL_MS)
  const { listeners, clusters } = bootstrap.config
  log.info({ file: options.file, listeners: listeners.size, clusters: clusters.size }, 'ready')
}

interface Following {
  /** The server's first configuration, for a while. */
  readonly awaited: () => readonly string[]
}

/** As Envoy's initial_fetch_timeout: a server that is away keeps nobody from serving what the file says. */
function followServer(bootstrap: Bootstrap, plane: Plane, log: Log): Following {
  const { dynamic } = bootstrap
  if (dynamic === undefined) return { awaited: () => [] }
  let awaited: readonly string[] = ['the first configuration over ADS']
  const settle = (): void => {
    awaited = []
  }
  systemClock.after(FIRST_FETCH_MS, settle)
  const onConfig = (next: ProxyConfig): readonly Rejection[] => {
    const { rejected } = plane.apply(next)
    settle()
    return rejected
  }
  const client = adsClientOf(bootstrap, dynamic, { clock: systemClock, random: systemRandom, log, onConfig })
  void client.start()
  return { awaited: () => awaited }
}

function adminOptions(parts: {
  proxy: Proxy
  awaited: () => readonly string[]
  log: Log
  bootstrap: Bootstrap
  options: FileOptions
}): AdminOptions {
  const { proxy, awaited, log, bootstrap, options } = parts
  const updatedAtMs = systemClock.now()
  const { id, cluster } = bootstrap.node
  return {
    proxy,
    awaited,
    logLevel: () => log.level,
    setLogLevel: (level) => {
      log.level = level
    },
    envoyDump: async (config) => {
      const { configDump } = await import('../../xds/config-dump.ts')
      return configDump(config, { isStatic: true, updatedAtMs, bootstrap: { node: { id, cluster } } })
    },
    quit: () => process.kill(process.pid, 'SIGTERM'),
    server: { node: { id, cluster }, configPath: options.file, drainMs: options.drainMs },
  }
}

function parse(file: string, text: string): Bootstrap {
  const result = readBootstrap(text)
  if (result.ok) return result.bootstrap
  throw invalid(file, result.faults)
}

async function readText(file: string): Promise<string> {
  try {
    const { size } = await stat(file)
    if (size > FILE_BYTES_MAX) throw new Error(`has more than ${FILE_BYTES_MAX} bytes`)
    return await readFile(file, 'utf8')
  } catch (error) {
    throw new MeshError('CONFIG_UNREADABLE', `${file}: ${messageOf(error)}`, { cause: error })
  }
}

/** Compiles everything, opens nothing. */
function validate(file: string, bootstrap: Bootstrap, log: Log): void {
  const proxy = startProxy({ ...proxyOptions(bootstrap, log), opensPorts: false })
  const { rejected } = proxy.apply(bootstrap.config)
  proxy.close()
  refuseFile(file, faultsOf(rejected, bootstrap))
  process.stdout.write(`configuration '${file}' OK\n`)
}

function proxyOptions({ node, overload }: Bootstrap, log: Log): ProxyOptions {
  const { region, zone } = node.locality
  return {
    podIp: '',
    own: { cluster: node.cluster, namespace: '', workload: node.id, version: '', region, zone },
    trustDomain: '',
    identity: { current: () => undefined, onChange: () => () => {} },
    modes: ['reverse'],
    clock: systemClock,
    random: systemRandom,
    log,
    accessLog: undefined,
    lookup: undefined,
    ...(overload !== undefined && { overload }),
    openLog: (sink) =>
      new TextTarget(sink, (error) => log.error({ error: messageOf(error) }, 'an access log cannot be written')),
    hostname: hostname(),
  }
}

/** A rejection names the resource; the file's reader looks for its place. */
function faultsOf(rejected: readonly Rejection[], { config }: Bootstrap): readonly Fault[] {
  const places = { listener: [...config.listeners.keys()], cluster: [...config.clusters.keys()] }
  return rejected.map(({ kind, resource, path, message }) => {
    const index = kind === 'listener' || kind === 'cluster' ? places[kind].indexOf(resource) : -1
    const where = index === -1 ? `${kind} ${resource}` : `static_resources.${kind}s[${index}]`
    return { path: path === '' ? where : `${where}.${path}`, message }
  })
}

function refuseFile(file: string, faults: readonly Fault[]): void {
  if (faults.length > 0) throw invalid(file, faults)
}

function invalid(file: string, faults: readonly Fault[]): MeshError {
  const lines = faults
    .slice(0, FAULTS_SHOWN)
    .map(({ path, message }) => (path === '' ? `${file} ${message}` : `${file}: ${path}: ${message}`))
  const more = faults.length > FAULTS_SHOWN ? [`and ${faults.length - FAULTS_SHOWN} more`] : []
  return new MeshError('CONFIG_INVALID', [...lines, ...more].join('\n  '))
}

async function drain(plane: Plane, drainMs: number, log: Log): Promise<void> {
  const endsAt = systemClock.monotonic() + drainMs
  log.info({ drainMs, busy: plane.busy }, 'draining')
  plane.drain()
  while (plane.busy > 0 && systemClock.monotonic() < endsAt) await delay(systemClock, DRAIN_POLL_MS)
  if (plane.busy > 0) log.warn({ busy: plane.busy }, 'cutting what did not finish')
  await plane.close()
  process.exit(0)
}
