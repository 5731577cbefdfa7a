import { describe, expect, it } from 'vitest'
import { ManualClock } from '../../runtime/clock.ts'
import { seededRandom } from '../../runtime/random.ts'
import { configuredReply, type LocalAnswer } from '../local-reply.ts'
import type { ServerStream } from '../stream.ts'
import { SOME_FACTS } from '../access-log/testing/facts.ts'
import type { StreamFacts } from '../stream-facts.ts'
import { TimerWheel } from '../timer-wheel.ts'
import { FilterRun, type RunOwner } from './run.ts'
import { type Call, type Refused, Slot, type Step, type Steps, stepsOf, type Verdict } from './step.ts'

/** Records what filters do and what becomes of the request. */
class Bench implements RunOwner {
  readonly log: string[] = []
  readonly clock = new ManualClock()
  readonly route = undefined
  readonly clusterName = ''
  readonly run: FilterRun
  rerouted: Steps | undefined = undefined

  constructor(steps: readonly Step[], headOnly = true) {
    const head = { method: 'GET', scheme: 'http', authority: 'a', path: '/', protocol: '', headers: [], bodyLength: 0 }
    const stream = { head, headOnly, version: 'HTTP/1.1' } as unknown as ServerStream
    const services = { timers: new TimerWheel(this.clock), random: seededRandom(1), now: () => 0 }
    const connection = {
      mode: 'inbound' as const,
      peer: undefined,
      service: '',
      remoteAddress: '',
      remotePort: 0,
      client: undefined,
    }
    const placed = steps.map((step, place) => [place, step] as const)
    this.run = new FilterRun(this, stepsOf(placed), stream, {
      connection,
      services,
      outcome: { flag: '-', detail: '' },
    })
  }

  facts(): StreamFacts {
    return SOME_FACTS
  }
  onFiltered(): void {
    this.log.push('filtered')
  }
  onFilterAnswer(answer: LocalAnswer | Refused): void {
    this.log.push(`answer ${answer.kind === 'answer' ? answer.head.status : answer.refusal.status}`)
  }
  onGather(): void {
    this.log.push('gather')
  }
  onReroute(): Steps {
    return this.rerouted ?? stepsOf([])
  }
}

/** Steps are made with the bench that they tell. */
function bench(make: (log: (text: string) => void) => readonly Step[], headOnly = true): Bench {
  let made: Bench | undefined
  made = new Bench(
    make((text) => void made?.log.push(text)),
    headOnly,
  )
  return made
}

const named = (log: (text: string) => void, name: string, verdict?: (call: Call) => Verdict): Step => ({
  request: (call) => {
    log(name)
    return verdict?.(call)
  },
  response: () => log(`${name} answer`),
  done: () => log(`${name} done`),
})
const teapot = (): LocalAnswer => configuredReply(418, [])
const body = (text: string, ended: boolean): { bytes: number; ended: boolean; read: () => Buffer } => ({
  bytes: text.length,
  ended,
  read: () => Buffer.from(text),
})

describe('FilterRun', () => {
  it('asks in order, and passes answers in reverse through all', () => {
    const one = bench((log) => [named(log, 'a'), named(log, 'b', teapot), named(log, 'c')])
    one.run.run()
    one.run.response({ status: 418, headers: [], bodyLength: 0 })
    one.run.end()
    one.run.end()
    expect(one.log).toEqual(['a', 'b', 'answer 418', 'c answer', 'b answer', 'a answer', 'a done', 'b done', 'c done'])
  })

  it('rests until a waiting filter settles, once', () => {
    const wait = (): Verdict => ({ kind: 'wait', deadlineMs: 0, cancel: () => {} })
    const one = bench((log) => [named(log, 'a', wait), named(log, 'b')])
    one.run.run()
    expect(one.log).toEqual(['a'])
    one.run.settle(undefined)
    one.run.settle(teapot())
    expect(one.log).toEqual(['a', 'b', 'filtered'])
  })

  it('takes a verdict that comes inside the hook', () => {
    const one = bench((log) => [
      named(log, 'a', (call) => {
        call.settle(teapot())
        return { kind: 'wait', deadlineMs: 0, cancel: () => {} }
      }),
    ])
    one.run.run()
    expect(one.log).toEqual(['a', 'answer 418'])
  })

  it('cancels a wait when the exchange ends, and hears nothing afterwards', () => {
    const one = bench((log) => [
      named(log, 'a', () => ({ kind: 'wait', deadlineMs: 1_000, cancel: () => log('cancelled'), expired: teapot })),
    ])
    one.run.run()
    one.run.end()
    one.run.settle(undefined)
    one.clock.advance(2_000)
    expect(one.log).toEqual(['a', 'cancelled', 'a done'])
  })

  it('ends a wait at its deadline with what the filter makes of that', () => {
    const waiting = (log: (text: string) => void, expired?: () => Verdict): Step =>
      named(log, 'a', () => ({
        kind: 'wait',
        deadlineMs: 1_000,
        cancel: () => log('cancelled'),
        ...(expired !== undefined && { expired }),
      }))
    const refused = bench((log) => [waiting(log, teapot)])
    const admitted = bench((log) => [waiting(log)])
    for (const one of [refused, admitted]) {
      one.run.run()
      one.clock.advance(900)
      expect(one.log).toEqual(['a'])
      one.clock.advance(200)
    }
    expect(refused.log).toEqual(['a', 'cancelled', 'answer 418'])
    expect(admitted.log).toEqual(['a', 'cancelled', 'filtered'])
  })

  it('gathers the whole body, or as much as was asked for', () => {
    const gathering = (log: (text: string) => void): readonly Step[] => [
      named(log, 'a', () => ({
        kind: 'gather',
        bytesMax: 4,
        gathered: (bytes, whole) => {
          log(`${bytes.toString()} ${whole}`)
          return undefined
        },
      })),
    ]
    const whole = bench(gathering, false)
    whole.run.run()
    expect([whole.run.gathers, whole.log]).toEqual([true, ['a', 'gather']])
    whole.run.onBody(body('four', false))
    whole.run.onBody(body('four', true))
    expect([whole.run.gathers, whole.log.slice(2)]).toEqual([false, ['four true', 'filtered']])
    const long = bench(gathering, false)
    long.run.run()
    long.run.onBody(body('more than four', false))
    expect(long.log.slice(2)).toEqual(['more than four false', 'filtered'])
    const none = bench(gathering)
    none.run.run()
    expect(none.log).toEqual(['a', ' true', 'filtered'])
  })

  it('goes on behind its place when a filter changes the route', () => {
    const one = bench((log) => [
      named(log, 'a'),
      named(log, 'b', (call) => {
        call.reroute()
        return undefined
      }),
      named(log, 'old c'),
    ])
    const log = (text: string): void => void one.log.push(text)
    one.rerouted = stepsOf([
      [0, named(log, 'new a')],
      [1, named(log, 'new b')],
      [3, named(log, 'new d')],
    ])
    one.run.run()
    expect(one.log).toEqual(['a', 'b', 'new d', 'filtered'])
  })

  it('lets each step see the bytes that the one before it makes', () => {
    const suffix = (text: string): Step => ({
      requestData: (_call, chunk) => Buffer.concat([chunk, Buffer.from(text)]),
      requestEnd: () => Buffer.from(text.toUpperCase()),
      responseData: (_call, chunk) => Buffer.concat([chunk, Buffer.from(text)]),
      responseEnd: () => Buffer.from(text.toUpperCase()),
    })
    const { run } = bench(() => [suffix('a'), {}, suffix('b')])
    expect([run.requestData(Buffer.from('.')), run.requestEnd([])].map(String)).toEqual(['.ab', 'AbB'])
    expect([run.responseData(Buffer.from('.')), run.responseEnd([])].map(String)).toEqual(['.ba', 'BaA'])
    expect(run.translates).toBe(true)
  })
})

describe('Slot', () => {
  it('keeps what one step remembers of one request', () => {
    const [one, other] = [new Slot<number>(), new Slot<number>()]
    const { run } = bench(() => [])
    one.set(run, 1)
    expect([one.of(run), other.of(run), one.of(bench(() => []).run)]).toEqual([1, undefined, undefined])
  })
})
