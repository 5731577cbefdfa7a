/** What a pool is told: how it dials, how many connections it wants and may have, and who hears of them. Types only. */
import type { ConnectionSettings } from '../../model/config.ts'
import type { Random } from '../../runtime/random.ts'
import type { ClusterLimits } from '../balance/limits.ts'
import type { ClientConnection } from '../stream.ts'
import type { TimerWheel } from '../timer-wheel.ts'
import type { Dial } from './transport.ts'

export interface PoolOptions {
  readonly name: string
  readonly dial: Dial
  readonly timers: TimerWheel
  readonly random: Random
  readonly connectionsMax: number
  /** Connections wanted as soon as there is any demand; may change with the configuration. */
  readonly wanted: () => number
  /** Of those without a large body, how many there shall be: beyond `wanted` only for when it is needed. Absent: any. */
  readonly quietWanted?: number
  /** Requests a connection under way is expected to take. */
  readonly streamsExpected: number
  /** Waiters beyond this overflow. */
  readonly waitersMax: number
  /** For the counters, where `streamsExpected` does not show it. */
  readonly speaksHttp2?: boolean
  /** HTTP/2 only: silence is probed with PING. */
  readonly keepAlive: boolean
  /** After this long without a request a connection closes; multiplexed ones all together. */
  readonly idleMs: number
  /** A connection that failed keeps nobody from asking for the next: whom to leave alone is judged elsewhere. */
  readonly forgives?: boolean
  /** Judges each connection's own errors instead of the endpoint's (tunnels lead to different pods). */
  readonly judgesConnections: boolean
  /** The cluster's limits, above those of the pool. */
  readonly limits?: ClusterLimits
  /** What the cluster asks for instead of the pool's own figures. */
  readonly settings?: ConnectionSettings | undefined
  /** `usable` may have changed. */
  readonly onUsable: () => void
  /** A connection is gone; those that travelled in it are too. */
  readonly onGone?: (connection: ClientConnection) => void
  /** A connection takes nothing new; what travels in it should move. */
  readonly onRetiring?: (connection: ClientConnection) => void
}
