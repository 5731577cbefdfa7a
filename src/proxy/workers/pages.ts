/**
 * Pages of a data plane of several processes: each worker is asked, and their answers become one; a change goes to all.
 * What a worker counted stays counted when it dies: the last that was seen of it is kept, so that no counter ever runs
 * backwards.
 */
import type { Cancel, Clock } from '../../runtime/clock.ts'
import { EXPOSITION, JSON_TYPE, type Page, type PageRequest, type Pages, TEXT } from '../../runtime/pages.ts'
import { statsPage } from '../admin/stats.ts'
import { mergeSamples, type Sample } from '../stats/store.ts'
import { mergeClusters, mergeClusterLines } from './merge-clusters.ts'
import { type Exposition, formatExposition, mergeExpositions, parseExposition, retire } from './merge-exposition.ts'
import type { ToPrimary } from './messages.ts'
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

type Answer = Extract<ToPrimary, { kind: 'page' }>

interface Asked {
  readonly answers: Map<WorkerProcess, Answer>
  readonly missing: Set<WorkerProcess>
  readonly done: () => void
  readonly cancel: Cancel
}

/** What was last seen of a worker, or of all that are gone. */
interface Seen {
  readonly metrics: Map<string, Exposition>
  samples: readonly Sample[]
}

const seenNothing = (): Seen => ({ metrics: new Map(), samples: [] })

export class WorkerPages {
  readonly #options: WorkerPagesOptions
  readonly #asked = new Map<number, Asked>()
  readonly #seen = new Map<WorkerProcess, Seen>()
  #retired = seenNothing()
  #lastId = 0
  /** What workers say they have. */
  readonly known: Record<string, Pages[string]> = {}

  constructor(options: WorkerPagesOptions) {
    this.#options = options
  }

  know({ pages, changes }: { readonly pages: readonly string[]; readonly changes: readonly string[] }): void {
    for (const path of pages) {
      this.known[path] ??= changes.includes(path)
        ? { post: (request) => this.#change(path, request) }
        : (request) => this.#page(path, request)
    }
  }

  answered(worker: WorkerProcess, answer: Answer): void {
    const asked = this.#asked.get(answer.id)
    if (asked === undefined) return
    if (answer.page !== undefined) asked.answers.set(worker, answer)
    asked.missing.delete(worker)
    if (asked.missing.size === 0) asked.done()
  }

  gone(worker: WorkerProcess): void {
    const { metrics, samples } = this.#seen.get(worker) ?? seenNothing()
    this.#seen.delete(worker)
    for (const [path, exposition] of metrics) {
      const before = this.#retired.metrics.get(path) ?? new Map()
      this.#retired.metrics.set(path, mergeExpositions([before, retire(exposition)]))
    }
    this.#retired.samples = mergeSamples([this.#retired.samples, samples.filter(({ kind }) => kind !== 'gauge')])
    for (const id of this.#asked.keys()) this.answered(worker, { kind: 'page', id, page: undefined })
  }

  async #change(path: string, request: PageRequest): Promise<Page> {
    if (path === '/reset_counters') this.#retired = seenNothing()
    return this.#page(path, request)
  }

  async #page(path: string, { query }: PageRequest): Promise<Page> {
    const answers = await this.#ask(path, query)
    const [first] = Array.from(answers.values(), ({ page }) => page)
    if (METRICS.has(path)) return { type: EXPOSITION, body: this.#metrics(path, answers) }
    if (path === '/stats') return this.#stats(answers, query)
    if (first === undefined) return { type: TEXT, status: 503, body: 'no worker answers\n' }
    if (path === '/clusters') {
      const bodies = Array.from(answers.values(), ({ page }) => page?.body ?? '')
      return { ...first, body: first.type === JSON_TYPE ? mergeClusters(bodies) : mergeClusterLines(bodies) }
    }
    return first
  }

  #metrics(path: string, answers: ReadonlyMap<WorkerProcess, Answer>): string {
    for (const [worker, { page }] of answers) {
      this.#seenOf(worker).metrics.set(path, parseExposition(page?.body ?? ''))
    }
    const seen = [this.#retired, ...this.#seen.values()].flatMap(({ metrics }) => metrics.get(path) ?? [])
    return formatExposition(mergeExpositions([...seen, parseExposition(this.#options.own().join('\n'))]))
  }

  #stats(answers: ReadonlyMap<WorkerProcess, Answer>, query: URLSearchParams): Page {
    if (query.get('format') === 'prometheus') {
      return { type: EXPOSITION, body: this.#metrics('/stats?format=prometheus', answers) }
    }
    for (const [worker, { samples = [] }] of answers) this.#seenOf(worker).samples = samples
    const seen = [this.#retired, ...this.#seen.values()].map(({ samples }) => samples)
    return statsPage(mergeSamples(seen), query)
  }

  #seenOf(worker: WorkerProcess): Seen {
    const known = this.#seen.get(worker) ?? seenNothing()
    this.#seen.set(worker, known)
    return known
  }

  #ask(path: string, query: URLSearchParams): Promise<ReadonlyMap<WorkerProcess, Answer>> {
    const workers = [...this.#options.workers()].filter(({ ready }) => ready)
    const answers = new Map<WorkerProcess, Answer>()
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
      for (const worker of workers) worker.send({ kind: 'page', id, path, query: query.toString() })
    })
  }
}
