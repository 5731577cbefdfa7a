/** A connection of a pool and what the pool keeps of it. */
import type { ClientConnection } from '../stream.ts'
import type { WheelTimer } from '../timer-wheel.ts'
import type { IdleTimer } from './idle-timer.ts'
import type { KeepAlive } from './keep-alive.ts'
import type { Dialed } from './transport.ts'

/** Replacements are opened this long before a certificate ends, or in the last tenth of a short life. */
const REPLACE_BEFORE_END_MS = 30_000

export interface Member {
  readonly connection: ClientConnection
  readonly dialed: Dialed
  readonly keepAlive: KeepAlive | undefined
  readonly endTimer: WheelTimer
  readonly idleTimer: IdleTimer
  readonly ageTimer: WheelTimer
  requests: number
  /** Monotonic. */
  readonly since: number
  suspect: boolean
  readonly spare: boolean
  /** Takes nothing new; its replacement is on the way. */
  retiring: boolean
  errors: number
}

export const lastPart = (lifetimeMs: number): number => Math.min(REPLACE_BEFORE_END_MS, Math.max(0, lifetimeMs) / 10)

/** A connection after GOAWAY leads nowhere new; one whose certificate nears its end still does. */
export const isPromising = (member: Member): boolean =>
  !member.suspect && (!member.retiring || member.connection.capacity > 0)

/** Asked for every request; nearly always the first few answer it. */
export function areServing(members: readonly Member[], wanted: number): boolean {
  let missing = wanted
  for (let index = 0; missing > 0 && index < members.length; index++) if (members[index]?.retiring === false) missing--
  return missing <= 0
}
