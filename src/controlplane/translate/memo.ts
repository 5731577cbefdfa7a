/**
 * Keeps what was built while its inputs are the same objects. translate stays a pure function of the snapshot; this
 * only spares it work, and keeps unchanged resources the same objects, by which the server knows not to send them.
 */
interface Entry<V> {
  readonly inputs: readonly unknown[]
  readonly value: V
  generation: number
}

/** Sweeping is not worth its work below this. */
const ENTRIES_MIN = 1_024

/** Keys remembered; more than that were hardly in use. */
const SWEPT_MAX = 65_536

export class Memo<V> {
  readonly #entries = new Map<string, Entry<V>>()
  /** Keys only, to notice that what was swept was in use. */
  readonly #swept = new Set<string>()
  #generation = 0
  #limit = ENTRIES_MIN

  /** The value for `key`: the one built last time if every input is the very same object, else a new one. */
  get(key: string, inputs: readonly unknown[], build: () => V): V {
    const known = this.#entries.get(key)
    if (known !== undefined && isSame(known.inputs, inputs)) {
      known.generation = this.#generation
      return known.value
    }
    // Asked for after all: so much is in use that a sweep must not come within one round of it.
    if (this.#swept.delete(key)) this.#limit = Math.max(this.#limit, 2 * (this.#entries.size + this.#swept.size))
    const value = build()
    this.#entries.set(key, { inputs, value, generation: this.#generation })
    if (this.#entries.size > this.#limit) this.#sweep()
    return value
  }

  /** Drops what nobody asked for since the last sweep, so that removed services and pods leave no residue. */
  #sweep(): void {
    if (this.#swept.size > SWEPT_MAX) this.#swept.clear()
    for (const [key, { generation }] of this.#entries) {
      if (generation >= this.#generation) continue
      this.#entries.delete(key)
      this.#swept.add(key)
    }
    this.#generation += 1
    this.#limit = Math.max(ENTRIES_MIN, 2 * this.#entries.size)
  }

  get size(): number {
    return this.#entries.size
  }
}

function isSame(before: readonly unknown[], after: readonly unknown[]): boolean {
  return before.length === after.length && before.every((value, index) => value === after[index])
}

/** The previous map if it has the same values under the same names, else the new one. */
export function keepMap<V>(
  previous: ReadonlyMap<string, V> | undefined,
  next: ReadonlyMap<string, V>,
): ReadonlyMap<string, V> {
  if (previous === undefined || previous.size !== next.size) return next
  for (const [name, value] of next) if (previous.get(name) !== value) return next
  return previous
}
