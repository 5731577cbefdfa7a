/**
 * What a cluster's owner wants, apart from anything the product computes: which service is exported to whom with how many
 * ready pods, and whether that was ever otherwise. Judges compare what stands in other clusters with this; they hear of
 * it late, so what counts is whether a statement was ever made, not when.
 */

export interface Wanted {
  /** Of the ServiceExport: made anew, it is another one. */
  readonly uid: string
  readonly to: 'all' | readonly string[]
  readonly ready: number
}

export class Truth {
  readonly cluster: string
  readonly #peers: readonly string[]
  readonly #wanted = new Map<string, Wanted>()
  /** `uid>peer` of exports that this peer was once not to have. */
  readonly #withheld = new Set<string>()
  /** `uid>peer` of exports that once had no ready pod for it. */
  readonly #empty = new Set<string>()

  constructor(cluster: string, peers: readonly string[]) {
    this.cluster = cluster
    this.#peers = peers
  }

  set(key: string, wanted: Wanted | undefined): void {
    if (wanted === undefined) this.#wanted.delete(key)
    else this.#wanted.set(key, wanted)
    if (wanted === undefined) return
    for (const peer of this.#peers) {
      if (!this.exportedTo(key, peer)) this.#withheld.add(`${wanted.uid}>${peer}`)
      if (this.readyTo(key, peer) === 0) this.#empty.add(`${wanted.uid}>${peer}`)
    }
  }

  get keys(): readonly string[] {
    return [...this.#wanted.keys()]
  }

  get(key: string): Wanted | undefined {
    return this.#wanted.get(key)
  }

  exportedTo(key: string, peer: string): boolean {
    const to = this.#wanted.get(key)?.to
    return to !== undefined && (to === 'all' || peer === this.cluster || to.includes(peer))
  }

  readyTo(key: string, peer: string): number {
    return this.exportedTo(key, peer) ? (this.#wanted.get(key)?.ready ?? 0) : 0
  }

  /** Whether that peer has ever been told, or was to be, that this export is not for it. */
  hasTakenBack(key: string, peer: string, uid: string): boolean {
    return this.#wanted.get(key)?.uid !== uid || this.#withheld.has(`${uid}>${peer}`)
  }

  hasBeenEmpty(key: string, peer: string, uid: string): boolean {
    return this.hasTakenBack(key, peer, uid) || this.#empty.has(`${uid}>${peer}`)
  }
}
