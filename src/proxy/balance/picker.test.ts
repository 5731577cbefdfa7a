import { describe, expect, it } from 'vitest'
import type { Cluster, LbPolicy } from '../../model/config.ts'
import { buildMaglev } from './maglev.ts'
import type { Weighted } from './picker.ts'
import { buildRing } from './ring.ts'
import { slowStartFactor } from './slow-start.ts'
import { assignment, endpoint, stateOf, world } from './testing/world.ts'
import { xxhash64 } from './xxhash64.ts'

const POLICIES: readonly LbPolicy[] = ['least-request', 'round-robin', 'random', 'ring-hash', 'maglev']
const HASHING: readonly LbPolicy[] = ['ring-hash', 'maglev']
const names = (count: number): string[] => Array.from({ length: count }, (_unused, index) => `10.0.0.${index + 1}`)
const hashOf = (index: number): bigint => xxhash64(`user-${index}`)

describe.each(POLICIES)('every policy: %s', (lb) => {
  const config: Partial<Cluster> = { lb }

  it('picks nothing of nothing and the only one of one', () => {
    expect(world(assignment(), config).cluster.pick([])).toBeUndefined()
    expect(world(assignment([endpoint('a')]), config).shares(10)).toEqual({ a: 10 })
  })

  it('uses every endpoint about evenly', () => {
    const { shares } = world(assignment(names(4).map((name) => endpoint(name))), config)
    const counts = Object.values(shares(8_000))
    expect(counts).toHaveLength(4)
    for (const count of counts) expect(Math.abs(count - 2_000)).toBeLessThan(500)
  })

  it('leaves out what is unhealthy, ejected or down, and comes back to it', () => {
    const all = names(4).map((name, index) => endpoint(name, index === 0 ? { health: 'unhealthy' } : {}))
    const { shares, transports } = world(assignment(all), config)
    expect(Object.keys(shares()).sort()).toEqual(names(4).slice(1))
    transports.get('10.0.0.2')?.setUsable(false)
    expect(Object.keys(shares()).sort()).toEqual(['10.0.0.3', '10.0.0.4'])
    transports.get('10.0.0.2')?.setUsable(true)
    expect(Object.keys(shares()).sort()).toEqual(names(4).slice(1))
  })

  it('uses all of them in panic', () => {
    const all = names(4).map((name, index) => endpoint(name, index > 0 ? { health: 'unhealthy' } : {}))
    expect(Object.keys(world(assignment(all), config).shares())).toHaveLength(4)
    expect(Object.keys(world(assignment(all), { ...config, panicPercent: 0 }).shares())).toEqual(['10.0.0.1'])
  })

  it('gives another endpoint when asked again', () => {
    const { cluster } = world(assignment(names(3).map((name) => endpoint(name))), config)
    for (let index = 0; index < 100; index++) {
      const first = cluster.pick([], { hash: hashOf(index) })
      const second = cluster.pick(first === undefined ? [] : [first], { hash: hashOf(index) })
      expect(second).not.toBe(first)
      const both = [first, second].flatMap((state) => state ?? [])
      expect(both).not.toContain(cluster.pick(both, { hash: hashOf(index) }))
    }
  })

  it.skipIf(lb === 'random')('follows weights', () => {
    const { shares } = world(assignment([endpoint('a', { weight: 3 }), endpoint('b', { weight: 1 })]), config)
    const { a = 0, b = 0 } = shares(8_000)
    expect(a / (a + b)).toBeGreaterThan(0.7)
    expect(a / (a + b)).toBeLessThan(0.8)
  })
})

describe('round robin', () => {
  it('goes round in order', () => {
    const { cluster } = world(assignment(names(3).map((name) => endpoint(name))), { lb: 'round-robin' })
    const picks = Array.from({ length: 9 }, () => cluster.pick([])?.endpoint.address)
    expect(new Set(picks.slice(0, 3)).size).toBe(3)
    expect(picks.slice(3, 6)).toEqual(picks.slice(0, 3))
    expect(picks.slice(6)).toEqual(picks.slice(0, 3))
  })

  it('spreads weights smoothly: never the whole share in one run', () => {
    const endpoints = [endpoint('a', { weight: 5 }), endpoint('b', { weight: 1 }), endpoint('c', { weight: 1 })]
    const { cluster } = world(assignment(endpoints), { lb: 'round-robin' })
    const picks = Array.from({ length: 70 }, () => cluster.pick([])?.endpoint.address)
    for (let at = 0; at + 7 <= 70; at += 7) {
      const round = picks.slice(at, at + 7)
      expect(round.filter((name) => name === 'b').length).toBeLessThanOrEqual(2)
    }
    expect(picks.filter((name) => name === 'a').length).toBeGreaterThanOrEqual(49)
    expect(picks.filter((name) => name === 'a').length).toBeLessThanOrEqual(51)
  })
})

describe('least request', () => {
  it('finds the idle one more often the more it draws', () => {
    const share = (choiceCount: number): number => {
      const setting: Partial<Cluster> = { leastRequest: { choiceCount } }
      const { cluster, shares } = world(assignment(names(10).map((name) => endpoint(name))), setting)
      for (const state of cluster.endpoints.values()) state.active = state.endpoint.address === '10.0.0.1' ? 0 : 5
      return (shares(10_000)['10.0.0.1'] ?? 0) / 10_000
    }
    // 1 - 0.9^k
    expect(share(2)).toBeCloseTo(0.19, 1)
    expect(share(5)).toBeCloseTo(0.41, 1)
  })

  it('with weights counts what is under way by the bias', () => {
    const endpoints = [endpoint('a', { weight: 2 }), endpoint('b', { weight: 1 })]
    const share = (activeRequestBias: number): number => {
      const { cluster, shares } = world(assignment(endpoints), { leastRequest: { activeRequestBias } })
      stateOf(cluster, 'a').active = 3
      return (shares(3_000)['a'] ?? 0) / 3_000
    }
    // 2/4 to 1; 2 to 1; 2/16 to 1.
    expect(share(1)).toBeCloseTo(1 / 3, 1)
    expect(share(0)).toBeCloseTo(2 / 3, 1)
    expect(share(2)).toBeCloseTo(1 / 9, 1)
  })
})

describe.each(HASHING)('hashing: %s', (lb) => {
  const ten = names(10).map((name) => endpoint(name))
  const placesOf = (picked: ReturnType<typeof world>): (string | undefined)[] =>
    Array.from(
      { length: 2_000 },
      (_unused, index) => picked.cluster.pick([], { hash: hashOf(index) })?.endpoint.address,
    )

  it('sends equal hashes to the same endpoint, in every proxy', () => {
    const one = placesOf(world(assignment(ten), { lb }, 1))
    expect(placesOf(world(assignment(ten), { lb }, 2))).toEqual(one)
    expect(new Set(one).size).toBe(10)
  })

  it('moves little more than the share of an endpoint that goes', () => {
    const before = placesOf(world(assignment(ten), { lb }))
    const after = placesOf(world(assignment(ten.slice(0, 9)), { lb }))
    const stayed = before.map((name, index) => [name, after[index]]).filter(([name]) => name !== '10.0.0.10')
    const moved = stayed.filter(([name, now]) => name !== now).length
    expect(moved / stayed.length).toBeLessThan(0.15)
  })

  it('weighs endpoints within their locality', () => {
    const localities = [
      { name: 'x', weight: 1, addresses: names(5) },
      { name: 'y', weight: 3, addresses: ['10.0.1.1'] },
    ].map(({ name, weight, addresses }) => ({
      locality: { cloud: '', region: name, zone: name },
      priority: 0,
      weight,
      endpoints: addresses.map((address) => endpoint(address)),
    }))
    const picked = placesOf(world({ cluster: 'a', localities }, { lb }))
    expect(picked.filter((name) => name === '10.0.1.1').length / 2_000).toBeCloseTo(0.75, 1)
  })

  it('places an endpoint by its hash key instead of its address', () => {
    const keyed = (shift: number): Record<string, unknown> => {
      const endpoints = ['k1', 'k2', 'k3'].map((key, index) =>
        endpoint(`10.${shift}.0.${index}`, { metadata: { hash_key: key } }),
      )
      const { cluster } = world(assignment(endpoints), { lb })
      const keyOf = (index: number): unknown =>
        cluster.pick([], { hash: hashOf(index) })?.endpoint.metadata?.['hash_key']
      return Object.fromEntries(Array.from({ length: 50 }, (_unused, index) => [index, keyOf(index)]))
    }
    expect(keyed(1)).toEqual(keyed(2))
  })
})

function membersOf(weights: readonly number[]): Weighted[] {
  const { cluster } = world(assignment(weights.map((_weight, index) => endpoint(`10.0.0.${index + 1}`))))
  return [...cluster.endpoints.values()].map((state, index) => ({ state, weight: weights[index] ?? 1 }))
}

describe('buildRing', () => {
  it.each([
    { weights: [1, 1], sizeMin: 1_024, sizeMax: 8_388_608, size: 1_024 },
    { weights: [1, 1, 1], sizeMin: 1_024, sizeMax: 8_388_608, size: 1_026 },
    { weights: [1, 1, 1], sizeMin: 3, sizeMax: 8_388_608, size: 3 },
    { weights: [1, 1, 1], sizeMin: 1, sizeMax: 2, size: 2 },
    { weights: [1, 2], sizeMin: 6, sizeMax: 8_388_608, size: 6 },
  ])('has $size places for $weights within $sizeMin and $sizeMax', ({ weights, size, ...config }) => {
    const ring = buildRing(membersOf(weights), config)
    expect(ring.size).toBe(size)
    for (let at = 1; at < size; at++) {
      const [before, here] = [ring.high[at - 1] ?? 0, ring.high[at] ?? 0]
      expect(before).toBeLessThanOrEqual(here)
    }
  })

  it('places by xxHash64 of address_i', () => {
    const ring = buildRing(membersOf([1, 1]), { sizeMin: 2 })
    const places = ['10.0.0.1:15008_0', '10.0.0.2:15008_0'].map((key) => xxhash64(key)).sort((a, b) => (a < b ? -1 : 1))
    const found = places.map((_unused, at) => (BigInt(ring.high[at] ?? 0) << 32n) | BigInt(ring.low[at] ?? 0))
    expect(found).toEqual(places)
  })
})

describe('buildMaglev', () => {
  it('fills every place, in proportion to weights', () => {
    const table = buildMaglev(membersOf([1, 2, 1]), 65_537)
    const counts = [0, 1, 2].map((index) => table.filter((owner) => owner === index).length)
    expect(counts.reduce((sum, count) => sum + count, 0)).toBe(65_537)
    expect(Math.abs((counts[1] ?? 0) - 32_768)).toBeLessThan(3)
  })
})

describe('slow start', () => {
  it.each([
    { ageMs: 0, factor: 0.1 },
    { ageMs: 3_000, factor: 0.1 },
    { ageMs: 15_000, factor: 0.5 },
    { ageMs: 30_000, factor: 1 },
  ])('at $ageMs of 30 s gives $factor', ({ ageMs, factor }) => {
    expect(slowStartFactor({ windowMs: 30_000 }, ageMs)).toBeCloseTo(factor)
  })

  it('bends with aggression and begins at the least weight', () => {
    expect(slowStartFactor({ windowMs: 10_000, aggression: 2 }, 2_500)).toBeCloseTo(0.5)
    expect(slowStartFactor({ windowMs: 10_000, weightPercentMin: 40 }, 100)).toBeCloseTo(0.4)
  })

  it.each(['round-robin', 'least-request'] as const)('gives a new endpoint less at first: %s', (lb) => {
    const { cluster, clock, shares } = world(assignment([endpoint('a'), endpoint('b')]), {
      lb,
      slowStart: { windowMs: 60_000 },
    })
    clock.advance(60_000)
    cluster.apply(cluster.config, assignment([endpoint('a'), endpoint('b'), endpoint('new')]))
    const share = (): number => (shares(3_000)['new'] ?? 0) / 3_000
    expect(share()).toBeCloseTo(0.1 / 2.1, 2)
    clock.advance(30_000)
    expect(share()).toBeCloseTo(0.5 / 2.5, 1)
    clock.advance(31_000)
    expect(share()).toBeCloseTo(1 / 3, 1)
  })
})
