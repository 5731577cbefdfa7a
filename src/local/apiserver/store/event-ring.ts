/**
 * The last events of one kind, so that a watch can resume where it broke off. Older ones are dropped by age and
 * count; a watch from before the ring is told to relist (410), never given a gap.
 */
import type { ApiObject } from '../object.ts'

export interface StoreEvent {
  readonly rv: number
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED'
  readonly object: ApiObject
  readonly previous: ApiObject | undefined
}

const EVENTS_MAX = 1_000 // client-go resumes within seconds; memory stays below a few MB per busy kind

export class EventRing {
  readonly #events: StoreEvent[] = []
  #first = 0
  #floor: number

  constructor(floor: number) {
    this.#floor = floor
  }

  /** A watch from this resourceVersion or later misses nothing. */
  get floor(): number {
    return this.#floor
  }

  push(event: StoreEvent): void {
    this.#events.push(event)
    if (this.#events.length - this.#first <= EVENTS_MAX) return
    this.#floor = this.#events[this.#first]?.rv ?? this.#floor
    this.#first += 1
    if (this.#first < EVENTS_MAX) return
    this.#events.splice(0, this.#first) // amortised: one copy per EVENTS_MAX events
    this.#first = 0
  }

  /** undefined: events between `rv` and the ring are gone. */
  after(rv: number): readonly StoreEvent[] | undefined {
    if (rv < this.#floor) return undefined
    return this.#events.slice(this.#first).filter((event) => event.rv > rv)
  }
}
