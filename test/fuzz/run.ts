/**
 * Fuzzes for a while: `node test/fuzz/run.ts --seconds 60 [--target h1-request] [--seed 1]`. What fails is kept in the
 * corpus, where it is a unit test from then on. One run per target and turn, so that all get their share.
 */
import { parseArgs } from 'node:util'
import { systemClock } from '../../src/runtime/clock.ts'
import { seededRandom } from '../../src/runtime/random.ts'
import { keep, seedsOf } from './corpus.ts'
import { below, mutate } from './mutate.ts'
import { type Target, TARGETS } from './targets.ts'

/** A run that takes longer is a finding too: inputs have at most 32 KiB. */
const SLOW_MS = 1_000

const { values } = parseArgs({
  options: { seconds: { type: 'string' }, target: { type: 'string' }, seed: { type: 'string' } },
})
const seed = Number(values.seed ?? systemClock.now() % 1_000_000)
const random = seededRandom(seed)
const chosen = TARGETS.filter(({ name }) => values.target === undefined || name === values.target)
const pools = chosen.map((target) => ({ target, seeds: seedsOf(target.name).map(({ bytes }) => bytes), runs: 0 }))
const end = systemClock.monotonic() + Number(values.seconds ?? 10) * 1_000
let findings = 0

/** Processor time: a machine that does other work makes nothing slow. */
function check(target: Target, bytes: Buffer): string | undefined {
  const startedAt = process.cpuUsage()
  try {
    target.check(bytes, random)
  } catch (error) {
    return error instanceof Error ? (error.stack ?? error.message) : String(error)
  }
  const { user } = process.cpuUsage(startedAt)
  return user > SLOW_MS * 1_000 ? `took ${user / 1_000} ms` : undefined
}

while (systemClock.monotonic() < end && findings < 10) {
  for (const pool of pools) {
    const bytes = mutate(pool.seeds[below(random, pool.seeds.length)] ?? Buffer.alloc(0), random)
    pool.runs++
    const finding = check(pool.target, bytes)
    if (finding === undefined) continue
    findings++
    process.stdout.write(`${pool.target.name}: ${keep(pool.target.name, bytes, 'found')}\n${finding.slice(0, 2_000)}\n`)
  }
}
for (const { target, runs, seeds } of pools)
  process.stdout.write(`${target.name}: ${runs} runs from ${seeds.length} seeds\n`)
process.stdout.write(`seed ${seed}, ${findings} findings\n`)
process.exitCode = findings === 0 ? 0 : 1
