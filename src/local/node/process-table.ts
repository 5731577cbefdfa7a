/**
 * The processes of a cluster's pods, and how none outlives the cluster. Every child leads its own process group and
 * stands in a journal as `<pid> <start ticks>`; the ticks of /proc/<pid>/stat tell it from a stranger that later got
 * the same pid. Three things read the journal: a clean stop, the reaper (reaper.ts) when the cluster process dies, and
 * the next start for what both missed. Not a supervisor: restarts and probes are the container runner's.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { appendFileSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'

export interface ChildOptions {
  readonly command: readonly string[]
  readonly cwd: string
  readonly env: Readonly<Record<string, string>>
  readonly onOutput: (stream: 'stdout' | 'stderr', chunk: Buffer) => void
  readonly onExit: (exit: ChildExit) => void
}

export interface ChildExit {
  readonly code: number
  readonly signal: NodeJS.Signals | undefined
  /** Set when the program could not be started at all. */
  readonly error: string | undefined
}

export interface Child {
  readonly pid: number
  /** Sends to the whole process group. */
  signal(signal: NodeJS.Signals): void
}

/** As container runtimes report a command that cannot be started. */
const EXIT_CANNOT_START = 128

/** Lines of the dead are dropped when the journal has this many more lines than living processes. */
const STALE_LINES_MAX = 256

export class ProcessTable {
  readonly #journal: string
  readonly #living = new Map<number, string>()
  #lines = 0

  constructor(journal: string) {
    this.#journal = journal
  }

  get size(): number {
    return this.#living.size
  }

  /** undefined: the program could not be started; `onExit` has said why. */
  spawn(options: ChildOptions): Child | undefined {
    const [file = '', ...args] = options.command
    let process: ChildProcess
    try {
      process = spawn(file, args, {
        cwd: options.cwd,
        env: options.env,
        detached: true,
        stdio: ['ignore', 'pipe', 'pipe'],
      })
    } catch (error) {
      queueMicrotask(() => options.onExit(failure(error)))
      return undefined
    }
    const { pid } = process
    if (pid === undefined) {
      process.once('error', (error) => options.onExit(failure(error)))
      return undefined
    }
    this.#record(pid)
    process.stdout?.on('data', (chunk: Buffer) => options.onOutput('stdout', chunk))
    process.stderr?.on('data', (chunk: Buffer) => options.onOutput('stderr', chunk))
    // Sending a signal to a process that just went also ends in 'error'.
    process.on('error', () => {})
    process.once('exit', (code, signal) => {
      // What the leader left behind dies with it, as in a container; the pid cannot be taken while the group lives.
      signalGroup(pid, 'SIGKILL')
      this.#living.delete(pid)
      options.onExit({ code: code ?? 128 + signalNumber(signal), signal: signal ?? undefined, error: undefined })
    })
    return { pid, signal: (signal) => void (this.#living.has(pid) && signalGroup(pid, signal)) }
  }

  /** After the last process has gone: nothing is left for the reaper or the next start to do. */
  forget(): void {
    this.#lines = 0
    rmSync(this.#journal, { force: true })
  }

  #record(pid: number): void {
    const ticks = startTicks(pid)
    if (ticks === undefined) return // Gone already: 'exit' is on its way.
    this.#living.set(pid, ticks)
    if (this.#lines > this.#living.size + STALE_LINES_MAX) {
      writeFileSync(`${this.#journal}.new`, [...this.#living].map(([id, start]) => `${id} ${start}\n`).join(''))
      renameSync(`${this.#journal}.new`, this.#journal)
      this.#lines = this.#living.size
      return
    }
    appendFileSync(this.#journal, `${pid} ${ticks}\n`, { mode: 0o600 })
    this.#lines++
  }
}

/** Kills every recorded process group that still lives; returns how many there were. */
export function endLeftovers(journal: string): number {
  let text: string
  try {
    text = readFileSync(journal, 'utf8')
  } catch {
    return 0
  }
  let ended = 0
  for (const line of text.split('\n')) {
    const [pid = '', ticks = ''] = line.split(' ')
    const id = Number(pid)
    if (!Number.isInteger(id) || id < 2 || ticks === '' || startTicks(id) !== ticks) continue
    signalGroup(id, 'SIGKILL')
    ended++
  }
  rmSync(journal, { force: true })
  return ended
}

/** Field 22 of /proc/<pid>/stat: when the process started, in clock ticks since boot; undefined when it is gone. */
export function startTicks(pid: number): string | undefined {
  return statFields(pid)?.[19]
}

/** The fields of /proc/<pid>/stat from the third (the state) on. */
function statFields(pid: number): string[] | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    // The second field is the command in parentheses and may hold anything, so count from its end.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  } catch {
    return undefined
  }
}

/** Whether that very process still runs; a zombie, which only waits for its parent's glance, does not. */
export function isRunning(pid: number, ticks: string): boolean {
  const fields = statFields(pid)
  return fields?.[19] === ticks && fields[0] !== 'Z'
}

function signalGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal)
  } catch {
    // No such group: it is gone, which is what a signal may find.
  }
}

function failure(error: unknown): ChildExit {
  return {
    code: EXIT_CANNOT_START,
    signal: undefined,
    error: error instanceof Error ? error.message : String(error),
  }
}

const SIGNAL_NUMBERS: Readonly<Record<string, number>> = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGQUIT: 3,
  SIGABRT: 6,
  SIGBUS: 7,
  SIGKILL: 9,
  SIGSEGV: 11,
  SIGPIPE: 13,
  SIGTERM: 15,
}

export function signalNumber(signal: string | null | undefined): number {
  return SIGNAL_NUMBERS[signal ?? ''] ?? 0
}
