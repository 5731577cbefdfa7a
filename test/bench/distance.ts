/**
 * Two clusters 70 ms apart: how fast one large body crosses the tunnel beside plain TCP through the same relay, and
 * what small requests wait beside it.
 *
 *     node test/bench/distance.ts [--rounds 3] [--dist dist] [--rtt 70]
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { Agent, get, request } from 'node:http'
import { loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { startIsthmus } from './isthmus.ts'
import type { Target } from './load.ts'
import { ORIGIN_PORT, pathOf } from './origin.ts'
import { Places } from './places.ts'
import { type Running, startProgram, untilListening } from './programs.ts'
import { medianOf } from './rows.ts'

const MIB = 1024 * 1024
const BODY_MIB = 100
const BODY_PATH = `/b${BODY_MIB * MIB}`
const GATEWAY_PORT = 15443
const SMALL_EVERY_MS = 25

interface Fetched {
  readonly bytes: number
  readonly ms: number
}

function fetched(target: Target, path: string, agent: Agent): Promise<Fetched> {
  const startedAt = performance.now()
  return new Promise((resolve, reject) => {
    const options = { host: target.address, port: target.port, path, agent, headers: { host: target.authority } }
    get(options, (response) => {
      let bytes = 0
      response.on('data', (chunk: Buffer) => (bytes += chunk.length))
      response.on('end', () => {
        if (response.statusCode === 200) resolve({ bytes, ms: performance.now() - startedAt })
        else reject(new Error(`${path}: ${response.statusCode}`))
      })
      response.on('error', reject)
    }).on('error', reject)
  })
}

/** The other direction: the application answers when it has read everything. */
function uploaded(target: Target, agent: Agent): Promise<Fetched> {
  const startedAt = performance.now()
  const bytes = BODY_MIB * MIB
  const headers = { host: target.authority, 'content-length': bytes }
  return new Promise((resolve, reject) => {
    const options = { host: target.address, port: target.port, path: '/upload', method: 'PUT', agent, headers }
    const sending = request(options, (response) => {
      response.resume()
      response.on('end', () => resolve({ bytes, ms: performance.now() - startedAt }))
    })
    sending.on('error', reject)
    const chunk = Buffer.alloc(MIB)
    let left = BODY_MIB
    const more = (): void => {
      while (left > 0) {
        left--
        if (!sending.write(chunk)) return void sending.once('drain', more)
      }
      sending.end()
    }
    more()
  })
}

interface Round {
  readonly mibPerSecond: number
  readonly uploadMibPerSecond: number
  readonly smallP50Ms: number
  readonly smallP99Ms: number
}

async function round(target: Target): Promise<Round> {
  const bulk = new Agent({ keepAlive: true })
  const small = new Agent({ keepAlive: true })
  try {
    for (const agent of [bulk, small]) await fetched(target, pathOf('100 B'), agent)
    const waited: number[] = []
    const pending: Promise<void>[] = []
    const bulky = { done: false }
    const body = fetched(target, BODY_PATH, bulk).finally(() => {
      bulky.done = true
    })
    // What fails is told below, when everything that was started can be stopped.
    body.catch(() => {})
    while (!bulky.done) {
      const one = fetched(target, pathOf('100 B'), small).then(({ ms }) => void waited.push(ms))
      one.catch(() => {})
      pending.push(one)
      await sleep(SMALL_EVERY_MS)
    }
    await Promise.all(pending)
    const { bytes, ms } = await body
    const upload = await uploaded(target, bulk)
    waited.sort((a, b) => a - b)
    const at = (share: number): number => waited[Math.min(waited.length - 1, Math.floor(waited.length * share))] ?? 0
    const rate = (one: Fetched): number => one.bytes / MIB / (one.ms / 1_000)
    return {
      mibPerSecond: rate({ bytes, ms }),
      uploadMibPerSecond: rate(upload),
      smallP50Ms: at(0.5),
      smallP99Ms: at(0.99),
    }
  } finally {
    bulk.destroy()
    small.destroy()
  }
}

async function relayTo(
  from: { address: string; port: number },
  to: { address: string; port: number },
  rttMs: number,
): Promise<Running> {
  const ends = [from.address, from.port, to.address, to.port, rttMs / 2].map(String)
  const args = [join(import.meta.dirname, 'relay.ts'), ...ends]
  const running = startProgram({ name: 'relay', program: process.execPath, args, env: { NODE_NO_WARNINGS: '1' } })
  await untilListening(from.address, from.port)
  return running
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '3' },
      rtt: { type: 'string', default: '70' },
      dist: { type: 'string', default: 'dist' },
    },
  })
  const directory = await mkdtemp(join(tmpdir(), 'isthmus-bench-distance-'))
  const places = new Places()
  const origin = places.address()
  const stops: (() => Promise<unknown>)[] = [() => rm(directory, { recursive: true, force: true })]
  try {
    const app = [join(import.meta.dirname, 'distance-app.ts'), origin, String(ORIGIN_PORT)]
    const application = startProgram({ name: 'application', program: process.execPath, args: app })
    stops.unshift(() => application.stop())
    await untilListening(origin, ORIGIN_PORT)
    const rttMs = Number(values.rtt)
    const far = { address: places.address(), port: GATEWAY_PORT }
    let gateway = ''
    const system = await startIsthmus('nested', {
      places,
      directory,
      origin,
      dist: values.dist,
      gatewayAt: (address) => {
        gateway = address
        return far.address
      },
    })
    stops.unshift(() => system.stop())
    const toGateway = await relayTo(far, { address: gateway, port: GATEWAY_PORT }, rttMs)
    const plain = { address: places.address(), port: ORIGIN_PORT }
    const toOrigin = await relayTo(plain, { address: origin, port: ORIGIN_PORT }, rttMs)
    stops.unshift(() => Promise.all([toGateway.stop(), toOrigin.stop()]))
    await compareRounds(Number(values.rounds), rttMs, [system.target, { ...plain, authority: 'application' }])
  } finally {
    for (const stop of stops) await stop()
  }
}

async function compareRounds(rounds: number, rttMs: number, [ours, plain]: readonly [Target, Target]): Promise<void> {
  const seen: { ours: Round; plain: Round }[] = []
  for (let count = 0; count < rounds; count++) {
    const both = { ours: await round(ours), plain: await round(plain) }
    seen.push(both)
    process.stderr.write(`${JSON.stringify(both)}\n`)
  }
  const median = (of: (one: { ours: Round; plain: Round }) => number): string => medianOf(seen.map(of)).toFixed(2)
  const load = loadavg()[0]?.toFixed(1) ?? '?'
  process.stdout.write(`${rttMs} ms apart, ${rounds} rounds, machine load ${load}

| | ours, nested | plain TCP | ratio | target |
| --- | --- | --- | --- | --- |
| one body of ${BODY_MIB} MiB down, MiB/s | ${median((one) => one.ours.mibPerSecond)} | ${median((one) => one.plain.mibPerSecond)} | ${median((one) => one.ours.mibPerSecond / one.plain.mibPerSecond)} | ≥ 0.8 |
| … up, MiB/s | ${median((one) => one.ours.uploadMibPerSecond)} | ${median((one) => one.plain.uploadMibPerSecond)} | ${median((one) => one.ours.uploadMibPerSecond / one.plain.uploadMibPerSecond)} | ≥ 0.8 |
| small requests beside it, p50, ms | ${median((one) => one.ours.smallP50Ms)} | ${median((one) => one.plain.smallP50Ms)} | | |
| … p99, ms | ${median((one) => one.ours.smallP99Ms)} | ${median((one) => one.plain.smallP99Ms)} | | ≤ ${rttMs + 20} |
`)
}

await main()
