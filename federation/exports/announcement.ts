/**
 * What this cluster says about its own exports, pure: one version per change, and tombstones for what went, so that a
 * peer that was away still hears a statement instead of a mere absence. `Outbox` is one peer's end of it: what that peer
 * was told, and the messages that bring it up to date.
 */
import { isDeepStrictEqual } from 'node:util'
import type { PeerMessage } from '../peers/message.ts'
import { SERVICES_PER_MESSAGE_MAX } from '../peers/message.ts'
import { mayReach, type LocalExport } from './collect.ts'
import { exportKey, type Export, type Withdrawal } from './export.ts'
import { exportCountsOnly, type OwnExport } from './import-objects.ts'
import { FACTS_INTERVAL_MS } from './pace.ts'

export interface Tombstone extends Withdrawal {
  /** Peers that knew it; the others never hear its name. */
  readonly to: 'all' | readonly string[]
  /** Of `all`: those that still have it. */
  readonly except?: readonly string[]
}

export interface Announcement {
  readonly version: number
  readonly exports: ReadonlyMap<string, LocalExport>
  readonly withdrawals: readonly Tombstone[]
}

/** Beyond this the oldest are forgotten, and a peer that missed them falls back to the hold on omissions. */
const TOMBSTONES_MAX = 1_000
const PART_CHARS_MAX = 1024 * 1024 // of JSON, which is longer than the same in protobuf

export const NOTHING_ANNOUNCED: Announcement = { version: 0, exports: new Map(), withdrawals: [] }

/** The next announcement; the same object when nothing changed. */
export function announce(before: Announcement, exports: ReadonlyMap<string, LocalExport>): Announcement {
  if (isDeepStrictEqual(before.exports, exports)) return before
  const version = before.version + 1
  const gone = [...before.exports].flatMap(([key, local]) => {
    const own = { uid: local.service.uid, to: local.to }
    return tombstone(key, own, { version, now: exports.get(key) }) ?? []
  })
  return { version, exports, withdrawals: live([...before.withdrawals, ...gone], exports) }
}

/** At the start of a term: what was withdrawn while nobody watched is known from what we had last written down. */
export function resume(
  exports: ReadonlyMap<string, LocalExport>,
  last: ReadonlyMap<string, OwnExport>,
  stored: readonly Tombstone[],
): Announcement {
  const version = 1
  const gone = [...last].flatMap(([key, own]) => tombstone(key, own, { version, now: exports.get(key) }) ?? [])
  const old = stored.map((each) => ({ ...each, version })) // versions start anew with each epoch
  return { version, exports, withdrawals: live([...old, ...gone], exports) }
}

/** Drops what every peer concerned has acknowledged. */
export function forget(before: Announcement, peers: readonly string[], acked: (peer: string) => number): Announcement {
  const withdrawals = before.withdrawals.filter((each) =>
    peers.some((peer) => concerns(each, peer) && acked(peer) < each.version),
  )
  return withdrawals.length === before.withdrawals.length ? before : { ...before, withdrawals }
}

/** What of an export is gone, and for whom: everyone when it went, some peers when export-to shrank. */
function tombstone(
  key: string,
  own: OwnExport,
  change: { version: number; now: LocalExport | undefined },
): Tombstone | undefined {
  const { version, now } = change
  const [namespace = '', name = ''] = key.split('/')
  const base = { namespace, name, uid: own.uid, version }
  if (now === undefined || now.service.uid !== own.uid) return { ...base, to: own.to }
  if (now.to === 'all') return undefined
  if (own.to === 'all') return { ...base, to: 'all', except: now.to }
  const lost = own.to.filter((peer) => !mayReach(now, peer))
  return lost.length === 0 ? undefined : { ...base, to: lost }
}

/** Without those that a present export contradicts, and no more than fit. */
function live(all: readonly Tombstone[], exports: ReadonlyMap<string, LocalExport>): readonly Tombstone[] {
  const latest = new Map<string, Tombstone>()
  for (const each of all) latest.set(`${exportKey(each)} ${each.uid} ${String(each.to)}`, each)
  return [...latest.values()].flatMap((each) => uncontradicted(each, exports) ?? []).slice(-TOMBSTONES_MAX)
}

/** What of a tombstone still holds: whoever may have the very same export again is not told that it went. */
function uncontradicted(each: Tombstone, exports: ReadonlyMap<string, LocalExport>): Tombstone | undefined {
  const now = exports.get(exportKey(each))
  if (now === undefined || now.service.uid !== each.uid) return each
  if (now.to === 'all') return undefined
  if (each.to === 'all') return { ...each, except: now.to }
  const to = each.to.filter((peer) => !mayReach(now, peer))
  return to.length === 0 ? undefined : { ...each, to }
}

const concerns = ({ to, except = [] }: Tombstone, peer: string): boolean =>
  to === 'all' ? !except.includes(peer) : to.includes(peer)

export interface Outgoing {
  readonly messages: readonly PeerMessage[]
  /** Counts wait until then, in monotonic milliseconds. */
  readonly againAt?: number
}

export class Outbox {
  readonly #peer: string
  #sent: Map<string, Export> | undefined
  #version = 0
  #sentAt = -Infinity

  constructor(peer: string) {
    this.#peer = peer
  }

  get services(): number {
    return this.#sent?.size ?? 0
  }

  /** The messages that tell the peer everything it does not know yet. */
  next(announcement: Announcement, monotonicMs: number): Outgoing {
    const wanted = new Map<string, Export>()
    for (const [key, local] of announcement.exports) {
      if (mayReach(local, this.#peer)) wanted.set(key, local.service)
    }
    if (this.#sent === undefined)
      return this.#commit(wanted, announcement, monotonicMs, this.#snapshot(wanted, announcement))
    const before = this.#sent
    const upserts = [...wanted].filter(([key, service]) => !isDeepStrictEqual(before.get(key), service))
    const withdrawals = [...before]
      .filter(([key]) => !wanted.has(key))
      .map(([, { namespace, name, uid }]) => ({ namespace, name, uid, version: announcement.version }))
    if (upserts.length === 0 && withdrawals.length === 0) return { messages: [] }
    const counts = withdrawals.length === 0 && upserts.every(([key, service]) => isCount(before.get(key), service))
    const due = this.#sentAt + FACTS_INTERVAL_MS
    if (counts && due > monotonicMs) return { messages: [], againAt: due }
    const messages = this.#deltas(
      upserts.map(([, service]) => service),
      withdrawals,
      announcement.version,
    )
    return this.#commit(wanted, announcement, monotonicMs, messages)
  }

  #commit(
    wanted: Map<string, Export>,
    announcement: Announcement,
    monotonicMs: number,
    messages: readonly PeerMessage[],
  ): Outgoing {
    this.#sent = wanted
    this.#version = announcement.version
    this.#sentAt = monotonicMs
    return { messages }
  }

  #snapshot(wanted: ReadonlyMap<string, Export>, { version, withdrawals }: Announcement): readonly PeerMessage[] {
    const concerned = withdrawals.filter((each) => concerns(each, this.#peer))
    const told = concerned.map(({ namespace, name, uid, version }) => ({ namespace, name, uid, version }))
    const parts = inParts([...wanted.values()])
    return parts.map((services, index) => ({
      kind: 'snapshot' as const,
      version,
      services,
      withdrawals: index === 0 ? told : [],
      last: index === parts.length - 1,
    }))
  }

  #deltas(upserts: readonly Export[], withdrawals: readonly Withdrawal[], version: number): readonly PeerMessage[] {
    return inParts(upserts).map((part, index) => ({
      kind: 'delta' as const,
      version,
      baseVersion: index === 0 ? this.#version : version,
      upserts: part,
      withdrawals: index === 0 ? withdrawals : [],
    }))
  }
}

const isCount = (before: Export | undefined, after: Export): boolean =>
  before !== undefined && exportCountsOnly(before, after)

/** At least one part, each small enough for a message. */
function inParts(services: readonly Export[]): readonly (readonly Export[])[] {
  const parts: Export[][] = [[]]
  let size = 0
  for (const service of services) {
    const chars = JSON.stringify(service).length
    const current = parts.at(-1) ?? []
    if (current.length > 0 && (current.length >= SERVICES_PER_MESSAGE_MAX || size + chars > PART_CHARS_MAX)) {
      parts.push([service])
      size = chars
    } else {
      current.push(service)
      size += chars
    }
  }
  return parts
}
