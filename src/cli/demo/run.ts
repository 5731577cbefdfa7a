/**
 * The demo from start to end: clusters, mesh, load, script, report, clean-up. Composition only: each step's work
 * stands in the file it imports.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock, type Clock } from '../../runtime/clock.ts'
import { createLog } from '../../runtime/log.ts'
import { MeshError } from '../../runtime/errors.ts'
import { clusterPaths } from '../../local/cluster/state-directory.ts'
import { isClusterRunning, knownClusters } from '../../local/cluster/supervisor.ts'
import type { DemoFlags } from '../demo.ts'
import { progress, writeLine } from '../output.ts'
import { command, findClientPod, followRecords, type ClientPod } from './client-pod.ts'
import { openClusters, type DemoClusters } from './clusters.ts'
import { readDemoConfig, type DemoConfig } from './config.ts'
import { scrape, sumSourceRequests } from './counters.ts'
import { keepText } from './keep.ts'
import { eventFigures, phaseFigures, type Locate, type Observation } from './measure.ts'
import { buildMesh } from './mesh.ts'
import { watchPods } from './pods.ts'
import { buildReport, reportText, type DemoReport } from './report.ts'
import { runScript, type ScriptResult } from './script.ts'
import { startView } from './view.ts'

const EXIT_FAILED = 1
/** Shells' code for a program ended by SIGINT. */
const EXIT_INTERRUPTED = 130

/** Returns the exit code; leaves no process, socket or file behind, also when it is interrupted or fails. */
export async function runDemo(flags: DemoFlags): Promise<number> {
  const demo = withFlags(await readDemoConfig(flags.config), flags)
  const clock = systemClock
  const startedAt = clock.monotonic()
  const stop = new AbortController()
  const interrupt = (): void => stop.abort()
  process.once('SIGINT', interrupt)
  process.once('SIGTERM', interrupt)
  if (flags.state !== undefined) refuseOldState(flags.state)
  const stateDir = flags.state ?? (await mkdtemp(join(tmpdir(), 'isthmus-demo-')))
  let clusters: DemoClusters | undefined
  try {
    clusters = await openClusters({
      demo,
      stateDir,
      log: createLog('demo', 'warn'),
      progress,
      detached: flags.keep === true,
    })
    const report = await measured({ demo, clusters, clock, signal: stop.signal, startedAt })
    if (stop.signal.aborted) return EXIT_INTERRUPTED
    if (flags.report !== undefined) await writeFile(flags.report, `${JSON.stringify(report, undefined, 2)}\n`)
    writeLine(`\n${reportText(report)}`)
    if (flags.keep === true) writeLine(await keepText(demo, clusters))
    return report.passed ? 0 : EXIT_FAILED
  } catch (error) {
    // What was interrupted fails somewhere in the middle; that is not news.
    if (stop.signal.aborted) return EXIT_INTERRUPTED
    throw error
  } finally {
    process.off('SIGINT', interrupt)
    process.off('SIGTERM', interrupt)
    if (flags.keep !== true || stop.signal.aborted) {
      await clusters?.stop()
      if (flags.state === undefined) await rm(stateDir, { recursive: true, force: true })
    } else clusters?.release()
  }
}

/** The demo installs into empty clusters only; running ones are refused by name when they are started. */
function refuseOldState(stateDir: string): void {
  const old = knownClusters(stateDir).filter((name) => !isClusterRunning(clusterPaths(stateDir, name)))
  if (old.length === 0) return
  throw new MeshError('LOCAL_STATE', `${stateDir} holds clusters of an earlier run: ${old.join(', ')}`, {
    hint: `Remove them first with \`isthmus local down --purge --state ${stateDir}\`, or name another directory with --state.`,
  })
}

function withFlags(demo: DemoConfig, flags: DemoFlags): DemoConfig {
  const order = flags.faults?.split(',').map(Number)
  const faults = order?.map((place) => {
    const fault = demo.faults[place - 1]
    if (fault === undefined)
      throw new MeshError('USAGE', `--faults ${flags.faults}: the configuration has faults 1 to ${demo.faults.length}`)
    return fault
  })
  return {
    ...demo,
    ...(faults === undefined ? {} : { faults }),
    ...(flags.phaseSeconds === undefined ? {} : { phaseSeconds: positive('--phase-seconds', flags.phaseSeconds) }),
    ...(flags.rate === undefined ? {} : { load: { ...demo.load, ratePerSecond: positive('--rate', flags.rate) } }),
  }
}

function positive(flag: string, text: string): number {
  const value = Number(text)
  if (!Number.isFinite(value) || value <= 0) throw new MeshError('USAGE', `${flag} ${text} is not a positive number`)
  return value
}

interface Run {
  readonly demo: DemoConfig
  readonly clusters: DemoClusters
  readonly clock: Clock
  readonly signal: AbortSignal
  readonly startedAt: number
}

async function measured(run: Run): Promise<DemoReport> {
  const { demo, clusters, clock, signal, startedAt } = run
  await buildMesh({ demo, clusters: clusters.running, clock, progress, signal })
  const pods = await watchPods({
    clusters: clusters.running.map(({ config, client }) => ({ name: config.name, client })),
    namespace: demo.load.namespace,
    clock,
    signal: clusters.closing,
  })
  const loadCluster = clusters.get(demo.load.cluster)
  const pod = await findClientPod(loadCluster.client, demo.load)
  const observations: Observation[] = []
  const follow = new AbortController()
  followRecords(pod, {
    connection: loadCluster.connection,
    container: demo.load.deployment,
    clock,
    signal: AbortSignal.any([follow.signal, clusters.closing]),
    onObservation: (each) => observations.push(each),
    onEnd: (reason) => progress(`the client's log ended: ${reason}`),
  })
  await firstAnswer(pod, { observations, clock, signal })
  const warmUp = observations.splice(0).length
  const startSeconds = (clock.monotonic() - startedAt) / 1_000
  progress(`ready for traffic after ${startSeconds.toFixed(1)} s (${warmUp} requests to warm up)`)
  const script = await drive({ ...run, pod, observations, locate: pods })
  follow.abort()
  return judge({ ...run, script, observations, locate: pods, pod, warmUp, startSeconds })
}

interface FirstAnswer {
  readonly observations: readonly Observation[]
  readonly clock: Clock
  readonly signal: AbortSignal
}

const WARM_UP_TIMEOUT_MS = 30_000
const WARM_UP_STEP_MS = 100
/** This many successes in a row, over both names, prove every joint. */
const WARM_UP_STREAK = 20

/** The client runs its first requests until they succeed steadily; they count for nothing. */
async function firstAnswer(pod: ClientPod, { observations, clock, signal }: FirstAnswer): Promise<void> {
  const ended = new AbortController()
  const cancelTimeout = clock.after(WARM_UP_TIMEOUT_MS, () => ended.abort())
  const either = AbortSignal.any([signal, ended.signal])
  await command(pod, 'warm-up')
  let isWarm = false
  const poll = clock.every(WARM_UP_STEP_MS, () => {
    const latest = observations.slice(-WARM_UP_STREAK)
    if (latest.length < WARM_UP_STREAK || latest.some(({ status }) => status !== 200)) return
    isWarm = true
    ended.abort()
  })
  await new Promise<void>((resolve) => either.addEventListener('abort', () => resolve(), { once: true }))
  poll()
  cancelTimeout()
  await settle(pod, { observations, clock, signal })
  if (isWarm || signal.aborted) return
  const last = observations.at(-1)
  throw new MeshError(
    'WAIT_TIMEOUT',
    `the client's requests did not succeed within ${WARM_UP_TIMEOUT_MS / 1_000} s; the last one ended with ${last?.status ?? 'nothing'}`,
  )
}

const SETTLE_TIMEOUT_MS = 12_000

/** Stops the load and waits until every request it sent has its record. */
async function settle(pod: ClientPod, { observations, clock, signal }: FirstAnswer): Promise<void> {
  const { sent } = await command(pod, 'stop')
  const deadline = clock.monotonic() + SETTLE_TIMEOUT_MS
  while (observations.length < sent && clock.monotonic() < deadline && !signal.aborted) {
    await new Promise<void>((resolve) => clock.after(WARM_UP_STEP_MS, resolve))
  }
}

interface Drive extends Run {
  readonly pod: ClientPod
  readonly observations: Observation[]
  readonly locate: Locate
}

async function drive(run: Drive): Promise<ScriptResult> {
  const { demo, clusters, clock, signal, pod, observations, locate } = run
  let phase = ''
  await command(pod, 'start')
  const stopView = startView({ clock, output: process.stderr, source: () => ({ phase, observations, locate }) })
  try {
    return await runScript({
      demo,
      clock,
      signal,
      control: (cluster) => clusters.get(cluster).control,
      onPhase: ({ name }) => (phase = name),
      progress: process.stderr.isTTY ? () => {} : progress,
    })
  } finally {
    stopView()
    await settle(pod, { observations, clock, signal })
  }
}

interface Judge extends Drive {
  readonly script: ScriptResult
  readonly warmUp: number
  readonly startSeconds: number
}

async function judge(run: Judge): Promise<DemoReport> {
  const { demo, clusters, clock, script, observations, locate, pod, startedAt } = run
  const exposition = await scrape(pod.ip)
  const forbidden = await clusters.forbiddenRequests()
  return buildReport({
    observations,
    phases: script.phases.map((phase) => phaseFigures(observations, phase, locate)),
    events: script.faults.map((fault) => eventFigures(observations, fault, locate)),
    proxyRequests: sumSourceRequests(exposition) - run.warmUp,
    forbidden,
    requestsPerPhaseMin: demo.requestsPerPhaseMin,
    startSeconds: run.startSeconds,
    totalSeconds: (clock.monotonic() - startedAt) / 1_000,
  })
}
