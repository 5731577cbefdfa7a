import { describe, expect, it } from 'vitest'
import { assignment, CLUSTER, endpoint, stateOf, world } from './testing/world.ts'

describe('ClusterState.pick', () => {
  it('stays with priority 0 while it is healthy and leaves it when its transport is down', () => {
    const { shares, transports } = world(assignment([endpoint('near')], [endpoint('far')]))
    expect(shares()).toEqual({ near: 1_000 })
    transports.get('near')?.setUsable(false)
    expect(shares()).toEqual({ far: 1_000 })
    transports.get('near')?.setUsable(true)
    expect(shares()).toEqual({ near: 1_000 })
  })

  it('uses a dead endpoint rather than none', () => {
    const { shares, transports } = world(assignment([endpoint('only')]))
    transports.get('only')?.setUsable(false)
    expect(shares(10)).toEqual({ only: 10 })
  })

  it('follows endpoint weights', () => {
    const { shares } = world(assignment([endpoint('a', { weight: 3 }), endpoint('b', { weight: 1 })]))
    const { a = 0, b = 0 } = shares(10_000)
    // Two draws by weight and the better of both by load over weight: all idle, the heavier wins more often still.
    expect(a / (a + b)).toBeGreaterThan(0.7)
    expect(b).toBeGreaterThan(0)
  })

  it('prefers the less busy of two', () => {
    const { cluster, shares } = world(assignment([endpoint('a'), endpoint('b')]))
    stateOf(cluster, 'a').active = 10
    const { a = 0, b = 0 } = shares()
    expect(b).toBeGreaterThan(2 * a)
  })

  it('avoids what was tried as long as there is another, on any level', () => {
    const { cluster } = world(assignment([endpoint('near')], [endpoint('far')]))
    const near = stateOf(cluster, 'near')
    expect(cluster.pick([near])?.endpoint.address).toBe('far')
    expect(cluster.pick([near, stateOf(cluster, 'far')])).toBeDefined()
  })
})

describe('ClusterState.report', () => {
  it('keeps a retry away from endpoints by their metadata, as long as there is another', () => {
    const metadata = { canary: true }
    const { cluster } = world(assignment([endpoint('a'), endpoint('b', { metadata }), endpoint('c')]))
    const omit = [{ stage: 'old' }, metadata]
    for (let index = 0; index < 50; index++) {
      const first = stateOf(cluster, 'a')
      expect(cluster.pick([first], { omit })?.endpoint.address).toBe('c')
    }
    const others = ['a', 'c'].map((address) => stateOf(cluster, address))
    // Better one of these than none.
    expect(cluster.pick(others, { omit })).toBeDefined()
  })

  it('ejects after five errors in a row and brings back after the base time', () => {
    const { cluster, clock, shares } = world(assignment([endpoint('bad'), endpoint('good')]))
    const bad = stateOf(cluster, 'bad')
    for (let index = 0; index < 4; index++) cluster.report(bad, undefined, false)
    cluster.report(bad, undefined, true)
    for (let index = 0; index < 4; index++) cluster.report(bad, undefined, false)
    expect(shares()['bad']).toBeGreaterThan(0)
    cluster.report(bad, undefined, false)
    expect(shares()).toEqual({ good: 1_000 })
    clock.advance(29_000)
    expect(shares()).toEqual({ good: 1_000 })
    clock.advance(2_000)
    expect(shares()['bad']).toBeGreaterThan(0)
  })

  it('ends an ejection from the time when the way was lost as soon as the way is found again', () => {
    const { cluster, transports, shares } = world(assignment([endpoint('near')], [endpoint('far')]))
    const near = stateOf(cluster, 'near')
    transports.get('near')?.setUsable(false)
    for (let index = 0; index < 5; index++) cluster.report(near, undefined, false)
    expect(near.ejected).toBe(true)
    transports.get('near')?.setUsable(true)
    expect(near.ejected).toBe(false)
    expect(shares()).toEqual({ near: 1_000 })
  })

  it('keeps an ejection when the way was there all the time', () => {
    const { cluster, transports } = world(assignment([endpoint('a'), endpoint('b')]))
    const state = stateOf(cluster, 'a')
    for (let index = 0; index < 5; index++) cluster.report(state, undefined, false)
    transports.get('a')?.setUsable(true)
    expect(state.ejected).toBe(true)
  })
})

describe('ClusterState.apply', () => {
  it('keeps the state of endpoints that stay and closes those that go', () => {
    const { cluster, transports, shares } = world(assignment([endpoint('a'), endpoint('b')]))
    const kept = stateOf(cluster, 'a')
    kept.active = 3
    cluster.apply(CLUSTER, assignment([endpoint('a', { weight: 5 }), endpoint('c')]))
    expect(stateOf(cluster, 'a')).toBe(kept)
    expect(kept.endpoint.weight).toBe(5)
    expect(transports.get('b')?.closed).toBe(true)
    expect(transports.get('a')?.closed).toBe(false)
    expect(Object.keys(shares()).sort()).toEqual(['a', 'c'])
  })

  it('takes health from EDS at once', () => {
    const { cluster, shares } = world(assignment([endpoint('a')], [endpoint('b')]))
    cluster.apply(CLUSTER, assignment([endpoint('a', { health: 'unhealthy' })], [endpoint('b')]))
    expect(shares()).toEqual({ b: 1_000 })
  })

  it('answers undefined without endpoints', () => {
    expect(world(assignment()).cluster.pick([])).toBeUndefined()
  })
})
