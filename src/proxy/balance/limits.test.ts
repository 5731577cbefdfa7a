import { describe, expect, it } from 'vitest'
import type { Thresholds } from '../../model/config.ts'
import { ManualClock } from '../../runtime/clock.ts'
import { TimerWheel } from '../timer-wheel.ts'
import { ClusterLimits, type PriorityLimits } from './limits.ts'
import { CLUSTER } from './testing/world.ts'

const limitsOf = (thresholds?: Thresholds): ClusterLimits =>
  new ClusterLimits(
    { ...CLUSTER, ...(thresholds !== undefined && { circuitBreakers: { default: thresholds } }) },
    new TimerWheel(new ManualClock()),
  )

/** How often `ask` is granted before it is refused. */
function granted(ask: () => boolean): number {
  let count = 0
  while (count < 20_000 && ask()) count++
  return count
}

const waits = (limits: PriorityLimits) => (): boolean => {
  if (!limits.mayWait()) return false
  limits.pending++
  return true
}
const sends = (limits: PriorityLimits) => (): boolean => {
  limits.enter()
  return limits.maySend()
}

describe('ClusterLimits', () => {
  it('has Envoy’s defaults for what thresholds leave open', () => {
    const limits = limitsOf({})
    expect(granted(waits(limits.of('default')))).toBe(1_024)
    expect(granted(sends(limitsOf({}).of('default')))).toBe(1_024)
    expect(granted(() => limitsOf({}).of('default').mayRetry(true))).toBeGreaterThan(0)
    expect(granted(() => limits.of('default').mayRetry(false))).toBe(3)
  })

  it('counts what it refused', () => {
    const limits = limitsOf({ pendingMax: 0, requestsMax: 0, connectionsMax: 0, retriesMax: 0 })
    const usual = limits.of('default')
    expect([usual.mayWait(), sends(usual)(), limits.mayConnect(), usual.mayRetry(false)]).toEqual([
      false,
      false,
      false,
      false,
    ])
    expect(limits.refused).toEqual({ connections: 1, pending: 1, requests: 1, retries: 1 })
  })

  it('keeps priorities apart', () => {
    const config = { ...CLUSTER, circuitBreakers: { default: { requestsMax: 1 }, high: { requestsMax: 5 } } }
    const limits = new ClusterLimits(config, new TimerWheel(new ManualClock()))
    expect(granted(sends(limits.of('default')))).toBe(1)
    expect(granted(sends(limits.of('high')))).toBe(5)
  })

  it('gives a retry back when its request leaves', () => {
    const limits = limitsOf({ retriesMax: 1 }).of('default')
    limits.enter()
    expect([limits.mayRetry(false), limits.mayRetry(true), limits.mayRetry(false)]).toEqual([true, true, false])
    limits.leave(true)
    expect(limits.mayRetry(false)).toBe(true)
  })

  it('grants retries by share of what is under way, and a few in any case', () => {
    const limits = limitsOf({ retriesMax: 0, retryBudget: { percent: 25, concurrencyMin: 2 } }).of('default')
    expect(granted(() => limits.mayRetry(false))).toBe(2)
    for (let count = 0; count < 40; count++) limits.enter()
    expect(granted(() => limits.mayRetry(false))).toBe(8)
  })

  it('takes new limits at once and keeps its counts', () => {
    const limits = limitsOf({ requestsMax: 5 })
    expect(granted(sends(limits.of('default')))).toBe(5)
    limits.apply({ ...CLUSTER, circuitBreakers: { default: { requestsMax: 3 } } })
    limits.of('default').leave(false)
    expect(sends(limits.of('default'))()).toBe(false)
  })
})
