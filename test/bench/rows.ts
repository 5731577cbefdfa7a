/** What is measured: the rows of the design's table "Speed and cost", and how ratios come out of rounds. Data and pure functions. */
import type { LoadOptions } from './load.ts'
import { type Body, GRPC_PATH, pathOf } from './origin.ts'
import type { Path } from './system.ts'

export interface Load {
  /** As it stands in the report. */
  readonly name: string
  readonly protocol: LoadOptions['protocol']
  readonly path: string
  readonly connections: number
  /** Absent: saturated. */
  readonly rate?: number
  /** Measured by `--quick` too. */
  readonly quick: boolean
}

/** Systems that run side by side, and the loads they all get in turn. */
export interface Setup {
  readonly name: string
  readonly path: Path
  /** The client speaks HTTP/2. */
  readonly http2: boolean
  /** The application does, too. */
  readonly originH2?: boolean
  /** Pods behind the destination; 1 if absent. */
  readonly pods?: number
  readonly targets: { readonly saturated: number; readonly fixed: number }
  readonly loads: readonly Load[]
}

const RATES = [100, 500, 1_000]

function loadsOf(protocol: LoadOptions['protocol'], bodies: readonly Body[], connections: readonly number[]): Load[] {
  const small = { protocol, path: protocol === 'grpc' ? GRPC_PATH : pathOf('100 B'), connections: connections[0] ?? 32 }
  return [
    ...connections.map((count, index) => ({
      ...small,
      name: `100 B, ${count} connections`,
      connections: count,
      quick: index === 0,
    })),
    ...bodies.map((body) => ({
      ...small,
      name: `${body}, ${small.connections} connections`,
      path: pathOf(body),
      quick: false,
    })),
    ...RATES.map((rate) => Object.assign({ name: '100 B', rate, quick: rate === 1_000 }, small)),
  ]
}

export const SETUPS: readonly Setup[] = [
  {
    name: 'one hop HTTP/1.1',
    path: 'one hop',
    http2: false,
    targets: { saturated: 0.55, fixed: 0.9 },
    loads: loadsOf('h1', ['10 KiB', '1 MiB'], [32, 128]),
  },
  {
    name: 'one hop HTTP/2 to HTTP/1.1',
    path: 'one hop',
    http2: true,
    targets: { saturated: 1, fixed: 0.9 },
    loads: loadsOf('h2', ['10 KiB'], [32]),
  },
  {
    name: 'one hop HTTP/2',
    path: 'one hop',
    http2: true,
    originH2: true,
    targets: { saturated: 1, fixed: 0.9 },
    loads: loadsOf('h2', ['10 KiB'], [32]),
  },
  {
    name: 'one hop gRPC unary',
    path: 'one hop',
    http2: true,
    originH2: true,
    targets: { saturated: 1, fixed: 0.9 },
    loads: loadsOf('grpc', [], [32]),
  },
  {
    name: 'sidecar → sidecar',
    path: 'two hops',
    http2: false,
    targets: { saturated: 0.45, fixed: 0.8 },
    loads: loadsOf('h1', ['10 KiB', '1 MiB'], [32]),
  },
  {
    name: 'sidecar → gateway → sidecar',
    path: 'nested',
    http2: false,
    targets: { saturated: 0.45, fixed: 0.8 },
    loads: loadsOf('h1', ['10 KiB', '1 MiB'], [32]),
  },
  {
    name: 'sidecar → sidecar, 10 pods',
    path: 'two hops',
    http2: false,
    pods: 10,
    targets: { saturated: 0.45, fixed: 0.8 },
    loads: loadsOf('h1', [], [32]),
  },
  {
    name: 'sidecar → gateway → sidecar, 10 pods',
    path: 'nested',
    http2: false,
    pods: 10,
    targets: { saturated: 0.45, fixed: 0.8 },
    loads: loadsOf('h1', [], [32]),
  },
]

/** Rows of the table that nothing here can measure yet. */
export const NOT_BUILT: readonly { readonly path: string; readonly reason: string }[] = [
  {
    path: '70 ms RTT, one 100 MiB body beside small requests',
    reason: 'measured by node test/bench/distance.ts',
  },
]

/** One system under one load in one round. */
export interface Sample {
  readonly cpuUs: number
  readonly rps: number
  readonly p50Us: number
  readonly p99Us: number
}

export interface Compared {
  readonly peer: string
  readonly ours: Sample
  readonly theirs: Sample
  readonly cpuRatio: number
  readonly p50Ratio: number
  readonly p99Ratio: number
  /** Largest less smallest CPU ratio of the rounds. */
  readonly spread: number
}

export function medianOf(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  const upper = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2
}

export function medianSample(samples: readonly Sample[]): Sample {
  const of = (field: keyof Sample): number => medianOf(samples.map((sample) => sample[field]))
  return { cpuUs: of('cpuUs'), rps: of('rps'), p50Us: of('p50Us'), p99Us: of('p99Us') }
}

/** Among several variants of a peer the cheapest one counts. Ratios are taken within a round, then their median. */
export function compare(ours: readonly Sample[], peers: ReadonlyMap<string, readonly Sample[]>): Compared | undefined {
  const cheapest = [...peers].sort(([, a], [, b]) => medianSample(a).cpuUs - medianSample(b).cpuUs)[0]
  if (cheapest === undefined || ours.length === 0 || cheapest[1].length === 0) return undefined
  const [peer, theirs] = cheapest
  const ratios = (field: keyof Sample): number[] =>
    ours.flatMap((sample, round) => {
      const other = theirs[round]
      return other === undefined ? [] : [sample[field] / other[field]]
    })
  const cpu = ratios('cpuUs')
  return {
    peer,
    ours: medianSample(ours),
    theirs: medianSample(theirs),
    cpuRatio: medianOf(cpu),
    p50Ratio: medianOf(ratios('p50Us')),
    p99Ratio: medianOf(ratios('p99Us')),
    spread: Math.max(...cpu) - Math.min(...cpu),
  }
}
