/**
 * Two clusters 70 ms apart: how fast one large body crosses the tunnel beside plain TCP over the same line, and what
 * small requests wait beside it.
 *
 *     node test/bench/distance.ts [--rounds 3] [--dist dist] [--rtt 70] [--loss 0.001] [--mbit 1000] [--mib 100]
 *         [--congestion cubic] [--line packets|relay]
 *
 * `packets` (the default; needs root, /dev/net/tun and Go): far-link.go, where TCP itself sees distance and loss.
 * `relay`: relay.ts, which answers for the other end, so that nothing starts slowly.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { Agent, get } from 'node:http'
import { loadavg, setPriority, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { type Line, type LineOptions, openLine } from './distance-line.ts'
import { startIsthmus } from './isthmus.ts'
import type { Target } from './load.ts'
import { ORIGIN_PORT, pathOf } from './origin.ts'
import { Places } from './places.ts'
import { startProgram, untilListening } from './programs.ts'
import { medianOf } from './rows.ts'
import type { System } from './system.ts'
import { cpuOfAllUs } from './usage.ts'

const MIB = 1024 * 1024
const SMALL_EVERY_MS = 25
/** Connections rest between transfers: what one left in buffers is not the next one's. */
const REST_MS = 500
const PRIORITY = -15

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    rtt: { type: 'string', default: '70' },
    loss: { type: 'string', default: '0' },
    mib: { type: 'string', default: '100' },
    congestion: { type: 'string', default: '' },
    mbit: { type: 'string', default: '0' },
    line: { type: 'string', default: 'packets' },
    dist: { type: 'string', default: 'dist' },
  },
})
const options = {
  places: new Places(),
  kind: values.line === 'relay' ? ('relay' as const) : ('packets' as const),
  rttMs: Number(values.rtt),
  loss: Number(values.loss),
  mbit: Number(values.mbit),
  congestion: values.congestion,
}
const bodyMib = Number(values.mib)

function fetched(target: Target, path: string, agent: Agent): Promise<number> {
  const startedAt = performance.now()
  return new Promise((resolve, reject) => {
    const options = { host: target.address, port: target.port, path, agent, headers: { host: target.authority } }
    get(options, (response) => {
      response.resume()
      response.on('end', () => {
        if (response.statusCode === 200) resolve(performance.now() - startedAt)
        else reject(new Error(`${path}: ${response.statusCode}`))
      })
      response.on('error', reject)
    }).on('error', reject)
  })
}

/** MiB/s of one body, by a process of its own. */
async function moved(target: Target, direction: 'down' | 'up', connections = 1): Promise<number> {
  const { address, port, authority } = target
  const words = [direction, address, port, authority, bodyMib * MIB, connections].map(String)
  const client = spawn(process.execPath, [join(import.meta.dirname, 'distance-load.ts'), ...words], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, NODE_NO_WARNINGS: '1' },
  })
  let text = ''
  client.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()))
  const [code] = (await once(client, 'close')) as [number | null]
  if (code !== 0) throw new Error(`${direction} over ${connections}: the client failed`)
  return bodyMib / (Number(text) / 1_000)
}

interface Beside {
  readonly mibPerSecond: number
  readonly smallMs: readonly number[]
}

/** Small requests one after the other's start, as long as the body is on its way. */
async function withSmallOnes(target: Target, direction: 'down' | 'up'): Promise<Beside> {
  const agent = new Agent({ keepAlive: true })
  const smallMs: number[] = []
  const pending: Promise<void>[] = []
  const progress = { done: false }
  try {
    await fetched(target, pathOf('100 B'), agent)
    const body = moved(target, direction).finally(() => (progress.done = true))
    // What fails is told below, when everything that was started has ended.
    body.catch(() => {})
    while (!progress.done) {
      const one = fetched(target, pathOf('100 B'), agent).then((ms) => void smallMs.push(ms))
      one.catch(() => {})
      pending.push(one)
      await sleep(SMALL_EVERY_MS)
    }
    await Promise.all(pending)
    return { mibPerSecond: await body, smallMs }
  } finally {
    agent.destroy()
  }
}

interface Round {
  readonly down: Beside
  readonly up: Beside
  /** Four connections at once, which share the body. */
  readonly four: number
}

async function round(target: Target): Promise<Round> {
  const down = await withSmallOnes(target, 'down')
  await sleep(REST_MS)
  const up = await withSmallOnes(target, 'up')
  await sleep(REST_MS)
  const four = await moved(target, 'down', 4)
  await sleep(REST_MS)
  return { down, up, four }
}

async function measure(line: Line, options: LineOptions & { rounds: number; dist: string }): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'isthmus-bench-distance-'))
  const stops: (() => Promise<unknown>)[] = [() => rm(directory, { recursive: true, force: true })]
  const { places } = options
  try {
    const origin = places.address()
    for (const address of new Set([origin, line.endsOn ?? origin])) {
      const app = [join(import.meta.dirname, 'distance-app.ts'), address, String(ORIGIN_PORT)]
      const application = startProgram({ name: 'application', program: process.execPath, args: app })
      stops.unshift(() => application.stop())
      await untilListening(address, ORIGIN_PORT)
    }
    let gateway = ''
    const system = await startIsthmus('nested', {
      places,
      directory,
      origin,
      dist: options.dist,
      timeoutMs: 600_000,
      ...(line.endsOn === undefined ? {} : { endsOn: line.endsOn }),
      gatewayAt: (address) => {
        gateway = address
        return line.gatewayAt
      },
    })
    stops.unshift(() => system.stop())
    await line.connect({ gateway, origin })
    const plain = { address: line.originAt, port: ORIGIN_PORT, authority: 'application' }
    await compareRounds(options, system, plain)
  } finally {
    for (const stop of stops) await stop()
  }
}

interface Seen {
  readonly ours: Round
  readonly plain: Round
}

async function compareRounds(options: LineOptions & { rounds: number }, system: System, plain: Target): Promise<void> {
  await fetched(system.target, pathOf('100 B'), new Agent())
  const seen: Seen[] = []
  const before = await cpuOfAllUs(system.pids)
  const startedAt = performance.now()
  let used = 0
  for (let count = 0; count < options.rounds; count++) {
    const both = { ours: await round(system.target), plain: await round(plain) }
    used = (await cpuOfAllUs(system.pids)) - before
    seen.push(both)
    process.stderr.write(`${line('ours', both.ours)}; ${line('plain', both.plain)}\n`)
  }
  process.stderr.write(`CPU of our proxies: ${((used / 1e3 / (performance.now() - startedAt)) * 100).toFixed(0)} %\n`)
  process.stdout.write(await table(options, seen))
}

const line = (name: string, { down, up, four }: Round): string =>
  `${name}: ${down.mibPerSecond.toFixed(1)} down, ${up.mibPerSecond.toFixed(1)} up, ${four.toFixed(1)} over four`

function at(share: number, values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0
}

async function table(options: LineOptions, seen: readonly Seen[]): Promise<string> {
  const median = (of: (one: Seen) => number): string => medianOf(seen.map(of)).toFixed(2)
  const rate = (name: string, of: (one: Round) => number, beside: (one: Round) => number, target: string): string =>
    `| ${name} | ${median((one) => of(one.ours))} | ${median((one) => beside(one.plain))} | ${median((one) => of(one.ours) / beside(one.plain))} | ${target} |`
  const small = (way: 'down' | 'up', share: number): string => {
    const all = (who: keyof Seen): string =>
      at(
        share,
        seen.flatMap((one) => one[who][way].smallMs),
      ).toFixed(0)
    const target = share > 0.9 ? `≤ ${options.rttMs + 20}` : ''
    return `| small requests beside a body ${way}, p${share * 100}, ms | ${all('ours')} | ${all('plain')} | | ${target} |`
  }
  const ours = (await readFile('/proc/sys/net/ipv4/tcp_congestion_control', 'utf8')).trim()
  const congestion = options.congestion === '' ? ours : options.congestion
  const load = loadavg()[0]?.toFixed(1) ?? '?'
  const { rttMs, loss, mbit, kind } = options
  return `${rttMs} ms apart (${kind}), loss ${loss * 100} %, ${mbit === 0 ? 'no limit' : `${mbit} Mbit/s`}, ${congestion}, ${seen.length} rounds, machine load ${load}

| | ours, nested | plain TCP | ratio | target |
| --- | --- | --- | --- | --- |
${rate(
  `one body of ${bodyMib} MiB down, MiB/s`,
  (one) => one.down.mibPerSecond,
  (one) => one.down.mibPerSecond,
  '≥ 0.8',
)}
${rate(
  '… up, MiB/s',
  (one) => one.up.mibPerSecond,
  (one) => one.up.mibPerSecond,
  '≥ 0.8',
)}
${rate(
  '… down, beside four plain connections, MiB/s',
  (one) => one.down.mibPerSecond,
  (one) => one.four,
  loss > 0 ? '≥ 0.8' : '',
)}
${rate(
  'four bodies at once, MiB/s',
  (one) => one.four,
  (one) => one.four,
  '',
)}
${small('down', 0.5)}
${small('down', 0.99)}
${small('up', 0.5)}
${small('up', 0.99)}
`
}

try {
  // All that take part, plain TCP's ends too: what is measured is distance, not what else runs on this machine.
  setPriority(PRIORITY)
} catch {
  process.stderr.write('not root: other work on this machine will show\n')
}
const far = await openLine(options)
try {
  await measure(far, { ...options, rounds: Number(values.rounds), dist: values.dist })
} finally {
  await far.close()
}
