/**
 * What floods and slow clients do to everyone else: for each attack, how soon it is cut and what happens to the p99 of
 * another client of the same process. `node test/conformance/floods/run.ts [--write]` puts it into docs/security.md.
 */
import { execFile } from 'node:child_process'
import { connect, type Socket } from 'node:net'
import { once } from 'node:events'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { systemClock } from '../../../src/runtime/clock.ts'
import { replaceSection } from '../page.ts'
import { ATTACKS, Bystander, type Cut } from './attacks.ts'
import { Victim } from './victim-process.ts'

const PHASE_MS = 4_000
const CONNECTIONS = 5_000
const run = promisify(execFile)
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

/** Without an attack, as often as with: on a machine that does other work too, one measurement is chance. */
async function quietP99(victim: Victim): Promise<number> {
  const p99s: number[] = []
  for (let round = 0; round < 9; round++) p99s.push((await measure(victim, () => sleep(PHASE_MS))).p99)
  return p99s.toSorted((one, other) => one - other)[4] ?? 0
}

async function attackRows(victim: Victim): Promise<string[]> {
  const rows: string[] = []
  const quiet = await quietP99(victim)
  for (const attack of ATTACKS) {
    let cuts: Cut[] = []
    const during = await measure(victim, async () => {
      const args = [join(import.meta.dirname, 'attacker.ts'), String(victim.http2Port), attack.name, String(PHASE_MS)]
      cuts = JSON.parse((await run(process.execPath, args)).stdout) as Cut[]
    })
    const uncut = cuts.filter(({ afterMs }) => afterMs === undefined).length
    const median = cuts.map(({ afterMs }) => afterMs ?? Infinity).toSorted((a, b) => a - b)[cuts.length >> 1] ?? 0
    const kib = Math.round(cuts.reduce((sum, { sentBytes }) => sum + sentBytes, 0) / cuts.length / 1024)
    const row = [
      attack.name,
      attack.origin,
      `${cuts.length - uncut} of ${cuts.length}`,
      `${ms(median)} ms, ${kib} KiB`,
      ms(quiet),
      ms(during.p99),
      (during.p99 / quiet).toFixed(1),
    ]
    rows.push(`| ${row.join(' | ')} |`)
    process.stderr.write(`${rows.at(-1)}\n`)
  }
  return rows
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

const victim = await new Victim().start()
// Warm code is what an attacker meets, too.
await measure(victim, () => sleep(3_000))
const rows = await attackRows(victim)
const held = await holdConnections(victim)
victim.stop()
const table = [
  '| flood | origin | cut | after | p99 before, ms | during | ratio |',
  '| --- | --- | --- | --- | --- | --- | --- |',
  ...rows,
  '',
  held,
].join('\n')
process.stdout.write(`${table}\n`)
if (process.argv.includes('--write')) replaceSection('floods', table)
