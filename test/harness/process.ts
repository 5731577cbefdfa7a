/** Runs programs as a person would, and looks at processes through /proc. Not a supervisor: each run ends by itself. */
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { repositoryRoot } from './repository.ts'

export interface Outcome {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>
  readonly input?: string | Buffer
  readonly cwd?: string
}

export function run(program: string, args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  return finish(start(program, args, options), options.input ?? '')
}

/** The built product's executable. */
export const isthmusMain = join(repositoryRoot, 'dist/src/main.js')

export function start(
  program: string,
  args: readonly string[],
  options: RunOptions = {},
): ChildProcessWithoutNullStreams {
  return spawn(program, args, { cwd: options.cwd, env: { ...process.env, ...options.env }, stdio: 'pipe' })
}

/** Everything it wrote, once it and whoever inherited its output are gone. */
export function finish(child: ChildProcessWithoutNullStreams, input: string | Buffer = ''): Promise<Outcome> {
  const stdout: Buffer[] = []
  const stderr: Buffer[] = []
  child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk))
  child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk))
  // It may end before it has read all of it.
  child.stdin.on('error', () => {})
  child.stdin.end(input)
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) =>
      resolve({ code, stdout: Buffer.concat(stdout).toString(), stderr: Buffer.concat(stderr).toString() }),
    )
  })
}

/** Whether the program can be started at all; tests that need it say so in their names when not. */
export async function isInstalled(program: string, args: readonly string[]): Promise<boolean> {
  return run(program, args).then(
    ({ code }) => code === 0,
    () => false,
  )
}

export interface ProcessFacts {
  readonly pid: number
  readonly commandLine: string
  readonly residentBytes: number
}

/** Every process whose command line or environment names one of the texts, such as a state directory. */
export async function processesOf(...texts: readonly string[]): Promise<readonly ProcessFacts[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number)
  const found = await Promise.all(
    pids.map(async (pid): Promise<ProcessFacts | undefined> => {
      const [environment, line, status] = await Promise.all(
        ['environ', 'cmdline', 'status'].map((file) => readFile(`/proc/${pid}/${file}`, 'utf8').catch(() => '')),
      )
      const told = `${line}${environment}`.replaceAll('\0', ' ')
      if (pid === process.pid || !texts.some((text) => told.includes(text))) return undefined
      const kibibytes = Number(/^VmRSS:\s+(\d+) kB$/m.exec(status ?? '')?.[1] ?? 0)
      return { pid, commandLine: (line ?? '').replaceAll('\0', ' ').trim(), residentBytes: kibibytes * 1_024 }
    }),
  )
  return found.filter((facts) => facts !== undefined)
}
