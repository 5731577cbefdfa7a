/**
 * `npm run bench`: our proxies and Envoy side by side on this machine, in one run. Both get the same clients,
 * applications, certificates and features; rounds are interleaved, and ratios are taken within a round, so that what
 * else the machine does meets both. Method and results: docs/performance.md.
 *
 *     node test/bench/run.ts [--quick] [--only <text>] [--rounds n] [--seconds n] [--dist dist] [--against dist/other]
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { cpus, loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { startEnvoy } from './envoy.ts'
import { measureFootprint } from './footprint.ts'
import { startIsthmus } from './isthmus.ts'
import { type LoadOptions, runLoad } from './load.ts'
import { startNginx } from './nginx.ts'
import { pathOf, startOrigin } from './origin.ts'
import { Places } from './places.ts'
import { findPrograms, type Programs } from './programs.ts'
import {
  bulkReportRows,
  bulkRows,
  formatReport,
  measured,
  notMeasured,
  type Report,
  type ReportRow,
  TCP_PATH,
} from './report.ts'
import { compare, type Load, NOT_BUILT, type Sample, type Setup, SETUPS } from './rows.ts'
import type { System } from './system.ts'
import { measureTcp } from './tcp.ts'
import { measureTunnels } from './tunnels.ts'
import { cpuOfAllUs } from './usage.ts'

/** V8 optimizes what is called often, and behind ten pods each is called a tenth as often: measured is what lasts. */
const WARM_UP = { stepSeconds: 2, steps: 25, gainMin: 0.02, stepsWithout: 4 } as const
const TCP = { mib: 1_024, connections: 1, rounds: 3 }
const QUICK_TCP = { mib: 512, connections: 1, rounds: 1 }

interface Bench {
  readonly programs: Programs
  readonly places: Places
  readonly directory: string
  readonly origin: string
  readonly dist: string
  /** Another build of ours, measured beside this one. */
  readonly against: string | undefined
  readonly rounds: number
  readonly seconds: number
}

const OURS = 'isthmus'

/** Peers that are measured beside the ones that count; each has a row of its own. */
const NESTED_ENVOY = 'Envoy nested too'
const NGINX = 'nginx (fewer features)'

/** Everything that carries one setup's path, by name. */
async function startAll(bench: Bench, setup: Setup): Promise<Map<string, System>> {
  const { places, directory, origin, dist, against, programs } = bench
  const { path, http2, originH2 = false, pods = 1 } = setup
  const systems = new Map<string, System>()
  const ours = (build: string): Promise<System> =>
    startIsthmus(path, { places, directory, origin, dist: build, http2, originH2, pods })
  try {
    systems.set(OURS, await ours(dist))
    if (against !== undefined) systems.set(against, await ours(against))
    if (path === 'one hop' && !http2 && programs.nginx !== undefined) {
      systems.set(NGINX, await startNginx({ places, directory, origin, program: programs.nginx }))
    }
    if (programs.envoy === undefined) return systems
    const envoy = { places, directory, origin, program: programs.envoy, originH2, pods }
    if (path === 'one hop') systems.set('Envoy', await startEnvoy(path, { ...envoy, protocol: 'h1' }))
    else {
      for (const protocol of ['h1', 'h2'] as const)
        systems.set(`Envoy, ${protocol}`, await startEnvoy(path, { ...envoy, protocol }))
    }
    if (path === 'nested' && pods === 1)
      systems.set(NESTED_ENVOY, await startEnvoy(path, { ...envoy, protocol: 'h2', nests: true }))
    return systems
  } catch (error) {
    await stopAll(systems)
    throw error
  }
}

async function stopAll(systems: ReadonlyMap<string, System>): Promise<void> {
  await Promise.all([...systems.values()].map((system) => system.stop()))
}

async function measureSetup(bench: Bench, setup: Setup, loads: readonly Load[]): Promise<ReportRow[]> {
  const systems = await startAll(bench, setup)
  try {
    const broken = new Map<string, string>()
    for (const [name, system] of systems)
      await warmUp(bench, setup, system).catch((error: unknown) => broken.set(name, String(error)))
    const fault = broken.get(OURS)
    if (fault !== undefined) {
      return loads.map((load) =>
        notMeasured(pathName(setup, load), modeOf(load), `ours does not carry it yet (${firstLine(fault)})`),
      )
    }
    for (const name of broken.keys()) progress(`${name} does not carry ${setup.name}: ${broken.get(name)}`)
    const carrying = [...systems].filter(([name]) => !broken.has(name))
    const samples = new Map(
      loads.map((load) => [load, new Map<string, Sample[]>(carrying.map(([name]) => [name, []]))]),
    )
    for (let round = 0; round < bench.rounds; round++) {
      // Every other round in the other order: drift meets both.
      const order = round % 2 === 0 ? carrying : carrying.toReversed()
      for (const [load, bySystem] of samples) {
        for (const [name, system] of order) {
          const sample = await measure(bench, system, load)
          bySystem.get(name)?.push(sample)
          progress(`${round + 1}: ${pathName(setup, load)} ${load.rate ?? ''} ${name}: ${sample.cpuUs.toFixed(1)} µs`)
        }
      }
    }
    return loads.flatMap((load) => rowsOf(bench, setup, { load, samples: samples.get(load) ?? new Map() }))
  } finally {
    await stopAll(systems)
  }
}

const pathName = (setup: Setup, load: Load): string => `${setup.name}, ${load.name}`
const modeOf = (load: Load): ReportRow['mode'] => (load.rate === undefined ? 'saturated' : 'fixed')
const firstLine = (text: string): string => text.split('\n', 1)[0] ?? ''

/** Compilers settle, pools fill, handshakes are made: until a request costs no less than in the steps before. */
async function warmUp(bench: Bench, setup: Setup, system: System): Promise<void> {
  const { programs, directory } = bench
  const first = setup.loads[0]
  const protocol = first?.protocol ?? 'h1'
  const options = { programs, directory, target: system.target, protocol, connections: 32 }
  if (protocol !== 'grpc') await runLoad({ ...options, path: pathOf('10 KiB'), seconds: 1 })
  let best = Number.POSITIVE_INFINITY
  let without = 0
  let step = 0
  for (; step < WARM_UP.steps && without < WARM_UP.stepsWithout; step++) {
    const before = await cpuOfAllUs(system.pids)
    const path = first?.path ?? pathOf('100 B')
    const { requests } = await runLoad({ ...options, path, seconds: WARM_UP.stepSeconds })
    const used = ((await cpuOfAllUs(system.pids)) - before) / requests
    without = used > best * (1 - WARM_UP.gainMin) ? without + 1 : 0
    best = Math.min(best, used)
    await system.emptyLogs()
  }
  progress(`warm after ${step * WARM_UP.stepSeconds} s: ${best.toFixed(1)} µs`)
}

async function measure(bench: Bench, system: System, load: Load): Promise<Sample> {
  const { programs, directory, seconds } = bench
  const options: LoadOptions = {
    programs,
    directory,
    target: system.target,
    path: load.path,
    protocol: load.protocol,
    connections: load.connections,
    seconds,
    ...(load.rate === undefined ? {} : { rate: load.rate }),
  }
  const before = await cpuOfAllUs(system.pids)
  const result = await runLoad(options)
  const used = (await cpuOfAllUs(system.pids)) - before
  await system.emptyLogs()
  const { requests, p50Us, p99Us } = result
  return { cpuUs: used / requests, rps: requests / result.seconds, p50Us, p99Us }
}

function rowsOf(
  bench: Bench,
  setup: Setup,
  of: { load: Load; samples: ReadonlyMap<string, readonly Sample[]> },
): ReportRow[] {
  const { load, samples } = of
  const path = pathName(setup, load)
  const ours = samples.get(OURS) ?? []
  const envoys = new Map([...samples].filter(([name]) => name === 'Envoy' || name.startsWith('Envoy, ')))
  const target = load.rate === undefined ? setup.targets.saturated : setup.targets.fixed
  const compared = compare(ours, envoys)
  const rows =
    compared === undefined
      ? [notMeasured(path, modeOf(load), 'no Envoy')]
      : [measured(compared, { path, rate: load.rate, target })]
  for (const name of [bench.against ?? '', NESTED_ENVOY, NGINX]) {
    const other = samples.get(name)
    const beside = other === undefined ? undefined : compare(ours, new Map([[name, other]]))
    if (beside !== undefined) rows.push(measured(beside, { path, rate: load.rate, target: undefined }))
  }
  return rows
}

const progress = (line: string): void => void process.stderr.write(`${line}\n`)

async function runAll(bench: Bench, quick: boolean, only: string): Promise<Report> {
  const rows: ReportRow[] = []
  for (const setup of SETUPS) {
    const loads = setup.loads.filter((load) => (!quick || load.quick) && pathName(setup, load).includes(only))
    if (loads.length > 0) rows.push(...(await measureSetup(bench, setup, loads)))
  }
  const tcp = !TCP_PATH.includes(only) ? undefined : await measureTcp(bench.dist, quick ? QUICK_TCP : TCP)
  const bulk = tcp === undefined ? undefined : bulkRows(tcp)
  rows.push(...bulkReportRows(bulk ?? []))
  for (const { path, reason } of NOT_BUILT) if (path.includes(only)) rows.push(notMeasured(path, 'saturated', reason))
  const { places, directory, origin, dist, programs } = bench
  const envoy = { places, directory, origin, program: programs.envoy ?? '', protocol: 'h2', originH2: false } as const
  const footprint =
    quick || programs.envoy === undefined || only !== ''
      ? []
      : [
          ...(await measureFootprint({
            places,
            ours: (path) => startIsthmus(path, { places, directory, origin, dist }),
            theirs: (path) => startEnvoy(path, envoy),
          })),
          ...(await measureTunnels({ places, directory, origin, dist })),
        ]
  return { at: new Date().toISOString(), machine: machine(), rows, footprint, ...(bulk === undefined ? {} : { bulk }) }
}

function machine(): string {
  const load = loadavg()[0]?.toFixed(1) ?? '?'
  return `${cpus().length} × ${cpus()[0]?.model ?? 'unknown'}, load ${load} at the end, node ${process.versions.node}`
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      quick: { type: 'boolean', default: false },
      only: { type: 'string', default: '' },
      rounds: { type: 'string' },
      seconds: { type: 'string' },
      dist: { type: 'string', default: 'dist' },
      against: { type: 'string' },
    },
  })
  const programs = findPrograms()
  for (const line of programs.missing) progress(line)
  const directory = await mkdtemp(join(tmpdir(), 'isthmus-bench-'))
  const places = new Places()
  const address = places.address()
  if (programs.nginx === undefined || programs.wrk === undefined || programs.h2load === undefined) {
    const reason = programs.missing.join('; ')
    const rows = SETUPS.flatMap((setup) =>
      setup.loads.map((load) => notMeasured(pathName(setup, load), modeOf(load), reason)),
    )
    return finish({ at: new Date().toISOString(), machine: machine(), rows, footprint: [] })
  }
  // A gRPC message: no compression, length, then bytes that no one here reads.
  await writeFile(join(directory, 'message'), Buffer.concat([Buffer.from([0, 0, 0, 0, 95]), Buffer.alloc(95, 'x')]))
  const origin = await startOrigin(programs.nginx, directory, [address])
  try {
    const { quick, only, dist, against } = values
    const rounds = Number(values.rounds ?? (quick ? 1 : 3))
    const seconds = Number(values.seconds ?? (quick ? 2 : 3))
    const bench = { programs, places, directory, origin: address, dist, against, rounds, seconds }
    await finish(await runAll(bench, quick, only))
  } finally {
    await origin.stop()
    await rm(directory, { recursive: true, force: true })
  }
}

async function finish(report: Report): Promise<void> {
  process.stdout.write(formatReport(report))
  await writeFile(join(import.meta.dirname, 'report.json'), `${JSON.stringify(report, undefined, 2)}\n`)
}

await main()
