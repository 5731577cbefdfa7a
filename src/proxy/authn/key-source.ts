/**
 * Where a provider's keys come from: the configuration, or a server asked through a cluster, whose answer is kept for a
 * while. Many requests that wait for keys are one question. A failed question is answered as that, never with old keys.
 */
import type { RemoteKeys } from '../../model/config.ts'
import type { ClusterState } from '../balance/cluster.ts'
import { SideCall, type SideOutcome } from '../side/call.ts'
import { type TimerWheel, WheelTimer } from '../timer-wheel.ts'
import { JWT_FAILURES, type JwtFailure } from './jwt-token.ts'
import { KeySet } from './keys.ts'

export interface KeySource {
  keys(): KeySet | JwtFailure | Promise<KeySet | JwtFailure>
  close(): void
}

export class LocalKeys implements KeySource {
  readonly #keys: KeySet | undefined

  constructor(text: string) {
    this.#keys = KeySet.parse(text)
  }

  keys(): KeySet | JwtFailure {
    return this.#keys ?? JWT_FAILURES.noKeys
  }

  close(): void {}
}

export class FetchedKeys implements KeySource {
  readonly #config: RemoteKeys
  readonly #clusterOf: (name: string) => ClusterState | undefined
  readonly #timers: TimerWheel
  readonly #timer: WheelTimer
  #keys: KeySet | undefined = undefined
  #until = 0
  #asked: Promise<KeySet | JwtFailure> | undefined = undefined
  #call: SideCall | undefined = undefined
  #closed = false

  constructor(config: RemoteKeys, clusterOf: (name: string) => ClusterState | undefined, timers: TimerWheel) {
    this.#config = config
    this.#clusterOf = clusterOf
    this.#timers = timers
    this.#timer = new WheelTimer(() => void this.#fetch())
    if (config.ahead !== undefined) timers.schedule(this.#timer, 1)
  }

  keys(): KeySet | JwtFailure | Promise<KeySet | JwtFailure> {
    const ahead = this.#config.ahead !== undefined
    if (this.#keys !== undefined && (ahead || this.#timers.now() < this.#until)) return this.#keys
    return this.#fetch()
  }

  close(): void {
    this.#closed = true
    this.#timers.cancel(this.#timer)
    this.#call?.cancel()
  }

  #fetch(): Promise<KeySet | JwtFailure> {
    if (this.#asked !== undefined) return this.#asked
    const { target } = this.#config
    const { protocol, host, pathname, search } = new URL(target.uri)
    const head = {
      method: 'GET',
      scheme: protocol.slice(0, -1),
      authority: host,
      path: pathname + search,
      protocol: '',
      headers: [],
      bodyLength: 0,
    }
    let resolve = (_keys: KeySet | JwtFailure): void => {}
    // The call may end before it returns, so the question has to stand before it is asked.
    const asked = new Promise<KeySet | JwtFailure>((settle) => (resolve = settle))
    this.#asked = asked
    const request = { head, body: undefined, timeoutMs: target.timeoutMs }
    const done = (outcome: SideOutcome): void => resolve(this.#heard(outcome))
    this.#call = new SideCall(this.#clusterOf(target.cluster), request, this.#timers, done)
    this.#call.start()
    return asked
  }

  #heard(outcome: SideOutcome): KeySet | JwtFailure {
    this.#asked = undefined
    this.#call = undefined
    const { cacheMs, ahead } = this.#config
    const found =
      outcome.kind === 'answer' && outcome.status === 200 ? KeySet.parse(outcome.body.toString('utf8')) : undefined
    if (found !== undefined) {
      this.#keys = found
      this.#until = this.#timers.now() + cacheMs
    }
    // Ahead of the end, so that no request meets a set that has run out.
    if (ahead !== undefined && !this.#closed) {
      this.#timers.schedule(this.#timer, found === undefined ? ahead.failedRefetchMs : Math.max(1, cacheMs - 5_000))
    }
    if (found !== undefined) return found
    const answered = outcome.kind === 'answer' && outcome.status === 200
    return answered ? JWT_FAILURES.noKeys : JWT_FAILURES.fetch
  }
}
