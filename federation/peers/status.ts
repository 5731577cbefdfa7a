/**
 * ClusterPeer.status: what a person sees of a peer, two signals apart (goals, A 1). Built by a pure function; written on
 * change, and every ten seconds for the ages, so that ten quiet peers cost one write per second.
 */
import { isDeepStrictEqual } from 'node:util'
import { CLUSTER_PEERS, type ClusterPeer, type ClusterPeerStatus } from '../../src/kube/kinds.ts'
import type { Cancel, Clock } from '../../src/runtime/clock.ts'
import { messageOf } from '../../src/runtime/errors.ts'
import type { Log } from '../../src/runtime/log.ts'
import { withConditions, type Verdict } from '../../src/kube/conditions.ts'
import { wholeSeconds } from '../../src/kube/times.ts'
import type { Held } from '../exports/view.ts'
import { isRace, type FencedWriter } from '../fence.ts'
import type { Mirror } from '../mirror.ts'
import type { DataHealth } from './data-health.ts'
import type { PeerLink } from './link.ts'
import type { DataState } from './message.ts'

/** Value: the version of the held snapshot that an operator accepts (`isthmus peers accept`). */
export const ACCEPT_ANNOTATION = 'isthmus.dev/accept-snapshot'
const REFRESH_MS = 10_000
const RETRY_MS = 300
const NAMES_SHOWN = 5

export interface PeerFacts {
  readonly sync: PeerLink['sync']
  readonly problem: string | undefined
  readonly health: DataHealth
  readonly remoteData: DataState
  readonly imported: number
  readonly exported: number
  readonly held: Held | undefined
}

export function peerStatus(object: ClusterPeer, facts: PeerFacts, nowMs: number): ClusterPeerStatus {
  const { sync, health } = facts
  const at = { now: wholeSeconds(nowMs), generation: object.metadata.generation }
  const verdicts = [syncVerdict(facts), heldVerdict(facts.held), reachedVerdict(facts.remoteData)]
  return {
    sync: {
      state: sync.state,
      ...(sync.lastHeartbeatMs === undefined ? {} : { lastHeartbeat: wholeSeconds(sync.lastHeartbeatMs) }),
      ...(sync.ageMs === undefined ? {} : { ageMs: sync.ageMs }),
    },
    data: {
      state: health.state,
      since: wholeSeconds(health.sinceMs),
      ...(health.rttMs === undefined ? {} : { rttMs: health.rttMs }),
      ...(health.lastProbeMs === undefined ? {} : { lastProbe: wholeSeconds(health.lastProbeMs) }),
    },
    imported: facts.imported,
    exported: facts.exported,
    conditions: withConditions(object.status?.conditions, verdicts, at),
  }
}

function syncVerdict({ sync, problem }: PeerFacts): Verdict {
  if (sync.state === 'Connected') return { type: 'Synced', status: 'True', reason: 'Connected', message: '' }
  const reason = sync.state === 'Never' ? 'NeverConnected' : 'Stale'
  return { type: 'Synced', status: 'False', reason, message: problem ?? 'the control stream is silent' }
}

function heldVerdict(held: Held | undefined): Verdict {
  if (held === undefined) return { type: 'SnapshotHeld', status: 'False', reason: 'Complete', message: '' }
  const shown = held.omitted.slice(0, NAMES_SHOWN).join(', ')
  const rest = held.omitted.length > NAMES_SHOWN ? ` and ${held.omitted.length - NAMES_SHOWN} more` : ''
  const message =
    `Snapshot ${held.version} omits ${held.omitted.length} of ${held.known} known services without withdrawing them ` +
    `(${shown}${rest}); they are kept. Set annotation ${ACCEPT_ANNOTATION}=${held.version} to let them go.`
  return { type: 'SnapshotHeld', status: 'True', reason: 'Omitted', message }
}

function reachedVerdict(remoteData: DataState): Verdict {
  const type = 'ReachedByPeer'
  if (remoteData === 'Unknown')
    return { type, status: 'Unknown', reason: 'Unknown', message: 'the peer has not said yet' }
  return remoteData === 'Healthy'
    ? { type, status: 'True', reason: 'Healthy', message: '' }
    : { type, status: 'False', reason: 'Lost', message: "the peer's probes of this cluster's gateways fail" }
}

/** What a change of is written at once; ages and round trips wait for the refresh. */
function essence(status: ClusterPeerStatus | undefined): unknown {
  return [
    status?.sync?.state,
    status?.data?.state,
    status?.data?.since,
    status?.imported,
    status?.exported,
    status?.conditions,
  ]
}

export interface StatusWriterOptions {
  readonly mirror: Mirror
  readonly writer: FencedWriter
  readonly clock: Clock
  readonly log: Log
  readonly facts: (peer: string) => PeerFacts | undefined
}

export class StatusWriter {
  readonly #options: StatusWriterOptions
  readonly #writtenAt = new Map<string, number>()
  readonly #busy = new Set<string>()
  readonly #again = new Set<string>()
  #cancelRefresh: Cancel = () => {}
  #stopped = false

  constructor(options: StatusWriterOptions) {
    this.#options = options
  }

  start(): void {
    this.#cancelRefresh = this.#options.clock.every(REFRESH_MS / 10, () => {
      for (const key of this.#options.mirror.peers.keys()) this.touch(key)
    })
  }

  stop(): void {
    this.#stopped = true
    this.#cancelRefresh()
  }

  /** Something about the peer may have changed. */
  touch(peer: string): void {
    if (this.#stopped) return
    if (this.#busy.has(peer)) this.#again.add(peer)
    else void this.#write(peer)
  }

  async #write(peer: string): Promise<void> {
    const { mirror, writer, clock, facts, log } = this.#options
    const object = mirror.peers.get(peer)
    const now = facts(peer)
    if (object === undefined || now === undefined || !writer.held) return
    const status = peerStatus(object, now, clock.now())
    const due = clock.monotonic() - (this.#writtenAt.get(peer) ?? -Infinity) >= REFRESH_MS
    if (!due && isDeepStrictEqual(essence(object.status), essence(status))) return
    this.#busy.add(peer)
    try {
      await writer.replaceStatus(CLUSTER_PEERS, { ...object, status })
      this.#writtenAt.set(peer, clock.monotonic())
    } catch (error) {
      if (!isRace(error)) log.warn({ peer, reason: messageOf(error) }, 'peer status not written')
      clock.after(RETRY_MS, () => this.touch(peer))
    } finally {
      this.#busy.delete(peer)
      if (this.#again.delete(peer)) clock.after(RETRY_MS / 10, () => this.touch(peer))
    }
  }
}
