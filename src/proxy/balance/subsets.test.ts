import { describe, expect, it } from 'vitest'
import type { Subsets } from '../../model/config.ts'
import { assignment, endpoint, world } from './testing/world.ts'

const ENDPOINTS = [
  endpoint('v1-canary', { metadata: { version: 'v1', stage: 'canary' } }),
  endpoint('v1-prod', { metadata: { version: 'v1', stage: 'prod' } }),
  endpoint('v2-prod', { metadata: { version: 'v2', stage: 'prod' } }),
  endpoint('bare'),
]
const SELECTORS: Subsets['selectors'] = [{ keys: ['version'] }, { keys: ['stage', 'version'] }]

const used = (subsets: Subsets, subset?: Record<string, string>): string[] => {
  const { shares } = world(assignment(ENDPOINTS), { lb: 'round-robin', subsets })
  return Object.keys(shares(100, subset === undefined ? {} : { subset })).sort()
}

describe('ClusterState.pick with subsets', () => {
  it.each([
    { subset: { version: 'v1' }, expected: ['v1-canary', 'v1-prod'] },
    { subset: { version: 'v1', stage: 'prod' }, expected: ['v1-prod'] },
    { subset: { stage: 'prod', version: 'v2' }, expected: ['v2-prod'] },
  ])('keeps to $subset', ({ subset, expected }) => {
    expect(used({ selectors: SELECTORS, fallback: 'none' }, subset)).toEqual(expected)
  })

  it.each([
    { fallback: 'none' as const, expected: ['none'] },
    { fallback: 'any' as const, expected: ['bare', 'v1-canary', 'v1-prod', 'v2-prod'] },
    { fallback: 'default' as const, expected: ['v2-prod'] },
  ])('falls back to $fallback for an unknown value, unknown keys and no criteria', ({ fallback, expected }) => {
    const subsets: Subsets = { selectors: SELECTORS, fallback, defaultSubset: { version: 'v2' } }
    expect(used(subsets, { version: 'v9' })).toEqual(expected)
    expect(used(subsets, { stage: 'prod' })).toEqual(expected)
    expect(used(subsets)).toEqual(expected)
  })

  it('lets a selector fall back its own way', () => {
    const selectors = [{ keys: ['version'], fallback: 'any' as const }, ...SELECTORS.slice(1)]
    expect(used({ selectors, fallback: 'none' }, { version: 'v9' })).toHaveLength(4)
    expect(used({ selectors, fallback: 'none' }, { version: 'v9', stage: 'x' })).toEqual(['none'])
  })

  it('looks again with fewer keys', () => {
    const selectors = [
      { keys: ['stage', 'version'], fallback: 'keys' as const, fallbackKeys: ['version'] },
      { keys: ['version'] },
    ]
    expect(used({ selectors, fallback: 'none' }, { version: 'v2', stage: 'canary' })).toEqual(['v2-prod'])
    expect(used({ selectors, fallback: 'none' }, { version: 'v9', stage: 'canary' })).toEqual(['none'])
  })

  it('matches an item of a list where lists count as any', () => {
    const listed = [endpoint('both', { metadata: { version: ['v1', 'v2'] } }), endpoint('bare')]
    const subsets: Subsets = { selectors: SELECTORS, fallback: 'none' }
    const request = { subset: { version: 'v2' } }
    expect(world(assignment(listed), { subsets }).shares(10, request)).toEqual({ none: 10 })
    const any = world(assignment(listed), { subsets: { ...subsets, listAsAny: true } })
    expect(any.shares(10, request)).toEqual({ both: 10 })
  })

  it('judges health and panic within the subset', () => {
    const some = [
      endpoint('a', { metadata: { version: 'v1' }, health: 'unhealthy' }),
      endpoint('b', { metadata: { version: 'v1' } }),
      endpoint('c'),
    ]
    const subsets: Subsets = { selectors: SELECTORS, fallback: 'none' }
    const request = { subset: { version: 'v1' } }
    expect(world(assignment(some), { subsets }).shares(10, request)).toEqual({ b: 10 })
    expect(Object.keys(world(assignment(some), { subsets, panicPercent: 60 }).shares(100, request)).sort()).toEqual([
      'a',
      'b',
    ])
  })
})

describe('ClusterState.pick with localities', () => {
  const locality = (zone: string, weight: number, healthy: number, total: number): object => ({
    locality: { cloud: '', region: 'r', zone },
    priority: 0,
    weight,
    endpoints: Array.from({ length: total }, (_unused, index) =>
      endpoint(`${zone}${index}`, { health: index < healthy ? 'healthy' : 'unhealthy' }),
    ),
  })
  const shareOfY = (healthyY: number, over: Parameters<typeof world>[1] = {}): number => {
    const localities = [locality('x', 1, 100, 100), locality('y', 2, healthyY, 100)]
    const { shares } = world({ cluster: 'a', localities } as Parameters<typeof world>[0], over)
    const counts = Object.entries(shares(3_000))
    return counts.reduce((sum, [name, count]) => sum + (name.startsWith('y') ? count : 0), 0) / 3_000
  }

  // The table of Envoy's documentation: X has weight 1 and is whole, Y has weight 2.
  it.each([
    { healthy: 100, percent: 67 },
    { healthy: 72, percent: 67 },
    { healthy: 70, percent: 66 },
    { healthy: 50, percent: 58 },
    { healthy: 25, percent: 41 },
    { healthy: 0, percent: 0 },
  ])('gives Y of weight 2 at $healthy % health $percent % of traffic', ({ healthy, percent }) => {
    expect(Math.round(shareOfY(healthy, { panicPercent: 0 }) * 100)).toBe(percent)
  })

  it('goes by endpoints where weights of localities do not count', () => {
    expect(shareOfY(100, { localityWeighted: false, lb: 'round-robin' })).toBeCloseTo(0.5)
  })

  it('ignores localities in panic, as Envoy does', () => {
    const localities = [locality('x', 9, 0, 10), locality('y', 1, 1, 30)]
    const { shares } = world({ cluster: 'a', localities } as Parameters<typeof world>[0], { lb: 'round-robin' })
    const counts = shares(4_000)
    const x = Object.entries(counts).reduce((sum, [name, count]) => sum + (name.startsWith('x') ? count : 0), 0)
    expect(x / 4_000).toBeCloseTo(0.25)
  })

  it('spills by the assignment’s own factor', () => {
    const levels = [0, 1].map((priority) => ({
      locality: { cloud: '', region: 'r', zone: `p${priority}` },
      priority,
      weight: 1,
      endpoints: [0, 1].map((index) =>
        endpoint(`p${priority}-${index}`, { health: priority === 0 && index === 0 ? 'unhealthy' : 'healthy' }),
      ),
    }))
    const far = (overprovisioningPercent?: number): number => {
      const extra = overprovisioningPercent === undefined ? {} : { overprovisioningPercent }
      const counts = world({ cluster: 'a', localities: levels, ...extra }, { lb: 'round-robin' }).shares(10_000)
      return ((counts['p1-0'] ?? 0) + (counts['p1-1'] ?? 0)) / 10_000
    }
    expect(far()).toBeCloseTo(0.3, 1)
    expect(far(200)).toBe(0)
  })
})
