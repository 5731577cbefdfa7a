/**
 * `npm run sim -- [--schedules 100000] [--seed 1] [--workers 2] [--until-failure] [--story | --wire]`: schedules, seed by
 * seed. Exit code 1 when a rule broke; the seed that is printed replays it, `--wire` tells every message besides.
 */
import { spawn } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { parseArgs } from 'node:util'
import { runSchedule, type Outcome } from './schedule.ts'

interface Summary {
  schedules: number
  events: number
  broken: string[]
  readonly convergedMs: number[]
}

const { values } = parseArgs({
  options: {
    schedules: { type: 'string', default: '1000' },
    seed: { type: 'string', default: '1' },
    workers: { type: 'string', default: String(Math.min(2, availableParallelism())) },
    'until-failure': { type: 'boolean', default: false },
    story: { type: 'boolean', default: false },
    wire: { type: 'boolean', default: false },
    /** Of a worker: which of every `workers` seeds are its own. */
    part: { type: 'string' },
  },
})
const SCHEDULES_PER_PROCESS = 250
const first = Number(values.seed)
const last = first + Number(values.schedules) - 1
const workers = Math.max(1, Number(values.workers))
const untilFailure = values['until-failure']
const startedAt = performance.now()
const total: Summary = { schedules: 0, events: 0, broken: [], convergedMs: [] }

if (values.part !== undefined) await work(Number(values.part))
else {
  if (values.story || values.wire || workers === 1) await playAll(1, 0, report)
  else await playInWorkers()
  conclude()
}

async function playAll(step: number, offset: number, tell: (outcome: Outcome) => void): Promise<void> {
  for (let seed = first + offset; seed <= last; seed += step) {
    const outcome = await runSchedule(seed, { wire: values.wire })
    tell(outcome)
    if (untilFailure && outcome.broken !== undefined) return
  }
}

/** One line of JSON per schedule, for the parent. */
async function work(part: number): Promise<void> {
  await playAll(workers, part, ({ story: _story, ...outcome }) => process.stdout.write(`${JSON.stringify(outcome)}\n`))
}

/** A process of its own for every few hundred: what a killed controller awaited is never settled, nor collected. */
async function playInWorkers(): Promise<void> {
  let next = first
  const one = async (): Promise<void> => {
    while (next <= last && !isOver()) {
      const from = next
      next += SCHEDULES_PER_PROCESS
      await playApart(from, Math.min(last, next - 1))
    }
  }
  await Promise.all(Array.from({ length: workers }, one))
}

function isOver(): boolean {
  return untilFailure && total.broken.length > 0
}

async function playApart(from: number, to: number): Promise<void> {
  const range = ['--seed', String(from), '--schedules', String(to - from + 1), '--workers', '1', '--part', '0']
  const child = spawn(process.execPath, [...process.execArgv, import.meta.filename, ...range], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const ended = once(child, 'exit') as Promise<[number | null]>
  for await (const line of createInterface({ input: child.stdout })) {
    report(JSON.parse(line) as Outcome)
    if (isOver()) child.kill()
  }
  const [code] = await ended
  if (code !== 0 && total.broken.length === 0) total.broken.push(`a process ended with ${String(code)}`)
}

function report(outcome: Outcome): void {
  total.schedules++
  total.events += outcome.events
  if (outcome.convergedMs !== undefined) total.convergedMs.push(outcome.convergedMs)
  if (values.story || values.wire) process.stdout.write(`${outcome.story.join('\n')}\n`)
  if (outcome.broken !== undefined) {
    total.broken.push(`seed ${outcome.seed}: ${outcome.broken}`)
    process.stdout.write(`seed ${outcome.seed}: ${outcome.broken}\n`)
  }
  if (total.schedules % 1_000 === 0)
    process.stdout.write(`${total.schedules} schedules, ${total.broken.length} broken\n`)
}

function conclude(): void {
  const took = total.convergedMs.sort((a, b) => a - b)
  const at = (share: number): number => took[Math.min(took.length - 1, Math.floor(took.length * share))] ?? Number.NaN
  const seconds = (performance.now() - startedAt) / 1000
  process.stdout.write(
    `${total.schedules} schedules from seed ${first}, ${total.events} events in ${seconds.toFixed(1)} s; ` +
      `all agree after p50 ${at(0.5)}, p99 ${at(0.99)}, most ${at(1)} ms; ${total.broken.length} broken\n`,
  )
  process.exitCode = total.broken.length === 0 ? 0 : 1
}
