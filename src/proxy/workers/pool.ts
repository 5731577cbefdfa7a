/**
 * A data plane of several processes, seen from its primary: configuration and certificate go out to every worker, ports
 * open here, and what workers know comes back as one. A worker that dies takes its own connections with it and nothing
 * else; another one starts in its place.
 */
import type { ProxyConfig } from '../../model/config.ts'
import { Backoff } from '../../runtime/backoff.ts'
import type { Cancel, Clock } from '../../runtime/clock.ts'
import type { Log } from '../../runtime/log.ts'
import type { Random } from '../../runtime/random.ts'
import type { IdentitySource, OwnCertificate } from '../identity.ts'
import type { ApplyResult, StateOptions } from '../state.ts'
import { deltaOf } from './config-delta.ts'
import { Judge } from './judge.ts'
import type { ToPrimary, ToWorker } from './messages.ts'
import { passLines } from './output.ts'
import { WorkerPages } from './pages.ts'
import { Ports } from './ports.ts'
import { Shares } from './shares.ts'
import { type HandOver, WorkerProcess } from './worker-process.ts'

export interface PoolOptions {
  readonly workers: number
  readonly state: Omit<StateOptions, 'identity' | 'now'>
  readonly identity: IdentitySource
  /** What every worker begins with, also one that starts later. */
  readonly setup?: string
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  /** Whole lines that workers wrote. */
  readonly output: (lines: Buffer) => void
}

const RESTART = { initialMs: 50, maxMs: 10_000 } as const
/** One that does not stop by itself is stopped. */
const STOP_MS = 1_000
/** One that lived for so long died of something new. */
const HEALTHY_MS = 10_000

export class WorkerPool {
  readonly pages: WorkerPages
  readonly #options: PoolOptions
  readonly #judge: Judge
  readonly #shares: Shares
  readonly #workers = new Map<number, WorkerProcess>()
  readonly #backoffs = new Map<number, Backoff>()
  readonly #restarts = new Set<Cancel>()
  readonly #ports: Ports
  #config: ProxyConfig | undefined
  #draining = false
  /** Every worker has served once. */
  #started = false
  /** Workers that ended without being asked. */
  deaths = 0

  constructor(options: PoolOptions) {
    this.#options = options
    const { clock, random, identity } = options
    this.#judge = new Judge({ ...options.state, identity, now: () => clock.now() }, random)
    this.#shares = new Shares(options.workers)
    const workers = (): Iterable<WorkerProcess> => this.#workers.values()
    this.#ports = new Ports({ workers, now: () => clock.monotonic() })
    this.pages = new WorkerPages({ workers, clock, own: () => this.#exposition() })
    identity.onChange((certificate) => this.#tellAll({ kind: 'certificate', certificate }))
    for (let number = 1; number <= options.workers; number++) this.#start(number)
  }

  /** What it refuses no worker runs. */
  apply(config: ProxyConfig): ApplyResult {
    const rejected = this.#judge.apply(config)
    const next = this.#shares.of(config)
    const delta = deltaOf(this.#config, next)
    this.#config = next
    this.#tellAll({ kind: 'config', delta })
    return { rejected }
  }

  get awaited(): readonly string[] {
    const missing = new Set<string>()
    for (const worker of this.#workers.values()) {
      if (!worker.ready) missing.add(`worker ${worker.number}`)
      for (const name of worker.load.awaited) missing.add(name)
    }
    // One worker of several is enough to serve; before the first there is none.
    const serving = [...this.#workers.values()].some(({ ready, load }) => ready && load.awaited.length === 0)
    return serving && this.#started ? [] : [...missing]
  }

  get busy(): number {
    let busy = 0
    for (const { load } of this.#workers.values()) busy += load.busy
    return busy
  }

  drain(): void {
    this.#draining = true
    this.#tellAll({ kind: 'drain' })
  }

  /** Resolves once every worker has written what it had to say and is gone. */
  async close(): Promise<void> {
    this.#draining = true
    for (const cancel of this.#restarts) cancel()
    this.#ports.closeAll()
    const workers = [...this.#workers.values()]
    this.#tellAll({ kind: 'stop' })
    const cancel = this.#options.clock.after(STOP_MS, () => {
      for (const worker of workers) worker.kill('SIGKILL')
    })
    await Promise.all(workers.map(({ ended }) => ended))
    cancel()
  }

  #tellAll(message: ToWorker): void {
    for (const worker of this.#workers.values()) worker.send(message)
  }

  #start(number: number): void {
    const { clock, identity } = this.#options
    const worker = new WorkerProcess(number, clock.monotonic(), {
      message: (from, message) => this.#received(from, message),
      gone: (from, how, untaken) => this.#gone(from, how, untaken),
    })
    this.#workers.set(number, worker)
    passLines(worker.output, this.#options.output)
    worker.send({ kind: 'setup', text: this.#options.setup ?? '' })
    const certificate: OwnCertificate | undefined = identity.current()
    if (certificate !== undefined) worker.send({ kind: 'certificate', certificate })
    if (this.#config !== undefined) worker.send({ kind: 'config', delta: deltaOf(undefined, this.#config) })
  }

  #received(worker: WorkerProcess, message: ToPrimary): void {
    switch (message.kind) {
      case 'ready':
        this.pages.know(message)
        this.#backoffs.get(worker.number)?.reset()
        if ([...this.#workers.values()].every(({ ready }) => ready)) {
          this.#started = true
          this.#ports.sweep()
        }
        return
      case 'open':
        return this.#ports.open(worker, message.port, message)
      case 'close':
        return this.#ports.close(worker, message.port)
      case 'page':
        return this.pages.answered(worker, message)
      case 'taken':
      case 'load':
        return
      default:
        return message satisfies never
    }
  }

  #gone(worker: WorkerProcess, how: string, untaken: readonly HandOver[]): void {
    const { clock, random, log } = this.#options
    this.#workers.delete(worker.number)
    this.#ports.forget(worker)
    this.pages.gone(worker)
    // Nobody has read from these: another worker serves them as if nothing had been.
    for (const { port, socket } of untaken) this.#ports.dispatch(port, socket)
    if (this.#draining) return
    this.deaths++
    const backoff = this.#backoffs.get(worker.number) ?? new Backoff({ ...RESTART, random })
    this.#backoffs.set(worker.number, backoff)
    if (clock.monotonic() - worker.startedAt > HEALTHY_MS) backoff.reset()
    const waitMs = backoff.next()
    log.error({ worker: worker.number, pid: worker.pid, how, waitMs }, 'a worker died; its connections are lost')
    const cancel = clock.after(waitMs, () => {
      this.#restarts.delete(cancel)
      this.#start(worker.number)
    })
    this.#restarts.add(cancel)
  }

  #exposition(): readonly string[] {
    const ready = [...this.#workers.values()].filter((worker) => worker.ready)
    return [
      '# HELP isthmus_workers Worker processes that serve.',
      '# TYPE isthmus_workers gauge',
      `isthmus_workers ${ready.length}`,
      '# HELP isthmus_worker_deaths_total Worker processes that ended without being asked.',
      '# TYPE isthmus_worker_deaths_total counter',
      `isthmus_worker_deaths_total ${this.deaths}`,
      '# HELP isthmus_worker_connections Connections by worker.',
      '# TYPE isthmus_worker_connections gauge',
      ...ready.map(({ number, connections }) => `isthmus_worker_connections{worker="${number}"} ${connections}`),
      '# HELP isthmus_worker_pid Process of each worker.',
      '# TYPE isthmus_worker_pid gauge',
      ...ready.map(({ number, pid }) => `isthmus_worker_pid{worker="${number}"} ${pid ?? 0}`),
      '# HELP isthmus_worker_refused_total Connections reset because no worker could take them.',
      '# TYPE isthmus_worker_refused_total counter',
      `isthmus_worker_refused_total ${this.#ports.refused}`,
      '',
    ]
  }
}
