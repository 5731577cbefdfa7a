/**
 * What floods and slow clients do to everyone else: for each attack, how soon it is cut and what happens to the p99 of
 * another client of the same process. `node test/conformance/floods/run.ts [--write]` puts it into docs/security.md.
 */
import { connect, type Socket } from 'node:net'
import { once } from 'node:events'
import { parseArgs } from 'node:util'
import { systemClock } from '../../../src/runtime/clock.ts'
import { replaceSection } from '../page.ts'
import { Attacker } from './attacker-process.ts'
import { ATTACKS, Bystander, type Cut } from './attacks.ts'
import { Victim } from './victim-process.ts'

const PHASE_MS = 4_000
const ROUNDS = 3
const CONNECTIONS = 5_000
const sleep = (ms: number): Promise<void> => new Promise((resolve) => systemClock.after(ms, resolve))
const ms = (value: number): string => value.toFixed(value < 10 ? 2 : 0)

async function measure(victim: Victim, during: () => Promise<unknown>): Promise<ReturnType<Bystander['take']>> {
  const bystander = new Bystander(victim.plainPort)
  await during()
  const figures = bystander.take()
  bystander.stop()
  if (bystander.failures > 0) throw new Error(`${bystander.failures} requests of the other client failed`)
  return figures
}

const median = (values: readonly number[]): number =>
  values.toSorted((one, other) => one - other)[values.length >> 1] ?? 0

/** By turns with and without the attack: on a machine that does other work too, one measurement is chance. */
async function attackRow(victim: Victim, attack: (typeof ATTACKS)[number]): Promise<string> {
  const cuts: Cut[] = []
  const quiet: number[] = []
  const during: number[] = []
  let cpuMs = 0
  const measured = async (into: number[], phase: () => Promise<unknown>): Promise<number> => {
    const [before, startedAt] = [await victim.usage(), systemClock.monotonic()]
    into.push((await measure(victim, phase)).p99)
    return ((await victim.usage()).cpuMs - before.cpuMs) / (systemClock.monotonic() - startedAt)
  }
  for (let round = 0; round < ROUNDS; round++) {
    const share = await measured(quiet, () => sleep(PHASE_MS))
    const attacker = await Attacker.start(victim.http2Port, attack.name)
    const startedAt = systemClock.monotonic()
    const attacked = await measured(during, async () => cuts.push(...(await attacker.flood(PHASE_MS))))
    cpuMs += (attacked - share) * (systemClock.monotonic() - startedAt)
  }
  const uncut = cuts.filter(({ afterMs }) => afterMs === undefined).length
  const kib = Math.round(cuts.reduce((sum, { sentBytes }) => sum + sentBytes, 0) / cuts.length / 1024)
  return `| ${[
    attack.name,
    attack.origin,
    `${cuts.length - uncut} of ${cuts.length}`,
    `${ms(median(cuts.map(({ afterMs }) => afterMs ?? Infinity)))} ms, ${kib} KiB`,
    ms(Math.max(0, cpuMs / cuts.length)),
    ms(median(quiet)),
    ms(median(during)),
    (median(during) / median(quiet)).toFixed(1),
  ].join(' | ')} |`
}

/** A third says nothing, a third begins a head and stops, a third has been served and stays. */
async function holdConnections(victim: Victim): Promise<string> {
  const before = await measure(victim, () => sleep(PHASE_MS))
  const empty = await victim.usage(true)
  const sockets: Socket[] = []
  let closed = 0
  for (let index = 0; index < CONNECTIONS; index++) {
    const socket = connect({ port: victim.plainPort, host: '127.0.0.1' })
    socket.on('error', () => {}).on('close', () => closed++)
    socket.resume()
    sockets.push(socket)
    await once(socket, 'connect')
    if (index % 3 === 1) socket.write('GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ')
    if (index % 3 === 2) socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  }
  const full = await victim.usage(true)
  const during = await measure(victim, () => sleep(PHASE_MS))
  await sleep(13_000)
  const text = [
    `${CONNECTIONS} connections, a third silent, a third in the middle of a head, a third idle after a request:`,
    `another client's p99 was ${ms(during.p99)} ms (${ms(before.p99)} ms before), the process grew by`,
    `${Math.round((full.rss - empty.rss) / 1024 / 1024)} MiB; 13 s later ${closed} of the ${Math.round((CONNECTIONS * 2) / 3)} that owed a head were closed.`,
  ].join('\n')
  for (const socket of sockets) socket.destroy()
  return text
}

const { values } = parseArgs({ options: { attack: { type: 'string' }, write: { type: 'boolean' } } })
const victim = await new Victim().start()
// Warm code is what an attacker meets, too.
await measure(victim, () => sleep(3_000))
const rows: string[] = []
for (const attack of ATTACKS.filter(({ name }) => values.attack === undefined || name === values.attack)) {
  rows.push(await attackRow(victim, attack))
  process.stderr.write(`${rows.at(-1)}\n`)
}
const held = values.attack === undefined ? await holdConnections(victim) : ''
victim.stop()
const table = [
  '| flood | origin | cut | after | our CPU, ms | p99 before, ms | during | ratio |',
  '| --- | --- | --- | --- | --- | --- | --- | --- |',
  ...rows,
  '',
  held,
].join('\n')
process.stdout.write(`${table}\n`)
if (values.write === true) replaceSection('floods', table)
