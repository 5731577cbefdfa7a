/**
 * Runs a Term while the lock is held; a term that cannot begin is tried again. Terms follow one another: each lets go of
 * its ports before the next takes them.
 */
import type { Leadership, LeaseLock } from '../src/kube/lease-lock.ts'
import { messageOf } from '../src/runtime/errors.ts'
import type { Log } from '../src/runtime/log.ts'
import { Term, type TermOptions } from './term.ts'

const TERM_RETRY_MS = 2_000

export class Terms {
  readonly #lock: LeaseLock
  readonly #log: Log
  readonly #options: TermOptions
  #stopped = false
  /** Terms follow one another: the next begins when the last has let go of its ports. */
  #turn: Promise<void> = Promise.resolve()
  current: Term | undefined

  constructor(lock: LeaseLock, log: Log, options: TermOptions) {
    this.#lock = lock
    this.#log = log
    this.#options = options
    lock.onChange((leadership) => this.#changed(leadership))
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#changed({ isLeader: false, epoch: 0 })
    await this.#turn
  }

  #changed({ isLeader, epoch }: Leadership): void {
    const ending = this.current
    this.current = undefined
    if (ending !== undefined) this.#turn = this.#turn.then(() => ending.stop())
    this.#log.info({ isLeader, epoch }, isLeader ? 'leading' : 'not leading')
    if (isLeader) this.#turn = this.#turn.then(() => this.#begin())
  }

  #begin(): void {
    if (this.#stopped || !this.#lock.isLeader || this.current !== undefined) return
    const term = new Term(this.#options)
    this.current = term
    // Not part of the turn: a term waits for its certificate, maybe for long, and must be stoppable meanwhile.
    term.start().catch((error: unknown) => {
      this.#log.error({ reason: messageOf(error) }, 'the term could not begin')
      if (this.current !== term) return
      this.current = undefined
      this.#turn = this.#turn.then(() => term.stop())
      this.#options.clock.after(TERM_RETRY_MS, () => {
        this.#turn = this.#turn.then(() => this.#begin())
      })
    })
  }
}
