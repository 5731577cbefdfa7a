import { describe, expect, it } from 'vitest'
import { RetryBudget } from './retry-budget.ts'

function take(budget: RetryBudget, nowMs: number): number {
  let taken = 0
  while (taken < 10_000 && budget.retry(nowMs)) taken++
  return taken
}

describe('RetryBudget.retry', () => {
  it('allows a hundred in ten seconds to a service without traffic', () => {
    const budget = new RetryBudget()
    expect(take(budget, 5_000)).toBe(100)
    expect(take(budget, 14_000)).toBe(0)
    expect(take(budget, 15_000)).toBe(100)
  })

  it('allows a fifth of the last ten seconds at once, and forgets older requests', () => {
    const budget = new RetryBudget()
    for (let second = 0; second < 20; second++) {
      for (let index = 0; index < 200; index++) budget.request(second * 1_000)
    }
    expect(take(budget, 19_900)).toBe(100 + 400)
    expect(take(budget, 19_990)).toBe(0)
    expect(take(budget, 60_000)).toBe(100)
  })
})
