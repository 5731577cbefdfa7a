/** Faults on purpose: a delay, then perhaps an answer instead of the service's. */
import type { FaultPolicy } from '../../model/config.ts'
import type { Random } from '../../runtime/random.ts'
import { configuredReply, type LocalAnswer } from '../local-reply.ts'
import { compileHeaders, type HeadTest } from '../match/headers.ts'
import type { RequestHead } from '../message.ts'
import { hits } from './fractions.ts'
import { type FilterCounters, filterKind } from './kind.ts'
import type { Call, Step, Verdict } from './step.ts'

const BODY = Buffer.from('fault filter abort') // Envoy's words; dashboards look for them

class Fault {
  readonly #policy: FaultPolicy
  readonly #meant: HeadTest | undefined

  constructor(policy: FaultPolicy) {
    this.#policy = policy
    this.#meant = compileHeaders(policy.headers)
  }

  /** 0: none. */
  delayMs(head: RequestHead, random: Random): number {
    const { delay } = this.#policy
    return delay !== undefined && this.#meant?.(head) !== false && hits(delay.share, random) ? delay.ms : 0
  }

  abort(head: RequestHead, random: Random): LocalAnswer | undefined {
    const { abort } = this.#policy
    if (abort === undefined || this.#meant?.(head) === false || !hits(abort.share, random)) return undefined
    const reply = configuredReply(abort.status, ['content-type', 'text/plain'], BODY)
    return { ...reply, flag: 'FI', detail: 'a configured fault' }
  }
}

const COUNTERS = ['aborts_injected', 'delays_injected'] as const
type Counters = FilterCounters<(typeof COUNTERS)[number]>

class FaultStep implements Step {
  readonly #fault: Fault
  readonly #counters: Counters

  constructor(fault: Fault, counters: Counters) {
    this.#fault = fault
    this.#counters = counters
  }

  request(call: Call): Verdict {
    const { random } = call.services
    const delayMs = this.#fault.delayMs(call.head, random)
    if (delayMs === 0) return this.#abort(call)
    this.#counters.delays_injected++
    call.flag('DI')
    return { kind: 'wait', deadlineMs: delayMs, cancel: nothing, expired: () => this.#abort(call) }
  }

  #abort(call: Call): Verdict {
    const answer = this.#fault.abort(call.head, call.services.random)
    if (answer !== undefined) this.#counters.aborts_injected++
    return answer
  }
}

function nothing(): void {}

interface Own {
  readonly fault: Fault | undefined
  readonly counters: Counters
}

export const faultKind = filterKind<FaultPolicy, FaultPolicy, Own, { readonly fault: Fault | undefined }>({
  listed: (policy, { counters, statPrefix }) => ({
    fault: compileFault(policy),
    counters: counters(`${statPrefix}fault.`, COUNTERS),
  }),
  routed: (policy) => ({ fault: compileFault(policy) }),
  step: ({ fault: own, counters }, [level]) => {
    const fault = level === undefined ? own : level.fault
    return fault && new FaultStep(fault, counters)
  },
})

/** An empty one switches off what the level around it has. */
function compileFault(policy: FaultPolicy): Fault | undefined {
  return policy.delay === undefined && policy.abort === undefined ? undefined : new Fault(policy)
}
