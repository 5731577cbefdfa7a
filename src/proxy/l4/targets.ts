/** The clusters a TCP proxy chooses among: one, several by weight, or the one that a connection names itself. */
import type { Metadata, TcpProxy } from '../../model/config.ts'
import type { Random } from '../../runtime/random.ts'
import type { ClusterState } from '../balance/cluster.ts'

export interface TcpTarget {
  readonly name: string
  readonly cluster: ClusterState | undefined
  readonly subset: Metadata | undefined
}

type ClusterOf = (name: string) => ClusterState | undefined

export class TcpTargets {
  readonly #clusterOf: ClusterOf
  readonly #weighted: readonly { readonly upTo: number; readonly target: TcpTarget }[]
  readonly #total: number
  readonly #subset: Metadata | undefined

  constructor({ cluster, weighted, subset }: TcpProxy, clusterOf: ClusterOf) {
    this.#clusterOf = clusterOf
    this.#subset = subset
    let total = 0
    this.#weighted = (weighted ?? [{ name: cluster, weight: 1 }]).map((choice) => {
      const { name, weight } = choice
      // The choice's own values win over the proxy's.
      const both = choice.subset === undefined ? subset : { ...subset, ...choice.subset }
      return { upTo: (total += weight), target: { name, cluster: clusterOf(name), subset: both } }
    })
    this.#total = total
  }

  choose(random: Random, named: string | undefined): TcpTarget {
    if (named !== undefined) return { name: named, cluster: this.#clusterOf(named), subset: this.#subset }
    const [first] = this.#weighted
    const drawn = this.#weighted.length < 2 ? 0 : random.next() * this.#total
    const found = this.#weighted.find(({ upTo }) => drawn < upTo) ?? first
    return found?.target ?? { name: '', cluster: undefined, subset: undefined }
  }
}
