import { describe, expect, it } from 'vitest'
import { Layers, layersOf } from './layers.ts'

describe('Layers', () => {
  it('reads as the one Map that it saves', () => {
    const parts = [new Map([['a', 1]]), new Map<string, number>(), new Map([['b', 2]])]
    const table: ReadonlyMap<string, number> = new Layers(parts)
    const one = new Map(table)
    expect(one).toEqual(
      new Map([
        ['a', 1],
        ['b', 2],
      ]),
    )
    expect([...table.keys()]).toEqual(['a', 'b'])
    expect([...table.values()]).toEqual([1, 2])
    expect([table.get('b'), table.get('c'), table.has('a'), table.has('c'), table.size]).toEqual([
      2,
      undefined,
      true,
      false,
      2,
    ])
    const seen: string[] = []
    table.forEach((value, name) => seen.push(`${name}${value}`))
    expect(seen).toEqual(['a1', 'b2'])
    expect(layersOf(table)).toBe(parts)
    expect(layersOf(one)).toEqual([one])
  })
})
