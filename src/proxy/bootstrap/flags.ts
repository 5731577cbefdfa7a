/**
 * The flags of `isthmus proxy -c FILE`, named as Envoy names them where Envoy has them. Reads only; who runs what is
 * main.ts's.
 */
import { parseArgs } from 'node:util'
import { MeshError, messageOf } from '../../runtime/errors.ts'
import { workerCount } from '../plane.ts'
import type { FileOptions } from './main.ts'
import { LOG_LEVELS } from '../log-levels.ts'

export const USAGE = `isthmus proxy -c FILE        run Envoy v3 bootstrap FILE (YAML or JSON)
isthmus proxy --role sidecar run as a pod's proxy of the mesh; settings come from the environment

Flags with -c:
  -c, --config-path FILE   the bootstrap: static_resources and admin
      --mode MODE          serve (the default), or validate: check the file and exit
  -l, --log-level LEVEL    trace, debug, info, warn, error or silent (default info)
      --workers N          processes that serve, behind one that accepts; 0: one per core (default 1;
                           --concurrency is the same)
      --drain-time-s N     after SIGTERM what is in flight may finish for so long (default 5)
  -h, --help               this text

What is supported stands in docs/reference/xds-support.md; anything else is refused by its path.
`

/** Undefined: no file is asked for, so the mesh's own roles apply. */
export function fileRole(argv: readonly string[]): FileOptions | 'help' | undefined {
  if (argv.some((flag) => flag === '--role' || flag.startsWith('--role='))) return undefined
  const { values } = parse(argv)
  if (values.help === true) return 'help'
  const { 'config-path': file, mode = 'serve', 'log-level': logLevel = 'info', 'drain-time-s': drainS = '5' } = values
  if (file === undefined) throw usage('isthmus proxy needs -c FILE or --role')
  if (mode !== 'serve' && mode !== 'validate') throw usage(`--mode ${mode}: there are serve and validate`)
  const seconds = Number(drainS)
  if (!/^[0-9]{1,5}$/.test(drainS)) throw usage(`--drain-time-s ${drainS}: not a number of seconds`)
  const workers = workerCount('--workers', values.workers ?? values.concurrency ?? '1')
  return { file, mode, logLevel: levelOf(logLevel), drainMs: seconds * 1_000, workers }
}

const FLAGS = {
  'config-path': { type: 'string', short: 'c' },
  mode: { type: 'string' },
  'log-level': { type: 'string', short: 'l' },
  'drain-time-s': { type: 'string' },
  workers: { type: 'string' },
  concurrency: { type: 'string' },
  help: { type: 'boolean', short: 'h' },
} as const

function parse(argv: readonly string[]): ReturnType<typeof parseArgs<{ options: typeof FLAGS }>> {
  try {
    return parseArgs({ args: [...argv], options: FLAGS, strict: true })
  } catch (error) {
    throw usage(messageOf(error))
  }
}

const LEVELS: Readonly<Record<string, string>> = { ...LOG_LEVELS, silent: 'silent' }

function levelOf(name: string): string {
  const level = Object.hasOwn(LEVELS, name) ? LEVELS[name] : undefined
  if (level === undefined) throw usage(`--log-level ${name}: there are ${Object.keys(LEVELS).join(', ')}`)
  return level
}

const usage = (message: string): MeshError => new MeshError('USAGE', message, { hint: 'isthmus proxy --help' })
