/**
 * Earliest deadline first: picks items in proportion to their weights and as evenly spread as weights allow, which is
 * how Envoy turns weights into turns (edf_scheduler). A weight may change between picks; it counts from an item's next
 * turn on. Knows nothing of endpoints.
 */
interface Entry<T> {
  readonly item: T
  deadline: number
  /** Equal deadlines are served in the order they were set. */
  order: number
}

export class Edf<T> {
  /** A binary heap, the earliest at index 0. */
  readonly #heap: Entry<T>[] = []
  #now = 0
  #order = 0

  get size(): number {
    return this.#heap.length
  }

  /** `weight` above 0. */
  add(weight: number, item: T): void {
    this.#heap.push({ item, deadline: this.#now + 1 / weight, order: this.#order++ })
    this.#rise(this.#heap.length - 1)
  }

  /** The next item; it waits for its next turn by the weight it has now. */
  pick(weightOf: (item: T) => number): T | undefined {
    const first = this.#heap[0]
    if (first === undefined) return undefined
    this.#now = first.deadline
    first.deadline += 1 / weightOf(first.item)
    first.order = this.#order++
    this.#sink(0)
    return first.item
  }

  #rise(from: number): void {
    let at = from
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!this.#swapIfEarlier(at, parent)) return
      at = parent
    }
  }

  #sink(from: number): void {
    let at = from
    for (;;) {
      const left = 2 * at + 1
      const right = left + 1
      const child = right < this.#heap.length && this.#isEarlier(right, left) ? right : left
      if (child >= this.#heap.length || !this.#swapIfEarlier(child, at)) return
      at = child
    }
  }

  #isEarlier(one: number, other: number): boolean {
    const [a, b] = [this.#heap[one], this.#heap[other]]
    if (a === undefined || b === undefined) return false
    return a.deadline < b.deadline || (a.deadline === b.deadline && a.order < b.order)
  }

  #swapIfEarlier(child: number, parent: number): boolean {
    const [a, b] = [this.#heap[child], this.#heap[parent]]
    if (a === undefined || b === undefined || !this.#isEarlier(child, parent)) return false
    this.#heap[parent] = a
    this.#heap[child] = b
    return true
  }
}
