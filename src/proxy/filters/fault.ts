/** Faults on purpose: a delay, then perhaps an answer instead of the service's. */
import type { FaultPolicy } from '../../model/config.ts'
import type { Random } from '../../runtime/random.ts'
import { configuredReply, type LocalAnswer } from '../local-reply.ts'
import { compileHeaders, type HeadTest } from '../match/headers.ts'
import type { RequestHead } from '../message.ts'
import { hits } from './fractions.ts'
import { filterKind } from './kind.ts'
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

class FaultStep implements Step {
  readonly #fault: Fault

  constructor(fault: Fault) {
    this.#fault = fault
  }

  request(call: Call): Verdict {
    const { random } = call.services
    const delayMs = this.#fault.delayMs(call.head, random)
    if (delayMs === 0) return this.#fault.abort(call.head, random)
    call.flag('DI')
    const expired = (): Verdict => this.#fault.abort(call.head, random)
    return { kind: 'wait', deadlineMs: delayMs, cancel: nothing, expired }
  }
}

function nothing(): void {}

export const faultKind = filterKind<FaultPolicy, FaultPolicy, FaultStep | undefined, FaultStep | undefined>({
  listed: compileFault,
  routed: compileFault,
  step: (own, levels) => (levels.length === 0 ? own : levels[0]),
})

/** An empty one switches off what the level around it has. */
function compileFault(policy: FaultPolicy): FaultStep | undefined {
  return policy.delay === undefined && policy.abort === undefined ? undefined : new FaultStep(new Fault(policy))
}
