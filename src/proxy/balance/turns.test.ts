import { describe, expect, it } from 'vitest'
import { seededRandom } from '../../runtime/random.ts'
import { flushAtTurnEnd } from '../h1/turn.ts'
import type { EndpointState } from './endpoint.ts'
import { assignment, endpoint, world } from './testing/world.ts'

const ENDPOINTS = Array.from({ length: 10 }, (_unused, index) => endpoint(`10.0.0.${index + 1}`))
const TURNS = 4_000

const turnEnd = (): Promise<void> => new Promise((resolve) => flushAtTurnEnd({ flush: resolve }))

interface Run {
  readonly most: number
  /** Mean over turns of the busiest less the idlest. */
  readonly gap: number
  readonly requests: readonly number[]
  readonly endpointsPerRequest: number
}

/** Turns that bring up to `burst` requests each, while `underWay` older ones have no answer yet. */
async function run(underWay: number, burst: number, pick: 'ours' | 'two of all'): Promise<Run> {
  const { cluster } = world(assignment(ENDPOINTS))
  const states = [...cluster.endpoints.values()]
  const random = seededRandom(11)
  const any = <T>(list: readonly T[]): T => list[Math.floor(random.next() * list.length)] as T
  const twoOfAll = (): EndpointState => {
    const [one, other] = [any(states), any(states)]
    return other.active < one.active ? other : one
  }
  const open: EndpointState[] = []
  const requests = new Map(states.map((state) => [state, 0]))
  let [most, gaps, touched, all] = [0, 0, 0, 0]
  for (let turn = 0; turn < TURNS; turn++) {
    while (open.length > underWay) {
      const [done] = open.splice(Math.floor(random.next() * open.length), 1)
      if (done !== undefined) done.active--
    }
    const chosen = new Set<EndpointState>()
    for (let count = Math.ceil(random.next() * burst); count > 0; count--) {
      const state = pick === 'ours' ? cluster.pick([]) : twoOfAll()
      if (state === undefined) throw new Error('there are ten')
      state.active++
      open.push(state)
      chosen.add(state)
      requests.set(state, (requests.get(state) ?? 0) + 1)
      all++
    }
    touched += chosen.size
    const active = states.map((state) => state.active)
    most = Math.max(most, ...active)
    gaps += Math.max(...active) - Math.min(...active)
    if (pick === 'ours') await turnEnd()
  }
  return { most, gap: gaps / TURNS, requests: [...requests.values()], endpointsPerRequest: touched / all }
}

describe('least request, turn by turn', () => {
  it('keeps requests of a turn together and loads nobody more than two drawn at random for each would', async () => {
    const ours = await run(28, 14, 'ours')
    const theirs = await run(28, 14, 'two of all')
    expect(ours.endpointsPerRequest).toBeLessThan(theirs.endpointsPerRequest * 0.85)
    expect(ours.most).toBeLessThanOrEqual(theirs.most)
    expect(ours.gap).toBeLessThanOrEqual(theirs.gap * 1.1)
    const mean = ours.requests.reduce((sum, count) => sum + count, 0) / ours.requests.length
    for (const count of ours.requests) expect(Math.abs(count - mean)).toBeLessThan(mean * 0.1)
  })

  it('puts nothing together while little is under way', async () => {
    const ours = await run(0, 5, 'ours')
    const theirs = await run(0, 5, 'two of all')
    expect(ours.endpointsPerRequest).toBeGreaterThan(theirs.endpointsPerRequest * 0.95)
    expect(ours.gap).toBeLessThanOrEqual(theirs.gap * 1.05)
  })

  it('is the least busy of the draw for each of them, however many are drawn', () => {
    const { cluster } = world(assignment(ENDPOINTS), { leastRequest: { choiceCount: 200 } })
    const states = [...cluster.endpoints.values()]
    for (const [index, state] of states.entries()) state.active = index
    for (let count = 0; count < 45; count++) {
      const least = Math.min(...states.map(({ active }) => active))
      const state = cluster.pick([])
      expect(state?.active).toBe(least)
      if (state !== undefined) state.active++
    }
    expect(new Set(states.map(({ active }) => active))).toEqual(new Set([9]))
  })

  it('draws again for who did not take what it was given', () => {
    const { cluster } = world(assignment(ENDPOINTS))
    for (const state of cluster.endpoints.values()) state.active = 5
    const idle = [...cluster.endpoints.values()][0]
    if (idle !== undefined) idle.active = 0
    const picked = Array.from({ length: 1_000 }, () => cluster.pick([]))
    expect(picked.filter((state) => state === idle).length).toBeLessThan(300)
  })
})
