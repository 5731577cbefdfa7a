/**
 * A process of its own that floods `port` with attack `name`, one connection after the other, once a line on stdin says
 * for how many milliseconds; prints how many were cut, after how much. `node attacker.ts PORT NAME`
 */
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { systemClock } from '../../../src/runtime/clock.ts'
import { ATTACKS, type Cut, flood } from './attacks.ts'

const [port = '', name = ''] = process.argv.slice(2)
const attack = ATTACKS.find((one) => one.name === name)
if (attack === undefined) throw new Error(`no attack ${name}`)
for (let round = 0; round < 100; round++) attack.next(round)
process.stdout.write('ready\n')
const [ms] = (await once(createInterface({ input: process.stdin }), 'line')) as [string]
const end = systemClock.monotonic() + Number(ms)
const cuts: Cut[] = []
do {
  cuts.push(await flood(Number(port), attack, { ms: 20_000, bytes: 256 * 1024 * 1024 }))
  await new Promise<void>((resolve) => systemClock.after(1_000, resolve))
} while (systemClock.monotonic() < end)
process.stdout.write(`${JSON.stringify(cuts)}\n`)
