/**
 * What one sees while the demo runs: a table redrawn in place on a terminal, one line per second elsewhere. Reads
 * figures, changes nothing.
 */
import type { Cancel, Clock } from '../../runtime/clock.ts'
import { renderTable } from '../output.ts'
import { isFailed, sharesOf, type Locate, type Observation } from './measure.ts'
import { percent, sharesText } from './report.ts'

export interface ViewSource {
  readonly phase: string
  readonly observations: readonly Observation[]
  readonly locate: Locate
}

const TERMINAL_INTERVAL_MS = 500
const LINE_INTERVAL_MS = 1_000
const WINDOW_MS = 1_000

export interface ViewOptions {
  readonly clock: Clock
  readonly output: NodeJS.WriteStream
  readonly source: () => ViewSource
}

export function startView({ clock, output, source }: ViewOptions): Cancel {
  if (!output.isTTY) return clock.every(LINE_INTERVAL_MS, () => output.write(`${lineOf(source(), clock.now())}\n`))
  let drawnLines = 0
  return clock.every(TERMINAL_INTERVAL_MS, () => {
    const text = tableOf(source(), clock.now())
    // Move up over the last drawing and clear to the end of the screen.
    output.write(`${drawnLines === 0 ? '' : `\u001B[${drawnLines}A\u001B[0J`}${text}\n`)
    drawnLines = text.split('\n').length
  })
}

/** The last second, skipping the newest requests that may still be on their way. */
function latest(observations: readonly Observation[], now: number): readonly Observation[] {
  const recent: Observation[] = []
  for (let index = observations.length - 1; index >= 0; index -= 1) {
    const each = observations[index]
    if (each === undefined || each.endedAt < now - WINDOW_MS) break
    recent.push(each)
  }
  return recent
}

export function lineOf({ phase, observations, locate }: ViewSource, now: number): string {
  const recent = latest(observations, now)
  const failed = recent.filter(isFailed).length
  return `${phase.padEnd(24)} ${String(recent.length).padStart(4)}/s  ${String(failed).padStart(3)} failed  ${sharesText(sharesOf(recent, locate))}`
}

const BAR_WIDTH = 24

export function tableOf({ phase, observations, locate }: ViewSource, now: number): string {
  const recent = latest(observations, now)
  const rows = Object.entries(sharesOf(recent, locate)).flatMap(([service, byCluster]) =>
    Object.entries(byCluster)
      .sort(([left], [right]) => left.localeCompare(right))
      .map(([cluster, share]) => [
        service,
        cluster,
        '█'.repeat(Math.round(share * BAR_WIDTH)).padEnd(BAR_WIDTH),
        percent(share).padStart(7),
      ]),
  )
  const failed = recent.filter(isFailed).length
  return [
    `${phase}: ${recent.length} requests/s, ${failed} failed now, ${observations.length} in all`,
    renderTable([['SERVICE', 'ANSWERED BY', '', 'SHARE'], ...rows]),
  ].join('\n')
}
