import { describe, expect, it } from 'vitest'
import { ManualClock } from '../../src/runtime/clock.ts'
import { judgeProbe, unknownHealth, type DataHealth, type ProbeEvent } from './data-health.ts'
import { Prober, type Probe } from './prober.ts'

const at = (ms: number): { wallMs: number; monotonicMs: number } => ({ wallMs: ms, monotonicMs: ms })
const success: ProbeEvent = { kind: 'success', rttMs: 3 }
const failure: ProbeEvent = { kind: 'failure' }
const tick: ProbeEvent = { kind: 'tick' }

function after(...steps: readonly (readonly [number, ProbeEvent])[]): DataHealth {
  return steps.reduce((health, [ms, event]) => judgeProbe(health, event, at(ms)), unknownHealth(at(0)))
}

const HEALTHY = [
  [1_000, success],
  [2_000, success],
] as const

describe('judgeProbe', () => {
  it.each([
    ['one success decides nothing', [[1_000, success]], 'Unknown'],
    ['two agree on healthy', HEALTHY, 'Healthy'],
    ['one failure decides nothing', [...HEALTHY, [3_000, failure]], 'Healthy'],
    ['two agree on lost', [...HEALTHY, [3_000, failure], [4_000, failure]], 'Lost'],
    [
      'a success between failures starts over',
      [...HEALTHY, [3_000, failure], [3_500, success], [4_000, failure]],
      'Healthy',
    ],
    ['silence of 2.5 s is a loss', [...HEALTHY, [4_501, tick]], 'Lost'],
    ['silence of 2.5 s is needed', [...HEALTHY, [4_500, tick]], 'Healthy'],
    ['an unknown peer is not lost by silence', [[60_000, tick]], 'Unknown'],
    [
      'a discarded moment starts the silence anew',
      [...HEALTHY, [4_000, { kind: 'discard' }], [6_000, tick]],
      'Healthy',
    ],
    ['one success does not bring back', [...HEALTHY, [4_501, tick], [5_000, success]], 'Lost'],
    ['two bring back', [...HEALTHY, [4_501, tick], [5_000, success], [6_000, success]], 'Healthy'],
  ] as const)('%s', (_what, steps, state) => {
    expect(after(...steps).state).toBe(state)
  })

  it('keeps the time of the last change of state', () => {
    expect(after(...HEALTHY, [3_000, success]).sinceMs).toBe(2_000)
  })
})

describe('Prober', () => {
  /** Answers as told; `hang` answers only to the timeout. */
  function world(): { clock: ManualClock; prober: Prober; dialled: string[]; answer: { now: 'yes' | 'no' | 'hang' } } {
    const clock = new ManualClock()
    const answer: { now: 'yes' | 'no' | 'hang' } = { now: 'yes' }
    const dialled: string[] = []
    const probe: Probe = {
      probe: (address, signal) => {
        dialled.push(address)
        if (answer.now === 'yes') return Promise.resolve()
        if (answer.now === 'no') return Promise.reject(new Error('refused'))
        return new Promise((_resolve, reject) => {
          signal.addEventListener('abort', () => reject(new Error('timeout')))
        })
      },
      close: () => {},
    }
    const gateways = (): readonly string[] => ['a:1', 'b:1']
    const prober = new Prober({ clock, probe, gateways, changed: () => {} })
    prober.start()
    return { clock, prober, dialled, answer }
  }

  async function pass(clock: ManualClock, ms: number): Promise<void> {
    for (let passed = 0; passed < ms; passed += 100) {
      clock.advance(100)
      for (let turn = 0; turn < 5; turn++) await Promise.resolve()
    }
  }

  it('probes each second, and declares a silent gateway lost within three', async () => {
    const { clock, prober, dialled, answer } = world()
    await pass(clock, 2_500)
    expect([prober.health.state, dialled.length]).toEqual(['Healthy', 3])
    answer.now = 'hang'
    await pass(clock, 3_000)
    expect(prober.health.state).toBe('Lost')
    answer.now = 'yes'
    await pass(clock, 3_000)
    expect(prober.health.state).toBe('Healthy')
    prober.stop()
  })

  it('turns to another gateway of the peer after a failure', async () => {
    const { clock, dialled, prober, answer } = world()
    await pass(clock, 1_000)
    answer.now = 'no'
    await pass(clock, 1_000)
    answer.now = 'yes'
    await pass(clock, 2_000)
    expect(dialled.slice(0, 4)).toEqual(['a:1', 'a:1', 'b:1', 'b:1'])
    prober.stop()
  })

  it('discards its verdict when its own loop was held up', async () => {
    const { clock, prober, answer } = world()
    await pass(clock, 2_500)
    answer.now = 'hang'
    // The process stands still for half a minute: every timer is late at once.
    const frozen = clock as unknown as { monotonic: () => number }
    const real = clock.monotonic.bind(clock)
    frozen.monotonic = () => real() + 30_000
    clock.advance(100)
    await Promise.resolve()
    expect(prober.health.state).toBe('Healthy')
    prober.stop()
  })
})
