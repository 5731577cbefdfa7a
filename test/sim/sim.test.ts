/** A few schedules with every test run; `npm run conformance` plays ten thousand and looks for the seeded faults. */
import { describe, expect, it } from 'vitest'
import { runSchedule } from './schedule.ts'

/** Each of these broke a rule once, in the schedules of its day. */
const KEPT = [1, 8, 15, 64, 65, 106, 122, 137, 209, 233, 313, 359, 5091, 5196, 5367, 5387, 5463, 5737]

describe('federation, simulated', () => {
  it.each(KEPT)('holds what it promises: seed %i', async (seed) => {
    expect((await runSchedule(seed)).broken).toBeUndefined()
  })

  it('holds it over forty more', async () => {
    for (let seed = 20_000; seed < 20_040; seed++) {
      const { broken } = await runSchedule(seed)
      expect(broken, `seed ${seed}`).toBeUndefined()
    }
  }, 120_000)

  it('plays a seed the same way every time', async () => {
    const [one, other] = [await runSchedule(7), await runSchedule(7)]
    expect(one.story).toEqual(other.story)
    expect([one.events, one.convergedMs]).toEqual([other.events, other.convergedMs])
    expect((await runSchedule(9)).story).not.toEqual(one.story)
  })
})
