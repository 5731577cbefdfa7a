/**
 * The soak: proxies of ours under half of what they can take, for half an hour, with connections that come and go,
 * errors, retries and resets. Memory, descriptors and timers are sampled; it fails when they trend upward, or when
 * they are not given back once the load is over.
 *
 *     node test/bench/soak.ts [--minutes 30] [--rate 500] [--dist dist]
 *
 * `--rate` is requests per second on each of the three paths: plain, mTLS, and nested through a gateway.
 */
import { mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { startIsthmus } from './isthmus.ts'
import { runLoad } from './load.ts'
import { pathOf, startOrigin } from './origin.ts'
import { Places } from './places.ts'
import { findPrograms, type Programs } from './programs.ts'
import type { OwnStats } from './proxy-role.ts'
import { Vandal } from './soak-load.ts'
import { type Trend, trendOf } from './soak-trend.ts'
import type { Path, System } from './system.ts'
import { cpuOfAllUs, residentMiB } from './usage.ts'

const PATHS: readonly Path[] = ['one hop', 'two hops', 'nested']
const SAMPLE_EVERY_MS = 10_000
/** Each run of the load generator opens connections of its own: churn beside the vandal's. */
const LOAD_SECONDS = 20
/** Tunnels close after a minute without a request. */
const COOL_DOWN_MS = 75_000

interface Sample extends OwnStats {
  readonly rssMiB: number
  readonly descriptors: number
}

interface Watched {
  readonly name: string
  readonly pid: number
  readonly samples: Sample[]
}

async function sampleOf(pid: number, stats: string): Promise<Sample | undefined> {
  const lines = (await readFile(join(stats, `${pid}.jsonl`), 'utf8').catch(() => '')).trim().split('\n')
  const last = lines.at(-1) ?? ''
  if (last === '') return undefined
  const descriptors = (await readdir(`/proc/${pid}/fd`)).length
  return { ...(JSON.parse(last) as OwnStats), rssMiB: await residentMiB(pid), descriptors }
}

function trendsOf({ name, samples }: Watched): Trend[] {
  const of = (field: keyof Sample): number[] => samples.map((sample) => sample[field])
  return [
    trendOf(`${name}: RSS, MiB`, of('rssMiB'), { share: 0.1, most: 8 }),
    trendOf(`${name}: heap, MiB`, of('heapMiB'), { share: 0.15, most: 6 }),
    trendOf(`${name}: descriptors`, of('descriptors'), { share: 0.1, most: 8 }),
    trendOf(`${name}: timers`, of('timers'), { share: 0, most: 2 }),
    trendOf(`${name}: streams`, of('streams'), { share: 0.2, most: 16 }),
  ]
}

/** One path's even load, run after run until the end; its failures are the vandal's work. */
async function drive(
  system: System,
  of: { programs: Programs; directory: string; rate: number; until: number },
): Promise<number> {
  let requests = 0
  const bodies = ['100 B', '10 KiB', '100 B'] as const
  for (let turn = 0; performance.now() < of.until; turn++) {
    const { programs, directory, rate } = of
    const seconds = Math.max(1, Math.min(LOAD_SECONDS, Math.round((of.until - performance.now()) / 1_000)))
    const path = pathOf(bodies[turn % bodies.length] ?? '100 B')
    const options = { programs, directory, target: system.target, path, protocol: 'h1', connections: 10 } as const
    const result = await runLoad({ ...options, seconds, rate }).catch((error: unknown) => {
      progress(`load: ${String(error).split('\n', 1)[0] ?? ''}`)
      return undefined
    })
    requests += result?.requests ?? 0
    await system.emptyLogs()
  }
  return requests
}

const progress = (line: string): void => void process.stderr.write(`${line}\n`)

function show(watched: readonly Watched[]): void {
  const cells = watched.map(({ name, samples }) => {
    const { rssMiB = 0, heapMiB = 0, descriptors = 0, streams = 0 } = samples.at(-1) ?? {}
    return `${name} ${rssMiB.toFixed(0)}/${heapMiB.toFixed(0)} MiB ${descriptors} fds ${streams} streams`
  })
  progress(cells.join(' | '))
}

/** What was opened during the load has to be gone afterwards. */
async function leftovers(
  watched: readonly Watched[],
  stats: string,
  idle: ReadonlyMap<number, number>,
): Promise<string[]> {
  await sleep(COOL_DOWN_MS)
  const left: string[] = []
  for (const { name, pid } of watched) {
    const now = await sampleOf(pid, stats)
    const before = idle.get(pid) ?? 0
    const text = `${name}: ${now?.descriptors} descriptors (${before} before the load), ${now?.streams} streams, RSS ${now?.rssMiB.toFixed(0)} MiB`
    progress(`at rest: ${text}`)
    if (now === undefined || now.descriptors > before + 8 || now.streams > 0) left.push(text)
  }
  return left
}

async function soak(
  programs: Programs,
  directory: string,
  options: { minutes: number; rate: number; dist: string },
): Promise<boolean> {
  const places = new Places()
  const address = places.address()
  const origin = await startOrigin(programs.nginx ?? '', directory, [address])
  const systems: System[] = []
  try {
    for (const path of PATHS)
      systems.push(await startIsthmus(path, { places, directory, origin: address, dist: options.dist }))
    const watched: Watched[] = systems.flatMap((system, index) =>
      system.running.map(({ name, pid }) => ({ name: `${PATHS[index] ?? ''}, ${name}`, pid, samples: [] })),
    )
    const pids = watched.map(({ pid }) => pid)
    await sleep(3_000)
    const idle = new Map<number, number>()
    for (const pid of pids) idle.set(pid, (await readdir(`/proc/${pid}/fd`)).length)
    const usedBefore = await cpuOfAllUs(pids)
    const until = performance.now() + options.minutes * 60_000
    const vandal = new Vandal(systems.map(({ target }) => target))
    const loads = await Promise.all(
      systems.map(async (system, index) => {
        // The load generator's own log stands in its directory.
        const place = join(directory, String(index))
        await mkdir(place)
        return { done: drive(system, { programs, directory: place, rate: options.rate, until }) }
      }),
    )
    while (performance.now() < until) {
      await sleep(SAMPLE_EVERY_MS)
      for (const { pid, samples } of watched) {
        const sample = await sampleOf(pid, directory)
        if (sample !== undefined) samples.push(sample)
      }
      show(watched)
    }
    const requests = (await Promise.all(loads.map(({ done }) => done))).reduce((sum, count) => sum + count, 0)
    vandal.stop()
    const usedS = ((await cpuOfAllUs(pids)) - usedBefore) / 1e6
    const left = await leftovers(watched, directory, idle)
    return report({ watched, left, requests, visits: vandal.sent * systems.length, usedS, minutes: options.minutes })
  } finally {
    await Promise.all(systems.map((system) => system.stop()))
    await origin.stop()
  }
}

function report(of: {
  watched: readonly Watched[]
  left: readonly string[]
  requests: number
  visits: number
  usedS: number
  minutes: number
}): boolean {
  const trends = of.watched.flatMap(trendsOf)
  const lines = trends.map(
    ({ name, before, after, grows }) =>
      `| ${name} | ${before.toFixed(1)} | ${after.toFixed(1)} | ${grows ? 'GROWS' : ''} |`,
  )
  const load = loadavg()[0]?.toFixed(1) ?? '?'
  process.stdout.write(
    [
      `${of.minutes} minutes, ${of.requests} requests and ${of.visits} visits of the vandal, ${of.usedS.toFixed(0)} s of CPU, machine load ${load}`,
      '',
      '| what | second third | last third | |',
      '| --- | --- | --- | --- |',
      ...lines,
      '',
      ...of.left.map((text) => `NOT GIVEN BACK: ${text}`),
      '',
    ].join('\n'),
  )
  return of.left.length === 0 && trends.every(({ grows }) => !grows)
}

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '30' },
    rate: { type: 'string', default: '500' },
    dist: { type: 'string', default: 'dist' },
  },
})
const programs = findPrograms()
for (const line of programs.missing) progress(line)
if (programs.nginx === undefined || programs.h2load === undefined) throw new Error('the soak needs nginx and h2load')
const directory = await mkdtemp(join(tmpdir(), 'isthmus-soak-'))
process.env['BENCH_STATS'] = directory
// The vandal's work would be told line by line.
process.env['BENCH_LOG_LEVEL'] = 'error'
try {
  const steady = await soak(programs, directory, {
    minutes: Number(values.minutes),
    rate: Number(values.rate),
    dist: values.dist,
  })
  process.exitCode = steady ? 0 : 1
} finally {
  await rm(directory, { recursive: true, force: true })
}
