import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ManualClock } from '../runtime/clock.ts'
import { Deadline } from './h1/deadline.ts'
import { TimerWheel, WheelTimer } from './timer-wheel.ts'

describe('TimerWheel', () => {
  it('runs each timer once, not early and at most a tick late, whatever its delay', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat({ max: 5_000 }), fc.nat({ max: 120_000 })), { maxLength: 40 }), (plan) => {
        const clock = new ManualClock(17)
        const wheel = new TimerWheel(clock)
        const late: number[] = []
        for (const [startMs, delayMs] of [...plan].sort((a, b) => a[0] - b[0])) {
          if (startMs > clock.monotonic()) clock.advance(startMs - clock.monotonic())
          const due = clock.monotonic() + delayMs
          wheel.schedule(new WheelTimer(() => late.push(clock.monotonic() - due)), delayMs)
        }
        clock.advance(200_000)
        expect(late).toHaveLength(plan.length)
        for (const lateMs of late) {
          expect(lateMs).toBeGreaterThanOrEqual(0)
          expect(lateMs).toBeLessThanOrEqual(100)
        }
        expect(wheel.pending).toBe(0)
      }),
    )
  })

  it('does not run what was cancelled, and moves what is scheduled again', () => {
    const clock = new ManualClock()
    const wheel = new TimerWheel(clock)
    const ran: string[] = []
    const cancelled = new WheelTimer(() => ran.push('cancelled'))
    const moved = new WheelTimer(() => ran.push(`moved at ${clock.monotonic()}`))
    wheel.schedule(cancelled, 100)
    wheel.schedule(moved, 100)
    wheel.schedule(moved, 1_000)
    wheel.cancel(cancelled)
    wheel.cancel(cancelled)
    expect(wheel.pending).toBe(1)
    clock.advance(5_000)
    expect(ran).toEqual(['moved at 1000'])
  })

  it('lets a timer cancel its neighbours and schedule itself while it runs', () => {
    const clock = new ManualClock()
    const wheel = new TimerWheel(clock)
    let runs = 0
    const victim = new WheelTimer(() => {
      throw new Error('was cancelled')
    })
    const again = new WheelTimer(() => {
      runs++
      wheel.cancel(victim)
      if (runs < 3) wheel.schedule(again, 0)
    })
    wheel.schedule(again, 10)
    wheel.schedule(victim, 10)
    clock.advance(1_000)
    expect(runs).toBe(3)
    expect(wheel.pending).toBe(0)
  })

  it('catches up after the process stood still', () => {
    const clock = new ManualClock()
    const wheel = new TimerWheel({ ...clockOf(clock), every: (_ms, run) => clock.every(3_600_000, run) })
    const ran: number[] = []
    for (const delayMs of [50, 60_000, 3_000_000, 3_700_000])
      wheel.schedule(new WheelTimer(() => ran.push(delayMs)), delayMs)
    clock.advance(3_600_000)
    expect(ran.sort((a, b) => a - b)).toEqual([50, 60_000, 3_000_000])
  })

  it('lets a patient timer wait for time that the process itself lost, and only that', () => {
    const clock = new ManualClock()
    let everyMs = 50
    let run = (): void => {}
    const wheel = new TimerWheel({ ...clockOf(clock), every: (_ms, tick) => ((run = tick), () => {}) })
    const ran: string[] = []
    const noted = (name: string): WheelTimer => new WheelTimer(() => ran.push(`${name} at ${clock.monotonic()}`))
    const pass = (ms: number): void => {
      for (const end = clock.monotonic() + ms; clock.monotonic() < end; run()) clock.advance(everyMs)
    }
    wheel.schedule(noted('plain'), 1_000)
    wheel.schedulePatiently(noted('patient'), 1_000)
    const again = noted('again')
    wheel.schedulePatiently(again, 1_000)
    wheel.schedule(again, 1_000)
    // Awake for 50 ms of every 200.
    everyMs = 200
    pass(1_000)
    expect(ran).toEqual(['plain at 1000', 'again at 1000'])
    expect(wheel.lostMs).toBe(750)
    everyMs = 50
    pass(700)
    expect(ran).toHaveLength(2)
    pass(100)
    expect(ran.slice(2)).toEqual(['patient at 1750'])
    // Stopped for a minute: the rest of the delay, not the minute again.
    wheel.schedulePatiently(noted('stopped'), 1_000)
    pass(400)
    clock.advance(60_000)
    run()
    expect(ran).toHaveLength(3)
    pass(500)
    expect(ran).toHaveLength(3)
    pass(100)
    expect(ran).toHaveLength(4)
  })

  it('tells the time on the wall, and follows it within a second when someone sets it', () => {
    let ahead = 1_000_000
    let asked = 0
    const clock = new ManualClock(50)
    const monotonic = clock.monotonic.bind(clock)
    clock.now = () => {
      asked++
      return monotonic() + ahead
    }
    const wheel = new TimerWheel(clock)
    expect(wheel.wallAt(clock.monotonic())).toBe(1_000_050)
    clock.advance(900)
    expect(wheel.wallAt(clock.monotonic() - 100)).toBe(1_000_850)
    expect(asked).toBe(1)
    ahead = 5_000
    clock.advance(200)
    expect(wheel.wallAt(clock.monotonic())).toBe(6_150)
  })

  it('sleeps while nothing is scheduled', () => {
    const clock = new ManualClock()
    let intervals = 0
    const wheel = new TimerWheel({
      ...clockOf(clock),
      every: (ms, run) => {
        intervals++
        const cancel = clock.every(ms, run)
        return () => {
          intervals--
          cancel()
        }
      },
    })
    const timer = new WheelTimer(() => {})
    wheel.schedule(timer, 100)
    expect(intervals).toBe(1)
    wheel.cancel(timer)
    expect(intervals).toBe(0)
    wheel.schedule(timer, 100)
    clock.advance(1_000)
    expect(intervals).toBe(0)
  })
})

describe('Deadline', () => {
  it('expires when nothing moved it, at most one interval late, and not when stopped', () => {
    const clock = new ManualClock()
    const wheel = new TimerWheel(clock)
    const expired: number[] = []
    const deadline = new Deadline(wheel, [1_000, 0], () => expired.push(clock.monotonic()))
    for (let round = 0; round < 10; round++) {
      deadline.set(1_000)
      clock.advance(500)
    }
    expect(expired).toEqual([])
    clock.advance(2_000)
    expect(expired).toHaveLength(1)
    expect(expired[0]).toBeLessThanOrEqual(4_500 + 2_000)
    deadline.set(0)
    clock.advance(60_000)
    deadline.setExact(100)
    clock.advance(150)
    expect(expired).toHaveLength(2)
    deadline.set(100)
    deadline.stop()
    clock.advance(60_000)
    expect(expired).toHaveLength(2)
    expect(wheel.pending).toBe(0)
  })
})

function clockOf(clock: ManualClock): Pick<ManualClock, 'now' | 'monotonic' | 'after'> {
  return {
    now: () => clock.now(),
    monotonic: () => clock.monotonic(),
    after: (ms, run) => clock.after(ms, run),
  }
}
