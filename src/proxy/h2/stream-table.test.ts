import { array, assert, boolean, nat, property, record } from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { H2Stream } from './stream.ts'
import { StreamTable } from './stream-table.ts'

/** The table looks at nothing but the id. */
const streamOf = (id: number): H2Stream => ({ id }) as unknown as H2Stream

describe('StreamTable', () => {
  it('holds what a Map would hold, whatever is added and deleted', () => {
    const step = record({ id: nat({ max: 200 }), add: boolean() })
    assert(
      property(array(step, { maxLength: 400 }), (steps) => {
        const table = new StreamTable()
        const expected = new Map<number, H2Stream>()
        for (const { id, add } of steps) {
          if (!add) {
            table.delete(id)
            expected.delete(id)
          } else if (!expected.has(id)) {
            const stream = streamOf(id)
            table.add(stream)
            expected.set(id, stream)
          }
          expect(table.size).toBe(expected.size)
          expect(table.get(id)).toBe(expected.get(id))
        }
        for (let id = 0; id <= 200; id++) expect(table.get(id)).toBe(expected.get(id))
        expect(new Set(table.values())).toEqual(new Set(expected.values()))
      }),
    )
  })

  it('keeps old streams beside very many short ones', () => {
    const table = new StreamTable()
    const old = [1, 3, 5].map(streamOf)
    for (const stream of old) table.add(stream)
    for (let id = 7; id < 20_000; id += 2) {
      table.add(streamOf(id))
      table.delete(id)
    }
    expect(table.values()).toEqual(old)
  })
})
