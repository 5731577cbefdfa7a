/**
 * What a cluster's owner wants, apart from anything the product computes: which service is exported to whom with how many
 * ready pods, and when that was last otherwise. Judges compare what stands in other clusters with this.
 */

export interface Wanted {
  readonly to: 'all' | readonly string[]
  readonly ready: number
}

export class Truth {
  readonly cluster: string
  readonly #now: () => number
  readonly #peers: readonly string[]
  readonly #wanted = new Map<string, Wanted>()
  /** `key>peer` → when it was last not exported to that peer. */
  readonly #absentAt = new Map<string, number>()
  /** The same for having no ready pod. */
  readonly #emptyAt = new Map<string, number>()

  constructor(cluster: string, peers: readonly string[], now: () => number) {
    this.cluster = cluster
    this.#peers = peers
    this.#now = now
  }

  set(key: string, wanted: Wanted | undefined): void {
    for (const peer of this.#peers) {
      // Until this very moment it was what it was; from now on it is what it becomes.
      if (!this.exportedTo(key, peer)) this.#absentAt.set(`${key}>${peer}`, this.#now())
      if (this.readyTo(key, peer) === 0) this.#emptyAt.set(`${key}>${peer}`, this.#now())
    }
    if (wanted === undefined) this.#wanted.delete(key)
    else this.#wanted.set(key, wanted)
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

  /** Whether there was a moment since then at which that peer was not to have it. */
  wasAbsentSince(key: string, peer: string, since: number): boolean {
    if (!this.exportedTo(key, peer)) return true
    return (this.#absentAt.get(`${key}>${peer}`) ?? -1) >= since
  }

  wasEmptySince(key: string, peer: string, since: number): boolean {
    if (this.readyTo(key, peer) === 0) return true
    return (this.#emptyAt.get(`${key}>${peer}`) ?? -1) >= since
  }
}
