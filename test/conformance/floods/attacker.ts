/**
 * A process of its own that floods `port` with attack `name` for `ms`, one connection after the other, and prints how
 * many were cut, after how much. `node attacker.ts PORT NAME MS`
 */
import { systemClock } from '../../../src/runtime/clock.ts'
import { ATTACKS, type Cut, flood } from './attacks.ts'

const [port = '', name = '', ms = ''] = process.argv.slice(2)
const attack = ATTACKS.find((one) => one.name === name)
if (attack === undefined) throw new Error(`no attack ${name}`)
const end = systemClock.monotonic() + Number(ms)
const cuts: Cut[] = []
do {
  cuts.push(await flood(Number(port), attack, { ms: 20_000, bytes: 256 * 1024 * 1024 }))
  await new Promise<void>((resolve) => systemClock.after(1_000, resolve))
} while (systemClock.monotonic() < end)
process.stdout.write(`${JSON.stringify(cuts)}\n`)
