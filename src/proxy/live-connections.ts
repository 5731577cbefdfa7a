/**
 * Connections of peers that were admitted, so that what admitted them can be taken back: revocation, a bundle without
 * their root, a chain or export withdrawn, and the end of either certificate all close them at once.
 */
import type { CompiledChain } from './compile.ts'
import { allows, type Peer } from './identity.ts'
import type { Arrival } from './l4/network-filters.ts'
import type { ServerConnection } from './stream.ts'
import { type TimerWheel, WheelTimer } from './timer-wheel.ts'

/** Draining begins so long before a certificate ends, or in the last tenth of a short life: clients replace it first. */
const DRAIN_BEFORE_END_MS = 30_000

export interface Live {
  readonly peer: Peer
  readonly connection: ServerConnection
  /** The chain that would admit it under the present configuration. */
  readonly chain: () => CompiledChain | undefined
  /** What the chain's rules about connections see of it. */
  readonly arrival: Arrival
  readonly endTimer: WheelTimer
}

export class LiveConnections {
  readonly #timers: TimerWheel
  readonly #live = new Set<Live>()
  /** Connections without a certificate: applications of this pod. */
  readonly #plain = new Set<ServerConnection>()
  /** Connections of generic listeners: clients from anywhere. */
  readonly #open = new Map<ServerConnection, () => boolean>()

  constructor(timers: TimerWheel) {
    this.#timers = timers
  }

  get size(): number {
    return this.#live.size + this.#plain.size + this.#open.size
  }

  /** The returned function forgets it. */
  add(entry: Omit<Live, 'endTimer'>, lifetimeMs: number): () => void {
    const { connection } = entry
    const lastPartMs = Math.min(DRAIN_BEFORE_END_MS, Math.max(0, lifetimeMs) / 10)
    let draining = false
    const endTimer = new WheelTimer(() => {
      if (draining) return connection.destroy('local')
      draining = true
      connection.drain()
      return this.#timers.schedule(endTimer, lastPartMs)
    })
    const live: Live = { ...entry, endTimer }
    this.#live.add(live)
    this.#timers.schedule(endTimer, Math.max(0, lifetimeMs - lastPartMs))
    return () => {
      this.#timers.cancel(endTimer)
      this.#live.delete(live)
    }
  }

  addPlain(connection: ServerConnection): () => void {
    this.#plain.add(connection)
    return () => this.#plain.delete(connection)
  }

  /** `isPresent`: the chain it came in by is still configured; a connection outlives it only to finish. */
  addOpen(connection: ServerConnection, isPresent: () => boolean): () => void {
    this.#open.set(connection, isPresent)
    return () => this.#open.delete(connection)
  }

  /** Returns how many were closed. */
  recheck(trusts: (peer: Peer) => boolean): number {
    let closed = 0
    for (const [connection, isPresent] of this.#open) if (!isPresent()) connection.drain()
    for (const live of this.#live) {
      const chain = live.chain()
      const isAllowed = chain !== undefined && allows(chain.allow, live.peer) && trusts(live.peer)
      if (isAllowed && chain.network?.wouldAdmit(live.arrival) !== false) continue
      closed++
      live.connection.destroy('local')
    }
    return closed
  }

  /** What a drain waits for: peers' connections, and those of the pod's own applications that await an answer. */
  get busy(): number {
    let count = this.#live.size + this.#open.size
    for (const connection of this.#plain) if (connection.activeStreams > 0) count++
    return count
  }

  /** Requests and tunnels under way. */
  get streams(): number {
    let count = 0
    for (const { connection } of this.#live) count += connection.activeStreams
    for (const connection of this.#open.keys()) count += connection.activeStreams
    for (const connection of this.#plain) count += connection.activeStreams
    return count
  }

  /** Peers go elsewhere; the pod's own applications are served to the end. */
  drain(): void {
    for (const { connection } of this.#live) connection.drain()
    for (const connection of this.#open.keys()) connection.drain()
  }

  destroy(): void {
    for (const { connection } of this.#live) connection.destroy('local')
    for (const connection of this.#plain) connection.destroy('local')
    for (const connection of this.#open.keys()) connection.destroy('local')
  }
}
