/**
 * What we know of one peer's exports, pure. Absence is held, statements act: explicit withdrawals and counts apply at
 * once, down to zero; a snapshot that omits more than half of what was known, without withdrawing it, is applied except
 * for the omissions, which stay until the peer withdraws them, names them again, or an operator accepts. A broken or
 * freshly emptied peer can so not erase its region from everyone else (security.md 3.3, row 19).
 */
import { exportKey, type Export, type Withdrawal } from './export.ts'

export interface PeerView {
  readonly services: ReadonlyMap<string, Export>
  readonly held: Held | undefined
}

export interface Held {
  readonly version: number
  /** Keys that the snapshot omitted and that are still kept. */
  readonly omitted: readonly string[]
  /** How many were known when the snapshot came. */
  readonly known: number
}

export interface Snapshot {
  readonly version: number
  readonly services: readonly Export[]
  readonly withdrawals: readonly Withdrawal[]
}

export interface Delta {
  readonly version: number
  readonly upserts: readonly Export[]
  readonly withdrawals: readonly Withdrawal[]
}

export const EMPTY_VIEW: PeerView = { services: new Map(), held: undefined }

/** More than this share of the known services may not just be missing. */
const OMITTED_SHARE_MAX = 0.5

export function applySnapshot(view: PeerView, snapshot: Snapshot): PeerView {
  const named = new Map(snapshot.services.map((service) => [exportKey(service), service]))
  const left = withoutWithdrawn(view.services, snapshot.withdrawals)
  // Named as gone under whatever uid, and not named as there: a statement, though we had missed its last incarnation.
  for (const withdrawal of snapshot.withdrawals) {
    if (!named.has(exportKey(withdrawal))) left.delete(exportKey(withdrawal))
  }
  const omitted = [...left.keys()].filter((key) => !named.has(key))
  if (omitted.length <= view.services.size * OMITTED_SHARE_MAX) return { services: named, held: undefined }
  const services = new Map([...left, ...named])
  return { services, held: { version: snapshot.version, omitted, known: view.services.size } }
}

export function applyDelta(view: PeerView, delta: Delta): PeerView {
  const services = withoutWithdrawn(view.services, delta.withdrawals)
  const named = new Set<string>()
  for (const service of delta.upserts) {
    services.set(exportKey(service), service)
    named.add(exportKey(service))
  }
  return { services, held: stillHeld(view.held, (key) => services.has(key) && !named.has(key)) }
}

/** An operator looked and agrees: what was held goes. */
export function acceptHeld(view: PeerView): PeerView {
  if (view.held === undefined) return view
  const services = new Map(view.services)
  for (const key of view.held.omitted) services.delete(key)
  return { services, held: undefined }
}

function stillHeld(held: Held | undefined, keeps: (key: string) => boolean): Held | undefined {
  if (held === undefined) return undefined
  const omitted = held.omitted.filter((key) => keeps(key))
  return omitted.length === 0 ? undefined : { ...held, omitted }
}

/** A withdrawal speaks of one ServiceExport: a newer one of the same name, known by another uid, stays. */
function withoutWithdrawn(
  services: ReadonlyMap<string, Export>,
  withdrawals: readonly Withdrawal[],
): Map<string, Export> {
  const left = new Map(services)
  for (const withdrawal of withdrawals) {
    const key = exportKey(withdrawal)
    const known = left.get(key)
    if (known !== undefined && (withdrawal.uid === '' || withdrawal.uid === known.uid)) left.delete(key)
  }
  return left
}
