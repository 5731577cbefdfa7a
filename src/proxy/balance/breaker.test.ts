import { array, assert, constantFrom, integer, property, record, tuple } from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { ServiceBreaker } from '../../model/config.ts'
import { seededRandom } from '../../runtime/random.ts'
import { Breaker, type BreakerOutcome, type BreakerPass } from './breaker.ts'
import {
  admittedShare,
  type BreakerEvent,
  type BreakerState,
  CLOSED,
  retryAfterMs,
  transition,
} from './breaker-state.ts'

const CONFIG: ServiceBreaker = { windowMs: 10_000, requestsMin: 10, failurePercent: 50, openMs: 5_000, rampMs: 10_000 }

interface World {
  now: number
  readonly breaker: Breaker
  readonly run: (count: number, outcome: BreakerOutcome, tookMs?: number) => number
}

function world(config: Partial<ServiceBreaker> = {}, seed = 3): World {
  const at: World = {
    now: 0,
    breaker: new Breaker({ ...CONFIG, ...config }, { now: () => at.now, random: seededRandom(seed) }),
    run: (count, outcome, tookMs = 0) => {
      let admitted = 0
      for (let index = 0; index < count; index++) {
        const pass = at.breaker.admit(true)
        if (pass === undefined) continue
        admitted++
        at.now += tookMs
        if (outcome === 'unjudged') pass.ended(outcome)
        else {
          pass.answered(outcome === 'good' ? 200 : 500, undefined)
          pass.ended(outcome)
        }
      }
      return admitted
    },
  }
  return at
}

function openOf(at: World): void {
  at.run(10, 'failed')
  expect(at.breaker.state).toBe('open')
}

describe('Breaker closed', () => {
  it('opens at the share of failures, and not below the minimum of requests', () => {
    const at = world()
    at.run(9, 'failed')
    expect(at.breaker.state).toBe('closed')
    at.run(1, 'good')
    expect(at.breaker.state).toBe('open')
    const calm = world()
    calm.run(51, 'good')
    calm.run(49, 'failed')
    expect(calm.breaker.state).toBe('closed')
    calm.run(2, 'failed')
    expect(calm.breaker.state).toBe('open')
  })

  it('forgets what is older than the window', () => {
    const at = world()
    at.run(9, 'failed')
    at.now += 10_000
    at.run(9, 'failed')
    expect(at.breaker.state).toBe('closed')
    expect(at.breaker.counts.requests).toBe(9)
  })

  it('rolls: half a window later half of it still counts', () => {
    const at = world()
    at.run(5, 'failed')
    at.now += 5_000
    at.run(5, 'failed')
    expect(at.breaker.state).toBe('open')
  })

  it('opens for answers that are slower than the threshold', () => {
    const at = world({ slow: { afterMs: 100, percent: 80 } })
    at.run(2, 'good')
    at.run(7, 'good', 101)
    expect(at.breaker.state).toBe('closed')
    at.run(1, 'good', 101)
    expect(at.breaker.state).toBe('open')
  })

  it('takes a caller who gave up late for a slow answer, and one who gave up early for nothing', () => {
    const at = world({ slow: { afterMs: 100, percent: 100 } })
    at.run(50, 'unjudged', 50)
    expect(at.breaker.counts.requests).toBe(0)
    at.run(10, 'unjudged', 150)
    expect(at.breaker.state).toBe('open')
  })

  it('does not blame the service for a slow upload', () => {
    const at = world({ slow: { afterMs: 100, percent: 1 } })
    for (let index = 0; index < 20; index++) {
      const pass = at.breaker.admit(false)
      at.now += 400
      pass?.requestEnded()
      at.now += 10
      pass?.answered(200, undefined)
      at.now += 1_000
      pass?.ended('good')
    }
    expect(at.breaker.counts).toMatchObject({ slow: 0 })
  })

  it('reads gRPC failures from heads and trailers', () => {
    const at = world()
    for (const status of ['14', '2', '4', '13', '15', '12', '14', '14', '14', '14']) {
      const pass = at.breaker.admit(true)
      pass?.answered(200, undefined)
      pass?.answered(200, status)
      pass?.ended('good')
    }
    expect(at.breaker.state).toBe('open')
    const fine = world()
    for (let index = 0; index < 20; index++) {
      const pass = fine.breaker.admit(true)
      pass?.answered(200, index % 2 === 0 ? '0' : '5')
      pass?.ended('good')
    }
    expect(fine.breaker.state).toBe('closed')
  })
})

describe('Breaker open', () => {
  it('refuses all, says when to come back, and lets one probe through then', () => {
    const at = world()
    openOf(at)
    expect(at.run(20, 'good')).toBe(0)
    expect(at.breaker.rejected).toBe(20)
    expect(at.breaker.retryAfterSeconds).toBe(5)
    at.now += 4_200
    expect(at.breaker.retryAfterSeconds).toBe(1)
    at.now += 800
    const probe = at.breaker.admit(true)
    expect(probe).toBeDefined()
    expect(at.breaker.state).toBe('half-open')
    expect(at.breaker.admit(true)).toBeUndefined()
    probe?.answered(200, undefined)
    expect(at.breaker.state).toBe('ramping')
  })

  it('opens again after a bad probe, a slow one too', () => {
    const at = world({ slow: { afterMs: 100, percent: 100 } })
    openOf(at)
    for (const [outcome, tookMs] of [
      ['failed', 0],
      ['good', 200],
    ] as const) {
      at.now += 5_000
      expect(at.run(1, outcome, tookMs)).toBe(1)
      expect(at.breaker.state).toBe('open')
    }
    expect(at.breaker.transitions).toEqual({ closed: 0, open: 3, 'half-open': 2, ramping: 0 })
  })

  it('probes again when a probe is lost or never comes back', () => {
    const at = world()
    openOf(at)
    at.now += 5_000
    const lost = at.breaker.admit(true)
    lost?.ended('unjudged')
    const silent = at.breaker.admit(true)
    expect(silent).toBeDefined()
    expect(at.breaker.admit(true)).toBeUndefined()
    at.now += 5_000
    const third = at.breaker.admit(true)
    expect(third).toBeDefined()
    // Too late to mean anything: another probe is under way.
    silent?.ended('failed')
    expect(at.breaker.state).toBe('half-open')
    third?.ended('good')
    expect(at.breaker.state).toBe('ramping')
  })

  it('heeds nothing from before the opening', () => {
    const at = world()
    const early = Array.from({ length: 30 }, () => at.breaker.admit(true))
    openOf(at)
    expect(early.every((pass) => pass?.valid === false)).toBe(true)
    at.now += 5_000
    const probe = at.breaker.admit(true)
    for (const pass of early) pass?.ended('failed')
    expect(at.breaker.state).toBe('half-open')
    probe?.ended('good')
    expect(at.breaker.state).toBe('ramping')
  })
})

describe('Breaker ramping', () => {
  it('lets 10 % through at first, more and more, and then all', () => {
    const at = world({ requestsMin: 1_000_000 })
    at.breaker.apply(CONFIG)
    openOf(at)
    at.now += 5_000
    at.run(1, 'good')
    const shares: number[] = []
    for (let step = 0; step < 10; step++) {
      shares.push(at.run(2_000, 'good') / 2_000)
      at.now += 1_000
    }
    for (const [step, share] of shares.entries()) expect(share).toBeCloseTo(0.1 + 0.09 * step, 1)
    expect(at.run(100, 'good')).toBe(100)
    expect(at.breaker.state).toBe('closed')
  })

  it('opens again on the first failure of the first tenth', () => {
    const at = world()
    openOf(at)
    at.now += 5_000
    at.run(1, 'good')
    at.run(100, 'failed')
    expect(at.breaker.state).toBe('open')
  })

  it('is skipped without a time for it', () => {
    const at = world({ rampMs: 0 })
    openOf(at)
    at.now += 5_000
    at.run(1, 'good')
    expect(at.breaker.state).toBe('closed')
  })
})

const times = record({ openMs: integer({ min: 1, max: 10_000 }), rampMs: integer({ min: 0, max: 10_000 }) })
const event = constantFrom<BreakerEvent>('request', 'failing', 'probe-good', 'probe-bad', 'probe-lost')

describe('transition', () => {
  it('never reaches a working state from an open one without a good probe', () => {
    assert(
      property(times, array(tuple(event, integer({ min: 0, max: 5_000 })), { maxLength: 60 }), (rule, steps) => {
        let state: BreakerState = CLOSED
        let now = 0
        for (const [happened, waitMs] of steps) {
          now += waitMs
          const next = transition(state, happened, now, rule)
          const wasShut = state.kind === 'open' || state.kind === 'half-open'
          const works = next.kind === 'closed' || next.kind === 'ramping'
          if (wasShut && works) expect([state.kind, happened]).toEqual(['half-open', 'probe-good'])
          if (state.kind === 'open' && next !== state) expect(now).toBeGreaterThanOrEqual(state.untilMs)
          if (next.kind === 'closed' && state.kind === 'half-open') expect(rule.rampMs).toBe(0)
          const share = admittedShare(next, now, rule)
          expect(share >= 0 && share <= 1).toBe(true)
          expect(retryAfterMs(next, now)).toBeLessThanOrEqual(rule.openMs)
          state = next
        }
      }),
    )
  })
})

describe('Breaker under any traffic', () => {
  const step = record({
    waitMs: integer({ min: 0, max: 3_000 }),
    finish: integer({ min: 0, max: 5 }),
    outcome: constantFrom<BreakerOutcome>('good', 'failed', 'unjudged'),
  })

  it('has at most one probe under way that counts, and counts every refusal', () => {
    assert(
      property(array(step, { maxLength: 200 }), integer(), (steps, seed) => {
        const at = world({}, seed)
        const flying: BreakerPass[] = []
        let refused = 0
        for (const { waitMs, finish, outcome } of steps) {
          at.now += waitMs
          const before = at.breaker.state
          const pass = at.breaker.admit(true)
          if (pass === undefined) refused++
          else flying.push(pass)
          if (at.breaker.state === 'half-open')
            expect(flying.filter(({ valid }) => valid).length).toBeLessThanOrEqual(1)
          if (before === 'closed') expect(pass).toBeDefined()
          for (const ended of flying.splice(0, finish)) ended.ended(outcome)
        }
        expect(at.breaker.rejected).toBe(refused)
        const { requests, failures, slow } = at.breaker.counts
        expect(requests >= failures && requests >= slow && failures >= 0 && slow >= 0).toBe(true)
      }),
    )
  })
})
