/**
 * Envoy as a child: found, started, drained and ended. Its end is the agent's end with the same code, so that the kubelet
 * sees one container and restarts both; hot restarts are not used.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { delimiter, isAbsolute, join } from 'node:path'
import { constants as os } from 'node:os'
import type { Clock } from '../runtime/clock.ts'
import { delay } from '../runtime/clock.ts'
import { MeshError } from '../runtime/errors.ts'
import { PEER_ENVIRONMENT } from '../model/names.ts'
import type { EnvoyAdmin } from './envoy-admin.ts'

export interface EnvoyProcessOptions {
  /** A path, or a name to look for. */
  readonly program: string
  readonly searchPath: string
  /** The bootstrap's file; relative paths in it start in `cwd`. */
  readonly config: string
  readonly cwd: string
  readonly logLevel: string
  readonly concurrency: number
  readonly drainMs: number
}

const SIGNAL_BASE = 128
/** Looked at so often while it drains. */
const DRAIN_CHECK_MS = 50
/** What Envoy gets of the environment: nothing that is the agent's. */
const ENVIRONMENT = ['PATH', 'LD_LIBRARY_PATH', 'TMPDIR', 'HOME', 'TZ', PEER_ENVIRONMENT] as const

/** Where it is; throws ENVOY_MISSING with where it was looked for. */
export function findEnvoy(program: string, searchPath: string): string {
  const places = program.includes('/') ? [program] : searchPath.split(delimiter).map((place) => join(place, program))
  const found = places.find((path) => isAbsolute(path) && isExecutable(path))
  if (found !== undefined) return found
  const where = program.includes('/') ? '' : ` in PATH (${searchPath})`
  throw new MeshError('ENVOY_MISSING', `${program} is no program that can be run${where}`)
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

export class EnvoyProcess {
  readonly #child: ChildProcess
  readonly #drainMs: number
  /** The code that the agent ends with. */
  readonly ended: Promise<number>

  constructor(options: EnvoyProcessOptions, env: NodeJS.ProcessEnv) {
    const args = ['-c', options.config, '-l', options.logLevel, '--disable-hot-restart']
    // Its remarks on fields that it will drop one day are for us, not for the pod's log.
    args.push('--component-log-level', 'misc:error')
    if (options.concurrency > 0) args.push('--concurrency', String(options.concurrency))
    args.push(
      '--drain-time-s',
      String(Math.max(1, Math.ceil(options.drainMs / 1_000))),
      '--drain-strategy',
      'immediate',
    )
    this.#drainMs = options.drainMs
    this.#child = spawn(findEnvoy(options.program, options.searchPath), args, {
      cwd: options.cwd,
      stdio: ['ignore', 'inherit', 'inherit'],
      env: Object.fromEntries(ENVIRONMENT.flatMap((name) => (env[name] === undefined ? [] : [[name, env[name]]]))),
    })
    this.ended = new Promise((resolve, reject) => {
      this.#child.once('error', reject)
      this.#child.once('exit', (code, signal) =>
        resolve(code ?? SIGNAL_BASE + (signal === null ? 0 : os.signals[signal])),
      )
    })
  }

  get pid(): number | undefined {
    return this.#child.pid
  }

  /** New connections go elsewhere, what is in flight may finish; then it ends, or is ended. */
  async drain(admin: EnvoyAdmin, clock: Clock): Promise<number> {
    const endsAt = clock.monotonic() + this.#drainMs
    // Envoy that does not answer has nothing to finish.
    await admin.post('/drain_listeners?graceful').catch(() => '')
    while (clock.monotonic() < endsAt && (await admin.activeRequests().catch(() => 0)) > 0) {
      await delay(clock, DRAIN_CHECK_MS)
    }
    this.#child.kill('SIGTERM')
    const cancel = clock.after(this.#drainMs, () => void this.#child.kill('SIGKILL'))
    const code = await this.ended
    cancel()
    return code
  }
}
