/**
 * The facts of one kind, fed by a Store's changes. An object that changes in ways that no fact shows leaves the table
 * as it was, and `current` is the same Map until something did change: that is what translate's caches compare.
 */
import { isDeepStrictEqual } from 'node:util'
import type { KubeObject } from '../../kube/object.ts'
import type { StoreChange } from '../../kube/store.ts'

export interface Judgement<T, F> {
  /** An object that is not keeps what was read of it when it last was. */
  readonly isSound: (object: T) => boolean
  /** What stands for an object that never was sound. Absent, or undefined: nothing. */
  readonly instead?: (object: T) => F | undefined
}

const ALL_ARE_SOUND = { isSound: (): boolean => true }

export class FactTable<T extends KubeObject, F> {
  readonly #read: (object: T) => F | undefined
  readonly #onChange: () => void
  readonly #judge: Judgement<T, F>
  readonly #rows = new Map<string, F>()
  /** Whose row was read of a sound object. */
  readonly #sound = new Set<string>()
  #current: ReadonlyMap<string, F> | undefined

  constructor(read: (object: T) => F | undefined, onChange: () => void, judge: Judgement<T, F> = ALL_ARE_SOUND) {
    this.#read = read
    this.#onChange = onChange
    this.#judge = judge
  }

  apply({ key, new: object }: StoreChange<T>): void {
    if (object !== undefined && !this.#judge.isSound(object)) return this.#takeUnsound(key, object)
    this.#sound.add(key)
    const fact = object === undefined ? undefined : this.#read(object)
    if (fact === undefined) this.#forget(key)
    else this.#set(key, fact)
  }

  #takeUnsound(key: string, object: T): void {
    if (this.#sound.has(key)) return
    const fact = this.#judge.instead?.(object)
    if (fact !== undefined) this.#set(key, fact)
  }

  #forget(key: string): void {
    this.#sound.delete(key)
    if (this.#rows.delete(key)) this.#changed()
  }

  #set(key: string, fact: F): void {
    if (isDeepStrictEqual(this.#rows.get(key), fact)) return
    this.#rows.set(key, fact)
    this.#changed()
  }

  #changed(): void {
    this.#current = undefined
    this.#onChange()
  }

  get current(): ReadonlyMap<string, F> {
    this.#current ??= new Map(this.#rows)
    return this.#current
  }
}
