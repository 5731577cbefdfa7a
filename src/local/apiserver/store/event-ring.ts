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

const EVENTS_MAX = 1_000 // client-go resumes within seconds; events of ordinary objects take a few MB per busy kind
const BYTES_MAX = 32 * 1024 * 1024 // a thousand Secrets of a megabyte must not fill the memory

export class EventRing {
  readonly #events: (StoreEvent | undefined)[] = []
  /** Of each event, as journalled. */
  readonly #sizes: number[] = []
  #bytes = 0
  #first = 0
  #floor: number

  constructor(floor: number) {
    this.#floor = floor
  }

  /** A watch from this resourceVersion or later misses nothing. */
  get floor(): number {
    return this.#floor
  }

  push(event: StoreEvent, bytes: number): void {
    this.#events.push(event)
    this.#sizes.push(bytes)
    this.#bytes += bytes
    while (this.#events.length - this.#first > EVENTS_MAX || this.#bytes > BYTES_MAX) this.#dropOldest()
    if (this.#first < EVENTS_MAX) return
    this.#events.splice(0, this.#first) // amortised: one copy per EVENTS_MAX events
    this.#sizes.splice(0, this.#first)
    this.#first = 0
  }

  #dropOldest(): void {
    this.#floor = this.#events[this.#first]?.rv ?? this.#floor
    this.#bytes -= this.#sizes[this.#first] ?? 0
    this.#events[this.#first] = undefined // let go of the object before the splice
    this.#first += 1
  }

  /** undefined: events between `rv` and the ring are gone. */
  after(rv: number): readonly StoreEvent[] | undefined {
    if (rv < this.#floor) return undefined
    return this.#events.slice(this.#first).filter((event): event is StoreEvent => event !== undefined && event.rv > rv)
  }
}
