/**
 * Runs targets in turns for a while, each on mutated seeds, and watches what they keep: a target whose retained memory
 * grows turn by turn is a finding like any other, not a process that dies of it. Finds only; run.ts keeps and prints.
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { systemClock } from '../../src/runtime/clock.ts'
import type { Random } from '../../src/runtime/random.ts'
import { below, mutate } from './mutate.ts'
import type { Target } from './targets.ts'

/** A run that takes longer is a finding too: inputs have at most 32 KiB. */
const SLOW_MS = 1_000

/** How long one target goes on before its memory is counted and the next has its turn. */
const TURN_MS = 400

/**
 * Connections put off their writes to the end of the event loop's turn, and what is put off holds them: a loop that
 * never lets go keeps every connection it ever made.
 */
const RUNS_PER_YIELD = 16

/** First turns fill caches and compile; from then on this much more, live after a collection, is a leak. */
const WARM_TURNS = 2
export const RETAINED_BYTES_MAX = 16 * 1024 * 1024

const FINDINGS_MAX = 10

export interface Pool {
  readonly target: Target
  readonly seeds: readonly Buffer[]
  runs: number
  turns: number
  /** Live bytes that its turns added, the warm ones aside. */
  retainedBytes: number
}

export interface Finding {
  readonly target: Target
  readonly text: string
  /** Absent where all runs together are to blame. */
  readonly bytes?: Buffer
}

export const poolOf = (target: Target, seeds: readonly Buffer[]): Pool => ({
  target,
  seeds,
  runs: 0,
  turns: 0,
  retainedBytes: 0,
})

/** Processor time: a machine that does other work makes nothing slow. */
function check(target: Target, bytes: Buffer, random: Random): string | undefined {
  const startedAt = process.cpuUsage()
  try {
    target.check(bytes, random)
  } catch (error) {
    return error instanceof Error ? (error.stack ?? error.message) : String(error)
  }
  const { user } = process.cpuUsage(startedAt)
  return user > SLOW_MS * 1_000 ? `took ${user / 1_000} ms` : undefined
}

function collector(): () => void {
  setFlagsFromString('--expose-gc')
  const collect: unknown = runInNewContext('gc')
  setFlagsFromString('--no-expose-gc')
  if (typeof collect !== 'function') throw new Error('this V8 does not let itself be collected')
  return () => void Reflect.apply(collect, undefined, [])
}

async function liveBytes(collect: () => void): Promise<number> {
  collect()
  // Finalizers run in a turn of their own; what they and a background thread let go only the second one counts out.
  await nextTurn()
  collect()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

async function takeTurn(pool: Pool, random: Random, end: number): Promise<Finding | undefined> {
  while (systemClock.monotonic() < end) {
    const bytes = mutate(pool.seeds[below(random, pool.seeds.length)] ?? Buffer.alloc(0), random)
    const text = check(pool.target, bytes, random)
    if (text !== undefined) return { target: pool.target, text, bytes }
    if (++pool.runs % RUNS_PER_YIELD === 0) await nextTurn()
  }
  await nextTurn()
  return undefined
}

export async function* fuzz(all: readonly Pool[], random: Random, seconds: number): AsyncGenerator<Finding> {
  const collect = collector()
  const end = systemClock.monotonic() + seconds * 1_000
  let live = await liveBytes(collect)
  let pools = all
  for (let found = 0; found < FINDINGS_MAX && pools.length > 0 && systemClock.monotonic() < end;) {
    for (const pool of pools) {
      const finding = await takeTurn(pool, random, Math.min(end, systemClock.monotonic() + TURN_MS))
      if (finding !== undefined) {
        found++
        yield finding
      }
      const before = live
      live = await liveBytes(collect)
      if (++pool.turns > WARM_TURNS) pool.retainedBytes += live - before
      if (pool.retainedBytes <= RETAINED_BYTES_MAX) continue
      // More of it would end the process, and say nothing new.
      pools = pools.filter((other) => other !== pool)
      found++
      yield { target: pool.target, text: `keeps ${pool.retainedBytes} bytes after ${pool.runs} runs` }
    }
  }
}
