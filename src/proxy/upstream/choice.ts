/**
 * Which of a pool's connections the next request takes: the least busy one, away from large bodies, behind which a
 * small request would wait for as long as what is written ahead takes to arrive. Called for every request.
 */
import { turnNumber } from '../h1/turn.ts'
import type { ClientConnection } from '../stream.ts'
import type { Dialed } from './transport.ts'

export interface Candidate {
  readonly connection: ClientConnection
  readonly dialed: Dialed
  readonly suspect: boolean
  readonly retiring: boolean
  /** Beyond the connections wanted, kept for when those carry large bodies: spreading requests over it saves nobody anything. */
  readonly spare: boolean
}

/** Streams that a connection may have more than another before it counts as busier than one with these marks. */
const SPARE = 200
/** The pool's own reason to keep away, as two tunnels of one service in one outer connection. */
const AVOIDED = 500
const BULK = 1_000
const RETIRING = 1e4
const SUSPECT = 1e6

/**
 * Requests of the same turn of the event loop stay together until their connection has its share of what is under way,
 * rounded up: they share a write, and wake one peer instead of several. None gets more than its share by that.
 */
export class Choice<C extends Candidate> {
  #from = 0
  #turn = -1
  #chosen: C | undefined = undefined
  #share = 0

  next(candidates: readonly C[], avoids?: (connection: ClientConnection) => boolean): C | undefined {
    const count = candidates.length
    const chosen = this.#chosen
    if (chosen !== undefined && this.#turn === turnNumber() && this.#mayStay(chosen, avoids)) return chosen
    this.#from = count === 0 ? 0 : (this.#from + 1) % count
    const best = leastBusy(candidates, this.#from, avoids)
    // One stream at a time has nothing to share.
    const shares = count > 1 && best !== undefined && best.connection.capacity > 1
    this.#chosen = shares ? best : undefined
    if (!shares) return best
    this.#turn = turnNumber()
    this.#share = shareOf(candidates)
    return best
  }

  /** It is gone: not to be chosen again. */
  forget(candidate: C): void {
    if (this.#chosen === candidate) this.#chosen = undefined
  }

  #mayStay(chosen: C, avoids: ((connection: ClientConnection) => boolean) | undefined): boolean {
    const { connection } = chosen
    if (connection.activeStreams >= this.#share || connection.capacity <= 0) return false
    return loadOf(chosen) < SPARE && avoids?.(connection) !== true
  }
}

/** Of what is under way and one more, on connections that nothing speaks against. */
function shareOf(candidates: readonly Candidate[]): number {
  let active = 1
  let taking = 0
  for (const candidate of candidates) {
    const { activeStreams } = candidate.connection
    if (loadOf(candidate) - activeStreams >= SPARE) continue
    active += activeStreams
    taking++
  }
  return Math.ceil(active / Math.max(1, taking))
}

/** The walk starts at `from`, so that equals take turns. */
function leastBusy<C extends Candidate>(
  candidates: readonly C[],
  from: number,
  avoids?: (connection: ClientConnection) => boolean,
): C | undefined {
  const count = candidates.length
  let best: C | undefined
  let bestLoad = Number.POSITIVE_INFINITY
  for (let step = 0; step < count; step++) {
    const candidate = candidates[(from + step) % count]
    if (candidate === undefined || candidate.connection.capacity <= 0) continue
    const load = loadOf(candidate) + (avoids?.(candidate.connection) === true ? AVOIDED : 0)
    if (load >= bestLoad) continue
    best = candidate
    bestLoad = load
    if (load === 0) break
  }
  return best
}

function loadOf(candidate: Candidate): number {
  const { connection, suspect, retiring, spare } = candidate
  return (
    connection.activeStreams +
    BULK * bulkOf(candidate) +
    (spare ? SPARE : 0) +
    (suspect ? SUSPECT : 0) +
    (retiring ? RETIRING : 0)
  )
}

/** Large bodies on the connection, or on the one it travels in. */
function bulkOf({ connection, dialed: { carrier } }: Candidate): number {
  const own = connection.bulkStreams
  // A carrier counts a connection as one, however much that carries.
  return (own === undefined ? 0 : own) + (carrier?.bulkStreams ?? 0)
}

export const isQuiet = (candidate: Candidate): boolean => !candidate.retiring && bulkOf(candidate) === 0
