/**
 * Runs one case against one program: its own addresses, its own origins, the program's process, the steps, and what
 * came of them in a form that two programs can be compared by.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { claimLoopbackNet } from '../../../src/runtime/testing/loopback-net.ts'
import { isthmusMain } from '../../harness/process.ts'
import {
  address,
  ADMIN_PORT,
  type Case,
  ENVIRONMENT,
  ORIGIN_PORT,
  type Places,
  type RawStep,
  type Reply,
  type Step,
  type StreamStep,
  type NextStep,
  type TogetherStep,
  type UntilStep,
} from './case.ts'
import { type Outcome, releaseHeld, resume, sendRaw, sendStream, sendTcp } from './client.ts'
import { linesOf, normalArrival, normalOutcome, type Names } from './normal.ts'
import { type Arrival, Origins } from './origin.ts'

const START_MS = 45_000
const COUNTER_MS = 10_000
/** Stats lag behind answers by a few milliseconds; two equal looks in a row are believed. */
const LOOK_EVERY_MS = 40

export interface Program {
  readonly name: 'envoy' | 'isthmus'
  readonly command: (file: string) => readonly [string, ...string[]]
}

export const isthmus: Program = {
  name: 'isthmus',
  command: (file) => [process.execPath, isthmusMain, 'proxy', '-c', file],
}

export const envoy = (binary: string): Program => ({
  name: 'envoy',
  command: (file) => [binary, '-c', file, '--concurrency', '1', '--disable-hot-restart', '--log-level', 'error'],
})

/** What one program did with a case. */
export interface Result {
  readonly steps: readonly (Outcome | Shares)[]
  readonly arrivals: readonly Arrival[]
  readonly counters: Readonly<Record<string, number>>
  /** Lines of access logs, by file. */
  readonly logs?: Readonly<Record<string, readonly string[]>>
}

export interface Shares {
  readonly shares: Readonly<Record<string, number>>
  readonly within: number
}

let runs = 0
const net = await claimLoopbackNet()

/** Loopback addresses of one run, which no other run has. */
function freshAddresses(): { readonly proxy: string; readonly upstream: string } {
  const run = ++runs
  const host = 2 * (run % 120)
  const block = `${net}.${Math.floor(run / 120)}`
  return { proxy: `${block}.${host + 2}`, upstream: `${block}.${host + 3}` }
}

export async function play(contest: Case, program: Program): Promise<Result> {
  const directory = await mkdtemp(join(tmpdir(), 'contest-'))
  const { proxy, upstream } = freshAddresses()
  const places: Places = { proxy, upstream, file: (name) => join(directory, name) }
  const origins = new Origins()
  let running: Running | undefined
  try {
    for (const [name, text] of Object.entries(contest.files ?? {})) await writeFile(places.file(name), text)
    const file = join(directory, 'bootstrap.json')
    const config = { ...contest.config(places), admin: { address: address(proxy, ADMIN_PORT) } }
    await writeFile(file, JSON.stringify(config, null, 1))
    await origins.start(places, contest.origins ?? { app: { port: ORIGIN_PORT } })
    running = new Running(program, file, proxy)
    await running.ready()
    return await playSteps(contest, { running, places, origins })
  } finally {
    releaseHeld()
    await running?.stop()
    origins.close()
    await rm(directory, { recursive: true })
  }
}

interface Stage {
  readonly running: Running
  readonly places: Places
  readonly origins: Origins
}

async function playSteps(contest: Case, { running, places, origins }: Stage): Promise<Result> {
  const names: Names = { ...places, directory: places.file(''), chance: contest.chance ?? [] }
  const steps: Result['steps'][number][] = []
  const heard: Reply[] = []
  for (const given of contest.steps) {
    const step = 'next' in given ? given.next(heard) : given
    if ('together' in step) {
      const all = await Promise.all(step.together.map((one) => send(one, places.proxy)))
      steps.push(...all.map((one) => normalOutcome(one, names)))
      continue
    }
    const result = await playStep(step, places.proxy, running)
    if (result !== undefined && 'replies' in result) heard.push(...result.replies)
    if (result !== undefined) steps.push('shares' in result ? result : normalOutcome(result, names))
  }
  releaseHeld()
  const counters = await running.settledCounters(contest.counters ?? [])
  const shared = contest.steps.some((step) => 'times' in step && step.shares !== undefined)
  await origins.quiet()
  // Which origin got which request is what `shares` compares.
  const arrivals =
    shared || contest.silent === true ? [] : origins.arrivals.map((arrival) => normalArrival(arrival, names))
  if (contest.unordered === true) arrivals.sort((one, other) => (JSON.stringify(one) < JSON.stringify(other) ? -1 : 1))
  const logs = await running.logs(contest.logs ?? [], names, places)
  return { steps, arrivals, counters, ...(contest.logs !== undefined && { logs }) }
}

async function playStep(
  step: Exclude<Step, TogetherStep | NextStep>,
  proxy: string,
  running: Running,
): Promise<Outcome | Shares | undefined> {
  if ('until' in step) {
    await running.until(step.until)
    return undefined
  }
  if ('tcp' in step) return sendTcp(proxy, step)
  if ('resume' in step) return resume(proxy, step)
  if (!('times' in step)) return send(step, proxy)
  const counted: Record<string, number> = {}
  const replies: Reply[] = []
  for (let index = 0; index < step.times; index++) {
    const outcome = await send(step.step, proxy)
    const [reply] = outcome.replies
    if (reply === undefined) throw new Error(`request ${index + 1} of ${step.times} was not answered: ${outcome.end}`)
    replies.push(reply)
    const key = step.shares?.by(reply) ?? ''
    counted[key] = (counted[key] ?? 0) + 1
  }
  if (step.shares === undefined) return { replies, bytes: '', end: 'open' }
  const shares = Object.fromEntries(Object.entries(counted).map(([key, count]) => [key, count / step.times]))
  return { shares, within: step.shares.within }
}

const send = (step: RawStep | StreamStep, proxy: string): Promise<Outcome> =>
  'raw' in step ? sendRaw(proxy, step) : sendStream(proxy, step)

class Running {
  readonly #child: ChildProcess
  readonly #proxy: string
  #output = ''
  #ended: number | null | undefined

  constructor(program: Program, file: string, proxy: string) {
    const [command, ...args] = program.command(file)
    this.#proxy = proxy
    this.#child = spawn(command, args, { env: { ...process.env, ...ENVIRONMENT }, stdio: ['ignore', 'pipe', 'pipe'] })
    const keep = (chunk: Buffer): void => {
      this.#output = (this.#output + chunk.toString()).slice(-20_000)
    }
    this.#child.stdout?.on('data', keep)
    this.#child.stderr?.on('data', keep)
    this.#child.once('exit', (code) => (this.#ended = code))
    this.#child.once('error', (error) => keep(Buffer.from(String(error))))
  }

  async ready(): Promise<void> {
    const deadline = performance.now() + START_MS
    while (performance.now() < deadline) {
      if (this.#ended !== undefined) break
      const answer = await fetch(`http://${this.#proxy}:${ADMIN_PORT}/ready`).catch(() => undefined)
      if (answer?.status === 200) return
      await sleep(LOOK_EVERY_MS)
    }
    throw new Error(`not ready (exit ${String(this.#ended)}):\n${this.#output}`)
  }

  async until(until: UntilStep['until']): Promise<void> {
    const { counter } = until
    const deadline = performance.now() + COUNTER_MS
    for (;;) {
      const value = (await this.#counters([counter]))[counter] ?? 0
      if ('atLeast' in until ? value >= until.atLeast : value <= until.atMost) return
      if (performance.now() > deadline) throw new Error(`${counter} is ${value}: ${JSON.stringify(until)}`)
      await sleep(LOOK_EVERY_MS)
    }
  }

  async settledCounters(names: readonly string[]): Promise<Readonly<Record<string, number>>> {
    if (names.length === 0) return {}
    let before = ''
    for (let look = 0; look < 50; look++) {
      const counters = await this.#counters(names)
      const now = JSON.stringify(counters)
      if (now === before) return counters
      before = now
      await sleep(LOOK_EVERY_MS)
    }
    throw new Error(`counters do not settle: ${before}`)
  }

  /** Both write what they hold back when asked to open their files anew. */
  async logs(files: readonly string[], names: Names, places: Places): Promise<NonNullable<Result['logs']>> {
    if (files.length === 0) return {}
    let before = ''
    for (let look = 0; look < 50; look++) {
      await fetch(`http://${this.#proxy}:${ADMIN_PORT}/reopen_logs`, { method: 'POST' })
      await sleep(LOOK_EVERY_MS)
      const found: Record<string, readonly string[]> = {}
      for (const name of files) found[name] = linesOf(await readFile(places.file(name), 'utf8').catch(() => ''), names)
      const now = JSON.stringify(found)
      if (now === before) return found
      before = now
    }
    throw new Error(`access logs do not settle: ${before}`)
  }

  /** A counter that is not there counts as 0, as Envoy makes some of them on first use. */
  async #counters(names: readonly string[]): Promise<Record<string, number>> {
    const text = await (await fetch(`http://${this.#proxy}:${ADMIN_PORT}/stats`)).text()
    const all = new Map(text.split('\n').map((line) => line.split(': ') as [string, string]))
    return Object.fromEntries(names.map((name) => [name, Number(all.get(name) ?? 0)]))
  }

  async stop(): Promise<void> {
    if (this.#ended !== undefined) return
    const ended = new Promise((resolve) => this.#child.once('exit', resolve))
    this.#child.kill('SIGKILL')
    await ended
  }
}
