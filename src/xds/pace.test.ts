import { describe, expect, it } from 'vitest'
import { ManualClock } from '../runtime/clock.ts'
import { Pace } from './pace.ts'

interface Stream {
  readonly name: string
}

function paced(): { pace: Pace<Stream>; clock: ManualClock; again: string[]; a: Stream; b: Stream } {
  const clock = new ManualClock()
  const again: string[] = []
  const pace = new Pace<Stream>({ clock, bytesMax: 100 }, ({ name }) => again.push(name))
  return { pace, clock, again, a: { name: 'a' }, b: { name: 'b' } }
}

describe('Pace', () => {
  it('lets who finds no room wait, and calls each once when there is some', () => {
    const { pace, again, a, b } = paced()
    const first = pace.add(60)
    expect(pace.hasRoom(a)).toBe(true)
    const second = pace.add(60)
    expect([pace.hasRoom(a), pace.hasRoom(b), pace.hasRoom(a)]).toEqual([false, false, false])
    pace.release(first)
    pace.release(first)
    expect(again).toEqual(['a', 'b'])
    pace.release(second)
    expect(again).toEqual(['a', 'b'])
  })

  it('goes on without those who never answer, and forgets who has left', () => {
    const { pace, clock, again, a, b } = paced()
    pace.add(100)
    pace.hasRoom(a)
    pace.hasRoom(b)
    pace.leave(b)
    clock.advance(7_000)
    expect(again).toEqual(['a'])
    expect(pace.hasRoom(b)).toBe(true)
  })

  it('stops calling when those it called have filled the room again', () => {
    const clock = new ManualClock()
    const again: string[] = []
    const pace: Pace<Stream> = new Pace<Stream>({ clock, bytesMax: 100 }, ({ name }) => {
      again.push(name)
      pace.add(100)
    })
    const first = pace.add(100)
    pace.hasRoom({ name: 'a' })
    pace.hasRoom({ name: 'b' })
    pace.release(first)
    expect(again).toEqual(['a'])
  })
})
