import { describe, expect, it } from 'vitest'
import { flushAtTurnEnd } from '../h1/turn.ts'
import type { ClientConnection } from '../stream.ts'
import { type Candidate, Choice } from './choice.ts'

interface Counted extends Candidate {
  readonly connection: ClientConnection & { activeStreams: number; capacity: number }
  suspect: boolean
}

const candidate = (activeStreams: number, over: Partial<Counted> = {}): Counted => ({
  // What a choice asks of a connection, and nothing more.
  connection: { activeStreams, capacity: 100, bulkStreams: 0 } as unknown as Counted['connection'],
  dialed: {} as Candidate['dialed'],
  suspect: false,
  retiring: false,
  spare: false,
  ...over,
})

const turnEnd = (): Promise<void> => new Promise((resolve) => flushAtTurnEnd({ flush: resolve }))

/** Picks and uses. */
function use(choice: Choice<Counted>, candidates: readonly Counted[]): number {
  const chosen = choice.next(candidates)
  if (chosen === undefined) return -1
  chosen.connection.activeStreams++
  return candidates.indexOf(chosen)
}

describe('the connection of a request', () => {
  it('is the same for requests of one turn, up to its share', () => {
    const candidates = [candidate(5), candidate(0), candidate(4)]
    const choice = new Choice<Counted>()
    // Ten with the new one, three connections: four each.
    expect([1, 2, 3, 4].map(() => use(choice, candidates))).toEqual([1, 1, 1, 1])
    expect(use(choice, candidates)).not.toBe(0)
    expect(Math.max(...candidates.map(({ connection }) => connection.activeStreams))).toBe(5)
  })

  it('is another one each time while nothing is under way', () => {
    const candidates = [candidate(0), candidate(0), candidate(0)]
    const choice = new Choice<Counted>()
    expect(new Set([1, 2, 3].map(() => use(choice, candidates))).size).toBe(3)
  })

  it('is the least busy one of the next turn', async () => {
    const candidates = [candidate(3), candidate(0), candidate(9)]
    const choice = new Choice<Counted>()
    expect(use(choice, candidates)).toBe(1)
    const [idle] = candidates
    if (idle !== undefined) idle.connection.activeStreams = 0
    expect(use(choice, candidates)).toBe(1)
    await turnEnd()
    expect(use(choice, candidates)).toBe(0)
  })

  it('is not one that became suspect, full, avoided or gone', () => {
    const spoil: readonly ((chosen: Counted, choice: Choice<Counted>) => void)[] = [
      (chosen) => (chosen.suspect = true),
      (chosen) => (chosen.connection.capacity = 0),
    ]
    for (const change of spoil) {
      const candidates = [candidate(6), candidate(0)]
      const choice = new Choice<Counted>()
      expect(use(choice, candidates)).toBe(1)
      const [, chosen] = candidates
      if (chosen !== undefined) change(chosen, choice)
      expect(use(choice, candidates)).toBe(0)
    }
    const [busy, idle] = [candidate(6), candidate(0)]
    const choice = new Choice<Counted>()
    expect(choice.next([busy, idle])).toBe(idle)
    expect(choice.next([busy, idle], (connection) => connection === idle.connection)).toBe(busy)
    choice.forget(idle)
    choice.forget(busy)
    expect(choice.next([busy])).toBe(busy)
  })
})
