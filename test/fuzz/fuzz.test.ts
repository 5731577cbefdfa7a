import { describe, expect, it } from 'vitest'
import * as fc from 'fast-check'
import { seededRandom } from '../../src/runtime/random.ts'
import { seedsOf } from './corpus.ts'
import { mutate } from './mutate.ts'
import { TARGETS } from './targets.ts'

describe.each(TARGETS)('$name', ({ name, check }) => {
  const seeds = seedsOf(name)

  it('has a corpus, and holds for all of it', () => {
    expect(seeds.length).toBeGreaterThan(3)
    for (const { bytes } of seeds) check(bytes, seededRandom(1))
  })

  it('holds for what is near it, and for anything', () => {
    fc.assert(
      fc.property(fc.nat(), fc.nat(seeds.length - 1), (seed, index) => {
        const random = seededRandom(seed)
        check(mutate(seeds[index]?.bytes ?? Buffer.alloc(0), random), random)
      }),
      { numRuns: 300 },
    )
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), fc.nat(), (bytes, seed) =>
        check(Buffer.from(bytes), seededRandom(seed)),
      ),
      { numRuns: 100 },
    )
  })
})
