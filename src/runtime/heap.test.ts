import { describe, expect, it } from 'vitest'
import { ManualClock } from './clock.ts'
import { growYoungGenerationUnderLoad } from './heap.ts'

describe('growYoungGenerationUnderLoad', () => {
  it('lets it grow while the process works, not for a moment of work, and no longer', () => {
    const clock = new ManualClock()
    const flags: string[] = []
    let used = 0
    const cancel = growYoungGenerationUnderLoad(clock, { cpuMs: () => used, setFlags: (text) => flags.push(text) })
    const pass = (cpuMs: number): string | undefined => {
      used += cpuMs
      clock.advance(2_000)
      return flags.at(-1)
    }
    expect(pass(100)).toBeUndefined()
    expect(pass(1_900)).toBeUndefined()
    expect(pass(100)).toBeUndefined()
    expect(pass(500)).toBeUndefined()
    expect(pass(500)).toContain('=2')
    pass(500)
    expect(flags).toHaveLength(1)
    expect(pass(10)).toContain('=1')
    expect(flags).toHaveLength(2)
    cancel()
    pass(2_000)
    pass(2_000)
    expect(flags).toHaveLength(2)
  })
})
