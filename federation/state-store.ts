/**
 * What the leader must not forget and no other object holds: withdrawals that some peer has not heard yet, and members
 * that an operator removed. One ConfigMap; written before the change it records takes effect.
 */
import { CONFIG_MAPS, type ConfigMap } from '../src/kube/kinds.ts'
import { isDeepStrictEqual } from 'node:util'
import { OBJECTS, SYSTEM_NAMESPACE } from '../src/model/names.ts'
import { isConflict } from '../src/kube/client.ts'
import type { Tombstone } from './exports/announcement.ts'
import { isRace, type FencedWriter } from './fence.ts'

export interface LeaderState {
  readonly withdrawals: readonly Tombstone[]
  readonly removed: readonly string[]
}

const WRITES_MAX = 5

export class StateStore {
  readonly #writer: FencedWriter
  #object: ConfigMap | undefined
  #state: LeaderState = { withdrawals: [], removed: [] }
  #queue: Promise<void> = Promise.resolve()

  constructor(writer: FencedWriter) {
    this.#writer = writer
  }

  get state(): LeaderState {
    return this.#state
  }

  async load(): Promise<LeaderState> {
    this.#object = await this.#writer.get(CONFIG_MAPS, OBJECTS.federationState, SYSTEM_NAMESPACE)
    const { data } = this.#object ?? {}
    this.#state = {
      withdrawals: list(data?.['withdrawals']) as readonly Tombstone[],
      removed: list(data?.['removed']) as readonly string[],
    }
    return this.#state
  }

  /** Resolves when the change is stored; nothing is written when nothing changed. Writes go one after the other. */
  update(change: Partial<LeaderState>): Promise<void> {
    const done = this.#queue.then(() => this.#update(change))
    this.#queue = done.catch(() => undefined)
    return done
  }

  async #update(change: Partial<LeaderState>): Promise<void> {
    const next = { ...this.#state, ...change }
    if (isDeepStrictEqual(next, this.#state)) return
    for (let attempt = 0; ; attempt++) {
      try {
        this.#object = await this.#write(next)
        this.#state = next
        return
      } catch (error) {
        if (!isRace(error) || attempt >= WRITES_MAX) throw error
        // Only a former leader writes here besides us, and it is fenced: take the version and write ours.
        const found = await this.#writer.get(CONFIG_MAPS, OBJECTS.federationState, SYSTEM_NAMESPACE)
        if (isConflict(error) && found === undefined) throw error
        this.#object = found
      }
    }
  }

  #write(state: LeaderState): Promise<ConfigMap> {
    const data = { withdrawals: JSON.stringify(state.withdrawals), removed: JSON.stringify(state.removed) }
    if (this.#object !== undefined) return this.#writer.replace(CONFIG_MAPS, { ...this.#object, data })
    const metadata = { name: OBJECTS.federationState, namespace: SYSTEM_NAMESPACE }
    return this.#writer.create(CONFIG_MAPS, { apiVersion: 'v1', kind: 'ConfigMap', metadata, data })
  }
}

function list(text: string | undefined): readonly unknown[] {
  try {
    const value: unknown = JSON.parse(text ?? '[]')
    return Array.isArray(value) ? value : []
  } catch {
    return [] // someone edited it: the hold on omissions still stands
  }
}
