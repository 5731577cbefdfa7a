/**
 * Fuzzes for a while: `node test/fuzz/run.ts --seconds 60 [--target h1-request] [--seed 1]`. What fails is kept in the
 * corpus, where it is a unit test from then on. Targets take turns, so that all get their share.
 */
import { parseArgs } from 'node:util'
import { systemClock } from '../../src/runtime/clock.ts'
import { seededRandom } from '../../src/runtime/random.ts'
import { keep, seedsOf } from './corpus.ts'
import { fuzz, poolOf } from './loop.ts'
import { TARGETS } from './targets.ts'

const { values } = parseArgs({
  options: { seconds: { type: 'string' }, target: { type: 'string' }, seed: { type: 'string' } },
})
const seed = Number(values.seed ?? systemClock.now() % 1_000_000)
const pools = TARGETS.filter(({ name }) => values.target === undefined || name === values.target).map((target) =>
  poolOf(
    target,
    seedsOf(target.name).map(({ bytes }) => bytes),
  ),
)
let findings = 0
for await (const { target, text, bytes } of fuzz(pools, seededRandom(seed), Number(values.seconds ?? 10))) {
  findings++
  const kept = bytes === undefined ? 'memory' : keep(target.name, bytes, 'found')
  process.stdout.write(`${target.name}: ${kept}\n${text.slice(0, 2_000)}\n`)
}
for (const { target, runs, seeds, retainedBytes } of pools)
  process.stdout.write(
    `${target.name}: ${runs} runs from ${seeds.length} seeds, ${Math.round(retainedBytes / 1_024)} KiB kept\n`,
  )
process.stdout.write(`seed ${seed}, ${findings} findings\n`)
process.exitCode = findings === 0 ? 0 : 1
