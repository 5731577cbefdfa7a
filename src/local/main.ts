/**
 * `isthmus local serve`: runs one cluster until it is told to stop, by a signal, by its control socket, or (with
 * --lifeline) by the end of its standard input, which is how a parent that dies takes its clusters along; with
 * --ephemeral their state as well. One line of JSON on standard output says that it is ready or why it is not; the log
 * goes to standard error.
 */
import { parseArgs } from 'node:util'
import { systemClock } from '../runtime/clock.ts'
import { MeshError } from '../runtime/errors.ts'
import { createLog, lossyStandardError } from '../runtime/log.ts'
import { systemRandom } from '../runtime/random.ts'
import { startCluster } from './cluster/cluster.ts'
import { clusterPaths, readSpec } from './cluster/state-directory.ts'
import { ready, type ServeMessage } from './cluster/serve-message.ts'

const OPTIONS = {
  state: { type: 'string' },
  cluster: { type: 'string' },
  lifeline: { type: 'boolean', default: false },
  ephemeral: { type: 'boolean', default: false },
  'log-level': { type: 'string', default: 'info' },
} as const

export async function main(argv: readonly string[]): Promise<void> {
  const { values } = parseArgs({ args: [...argv], options: OPTIONS })
  const { state, cluster: name } = values
  if (state === undefined || name === undefined)
    throw new MeshError('USAGE', 'local serve needs --state DIR and --cluster NAME')
  const log = createLog('local', values['log-level'], lossyStandardError).child({ cluster: name })
  const stopping = new AbortController()
  const stop = (): void => stopping.abort()
  // Before anything is started, so that a signal in between is not lost.
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, stop)
  // Whoever read our line may be gone.
  process.stdout.on('error', () => {})
  let orphaned = false
  const orphan = (): void => {
    orphaned = true
    stop()
  }
  if (values.lifeline) process.stdin.on('end', orphan).on('error', orphan).resume()

  try {
    const spec = readSpec(clusterPaths(state, name))
    if (spec === undefined) throw new MeshError('LOCAL_NOT_RUNNING', `no cluster ${name} is known in ${state}`)
    const cluster = await startCluster({
      stateDir: state,
      spec,
      clock: systemClock,
      random: systemRandom,
      log,
      onStopAsked: stop,
    })
    announce(ready(cluster.url))
    log.info({ url: cluster.url }, 'ready')
    if (!stopping.signal.aborted) {
      await new Promise<void>((resolve) => stopping.signal.addEventListener('abort', () => resolve(), { once: true }))
    }
    await cluster.stop()
    log.info('stopped')
    // A parent that stops its clusters in order removes their state itself.
    if (orphaned && values.ephemeral) (await import('./cluster/supervisor.ts')).abandon(state, name)
  } catch (error) {
    const { code, message, hint } = MeshError.from(error, 'LOCAL_START', `cluster ${name}`)
    announce({ kind: 'failed', failure: { code, message, hint } })
    log.error({ err: error }, 'cannot run')
    process.exitCode = 1
  }
  // A stray handle must not keep a stopped cluster in the process list.
  setImmediate(() => process.exit())
}

function announce(message: ServeMessage): void {
  process.stdout.write(`${JSON.stringify(message)}\n`)
}
