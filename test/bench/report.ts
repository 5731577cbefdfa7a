/** The bench's results as a table for people and report.json for programs. Pure. */
import type { Footprint } from './footprint.ts'
import { type Compared, medianOf } from './rows.ts'

export interface ReportRow {
  readonly path: string
  readonly peer: string
  readonly mode: 'saturated' | 'fixed'
  /** Ours when saturated, the given rate otherwise; null: not measured. */
  readonly rps: number | null
  readonly cpuRatio: number | null
  readonly p50Ratio: number | null
  readonly p99Ratio: number | null
  readonly spread: number | null
  readonly target?: number
  readonly ours?: Compared['ours']
  readonly theirs?: Compared['theirs']
  readonly notMeasured?: string
}

/** One transfer of bulk TCP. */
export interface TcpSample {
  /** User and system time of the path's proxies. */
  readonly cpuSecondsPerGiB: number
  readonly mibPerSecond: number
}

export interface BulkRow extends TcpSample {
  readonly system: string
  /** Ours divided by this one's, round by round. */
  readonly cpuRatio: number | null
  readonly throughputRatio: number | null
  readonly spread: number | null
}

export const TCP_PATH = 'TCP, 1 GiB through two hops, mTLS'
/** CPU s per GiB, and throughput beside Envoy (goals C). */
const BULK_TARGETS = { cpuSeconds: 1.8, throughput: 0.7 }

/** `samples`: by system, ours the first. */
export function bulkRows(samples: ReadonlyMap<string, readonly TcpSample[]>): BulkRow[] {
  const ours = samples.values().next().value ?? []
  return [...samples].map(([system, taken]) => {
    const ratio = (field: keyof TcpSample): number[] => taken.map((one, at) => (ours[at] ?? one)[field] / one[field])
    const comparable = taken !== ours && taken.every((one) => one.cpuSecondsPerGiB > 0)
    const cpu = ratio('cpuSecondsPerGiB')
    return {
      system,
      cpuSecondsPerGiB: medianOf(taken.map((one) => one.cpuSecondsPerGiB)),
      mibPerSecond: medianOf(taken.map((one) => one.mibPerSecond)),
      cpuRatio: comparable ? round(medianOf(cpu)) : null,
      throughputRatio: taken === ours ? null : round(medianOf(ratio('mibPerSecond'))),
      spread: comparable ? round(Math.max(...cpu) - Math.min(...cpu)) : null,
    }
  })
}

/** The same for report.json, whose rows have ratios of CPU, and no latency here. */
export function bulkReportRows(rows: readonly BulkRow[]): ReportRow[] {
  return rows
    .filter(({ cpuRatio }) => cpuRatio !== null)
    .map(({ system, cpuRatio, spread }) => {
      const rps = Math.round(rows[0]?.mibPerSecond ?? 0)
      return { path: TCP_PATH, peer: system, mode: 'saturated', rps, cpuRatio, p50Ratio: null, p99Ratio: null, spread }
    })
}

export function formatBulk(rows: readonly BulkRow[]): string[] {
  const number = (value: number | null, digits = 2): string => value?.toFixed(digits) ?? '-'
  const [ours] = rows
  const beside = rows.find(({ system }) => system === 'Envoy')?.throughputRatio ?? Number.NaN
  const verdict = (met: boolean): string => (met ? 'met' : 'missed')
  return [
    `| ${TCP_PATH} | CPU s/GiB | MiB/s | CPU, ours beside it | ± spread | throughput, ours beside it |`,
    '| --- | --- | --- | --- | --- | --- |',
    ...rows.map(
      (row) =>
        `| ${row.system} | ${number(row.cpuSecondsPerGiB)} | ${number(row.mibPerSecond, 0)} | ${number(row.cpuRatio)} | ${number(row.spread)} | ${number(row.throughputRatio)} |`,
    ),
    `≤ ${BULK_TARGETS.cpuSeconds} CPU s/GiB: ${verdict((ours?.cpuSecondsPerGiB ?? Number.NaN) <= BULK_TARGETS.cpuSeconds)}; ` +
      `throughput ≥ ${BULK_TARGETS.throughput} of Envoy: ${verdict(beside >= BULK_TARGETS.throughput)}`,
  ]
}

export interface Report {
  readonly at: string
  readonly machine: string
  readonly rows: readonly ReportRow[]
  readonly footprint: readonly Footprint[]
  readonly bulk?: readonly BulkRow[]
}

export function notMeasured(path: string, mode: ReportRow['mode'], reason: string): ReportRow {
  const nothing = { rps: null, cpuRatio: null, p50Ratio: null, p99Ratio: null, spread: null }
  return { path, peer: 'Envoy', mode, ...nothing, notMeasured: reason }
}

export function measured(
  compared: Compared,
  of: { path: string; rate: number | undefined; target: number | undefined },
): ReportRow {
  const { peer, ours, theirs, cpuRatio, p50Ratio, p99Ratio, spread } = compared
  return {
    path: of.path,
    peer,
    mode: of.rate === undefined ? 'saturated' : 'fixed',
    rps: of.rate ?? Math.round(ours.rps),
    cpuRatio: round(cpuRatio),
    p50Ratio: round(p50Ratio),
    p99Ratio: round(p99Ratio),
    spread: round(spread),
    ...(of.target === undefined ? {} : { target: of.target }),
    ours,
    theirs,
  }
}

const round = (value: number): number => Math.round(value * 1_000) / 1_000

const HEAD = ['path', 'peer', 'rps', 'ours µs', 'theirs µs', 'CPU ratio', '± spread', 'target', 'p50', 'p99']

export function formatReport(report: Report): string {
  const lines = report.rows.map(rowCells)
  const table = [HEAD, HEAD.map(() => '---'), ...lines].map((cells) => `| ${cells.join(' | ')} |`)
  const footprint = report.footprint.map(({ name, unit, ours, theirs, target }) => {
    const ratio = theirs === undefined || theirs === 0 ? '-' : (ours / theirs).toFixed(2)
    const beside = theirs === undefined ? '-' : `${theirs.toFixed(1)} ${unit}`
    const verdict = target === undefined ? '' : `≤ ${target.toFixed(0)}${ours <= target ? '' : ' missed'}`
    return `| ${name} | ${ours.toFixed(1)} ${unit} | ${beside} | ${ratio} | ${verdict} |`
  })
  const rest =
    footprint.length === 0
      ? []
      : ['', '| at rest | ours | Envoy | ratio | target |', '| --- | --- | --- | --- | --- |', ...footprint]
  const bulk = report.bulk === undefined ? [] : ['', ...formatBulk(report.bulk)]
  return [`${report.at}, ${report.machine}`, '', ...table, ...bulk, ...rest, ''].join('\n')
}

function rowCells(row: ReportRow): string[] {
  if (row.notMeasured !== undefined) return [row.path, row.peer, `not measured: ${row.notMeasured}`]
  const { cpuRatio, target } = row
  const verdict = target === undefined ? '' : `≤ ${target}${(cpuRatio ?? Infinity) <= target ? '' : ' missed'}`
  const number = (value: number | null | undefined, digits: number): string => value?.toFixed(digits) ?? '-'
  return [
    row.path,
    row.peer,
    `${row.mode === 'fixed' ? '= ' : ''}${number(row.rps, 0)}`,
    number(row.ours?.cpuUs, 1),
    number(row.theirs?.cpuUs, 1),
    number(cpuRatio, 2),
    number(row.spread, 2),
    verdict,
    number(row.p50Ratio, 2),
    number(row.p99Ratio, 2),
  ]
}
