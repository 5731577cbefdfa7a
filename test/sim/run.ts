/**
 * `node test/sim/run.ts --schedules 10000 [--seed 1] [--workers 2] [--until-failure] [--story]`: schedules one after the
 * other, seed by seed. Exit code 1 when a rule broke; the seed printed replays it.
 */
import { parseArgs } from 'node:util'
import { runSchedule, type Outcome } from './schedule.ts'

const { values } = parseArgs({
  options: {
    schedules: { type: 'string' },
    seed: { type: 'string' },
    story: { type: 'boolean' },
    wire: { type: 'boolean' },
    'until-failure': { type: 'boolean' },
  },
})
const first = Number(values.seed ?? 1)
const count = Number(values.schedules ?? 1)
const took: number[] = []
let events = 0
let failures = 0
const startedAt = performance.now()
for (let seed = first; seed < first + count; seed++) {
  const outcome: Outcome = await runSchedule(seed, { wire: values.wire === true })
  events += outcome.events
  if (outcome.convergedMs !== undefined) took.push(outcome.convergedMs)
  if (values.story === true || values.wire === true) process.stdout.write(`${outcome.story.join('\n')}\n`)
  if (outcome.broken === undefined) continue
  failures++
  process.stdout.write(`seed ${seed}: ${outcome.broken}\n`)
  if (values['until-failure'] === true) break
}
took.sort((a, b) => a - b)
const at = (share: number): number => took[Math.min(took.length - 1, Math.floor(took.length * share))] ?? Number.NaN
const seconds = (performance.now() - startedAt) / 1000
process.stdout.write(
  `${count} schedules from seed ${first}, ${events} events in ${seconds.toFixed(1)} s; ` +
    `converged after p50 ${at(0.5)}, p99 ${at(0.99)}, most ${at(1)} ms; ${failures} broken\n`,
)
process.exitCode = failures === 0 ? 0 : 1
