import { describe, expect, it } from 'vitest'
import { eventFigures, phaseFigures, type Observation } from './measure.ts'

const locate = (pod: string): { service: string; cluster: string } | undefined => {
  const [service, cluster] = pod.split('@')
  return service === undefined || cluster === undefined ? undefined : { service, cluster }
}

const seen = (startedAt: number, status: number, ...pods: string[]): Observation => ({
  startedAt,
  endedAt: startedAt + 10,
  status,
  pods,
})

const FAULT = {
  name: 'kill',
  service: 'cart',
  cluster: 'east',
  before: { name: 'before', from: 0, to: 1_000 },
  during: { name: 'during', from: 1_000, to: 2_000 },
  after: { name: 'after', from: 2_000, to: 3_000 },
}

describe('phaseFigures', () => {
  it('counts only requests that started in the phase, and shares only over answers', () => {
    const figures = phaseFigures(
      [seen(100, 200, 'cart@east'), seen(200, 200, 'cart@west'), seen(300, 503), seen(1_500, 200, 'cart@west')],
      FAULT.before,
      locate,
    )
    expect(figures).toEqual({ name: 'before', requests: 3, failed: 1, shares: { cart: { east: 0.5, west: 0.5 } } })
  })
})

describe('eventFigures', () => {
  it('moves with the last request answered by or lost to the target', () => {
    const figures = eventFigures(
      [
        seen(500, 200, 'cart@east'),
        seen(1_050, 200, 'cart@east'),
        seen(1_300, 503),
        seen(1_400, 200, 'cart@west'),
        seen(2_100, 200, 'cart@west'),
        seen(2_700, 200, 'cart@east'),
      ],
      FAULT,
      locate,
    )
    expect(figures).toEqual({
      event: 'kill',
      service: 'cart',
      shareBefore: 1,
      movedMs: 310,
      failedRequests: 1,
      longestMs: 10,
      shareHealed: 1,
    })
  })

  it('counts a request that began before the fault and ended failed after it', () => {
    const stuck: Observation = { startedAt: 900, endedAt: 1_700, status: 0, pods: [] }
    expect(eventFigures([stuck], FAULT, locate)).toMatchObject({ movedMs: 700, failedRequests: 1, longestMs: 800 })
  })

  it('sees traffic that never moved', () => {
    const stubborn = [seen(1_100, 200, 'cart@east'), seen(1_990, 200, 'cart@east')]
    expect(eventFigures(stubborn, FAULT, locate).movedMs).toBe(1_000)
  })
})
