/**
 * Bulk TCP: how much CPU the proxies of a path use for a GiB, and how fast it goes beside no proxy at all.
 *
 *     node test/bench/tcp.ts [--rounds 3] [--mib 1024] [--connections 1] [--dist dist]
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { Places } from './places.ts'
import { findPrograms, startProgram, untilListening } from './programs.ts'
import { bulkRows, formatBulk } from './report.ts'
import type { TcpSample } from './report.ts'
import type { System } from './system.ts'
import { startTcpEnvoy, startTcpHaproxy, startTcpIsthmus, startTlsRelay, TCP_LOAD } from './tcp-systems.ts'
import { cpuOfAllUs } from './usage.ts'

const MIB = 1024 * 1024
const ORIGIN = { port: 9000 }

interface TcpBench {
  readonly systems: ReadonlyMap<string, System>
  readonly direct: { readonly address: string; readonly port: number }
  stop(): Promise<void>
}

export async function startTcpBench(dist: string): Promise<TcpBench> {
  const directory = await mkdtemp(join(tmpdir(), 'isthmus-bench-tcp-'))
  const places = new Places()
  const origin = { address: places.address(), ...ORIGIN }
  const { envoy, haproxy } = findPrograms()
  const args = [TCP_LOAD, 'source', origin.address, String(origin.port)]
  const source = startProgram({ name: 'source', program: process.execPath, args })
  await untilListening(origin.address, origin.port)
  const systems = new Map<string, System>()
  const options = { places, directory, origin }
  systems.set('isthmus', await startTcpIsthmus({ ...options, dist }))
  if (envoy !== undefined) systems.set('Envoy', await startTcpEnvoy({ ...options, program: envoy }))
  if (haproxy !== undefined) systems.set('haproxy', await startTcpHaproxy({ ...options, program: haproxy }))
  systems.set('node:tls relay', await startTlsRelay(options))
  return {
    systems,
    direct: origin,
    stop: async () => {
      await Promise.all([source, ...systems.values()].map((one) => one.stop()))
      await rm(directory, { recursive: true, force: true })
    },
  }
}

export async function transfer(
  to: { readonly address: string; readonly port: number },
  pids: readonly number[],
  load: { readonly mib: number; readonly connections: number },
): Promise<TcpSample> {
  const before = await cpuOfAllUs(pids)
  const args = [TCP_LOAD, 'sink', to.address, String(to.port), String(load.mib * MIB), String(load.connections)]
  const sink = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  let text = ''
  sink.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()))
  const [code] = (await once(sink, 'close')) as [number | null]
  if (code !== 0) throw new Error(`the transfer to ${to.address}:${to.port} failed`)
  const used = (await cpuOfAllUs(pids)) - before
  return { cpuSecondsPerGiB: used / 1e6 / (load.mib / 1024), mibPerSecond: load.mib / (Number(text) / 1_000) }
}

export interface TcpLoad {
  readonly mib: number
  readonly connections: number
  readonly rounds: number
}

/** Round by round, all systems in turn; the last is no proxy at all. */
export async function measureTcp(dist: string, load: TcpLoad): Promise<ReadonlyMap<string, readonly TcpSample[]>> {
  const bench = await startTcpBench(dist)
  const samples = new Map<string, TcpSample[]>()
  const add = (name: string, sample: TcpSample): void => {
    samples.set(name, [...(samples.get(name) ?? []), sample])
    const { cpuSecondsPerGiB, mibPerSecond } = sample
    process.stderr.write(`${name}: ${cpuSecondsPerGiB.toFixed(2)} CPU s/GiB, ${mibPerSecond.toFixed(0)} MiB/s\n`)
  }
  try {
    for (const { target, pids } of bench.systems.values()) await transfer(target, pids, { mib: 128, connections: 1 })
    for (let round = 0; round < load.rounds; round++) {
      for (const [name, { target, pids }] of bench.systems) add(name, await transfer(target, pids, load))
      add('no proxy', await transfer(bench.direct, [], load))
    }
  } finally {
    await bench.stop()
  }
  return samples
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '3' },
      mib: { type: 'string', default: '1024' },
      connections: { type: 'string', default: '1' },
      dist: { type: 'string', default: 'dist' },
    },
  })
  const { rounds, mib, connections, dist } = values
  const load = { mib: Number(mib), connections: Number(connections), rounds: Number(rounds) }
  process.stdout.write(formatBulk(bulkRows(await measureTcp(dist, load))).join('\n') + '\n')
}

if (process.argv[1] === import.meta.filename) await main()
