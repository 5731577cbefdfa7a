/**
 * What both directions and gateways look up in a snapshot: hosts, exports, slices by service, services by pod. A memory:
 * the same lists while their inputs are the same, so that what is built of them stays too. Pure but for that.
 */
import { Layers } from '../../model/layers.ts'
import type { Locality } from '../../model/locality.ts'
import { type PodFacts, type ServiceFacts, type SliceFacts, type Snapshot } from '../observe/facts.ts'
import { type ExportedService, type Host, listExports, listHosts } from './hosts.ts'
import { isSelecting, servicesSelecting } from './inbound.ts'
import { entryServices } from './istio/service-entries.ts'
import { keepMap, Memo } from './memo.ts'
import { PeerModes } from './security/peer-modes.ts'
import { rootNamespacesOf } from './security/scope.ts'
import { candidatesFor, indexSelectors, type SelectorIndex } from './selectors.ts'

export const NOWHERE: Locality = { cloud: '', region: '', zone: '' }

export class Tables {
  readonly #lists = new Memo<readonly unknown[]>()
  readonly #sliceIndex = new Memo<ReadonlyMap<string, readonly SliceFacts[]>>()
  readonly #hosts = new Memo<Host>()
  readonly #roots = new Memo<ReadonlySet<string>>()
  readonly #peerModes = new Memo<PeerModes>()
  readonly #selectors = new Memo<SelectorIndex>()
  readonly #shared = new WeakMap<readonly unknown[], ReadonlyMap<string, unknown>>()
  readonly #layers = new Memo<Layers<unknown>>()
  /** By what they are for; the last map, so that an equal one keeps its identity. */
  readonly #maps = new Memo<{ last: ReadonlyMap<string, unknown> | undefined }>()

  hosts(snapshot: Snapshot): readonly Host[] {
    const { mesh, services, exports, imports, networking } = snapshot
    const inputs = [mesh, services, exports, imports, networking.serviceEntries]
    // One that is as it was stays the same object: what is built of it is not built again because of others.
    return this.list('hosts', inputs, () =>
      listHosts(snapshot).map((host) => this.#hosts.get(host.host, [JSON.stringify(host)], () => host)),
    )
  }

  exports(snapshot: Snapshot): readonly ExportedService[] {
    const { services, exports, namespaces } = snapshot
    const peers = this.peerTrustDomains(snapshot)
    return this.list('exports', [services, exports, namespaces, peers], () => listExports(snapshot))
  }

  /** Sorted; the same list while only the peers' health changes. */
  peerTrustDomains(snapshot: Snapshot): readonly string[] {
    const domains = Array.from(snapshot.peers.values(), ({ trustDomain }) => trustDomain).sort()
    return this.list('peers', domains, () => domains)
  }

  slicesByService(snapshot: Snapshot): ReadonlyMap<string, readonly SliceFacts[]> {
    return this.#sliceIndex.get('all', [snapshot.slices], () => {
      const index = new Map<string, SliceFacts[]>()
      for (const slice of snapshot.slices.values()) {
        const key = `${slice.namespace}/${slice.service}`
        const known = index.get(key)
        if (known === undefined) index.set(key, [slice])
        else known.push(slice)
      }
      return index
    })
  }

  /** Where policies for the whole mesh stand. The same set while services come and go. */
  rootNamespaces({ services }: Snapshot): ReadonlySet<string> {
    const found = this.#roots.get('by services', [services], () => rootNamespacesOf(services))
    return this.#roots.get('by content', [[...found].join()], () => found)
  }

  /** Which ports of which pods take or want mTLS; `tlsModeOf` is the callers' question. */
  peerModes(snapshot: Snapshot): PeerModes {
    const { peerAuthentications } = snapshot.security
    const roots = this.rootNamespaces(snapshot)
    return this.#peerModes.get('all', [peerAuthentications, roots], () => new PeerModes(peerAuthentications, roots))
  }

  /** ServiceEntries that select it too: they are called by names of their own. */
  servicesSelecting(pod: PodFacts, { services, networking }: Snapshot): readonly ServiceFacts[] {
    const { serviceEntries } = networking
    const entries = this.list('entry-services', [serviceEntries], () => entryServices(serviceEntries))
    const index = this.#selectors.get('all', [services], () => indexSelectors(services))
    const key = `${pod.namespace}/${pod.name}`
    const selecting = this.list(`selecting?|${key}`, [pod, index, entries], () => [
      ...servicesSelecting(pod, candidatesFor(pod, index)),
      ...entries.filter((entry) => isSelecting(entry, pod)),
    ])
    return this.list(`selecting|${key}`, selecting, () => selecting)
  }

  /** A list that many proxies share, as one table for all of them. */
  shared<V extends { readonly name: string }>(list: readonly V[]): ReadonlyMap<string, V> {
    let table = this.#shared.get(list)
    if (table === undefined) {
      table = named(list)
      this.#shared.set(list, table)
    }
    return table as ReadonlyMap<string, V>
  }

  /** What is shared and what is a proxy's own, without a copy of the former for each. */
  layers<V>(key: string, layers: readonly ReadonlyMap<string, V>[]): ReadonlyMap<string, V> {
    return this.#layers.get(key, layers, () => new Layers<unknown>(layers)) as Layers<V>
  }

  /** The list built last time for `key`, if every input is the very same object. One key, one type of list. */
  list<V>(key: string, inputs: readonly unknown[], build: () => readonly V[]): readonly V[] {
    return this.#lists.get(key, inputs, build) as readonly V[]
  }

  keep<V>(key: string, next: ReadonlyMap<string, V>): ReadonlyMap<string, V> {
    const holder = this.#maps.get(key, [], () => ({ last: undefined }))
    const kept = keepMap(holder.last as ReadonlyMap<string, V> | undefined, next)
    holder.last = kept
    return kept
  }
}

export function named<V extends { readonly name: string }>(values: readonly V[]): ReadonlyMap<string, V> {
  return new Map(values.map((value) => [value.name, value]))
}

export function byCluster<V extends { readonly cluster: string }>(assignments: readonly V[]): ReadonlyMap<string, V> {
  return new Map(assignments.map((assignment) => [assignment.cluster, assignment]))
}
