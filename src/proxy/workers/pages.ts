/**
 * Pages of a data plane of several processes: each worker is asked, and their answers become one. What a worker counted
 * stays counted when it dies: the last that was seen of it is kept, so that no counter ever runs backwards.
 */
import type { Cancel, Clock } from '../../runtime/clock.ts'
import { EXPOSITION, JSON_TYPE, type Page } from '../../runtime/pages.ts'
import { mergeClusters } from './merge-clusters.ts'
import { type Exposition, formatExposition, mergeExpositions, parseExposition, retire } from './merge-exposition.ts'
import type { WorkerProcess } from './worker-process.ts'

export interface WorkerPagesOptions {
  readonly workers: () => Iterable<WorkerProcess>
  readonly clock: Clock
  /** The primary's own metrics. */
  readonly own: () => readonly string[]
}

/** One that does not answer is left out: a page that hangs tells nobody anything. */
const ANSWER_MS = 2_000

/** Answered also while there is no worker: what was counted stays counted. */
const METRICS: ReadonlySet<string> = new Set(['/metrics', '/stats/prometheus'])

interface Asked {
  readonly answers: Map<WorkerProcess, Page>
  readonly missing: Set<WorkerProcess>
  readonly done: () => void
  readonly cancel: Cancel
}

export class WorkerPages {
  readonly #options: WorkerPagesOptions
  readonly #asked = new Map<number, Asked>()
  /** Metrics as last seen, by worker; and those of the dead. */
  readonly #seen = new Map<WorkerProcess, Exposition>()
  #retired: Exposition = new Map()
  #lastId = 0
  /** Filled by what workers say they have. */
  readonly known: Record<string, () => Promise<Page>> = {}

  constructor(options: WorkerPagesOptions) {
    this.#options = options
  }

  know(paths: readonly string[]): void {
    for (const path of paths) this.known[path] ??= () => this.#page(path)
  }

  answered(worker: WorkerProcess, id: number, page: Page | undefined): void {
    const asked = this.#asked.get(id)
    if (asked === undefined) return
    if (page !== undefined) asked.answers.set(worker, page)
    asked.missing.delete(worker)
    if (asked.missing.size === 0) asked.done()
  }

  gone(worker: WorkerProcess): void {
    const seen = this.#seen.get(worker)
    this.#seen.delete(worker)
    if (seen !== undefined) this.#retired = mergeExpositions([this.#retired, retire(seen)])
    for (const id of this.#asked.keys()) this.answered(worker, id, undefined)
  }

  async #page(path: string): Promise<Page> {
    const answers = await this.#ask(path)
    const [first] = answers.values()
    if (METRICS.has(path)) return { type: EXPOSITION, body: this.#metrics(answers) }
    if (first === undefined) return { type: 'text/plain; charset=utf-8', status: 503, body: 'no worker answers\n' }
    if (path === '/clusters' && first.type === JSON_TYPE) {
      return { ...first, body: mergeClusters(Array.from(answers.values(), ({ body }) => body)) }
    }
    return first
  }

  #metrics(answers: ReadonlyMap<WorkerProcess, Page>): string {
    for (const [worker, { body }] of answers) this.#seen.set(worker, parseExposition(body))
    const own = parseExposition(this.#options.own().join('\n'))
    return formatExposition(mergeExpositions([this.#retired, ...this.#seen.values(), own]))
  }

  #ask(path: string): Promise<ReadonlyMap<WorkerProcess, Page>> {
    const workers = [...this.#options.workers()].filter(({ ready }) => ready)
    const answers = new Map<WorkerProcess, Page>()
    if (workers.length === 0) return Promise.resolve(answers)
    const id = ++this.#lastId
    return new Promise((resolve) => {
      const done = (): void => {
        this.#asked.get(id)?.cancel()
        this.#asked.delete(id)
        resolve(answers)
      }
      const cancel = this.#options.clock.after(ANSWER_MS, done)
      this.#asked.set(id, { answers, missing: new Set(workers), done, cancel })
      for (const worker of workers) worker.send({ kind: 'page', id, path })
    })
  }
}
