import { describe, expect, it } from 'vitest'
import { type Clock, ManualClock } from '../runtime/clock.ts'
import { Turns } from './turns.ts'
import { Warmth } from './warmth.ts'

/** Time passes only while something runs. */
const busyClock = (clock: ManualClock, spentMs: () => number): Clock => ({
  now: () => 0,
  monotonic: spentMs,
  after: (ms, run) => clock.after(ms, run),
  every: (ms, run) => clock.every(ms, run),
})

describe('Turns', () => {
  it('runs everything in order, no longer at a time than a slice', () => {
    const clock = new ManualClock()
    let spent = 0
    const turns = new Turns(busyClock(clock, () => spent))
    const done: number[] = []
    for (let index = 0; index < 5; index += 1) {
      turns.add(() => {
        spent += 5
        done.push(index)
      })
    }
    expect(done).toEqual([])
    const sizes: number[] = []
    while (done.length < 5) {
      const before = done.length
      clock.advance(0)
      sizes.push(done.length - before)
      if (sizes.length > 10) break
    }
    expect(done).toEqual([0, 1, 2, 3, 4])
    expect(Math.max(...sizes)).toBeLessThanOrEqual(5)
    turns.add(() => done.push(5))
    turns.close()
    clock.advance(10)
    expect(done).toHaveLength(5)
  })
})

describe('Warmth', () => {
  it('says at once what is warm or quickly made so, and calls when the rest is', () => {
    const clock = new ManualClock()
    let spent = 0
    const encoded: string[] = []
    let calls = 0
    const warmth = new Warmth({
      clock: busyClock(clock, () => spent),
      encode: (kind, value: { readonly name: string }) => {
        spent += 3
        encoded.push(`${kind} ${value.name}`)
      },
      onWarm: () => (calls += 1),
    })
    const tableOf = (...names: string[]) => new Map(names.map((name) => [name, { name } as never]))
    const small = tableOf('a')
    expect(warmth.isWarm([['cluster', small]])).toBe(true)
    const large = tableOf('a', 'b', 'c', 'd', 'e', 'f')
    expect(warmth.isWarm([['cluster', large]])).toBe(false)
    expect(encoded.length).toBeLessThan(5)
    clock.advance(100)
    expect(calls).toBe(1)
    expect(
      warmth.isWarm([
        ['cluster', large],
        ['cluster', small],
      ]),
    ).toBe(true)
    expect(encoded).toHaveLength(7)
  })
})
