/** Load on one address: as much as it takes (wrk, h2load) or a fixed rate (h2load). Reads their output, no more. */
import { spawn } from 'node:child_process'
import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Programs } from './programs.ts'

export interface Target {
  readonly address: string
  readonly port: number
  readonly authority: string
}

export interface LoadOptions {
  readonly programs: Programs
  readonly directory: string
  readonly target: Target
  readonly path: string
  readonly protocol: 'h1' | 'h2' | 'grpc'
  readonly connections: number
  readonly seconds: number
  /** Requests per second; absent: saturated. */
  readonly rate?: number
}

export interface LoadResult {
  readonly requests: number
  readonly seconds: number
  readonly p50Us: number
  readonly p99Us: number
}

/** What an application's client sends anyway; the trace is the caller's and has to arrive. */
const HEADERS = [
  'User-Agent: bench/1.0',
  'Accept: */*',
  'Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
]
/** Streams in flight per HTTP/2 connection when saturated. */
const STREAMS = 32
/** Connections of a fixed rate: few enough that each is busy. */
const FIXED_CONNECTIONS = 10

export async function runLoad(options: LoadOptions): Promise<LoadResult> {
  if (options.rate !== undefined) return fixedRate(options, options.rate)
  return options.protocol === 'h1' ? saturateH1(options) : saturateH2(options)
}

const urlOf = ({ target, path }: LoadOptions): string => `http://${target.address}:${target.port}${path}`

async function saturateH1(options: LoadOptions): Promise<LoadResult> {
  const { programs, target, connections, seconds } = options
  const headers = [...HEADERS, `Host: ${target.authority}`].flatMap((header) => ['-H', header])
  const args = ['-t1', `-c${connections}`, `-d${seconds}s`, '--timeout', '10s', '--latency', ...headers, urlOf(options)]
  const text = await output(programs.wrk ?? 'wrk', args)
  const bad = /Non-2xx or 3xx responses: (\d+)/.exec(text) ?? /Socket errors: (.*)/.exec(text)
  if (bad !== null) throw new Error(`wrk against ${urlOf(options)}: ${bad[0]}`)
  const [, requests = '0', took = '0'] = /(\d+) requests in ([\d.]+)s/.exec(text) ?? []
  return {
    requests: Number(requests),
    seconds: Number(took),
    p50Us: microseconds(/^\s+50%\s+(\S+)/m.exec(text)?.[1]),
    p99Us: microseconds(/^\s+99%\s+(\S+)/m.exec(text)?.[1]),
  }
}

function microseconds(text: string | undefined): number {
  const [, value = 'NaN', unit = ''] = /^([\d.]+)(us|ms|s)$/.exec(text ?? '') ?? []
  return Number(value) * (unit === 's' ? 1e6 : unit === 'ms' ? 1e3 : 1)
}

const saturateH2 = (options: LoadOptions): Promise<LoadResult> =>
  h2load(options, [`-c${Math.max(1, options.connections / STREAMS)}`, `-m${STREAMS}`])

const fixedRate = (options: LoadOptions, rate: number): Promise<LoadResult> =>
  h2load(options, [`-c${FIXED_CONNECTIONS}`, `--rps=${rate / FIXED_CONNECTIONS}`])

async function h2load(options: LoadOptions, shape: readonly string[]): Promise<LoadResult> {
  const { programs, directory, target, protocol, seconds } = options
  const log = join(directory, 'h2load.log')
  const grpc = ['-d', join(directory, 'message'), '-H', 'content-type: application/grpc', '-H', 'te: trailers']
  const args = [
    ...shape,
    '-t1',
    `-D${seconds}`,
    `--log-file=${log}`,
    ...(protocol === 'h1' ? ['--h1'] : ['--no-tls-proto=h2c']),
    ...(protocol === 'grpc' ? grpc : []),
    ...[...HEADERS, `:authority: ${target.authority}`].flatMap((header) => ['-H', header]),
    urlOf(options),
  ]
  const text = await output(programs.h2load ?? 'h2load', args)
  const lines = (await readFile(log, 'utf8').catch(() => '')).trim().split('\n')
  await rm(log, { force: true })
  const rows = lines.map((line) => line.split('\t').map(Number))
  const failed = rows.filter(([, status]) => status !== 200).length
  if (failed > 0 || rows.length < 2) throw new Error(`h2load against ${urlOf(options)}: ${failed} failed\n${text}`)
  const times = rows.map(([, , us]) => us ?? 0).sort((a, b) => a - b)
  const at = (share: number): number => times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? 0
  return { requests: rows.length, seconds, p50Us: at(0.5), p99Us: at(0.99) }
}

function output(program: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] })
    const chunks: Buffer[] = []
    child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk))
    child.stderr.on('data', (chunk: Buffer) => chunks.push(chunk))
    child.on('error', reject)
    child.on('close', (code) => {
      const text = Buffer.concat(chunks).toString()
      if (code === 0) resolve(text)
      else reject(new Error(`${program} ended with ${code}: ${text}`))
    })
  })
}
