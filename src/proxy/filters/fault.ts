/** Faults on purpose: a delay, then perhaps an answer instead of the service's. */
import type { FaultPolicy } from '../../model/config.ts'
import type { Random } from '../../runtime/random.ts'
import { configuredReply, type LocalAnswer } from '../local-reply.ts'
import { compileHeaders, type HeadTest } from '../match/headers.ts'
import type { RequestHead } from '../message.ts'
import { hits } from './fractions.ts'

const BODY = Buffer.from('fault filter abort') // Envoy's words; dashboards look for them

export class Fault {
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
