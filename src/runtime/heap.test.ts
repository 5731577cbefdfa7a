import { describe, expect, it } from 'vitest'
import { ManualClock } from './clock.ts'
import { followLoad } from './heap.ts'

/** `pass(ms)`: two seconds in which the process used that much CPU; returns what it did about it. */
function followed(): { pass: (cpuMs: number) => string[]; cancel: () => void } {
  const clock = new ManualClock()
  const done: string[] = []
  let used = 0
  const cancel = followLoad(clock, {
    cpuMs: () => used,
    setFlags: (flags) => void done.push(flags),
    release: () => void done.push('release'),
  })
  return {
    cancel,
    pass: (cpuMs) => {
      used += cpuMs
      clock.advance(2_000)
      return done.splice(0)
    },
  }
}

describe('followLoad', () => {
  it('lets the young generation grow while the process works, not for a moment of work, and no longer', () => {
    const { pass, cancel } = followed()
    expect(pass(100)).toEqual([])
    expect(pass(1_900)).not.toContain('--semi-space-growth-factor=2')
    expect(pass(100)).toEqual([])
    expect(pass(500)).toEqual([])
    expect(pass(500)).toEqual(['--semi-space-growth-factor=2'])
    expect(pass(500)).toEqual([])
    expect(pass(30)).toEqual(['--semi-space-growth-factor=1'])
    cancel()
    expect(pass(2_000)).toEqual([])
    expect(pass(2_000)).toEqual([])
  })

  it('optimizes from the first lasting work on, once', () => {
    const { pass } = followed()
    expect(pass(1_000)).toEqual([])
    expect(pass(10)).toEqual([])
    expect(pass(60)).toEqual([])
    expect(pass(60)).toEqual(['--opt', '--maglev'])
    expect(pass(10)).toEqual([])
    expect(pass(60)).toEqual([])
    expect(pass(60)).toEqual([])
  })

  it('keeps fast code through pauses shorter than a minute', () => {
    const { pass } = followed()
    pass(190)
    expect(pass(190)).toEqual(['--opt', '--maglev'])
    for (let look = 1; look < 30; look++) expect(pass(5)).toEqual([])
    expect(pass(5)).toEqual(['release'])
    expect(pass(5)).toEqual([])
  })

  it('gives back what work left, once it is quiet', () => {
    const { pass } = followed()
    expect(pass(150)).toEqual([])
    expect(pass(5)).toEqual([])
    expect(pass(15)).toEqual([])
    expect(pass(5)).toEqual([])
    expect(pass(5)).toEqual(['release'])
    expect(pass(5)).toEqual([])
    expect(pass(5)).toEqual([])
  })
})
