/**
 * Faults that a person asked for, until they heal them: containers of matching pods are held back, or every process of
 * the mesh's own pods is stopped. Only the wish stands here; the node agent carries it out.
 */
import { SYSTEM_NAMESPACE } from '../../model/names.ts'
import type { Pod } from '../../kube/kinds.ts'
import { parseSelector, type Selector } from './label-selector.ts'

export interface Hold {
  readonly namespace: string
  readonly selector: string
}

export interface FaultList {
  readonly holds: readonly Hold[]
  readonly cut: boolean
}

export class Faults {
  readonly #holds: (Hold & { readonly matches: Selector })[] = []
  readonly #listeners = new Set<() => void>()
  #cut = false

  list(): FaultList {
    return { holds: this.#holds.map(({ namespace, selector }) => ({ namespace, selector })), cut: this.#cut }
  }

  /** No container of a matching pod starts until healed, replacements included. */
  hold(hold: Hold): void {
    const known = this.#holds.some((each) => each.namespace === hold.namespace && each.selector === hold.selector)
    if (!known) this.#holds.push({ ...hold, matches: parseSelector(hold.selector) })
    this.#changed()
  }

  /** The mesh's own pods stop answering, without closing anything. */
  cut(): void {
    this.#cut = true
    this.#changed()
  }

  heal(): void {
    this.#holds.length = 0
    this.#cut = false
    this.#changed()
  }

  held(pod: Pod): string | undefined {
    const hold = this.#holds.find((each) => matchesPod(each, pod))
    if (hold === undefined) return undefined
    return `held by a fault (pods ${hold.selector === '' ? '*' : hold.selector} in ${hold.namespace}); end it with: isthmus local fault heal`
  }

  frozen(pod: Pod): boolean {
    return this.#cut && pod.metadata.namespace === SYSTEM_NAMESPACE
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  #changed(): void {
    for (const listener of this.#listeners) listener()
  }
}

export function matchesPod(hold: { namespace: string; matches: Selector }, pod: Pod): boolean {
  return pod.metadata.namespace === hold.namespace && hold.matches(pod.metadata.labels ?? {})
}
