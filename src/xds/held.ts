/**
 * What clients have of one table, as immutable states that all clients with the same history share. From a state to a
 * table there is one step, worked out once: hundreds of proxies that are equally far get the very same message. A state
 * lives as long as a client is in it or its table is in use.
 */
import type { ResourceKind } from '../model/config.ts'
import type { ModelResource } from './codec/codec.ts'
import { type EncodedResources, Message } from './encoded.ts'
import { type Wish, Wishes } from './wish.ts'

export type Table = ReadonlyMap<string, ModelResource['value']>

/** Answers stay well under the 4 MiB that gRPC clients accept by default; the rest follows after the ACK. */
const RESPONSE_BYTES_MAX = 1_048_576
/** Stands for the version of a name that was answered with "does not exist". */
export const ABSENT = ''

export class Held {
  readonly wish: Wish
  /** Name to version: what the client has, or will have once it read what is under way. */
  readonly versions: ReadonlyMap<string, string>
  #resources: number | undefined

  constructor(wish: Wish, versions: ReadonlyMap<string, string>) {
    this.wish = wish
    this.versions = versions
  }

  /** Those that exist. */
  get resources(): number {
    if (this.#resources === undefined) {
      let count = 0
      for (const version of this.versions.values()) if (version !== ABSENT) count += 1
      this.#resources = count
    }
    return this.#resources
  }
}

export interface Step {
  /** Undefined: nothing to say. */
  readonly message: Message | undefined
  readonly after: Held
  /** Nothing remains to be sent or removed. */
  readonly isWhole: boolean
}

export interface Apart {
  readonly held: Held
  readonly rest: ReadonlyMap<string, string>
}

interface StepOptions {
  /** False: what the client may still refer to is not removed yet. */
  readonly removals: boolean
  /** Shown to people. */
  readonly systemVersion: string
}

const NOTHING: ReadonlyMap<string, string> = new Map()

/** All states of one kind. */
export class HeldStates {
  readonly wishes: Wishes
  readonly #kind: ResourceKind
  readonly #encoded: EncodedResources
  readonly #starts = new WeakMap<Wish, Held>()
  readonly #apart = new WeakMap<ReadonlyMap<string, string>, WeakMap<Table, WeakMap<Wish, Apart>>>()
  readonly #moves = new WeakMap<Held, WeakMap<Wish, Held>>()
  readonly #settled = new WeakMap<Table, WeakMap<Wish, Held>>()
  readonly #steps = { holding: new WeakMap<Held, Memory>(), removing: new WeakMap<Held, Memory>() }

  constructor(kind: ResourceKind, encoded: EncodedResources) {
    this.#kind = kind
    this.#encoded = encoded
    this.wishes = new Wishes(kind)
  }

  /** Of a client that has nothing yet. */
  start(wish: Wish): Held {
    return remembered(this.#starts, wish, () => new Held(wish, NOTHING))
  }

  /** What a client is left with, where no other is like it. */
  having(wish: Wish, versions: ReadonlyMap<string, string>): Held {
    return versions.size === 0 ? this.start(wish) : new Held(wish, versions)
  }

  /** What a client says it has, told apart: what is of this layer, as a state, and what is not. */
  apart(wish: Wish, versions: ReadonlyMap<string, string>, layer: Table): Apart {
    const byLayer = remembered(this.#apart, versions, () => new WeakMap<Table, WeakMap<Wish, Apart>>())
    const byWish = remembered(byLayer, layer, () => new WeakMap<Wish, Apart>())
    return remembered(byWish, wish, () => {
      const own = new Map<string, string>()
      const rest = new Map<string, string>()
      for (const [name, version] of versions) (layer.has(name) ? own : rest).set(name, version)
      return { held: this.having(wish, own), rest }
    })
  }

  /** The same client with another wish; what that does not cover is forgotten, as the client does. */
  moved(held: Held, wish: Wish): Held {
    if (held.versions.size === 0) return this.start(wish)
    const memory = remembered(this.#moves, held, () => new WeakMap<Wish, Held>())
    return remembered(memory, wish, () => {
      const versions = new Map<string, string>()
      for (const [name, version] of held.versions) if (this.wishes.covers(wish, name)) versions.set(name, version)
      return versions.size === 0 ? this.start(wish) : new Held(wish, versions)
    })
  }

  step(held: Held, table: Table, options: StepOptions): Step {
    const memories = options.removals ? this.#steps.removing : this.#steps.holding
    const memory = remembered(memories, held, () => new WeakMap<Table, Step>())
    return remembered(memory, table, () => this.#work(held, table, options))
  }

  #work(held: Held, table: Table, { removals, systemVersion }: StepOptions): Step {
    const { wish } = held
    const versions = new Map(held.versions)
    const frames: Uint8Array[] = []
    let bytes = 0
    for (const name of this.wishes.present(wish, table)) {
      const value = table.get(name)
      if (value === undefined) continue
      const { version, frame } = this.#encoded.of({ kind: this.#kind, value } as ModelResource)
      if (versions.get(name) === version) continue
      if (bytes > 0 && bytes + frame.length > RESPONSE_BYTES_MAX) {
        return { message: this.#message(frames, [], systemVersion), after: new Held(wish, versions), isWhole: false }
      }
      bytes += frame.length
      frames.push(frame)
      versions.set(name, version)
    }
    const { removed, isHeld } = this.#remove({ wish, versions }, table, removals)
    const message = frames.length + removed.length === 0 ? undefined : this.#message(frames, removed, systemVersion)
    if (isHeld) return { message, after: message === undefined ? held : new Held(wish, versions), isWhole: false }
    return { message, after: this.#settledAt(table, wish, versions), isWhole: true }
  }

  #message(frames: readonly Uint8Array[], removed: readonly string[], systemVersion: string): Message {
    return new Message({ kind: this.#kind, systemVersion, nonce: this.#encoded.nextNonce(), frames, removed })
  }

  /** An answer without news: a waiting client learns that there is nothing. */
  empty(systemVersion: string): Message {
    return this.#message([], [], systemVersion)
  }

  #remove(
    { wish, versions }: { readonly wish: Wish; readonly versions: Map<string, string> },
    table: Table,
    mayRemove: boolean,
  ): { readonly removed: readonly string[]; readonly isHeld: boolean } {
    const removed = new Set<string>()
    let isHeld = false
    for (const [name, version] of versions) {
      if (table.has(name) || version === ABSENT) continue
      if (!mayRemove) isHeld = true
      else {
        removed.add(name)
        versions.delete(name)
      }
    }
    // A name asked for that does not exist is answered at once: its client waits.
    for (const name of this.wishes.absent(wish, table)) {
      if (versions.has(name)) continue
      removed.add(name)
      versions.set(name, ABSENT)
    }
    return { removed: [...removed], isHeld }
  }

  /** Whatever way led there, who has all of a table is in one and the same state. */
  #settledAt(table: Table, wish: Wish, versions: ReadonlyMap<string, string>): Held {
    const byWish = remembered(this.#settled, table, () => new WeakMap<Wish, Held>())
    return remembered(byWish, wish, () => new Held(wish, versions))
  }
}

type Memory = WeakMap<Table, Step>

function remembered<K extends object, V>(map: WeakMap<K, V>, key: K, make: () => V): V {
  const known = map.get(key)
  if (known !== undefined) return known
  const made = make()
  map.set(key, made)
  return made
}
