/**
 * Starts and stops cluster processes, one per cluster, and writes the kubeconfig that names them all. Attached ones die
 * with their parent (demo, tests), detached ones stay (`isthmus local up`). All start, or none stays.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs'
import { flushCompileCache } from 'node:module'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { delay, systemClock } from '../../runtime/clock.ts'
import { CATALOGUE } from '../../runtime/catalogue.ts'
import { MeshError } from '../../runtime/errors.ts'
import type { Log } from '../../runtime/log.ts'
import { endLeftovers, isRunning } from '../node/process-table.ts'
import { Images, type ImageCommand } from '../node/images.ts'
import { takeLock } from './cluster-lock.ts'
import { checkDistinct, type ClusterSpec } from './cluster-spec.ts'
import type { ClusterStatus, ControlFailure } from './control-api.ts'
import { connectControl, failure, type Control } from './control-client.ts'
import { writeKubeconfig } from './kubeconfig-file.ts'
import { removeNetwork } from './namespaces.ts'
import { parseServeMessage, type ServeMessage } from './serve-message.ts'
import {
  clusterPaths,
  kubeconfigPath,
  prepareDirectory,
  readRun,
  readSpec,
  writeRecord,
  type ClusterPaths,
} from './state-directory.ts'

export interface StartClustersOptions {
  readonly stateDir: string
  readonly clusters: readonly ClusterSpec[]
  /** Image name → command, besides the built-in ones. */
  readonly images?: Readonly<Record<string, ImageCommand>>
  readonly log: Log
  readonly onProgress?: (cluster: string, step: 'starting' | 'ready', elapsedMs: number) => void
  /** The clusters outlive the caller; absent: they end with it. */
  readonly detached?: boolean
}

export interface LocalCluster {
  readonly name: string
  readonly url: string
  readonly kubeconfigContext: string
  readonly controlSocket: string
  readonly pid: number
  /** Addresses of the cluster's plan, as of its start. */
  readonly status: ClusterStatus
  readonly control: Control
}

export interface LocalClusters {
  readonly stateDir: string
  /** One file, one context per cluster, 0600. */
  readonly kubeconfigPath: string
  readonly clusters: readonly LocalCluster[]
  /** Ends them and removes all they wrote: no process, socket or file is left. */
  stop(): Promise<void>
  /** Detached ones only: lets them run on and forgets them. */
  release(): void
}

const START_TIMEOUT_MS = 60_000
const STOP_TIMEOUT_MS = 15_000
const STOP_STEP_MS = 25
const LOG_BYTES_MAX = 4 * 1024 * 1024

export async function startClusters(options: StartClustersOptions): Promise<LocalClusters> {
  const { stateDir, clusters, onProgress = () => {} } = options
  checkDistinct(clusters, stateDir)
  const isNewState = !existsSync(stateDir)
  const fresh = clusters.filter(({ name }) => !existsSync(clusterPaths(stateDir, name).directory))
  await refuseRunning(stateDir, clusters)
  const started: { spec: ClusterSpec; child: ChildProcess }[] = []
  try {
    for (const spec of clusters) prepare(stateDir, spec)
    const images = new Images(clusterPaths(stateDir, 'any').images)
    for (const [name, command] of Object.entries(options.images ?? {})) images.set(name, command)
    const startMs = systemClock.monotonic()
    const running = await settleAll(
      clusters.map(async (spec) => {
        onProgress(spec.name, 'starting', 0)
        const isEphemeral = fresh.some(({ name }) => name === spec.name)
        const bond = options.detached === true ? [] : ['--lifeline', ...(isEphemeral ? ['--ephemeral'] : [])]
        const child = spawnCluster(stateDir, spec, bond)
        started.push({ spec, child })
        await readiness(spec, child)
        onProgress(spec.name, 'ready', systemClock.monotonic() - startMs)
        return describe(stateDir, spec)
      }),
    )
    await writeKubeconfig(stateDir)
    const names = clusters.map(({ name }) => name)
    return {
      stateDir: resolve(stateDir),
      kubeconfigPath: kubeconfigPath(stateDir),
      clusters: running,
      stop: () => stopAndRemove(stateDir, names, isNewState),
      release: () => started.forEach(({ child }) => letGo(child)),
    }
  } catch (error) {
    await Promise.all(started.map(({ child }) => endChild(child)))
    const names = clusters.map(({ name }) => name)
    await Promise.all(
      names.map((name) =>
        cleanUp(
          stateDir,
          name,
          fresh.some((each) => each.name === name),
        ),
      ),
    )
    if (isNewState) rmSync(stateDir, { recursive: true, force: true })
    throw error
  }
}

async function endChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  await new Promise<void>((resolve) => {
    const cancel = systemClock.after(STOP_TIMEOUT_MS, () => child.kill('SIGKILL'))
    child.once('exit', () => {
      cancel()
      resolve()
    })
    child.kill('SIGTERM')
  })
}

/** Only what nobody runs is touched: the start may have failed because someone else was faster. */
async function cleanUp(stateDir: string, name: string, isNew: boolean): Promise<void> {
  const paths = clusterPaths(stateDir, name)
  const lock = await takeLock(paths.directory)
  if (lock === undefined) return
  endLeftovers(paths.journal)
  removeNetwork(paths.network)
  // What stood there before keeps its state; what is new goes without a trace.
  if (isNew) rmSync(paths.directory, { recursive: true, force: true })
  await lock.release()
}

/** Like Promise.all, but waits for the others too: what they started must be known before it is stopped. */
async function settleAll<T>(promises: readonly Promise<T>[]): Promise<T[]> {
  const results = await Promise.allSettled(promises)
  for (const result of results) if (result.status === 'rejected') throw result.reason
  return results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
}

async function refuseRunning(stateDir: string, clusters: readonly ClusterSpec[]): Promise<void> {
  for (const { name } of clusters) {
    const paths = clusterPaths(stateDir, name)
    const run = readRun(paths)
    if (run !== undefined && isRunning(run.pid, run.ticks)) {
      throw new MeshError(
        'LOCAL_RUNNING',
        `cluster ${name} runs already (process ${run.pid}, ${run.url}), with its state in ${paths.directory}`,
      )
    }
  }
}

function prepare(stateDir: string, spec: ClusterSpec): void {
  const paths = clusterPaths(stateDir, spec.name)
  prepareDirectory(paths)
  const present = readSpec(paths)
  if (present !== undefined && JSON.stringify(present) !== JSON.stringify(spec)) {
    const is = `${present.cloud}/${present.region}:${present.zones.join(',')}`
    throw new MeshError('LOCAL_CONFIG', `cluster ${spec.name} exists already as ${is}`, {
      hint: `Start it as it is, or remove it first with \`isthmus local down --cluster ${spec.name} --purge\`.`,
    })
  }
  writeRecord(paths.spec, spec)
}

/** `bond`: flags that tie it to this process; without any it is detached. */
function spawnCluster(stateDir: string, spec: ClusterSpec, bond: readonly string[]): ChildProcess {
  const paths = clusterPaths(stateDir, spec.name)
  if (existsSync(paths.log) && statSync(paths.log).size > LOG_BYTES_MAX) renameSync(paths.log, `${paths.log}.1`)
  const log = openSync(paths.log, 'a', 0o600)
  const args = [...entry(), 'local', 'serve', '--state', resolve(stateDir), '--cluster', spec.name]
  mkdirSync(paths.compileCache, { recursive: true, mode: 0o700 })
  try {
    return spawn(process.execPath, [...args, ...bond], {
      // Its own session in both cases: Ctrl-C is for the caller, who stops its clusters in order.
      detached: true,
      cwd: '/',
      stdio: [bond.length === 0 ? 'ignore' : 'pipe', 'pipe', log],
      env: { ...process.env, NODE_COMPILE_CACHE: paths.compileCache },
    })
  } finally {
    closeSync(log)
  }
}

/** The product's executable, in the form (dist or sources) that this module runs in; and flags that keep it small. */
function entry(): string[] {
  const here = fileURLToPath(import.meta.url)
  const main = join(dirname(here), here.endsWith('.ts') ? '../../main.ts' : '../../main.js')
  return ['--max-semi-space-size=2', main]
}

async function readiness(spec: ClusterSpec, child: ChildProcess): Promise<void> {
  const message = await new Promise<ServeMessage | undefined>((resolve) => {
    let text = ''
    const cancel = systemClock.after(START_TIMEOUT_MS, () => resolve(undefined))
    const done = (value: ServeMessage | undefined): void => {
      cancel()
      resolve(value)
    }
    child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk
      const end = text.indexOf('\n')
      if (end >= 0) done(parseServeMessage(text.slice(0, end)))
    })
    child.once('error', (error) =>
      done({ kind: 'failed', failure: { code: 'LOCAL_START', message: error.message, hint: '' } }),
    )
    // After its last words: 'close' waits for the pipe.
    child.once('close', (code, signal) =>
      done({ kind: 'failed', failure: died(spec.name, signal ?? `exit code ${code}`) }),
    )
  })
  if (message?.kind === 'ready') return
  if (message !== undefined) throw failure(message.failure)
  throw new MeshError('LOCAL_START', `cluster ${spec.name} did not become ready within ${START_TIMEOUT_MS / 1000} s`)
}

async function describe(stateDir: string, spec: ClusterSpec): Promise<LocalCluster> {
  const { socket } = clusterPaths(stateDir, spec.name)
  const control = connectControl(socket)
  const status = await control.status()
  return {
    name: spec.name,
    url: status.url,
    kubeconfigContext: spec.name,
    controlSocket: socket,
    pid: status.pid,
    status,
    control,
  }
}

function died(cluster: string, how: string): ControlFailure {
  const { hint } = CATALOGUE.LOCAL_START
  return { code: 'LOCAL_START', message: `the process of cluster ${cluster} ended before it was ready (${how})`, hint }
}

/** Neither pipe nor child keeps the caller's event loop alive. */
function letGo(child: ChildProcess): void {
  child.stdout?.destroy()
  child.unref()
}

async function stopAndRemove(stateDir: string, names: readonly string[], isNewState: boolean): Promise<void> {
  await Promise.all(names.map((name) => stopCluster(stateDir, name)))
  await purge(stateDir, names)
  if (isNewState) rmSync(stateDir, { recursive: true, force: true })
}

/** Removes the state of stopped clusters, and what all share once none is left. */
export async function purge(stateDir: string, names: readonly string[]): Promise<void> {
  for (const name of names) rmSync(clusterPaths(stateDir, name).directory, { recursive: true, force: true })
  if (knownClusters(stateDir).length > 0) return writeKubeconfig(stateDir)
  removeShared(stateDir)
}

/** For a cluster process whose parent died: the last one to go leaves nothing, unless someone put other files there. */
export function abandon(stateDir: string, name: string): void {
  // Otherwise Node writes it at exit, into directories that it makes again.
  flushCompileCache()
  rmSync(clusterPaths(stateDir, name).directory, { recursive: true, force: true })
  if (knownClusters(stateDir).length > 0) return
  removeShared(stateDir)
  if (existsSync(stateDir) && readdirSync(stateDir).length === 0) rmSync(stateDir, { recursive: true, force: true })
}

function removeShared(stateDir: string): void {
  const { images, compileCache } = clusterPaths(stateDir, 'any')
  for (const path of [images, compileCache, kubeconfigPath(stateDir)]) rmSync(path, { recursive: true, force: true })
}

/** Names of the clusters whose state lies in the directory, running or not. */
export function knownClusters(stateDir: string): string[] {
  if (!existsSync(stateDir)) return []
  return readdirSync(stateDir).filter((name) => readSpec(clusterPaths(stateDir, name)) !== undefined)
}

/** Whether its process lives; asks nobody. */
export function isClusterRunning(paths: ClusterPaths): boolean {
  const run = readRun(paths)
  return run !== undefined && isRunning(run.pid, run.ticks)
}

/** Asks, waits, insists. Also cleans up after a process that was killed. Answers whether there was something to stop. */
export async function stopCluster(stateDir: string, name: string): Promise<boolean> {
  const paths = clusterPaths(stateDir, name)
  const run = readRun(paths)
  const wasRunning = run !== undefined && isRunning(run.pid, run.ticks)
  if (run !== undefined && wasRunning) {
    await connectControl(paths.socket)
      .stop()
      .catch(() => kill(run.pid, 'SIGTERM'))
    if (!(await gone(run.pid, run.ticks))) {
      kill(run.pid, 'SIGKILL')
      await gone(run.pid, run.ticks)
    }
  }
  const left = endLeftovers(paths.journal)
  removeNetwork(paths.network)
  rmSync(paths.socket, { force: true })
  return wasRunning || left > 0
}

async function gone(pid: number, ticks: string): Promise<boolean> {
  const deadline = systemClock.monotonic() + STOP_TIMEOUT_MS
  while (isRunning(pid, ticks)) {
    if (systemClock.monotonic() > deadline) return false
    await delay(systemClock, STOP_STEP_MS)
  }
  return true
}

function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch {
    // Gone in between.
  }
}
