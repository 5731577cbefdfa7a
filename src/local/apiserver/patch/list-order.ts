/**
 * The order of a merged list. Elements that the patch names come in the patch's order; the others keep their order
 * among themselves and their place relative to neighbours that both sides know. New elements go behind.
 */
import { get, isObject } from './json-value.ts'

export interface Orders {
  readonly items: readonly unknown[]
  /** Elements, or just their keys, in the order that the patch wants. */
  readonly wanted: readonly unknown[]
  /** The list before the patch. */
  readonly live: readonly unknown[]
  readonly key: string | undefined
}

/** What makes two elements the same: the merge key's value, or the scalar itself. */
export function identityOf(item: unknown, key: string | undefined): unknown {
  return key !== undefined && isObject(item) ? get(item, key) : item
}

export function mergeOrders({ items, wanted, live, key }: Orders): unknown[] {
  const positions = (list: readonly unknown[]): Map<unknown, number> =>
    new Map(list.map((item, index): [unknown, number] => [identityOf(item, key), index]).toReversed())
  const wantedAt = positions(wanted)
  const liveAt = positions(live)
  const place = (at: ReadonlyMap<unknown, number>, item: unknown): number => at.get(identityOf(item, key)) ?? -1
  const named = items.filter((item) => place(wantedAt, item) >= 0)
  const others = items.filter((item) => place(wantedAt, item) < 0)
  named.sort((a, b) => place(wantedAt, a) - place(wantedAt, b))
  others.sort((a, b) => place(liveAt, a) - place(liveAt, b))

  const result: unknown[] = []
  let next = 0
  for (const item of others) {
    // Named elements that stood before this one in the live list still do.
    while (next < named.length && isBefore(place(liveAt, named[next]), place(liveAt, item))) {
      result.push(named[next])
      next += 1
    }
    result.push(item)
  }
  return [...result, ...named.slice(next)]
}

const isBefore = (left: number, right: number): boolean => left >= 0 && right >= 0 && left < right
