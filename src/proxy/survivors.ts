/**
 * What outlives the compiled tables that hold it: token buckets keep their level while their configuration stays what
 * it was, whatever else changed. Things are known by where they stand and what they were made of; several alike, by
 * their order.
 */
export class Survivors {
  #before = new Map<string, object>()
  #now = new Map<string, object>()
  #counts = new Map<string, number>()

  /** A configuration is compiled. */
  begin(): void {
    this.#before = this.#now
    this.#now = new Map()
    this.#counts = new Map()
  }

  /** `make` has to give what `key` says; `claimed` gets what keeps it while its table is reused. */
  of<T extends object>(key: string, make: () => T, claimed: string[]): T {
    const full = this.#next(key)
    const kept = (this.#before.get(full) as T | undefined) ?? make()
    this.#now.set(full, kept)
    claimed.push(key)
    return kept
  }

  /** A table is reused as it is, with all it holds. */
  claim(keys: readonly string[]): void {
    for (const key of keys) {
      const full = this.#next(key)
      const kept = this.#before.get(full)
      if (kept !== undefined) this.#now.set(full, kept)
    }
  }

  #next(key: string): string {
    const count = this.#counts.get(key) ?? 0
    this.#counts.set(key, count + 1)
    return `${key}#${count}`
  }
}
