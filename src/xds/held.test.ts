import { describe, expect, it } from 'vitest'
import type { ModelResource } from './codec/codec.ts'
import { EncodedResources } from './encoded.ts'
import { Held, HeldStates, type Table } from './held.ts'
import { assignmentOf } from './testing/configs.ts'

const tableOf = (...names: string[]): Table =>
  new Map(names.map((name): [string, ModelResource['value']] => [name, assignmentOf(name, ['10.0.0.1'])]))
const NOW = { removals: true, systemVersion: '1' } as const

describe('HeldStates', () => {
  it('gives clients that asked for the same, in whatever order, the very same message and state', () => {
    const states = new HeldStates('endpoints', new EncodedResources())
    const table = tableOf('a', 'b', 'c')
    const one = states.step(states.start(states.wishes.of(false, new Set(['a', 'b']))), table, NOW)
    const other = states.step(states.start(states.wishes.of(false, new Set(['b', 'a']))), table, NOW)
    expect(other).toBe(one)
    expect(states.step(states.start(states.wishes.of(false, new Set(['a']))), table, NOW)).not.toBe(one)
  })

  it('leads whoever has all of a table to one state, whatever the way', () => {
    const states = new HeldStates('endpoints', new EncodedResources())
    const [before, after] = [tableOf('a', 'b'), tableOf('b', 'c')]
    const { everything } = states.wishes
    const kept = states.step(states.start(everything), before, NOW).after
    const fresh = states.step(states.start(everything), after, NOW).after
    const moved = states.step(kept, after, NOW)
    expect(moved.after).toBe(fresh)
    expect(states.step(fresh, after, NOW).message).toBeUndefined()
    const claimed = new Held(everything, new Map(fresh.versions))
    expect(states.step(claimed, after, NOW)).toMatchObject({ message: undefined, isWhole: true })
  })

  it('tells wishes apart that merely have as many names', () => {
    const { wishes } = new HeldStates('endpoints', new EncodedResources())
    const sets = Array.from({ length: 300 }, (_, index) => wishes.of(false, new Set([`name-${index}`])))
    expect(new Set(sets).size).toBe(300)
    expect(wishes.of(false, new Set(['name-7']))).toBe(sets[7])
  })
})
