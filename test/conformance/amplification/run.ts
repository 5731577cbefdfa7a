/**
 * What the worst requests of 10 KiB cost: processor time of the proxy against an ordinary GET's, and memory against
 * their own bytes while they wait for an answer. Envoy calls a hundredfold a vulnerability. With `--write` into
 * docs/security.md; the exit code says whether one reached it.
 */
import { connect, type Socket } from 'node:net'
import { once } from 'node:events'
import { systemClock } from '../../../src/runtime/clock.ts'
import { Victim } from '../floods/victim-process.ts'
import { replaceSection } from '../page.ts'
import { BYTES_MAX, OPENING, PLAIN, WORST, type WorstRequest } from './requests.ts'

const ROUNDS = 300
const HELD = 200
const LIMIT = 100

class Client {
  readonly socket: Socket
  readonly #request: WorstRequest
  #streamId = 3
  #heard = (): void => {}

  constructor(port: number, request: WorstRequest) {
    this.#request = request
    this.socket = connect({ port, host: '127.0.0.1', noDelay: true })
    this.socket
      .on('error', () => {})
      .on('data', () => this.#heard())
      .on('close', () => this.#heard())
  }

  async open(): Promise<this> {
    await once(this.socket, 'connect')
    const { opening } = this.#request
    this.socket.write(Buffer.concat([OPENING[this.#request.protocol], opening ?? Buffer.alloc(0)]))
    if (this.#request.protocol === 'http2') await this.#answer()
    return this
  }

  #answer(): Promise<void> {
    return new Promise((resolve) => {
      const cancel = systemClock.after(500, resolve)
      this.#heard = () => {
        cancel()
        resolve()
      }
    })
  }

  send(): number {
    const bytes = this.#request.bytes(this.#streamId)
    this.#streamId += 2
    this.socket.write(bytes)
    return bytes.length
  }

  /** The next one goes when the answer has come; a refusal that closes counts as one. */
  async ask(): Promise<number> {
    const answered = this.#answer()
    const bytes = this.send()
    await answered
    return bytes
  }
}

const portOf = (victim: Victim, { protocol }: WorstRequest): number =>
  protocol === 'http1' ? victim.plainPort : victim.http2Port

async function cpuPerRequest(victim: Victim, request: WorstRequest): Promise<{ us: number; bytes: number }> {
  let client = await new Client(portOf(victim, request), request).open()
  let bytes = 0
  for (let round = 0; round < ROUNDS / 10; round++) bytes = await client.ask()
  const before = await victim.usage()
  for (let round = 0; round < ROUNDS; round++) {
    if (client.socket.destroyed) client = await new Client(portOf(victim, request), request).open()
    bytes = await client.ask()
  }
  const after = await victim.usage()
  client.socket.destroy()
  return { us: ((after.cpuMs - before.cpuMs) / ROUNDS) * 1_000, bytes }
}

/** Each in a connection of its own, sent and answered or not: what stays is what they hold. */
async function bytesHeld(victim: Victim, request: WorstRequest): Promise<number> {
  const before = await victim.usage(true)
  const clients = await Promise.all(
    Array.from({ length: HELD }, () => new Client(portOf(victim, request), request).open()),
  )
  for (const client of clients) client.send()
  await new Promise<void>((resolve) => systemClock.after(150, resolve))
  const after = await victim.usage()
  for (const client of clients) client.socket.destroy()
  await new Promise<void>((resolve) => systemClock.after(150, resolve))
  return Math.max(0, (after.bytes - before.bytes) / HELD)
}

const victim = await new Victim().start()
await cpuPerRequest(victim, PLAIN)
const plain = await cpuPerRequest(victim, PLAIN)
const plainHeld = await bytesHeld(victim, PLAIN)
const rows: string[] = []
let worst = 0
for (const request of WORST) {
  const { us, bytes } = await cpuPerRequest(victim, request)
  if (bytes > BYTES_MAX) throw new Error(`${request.name} has ${bytes} bytes`)
  const held = await bytesHeld(victim, request)
  const cpu = us / plain.us
  const memory = held / BYTES_MAX
  worst = Math.max(worst, cpu, memory)
  rows.push(
    `| ${request.name} | ${bytes} | ${us.toFixed(0)} | ${cpu.toFixed(1)} | ${(held / 1024).toFixed(0)} | ${memory.toFixed(1)} |`,
  )
  process.stderr.write(`${rows.at(-1)}\n`)
}
victim.stop()
const table = [
  '| request | bytes | CPU, µs | × an ordinary GET | memory, KiB | × 10 KiB |',
  '| --- | --- | --- | --- | --- | --- |',
  `| ${PLAIN.name} | ${plain.bytes} | ${plain.us.toFixed(0)} | 1 | ${(plainHeld / 1024).toFixed(0)} | |`,
  ...rows,
].join('\n')
process.stdout.write(`${table}\n`)
if (process.argv.includes('--write')) replaceSection('amplification', table)
process.exitCode = worst < LIMIT ? 0 : 1
