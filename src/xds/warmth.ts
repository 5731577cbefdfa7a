/**
 * Serialises tables ahead of their first use, a slice at a time. Thousands of resources at once would hold up the event
 * loop for hundreds of milliseconds, and with it every other proxy's answer, probe and handshake. A table that differs
 * from its predecessor in a few resources is warm at once.
 */
import type { ResourceKind } from '../model/config.ts'
import { layersOf } from '../model/layers.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Table } from './held.ts'

/** Of one turn of the event loop; others may take as long in the same turn. */
const SLICE_MS = 8

interface Job {
  readonly table: Table
  readonly values: Iterator<unknown>
  readonly encode: (value: never) => void
}

export interface WarmthOptions {
  readonly clock: Clock
  readonly encode: (kind: ResourceKind, value: never) => void
  /** Everything that was asked for is warm. */
  readonly onWarm: () => void
}

export class Warmth {
  readonly #options: WarmthOptions
  readonly #warm = new WeakSet<Table>()
  readonly #jobs = new Map<Table, Job>()
  #isScheduled = false

  constructor(options: WarmthOptions) {
    this.#options = options
  }

  /** Whether all of it is ready to be sent; if not, it is being made so. */
  isWarm(tables: Iterable<readonly [ResourceKind, Table]>): boolean {
    const waiting: Table[] = []
    for (const [kind, table] of tables) {
      for (const layer of layersOf(table)) {
        if (this.#warm.has(layer)) continue
        waiting.push(layer)
        if (!this.#jobs.has(layer)) this.#jobs.set(layer, this.#jobOf(kind, layer))
      }
    }
    if (waiting.length === 0) return true
    // While others wait their turn nothing is done here: the slice of this turn is theirs.
    if (!this.#isScheduled) this.#run()
    return waiting.every((table) => this.#warm.has(table))
  }

  #jobOf(kind: ResourceKind, table: Table): Job {
    return { table, values: table.values(), encode: (value) => this.#options.encode(kind, value) }
  }

  /** Works for a slice; true: nothing is left. */
  #run(): boolean {
    const { clock } = this.#options
    const until = clock.monotonic() + SLICE_MS
    for (const job of this.#jobs.values()) {
      for (let next = job.values.next(); next.done !== true; next = job.values.next()) {
        job.encode(next.value as never)
        if (clock.monotonic() < until) continue
        this.#schedule()
        return false
      }
      this.#jobs.delete(job.table)
      this.#warm.add(job.table)
    }
    return true
  }

  #schedule(): void {
    if (this.#isScheduled) return
    this.#isScheduled = true
    this.#options.clock.after(0, () => {
      this.#isScheduled = false
      if (this.#run()) this.#options.onWarm()
    })
  }
}
