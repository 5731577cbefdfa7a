/**
 * Tells a silent HTTP/2 connection from a dead one. TCP alone needs minutes: a peer that was cut off or stopped takes
 * no part in closing. Answers come from the peer's proxy, not its application, so slow requests are not mistaken.
 */
import type { ConnectionSettings } from '../../model/config.ts'
import type { H2Client } from '../h2/types.ts'
import type { ClientConnection } from '../stream.ts'
import { type TimerWheel, WheelTimer } from '../timer-wheel.ts'

export const SILENCE_MS = 1_000 // wire contract; gRPC's default is 20 s, Linkerd's 10 s
/** From here on nothing new is sent over it, while an answer would still clear it. */
export const SUSPECT_AFTER_MS = 500 // three times the longest round trip between regions (about 170 ms)
export const DEAD_AFTER_MS = 2_000
const IDLE_PING_MS = 30_000

export interface KeepAliveTimes {
  /** Silence before a PING, with streams and without. */
  readonly busyMs: number
  readonly idleMs: number
  readonly suspectMs: number
  /** From the PING on. */
  readonly deadMs: number
}

const TIMES: KeepAliveTimes = {
  busyMs: SILENCE_MS,
  idleMs: IDLE_PING_MS,
  suspectMs: SUSPECT_AFTER_MS,
  deadMs: DEAD_AFTER_MS,
}

/** As a cluster asks for it: the same with streams and without. */
export const canPing = (connection: ClientConnection): connection is H2Client => 'ping' in connection

export function keepAliveTimes(settings: ConnectionSettings['keepAlive']): KeepAliveTimes {
  if (settings === undefined) return TIMES
  const { intervalMs, timeoutMs } = settings
  const suspectMs = Math.min(SUSPECT_AFTER_MS, timeoutMs)
  return { busyMs: intervalMs, idleMs: intervalMs, suspectMs, deadMs: timeoutMs }
}

export interface KeepAliveHandler {
  onSuspect(suspect: boolean): void
}

export class KeepAlive {
  readonly #connection: H2Client
  readonly #timers: TimerWheel
  readonly #handler: KeepAliveHandler
  readonly #timer: WheelTimer
  readonly #times: KeepAliveTimes
  #pingSentAt = -1
  #suspect = false
  #stopped = false

  constructor(connection: H2Client, timers: TimerWheel, handler: KeepAliveHandler, times = TIMES) {
    this.#times = times
    this.#connection = connection
    this.#timers = timers
    this.#handler = handler
    this.#timer = new WheelTimer(() => this.#check())
    this.#schedule(this.#times.busyMs)
  }

  stop(): void {
    this.#stopped = true
    this.#timers.cancel(this.#timer)
  }

  #schedule(delayMs: number): void {
    this.#timers.schedulePatiently(this.#timer, delayMs)
  }

  #check(): void {
    if (this.#stopped) return
    const now = this.#timers.now()
    // A process that was itself stopped has the answers unread in its sockets: the timer lets it read before it judges.
    if (this.#pingSentAt >= 0) return this.#checkPing()
    const silentMs = now - this.#connection.lastReadAt
    const limitMs = this.#connection.activeStreams > 0 ? this.#times.busyMs : this.#times.idleMs
    if (silentMs >= limitMs) {
      this.#pingSentAt = now
      this.#schedule(this.#times.suspectMs)
      if (this.#connection.ping(() => this.#answered())) return undefined
      this.#pingSentAt = -1
    }
    // An idle connection may get a stream at any moment, which deserves its second of silence and no more.
    return this.#schedule(Math.max(50, Math.min(this.#times.busyMs, limitMs - silentMs)))
  }

  #checkPing(): void {
    // Any byte since proves as much as the answer, which may stand behind megabytes of body.
    if (this.#connection.lastReadAt > this.#pingSentAt) {
      this.#clear()
      return this.#schedule(this.#times.busyMs)
    }
    if (this.#suspect) {
      this.stop()
      return this.#connection.destroy('timeout')
    }
    this.#suspect = true
    this.#handler.onSuspect(true)
    return this.#schedule(this.#times.deadMs - this.#times.suspectMs)
  }

  #answered(): void {
    if (this.#stopped) return
    this.#clear()
    this.#schedule(this.#times.busyMs)
  }

  #clear(): void {
    this.#pingSentAt = -1
    if (!this.#suspect) return
    this.#suspect = false
    this.#handler.onSuspect(false)
  }
}
