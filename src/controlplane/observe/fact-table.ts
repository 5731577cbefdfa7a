/**
 * The facts of one kind, fed by a Store's changes. An object that changes in ways that no fact shows leaves the table
 * as it was, and `current` is the same Map until something did change: that is what translate's caches compare.
 */
import { isDeepStrictEqual } from 'node:util'
import type { KubeObject } from '../../kube/object.ts'
import type { StoreChange } from '../../kube/store.ts'

export class FactTable<T extends KubeObject, F> {
  readonly #read: (object: T) => F | undefined
  readonly #onChange: () => void
  readonly #isSound: (object: T) => boolean
  readonly #rows = new Map<string, F>()
  #current: ReadonlyMap<string, F> | undefined

  /** `isSound`: an object that is not keeps what was read of it when it last was. */
  constructor(read: (object: T) => F | undefined, onChange: () => void, isSound: (object: T) => boolean = () => true) {
    this.#read = read
    this.#onChange = onChange
    this.#isSound = isSound
  }

  apply(change: StoreChange<T>): void {
    if (change.new !== undefined && !this.#isSound(change.new)) return
    const fact = change.new === undefined ? undefined : this.#read(change.new)
    if (fact === undefined) {
      if (!this.#rows.delete(change.key)) return
    } else {
      if (isDeepStrictEqual(this.#rows.get(change.key), fact)) return
      this.#rows.set(change.key, fact)
    }
    this.#current = undefined
    this.#onChange()
  }

  get current(): ReadonlyMap<string, F> {
    this.#current ??= new Map(this.#rows)
    return this.#current
  }
}
