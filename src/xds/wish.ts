/**
 * What a client asked for of one kind: names, everything, or both. Interned, since hundreds of proxies ask for the same
 * thousands of names: equal wishes are one object, and with it everything that is worked out for them.
 */
import type { ResourceKind } from '../model/config.ts'
import { PREFIX_KINDS } from './resources.ts'

export interface Wish {
  readonly wildcard: boolean
  readonly names: ReadonlySet<string>
}

/** Of a DeltaDiscoveryRequest. */
interface NameChange {
  readonly resourceNamesSubscribe: readonly string[]
  readonly resourceNamesUnsubscribe: readonly string[]
}

const WILDCARD = '*'
const NO_NAMES: ReadonlySet<string> = new Set()
/** Looking for wishes that nobody has any more is not worth its work below this. */
const SWEEP_MIN = 256

export class Wishes {
  readonly kind: ResourceKind
  readonly nothing: Wish = { wildcard: false, names: NO_NAMES }
  readonly everything: Wish = { wildcard: true, names: NO_NAMES }
  readonly #known = new Map<string, WeakRef<Wish>[]>()
  readonly #after = new WeakMap<NameChange, Map<Wish, Wish>>()
  #sweepAt = SWEEP_MIN

  constructor(kind: ResourceKind) {
    this.kind = kind
  }

  /** The one wish for this; `names` is not changed afterwards. */
  of(wildcard: boolean, names: ReadonlySet<string>): Wish {
    if (names.size === 0) return wildcard ? this.everything : this.nothing
    const key = `${wildcard}|${names.size}|${digestOf(names)}`
    const known = this.#known.get(key) ?? []
    for (const reference of known) {
      const wish = reference.deref()
      // A digest may meet another's; names decide.
      if (wish !== undefined && isSame(wish.names, names)) return wish
    }
    const wish = { wildcard, names }
    this.#known.set(key, [...known.filter((reference) => reference.deref() !== undefined), new WeakRef(wish)])
    if (this.#known.size > this.#sweepAt) this.#sweep()
    return wish
  }

  /** The wish after a request; remembered, since a crowd's requests are one object (requests.ts). */
  after(before: Wish, request: NameChange, isWhole: boolean): Wish {
    let memory = this.#after.get(request)
    if (memory === undefined) {
      memory = new Map()
      this.#after.set(request, memory)
    }
    let wish = memory.get(before)
    if (wish === undefined) {
      const names = new Set(before.names)
      if (before.wildcard || isWhole) names.add(WILDCARD)
      for (const name of request.resourceNamesSubscribe) names.add(name)
      for (const name of request.resourceNamesUnsubscribe) names.delete(name)
      wish = this.of(names.delete(WILDCARD), names)
      memory.set(before, wish)
    }
    return wish
  }

  covers(wish: Wish, name: string): boolean {
    return wish.wildcard || wish.names.has(name) || (PREFIX_KINDS.has(this.kind) && wish.names.has(prefixOf(name)))
  }

  /** The names of `table` that the wish is for. */
  *present(wish: Wish, table: ReadonlyMap<string, unknown>): Generator<string> {
    if (!wish.wildcard && !PREFIX_KINDS.has(this.kind)) {
      for (const name of wish.names) if (table.has(name)) yield name
      return
    }
    for (const name of table.keys()) if (this.covers(wish, name)) yield name
  }

  /** The names asked for that `table` does not have. */
  *absent(wish: Wish, table: ReadonlyMap<string, unknown>): Generator<string> {
    for (const name of wish.names) if (!table.has(name) && !this.#isPrefix(name)) yield name
  }

  #isPrefix(name: string): boolean {
    return PREFIX_KINDS.has(this.kind) && prefixOf(name) === name
  }

  #sweep(): void {
    for (const [key, references] of this.#known) {
      const alive = references.filter((reference) => reference.deref() !== undefined)
      if (alive.length === 0) this.#known.delete(key)
      else this.#known.set(key, alive)
    }
    this.#sweepAt = Math.max(SWEEP_MIN, 2 * this.#known.size)
  }
}

/** `outbound` of `outbound/reviews:80`; a name without a slash is its own. */
export function prefixOf(name: string): string {
  const slash = name.indexOf('/')
  return slash === -1 ? name : name.slice(0, slash)
}

/** Whatever the order: names come from sets. Good enough to tell sets apart, and never trusted alone. */
function digestOf(names: ReadonlySet<string>): number {
  let digest = 0
  for (const name of names) {
    // FNV-1a, 32 bit.
    let hash = 0x811c9dc5
    for (let index = 0; index < name.length; index += 1) hash = Math.imul(hash ^ name.charCodeAt(index), 0x01000193)
    digest = (digest + (hash >>> 0)) % Number.MAX_SAFE_INTEGER
  }
  return digest
}

function isSame(one: ReadonlySet<string>, other: ReadonlySet<string>): boolean {
  if (one.size !== other.size) return false
  for (const name of one) if (!other.has(name)) return false
  return true
}
